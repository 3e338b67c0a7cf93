//! Policies of each kind.

use std::sync::Arc;

use super::{Linker, compile_condition, compile_output, index::Index};
use crate::policy::{
    cerbos::{
        document::{
            Document, Header, MatchDoc, OutputDoc, PrincipalPolicyDoc, ResourcePolicyDoc, RolePolicyDoc, SchemaDoc,
            TextDoc, sanitise,
        },
        model::{
            Envelope, Parameters, PrincipalPolicy, PrincipalRule, ResourcePolicy, ResourceRule, RolePolicy, RoleRule,
            SchemaUse, Schemas,
        },
    },
    codes,
};

impl Linker<'_> {
    pub(super) fn resource<'d, 'a>(
        &self,
        document: &'d Document<'a>,
        policy: &'d ResourcePolicyDoc<'a>,
        index: &Index<'d, 'a>,
    ) -> ResourcePolicy {
        index.check_ancestors("resource", &policy.header);
        let names = self.names(&policy.parameters, &document.variables, index);
        let expressions = expressions(policy.rules.iter().map(|rule| (rule.condition.as_ref(), Some(&rule.output))));
        let (environment, parameters) = self.parameters(&names, &expressions, policy.header.name.at());
        let texts = |texts: &[TextDoc<'_>]| texts.iter().map(|text| text.text().into()).collect();
        let rules = policy.rules.iter().map(|rule| ResourceRule {
            name: rule.name.clone(),
            actions: rule.actions.clone().into(),
            roles: texts(&rule.roles),
            derived_roles: texts(&rule.derived_roles),
            effect: rule.effect,
            condition: compile_condition(rule.condition.as_ref(), &environment),
            output: compile_output(&rule.output, &environment),
        });
        ResourcePolicy {
            envelope: envelope(&policy.header, parameters),
            rules: rules.collect(),
            derived_roles: self.derived_roles(policy, index),
            schemas: Schemas {
                principal: self.schema(policy.principal_schema.as_ref()),
                resource: self.schema(policy.resource_schema.as_ref()),
            },
        }
    }

    pub(super) fn principal<'d, 'a>(
        &self,
        document: &'d Document<'a>,
        policy: &'d PrincipalPolicyDoc<'a>,
        index: &Index<'d, 'a>,
    ) -> PrincipalPolicy {
        index.check_ancestors("principal", &policy.header);
        let names = self.names(&policy.parameters, &document.variables, index);
        let expressions = expressions(policy.rules.iter().map(|rule| (rule.condition.as_ref(), Some(&rule.output))));
        let (environment, parameters) = self.parameters(&names, &expressions, policy.header.name.at());
        let rules = policy.rules.iter().map(|rule| PrincipalRule {
            name: rule.name.clone(),
            resource: rule.resource.clone(),
            action: rule.action.clone(),
            effect: rule.effect,
            condition: compile_condition(rule.condition.as_ref(), &environment),
            output: compile_output(&rule.output, &environment),
        });
        PrincipalPolicy { envelope: envelope(&policy.header, parameters), rules: rules.collect() }
    }

    /// A role policy has no variables and no constants of its own, and its scope needs no policy above it.
    pub(super) fn role(&self, policy: &RolePolicyDoc<'_>) -> RolePolicy {
        let names = self.no_names();
        let expressions = expressions(policy.rules.iter().map(|rule| (rule.condition.as_ref(), None)));
        let (environment, parameters) = self.parameters(&names, &expressions, policy.header.name.at());
        let rules = policy.rules.iter().zip(1..).map(|(rule, place)| RoleRule {
            name: format!("rule-{place:03}").into(),
            resource: rule.resource.clone(),
            allow_actions: rule.allow_actions.clone().into(),
            condition: compile_condition(rule.condition.as_ref(), &environment),
        });
        RolePolicy {
            envelope: envelope(&policy.header, parameters),
            parent_roles: policy.parent_roles.iter().map(|role| role.text().into()).collect(),
            rules: rules.collect(),
        }
    }

    fn schema(&self, schema: Option<&SchemaDoc<'_>>) -> Option<SchemaUse> {
        let SchemaDoc { reference, ignored_for } = schema?;
        match self.linking.schemas.find(reference.text()) {
            Ok(schema) => Some(SchemaUse { schema, ignored_for: ignored_for.clone().into() }),
            Err(why) => {
                let told = format!("the schema `{}` cannot be used: {why}", reference.text());
                let help = "schemas are files in the folder `_schemas` at the root of the policies, as in `cerbos:///user.json`";
                if self.linking.schemas_enforced {
                    reference.at().error_with_help(codes::SCHEMA, told, help);
                } else {
                    reference.at().warning(codes::SCHEMA, told, help);
                }
                None
            }
        }
    }
}

/// The expressions of rules.
fn expressions<'d, 'a: 'd>(
    rules: impl Iterator<Item = (Option<&'d MatchDoc<'a>>, Option<&'d OutputDoc<'a>>)>,
) -> Vec<&'d TextDoc<'a>> {
    let of_rule = |(condition, output): (Option<&'d MatchDoc<'a>>, Option<&'d OutputDoc<'a>>)| {
        let condition = condition.map(MatchDoc::expressions).unwrap_or_default();
        condition.into_iter().chain(output.into_iter().flat_map(OutputDoc::expressions))
    };
    rules.flat_map(of_rule).collect()
}

fn envelope(header: &Header<'_>, parameters: Arc<Parameters>) -> Envelope {
    Envelope {
        name: header.name.text().into(),
        sanitised: sanitise(header.name.text()).into(),
        version: header.version.clone(),
        scope: header.scope.clone(),
        permissions: header.permissions,
        parameters,
    }
}
