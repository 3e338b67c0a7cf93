//! One call: from a question that was read to an answer that can be written.
//!
//! All resources of a call are decided at one time, on one generation. What is told to a caller about another call is nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{
    attributes::Measure,
    aux_data::AuxKeys,
    fault::{Code, Fault},
    validate::Ruled,
    wire::{
        self, AuxData, BatchEntry, CheckResourceBatchRequest, CheckResourceBatchResponse, CheckResourceSetRequest,
        CheckResourceSetResponse, CheckResourcesRequest, CheckResourcesResponse, EffectMeta, Effects, InstanceEffects,
        Meta, OutputEntry, Principal, Resource, ResourceName, ResultEntry, SetMeta, ValidationError,
    },
};
use crate::{
    policy::cerbos::{CheckInput, CheckOutput, Clock, Effect, Object, Subject, ValidationSource},
    telemetry::{CheckedResource, Decided},
};

/// What holds for every call while one generation serves.
pub(super) struct Terms<'a> {
    pub(super) most_actions: usize,
    pub(super) most_resources: usize,
    pub(super) aux_keys: AuxKeys<'a>,
    /// The time of the call.
    pub(super) clock: Clock,
    /// Its id.
    pub(super) call_id: &'a str,
}

/// What decides.
pub(super) type Decide<'a> = &'a dyn Fn(&CheckInput<'_>, Clock) -> CheckOutput;

/// What is left of a call for the account of it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) request_id: String,
    pub(super) principal: String,
    pub(super) roles: Vec<Box<str>>,
    pub(super) resources: Vec<CheckedResource>,
}

/// A question that can be asked.
pub(super) trait Question: Ruled {
    /// Its answer.
    type Answer;

    /// Decides.
    fn answer(self, terms: &Terms<'_>, decide: Decide<'_>, trail: &mut Trail) -> Result<Self::Answer, Fault>;
}

impl Question for CheckResourcesRequest {
    type Answer = CheckResourcesResponse;

    fn answer(self, terms: &Terms<'_>, decide: Decide<'_>, trail: &mut Trail) -> Result<Self::Answer, Fault> {
        trail.request_id.clone_from(&self.request_id);
        let include_meta = self.include_meta;
        let asked = self.resources.into_iter().filter_map(|entry| Some((entry.actions, entry.resource?))).collect();
        let answered =
            decide_all(Asked { principal: self.principal, asked, aux: self.aux_data }, terms, decide, trail)?;
        let entry = |(name, output): (ResourceName, CheckOutput)| ResultEntry {
            actions: effects(&output),
            validation_errors: validation_errors(&output),
            meta: include_meta.then(|| meta(&output)),
            outputs: outputs(&output),
            resource: Some(name),
        };
        Ok(CheckResourcesResponse {
            request_id: self.request_id,
            results: answered.into_iter().map(entry).collect(),
            cerbos_call_id: terms.call_id.to_owned(),
        })
    }
}

impl Question for CheckResourceBatchRequest {
    type Answer = CheckResourceBatchResponse;

    fn answer(self, terms: &Terms<'_>, decide: Decide<'_>, trail: &mut Trail) -> Result<Self::Answer, Fault> {
        trail.request_id.clone_from(&self.request_id);
        let asked = self.resources.into_iter().filter_map(|entry| Some((entry.actions, entry.resource?))).collect();
        let answered =
            decide_all(Asked { principal: self.principal, asked, aux: self.aux_data }, terms, decide, trail)?;
        let entry = |(name, output): (ResourceName, CheckOutput)| BatchEntry {
            resource_id: name.id,
            actions: effects(&output),
            validation_errors: validation_errors(&output),
        };
        Ok(CheckResourceBatchResponse {
            request_id: self.request_id,
            results: answered.into_iter().map(entry).collect(),
        })
    }
}

impl Question for CheckResourceSetRequest {
    type Answer = CheckResourceSetResponse;

    fn answer(self, terms: &Terms<'_>, decide: Decide<'_>, trail: &mut Trail) -> Result<Self::Answer, Fault> {
        trail.request_id.clone_from(&self.request_id);
        let set = self.resource.unwrap_or_default();
        refuse_many_resources(set.instances.len(), terms)?;
        // One list of actions for all: it is looked at before there are as many copies.
        refuse_many_actions(self.actions.len(), terms)?;
        let of = |(id, attributes): (String, wire::AttributesMap)| {
            let resource = Resource {
                kind: set.kind.clone(),
                policy_version: set.policy_version.clone(),
                id,
                attr: attributes.attr,
                scope: set.scope.clone(),
            };
            (self.actions.clone(), resource)
        };
        let asked = set.instances.into_iter().map(of).collect();
        let answered =
            decide_all(Asked { principal: self.principal, asked, aux: self.aux_data }, terms, decide, trail)?;
        let meta_of = |(name, output): &(ResourceName, CheckOutput)| (name.id.clone(), meta(output));
        let meta = self.include_meta.then(|| SetMeta { resource_instances: answered.iter().map(meta_of).collect() });
        let instance = |(name, output): (ResourceName, CheckOutput)| {
            (name.id, InstanceEffects { actions: effects(&output), validation_errors: validation_errors(&output) })
        };
        Ok(CheckResourceSetResponse {
            request_id: self.request_id,
            resource_instances: answered.into_iter().map(instance).collect::<BTreeMap<_, _>>(),
            meta,
        })
    }
}

/// What all three kinds of questions come to.
struct Asked {
    principal: Option<Principal>,
    asked: Vec<(Vec<String>, Resource)>,
    aux: Option<AuxData>,
}

fn refuse_many_resources(count: usize, terms: &Terms<'_>) -> Result<(), Fault> {
    let most = terms.most_resources;
    if count <= most {
        return Ok(());
    }
    Err(Fault::invalid(format!("number of resources in batch ({count}) exceeds configured limit ({most})")))
}

fn refuse_many_actions(count: usize, terms: &Terms<'_>) -> Result<(), Fault> {
    let most = terms.most_actions;
    if count <= most {
        return Ok(());
    }
    Err(Fault::invalid(format!("number of actions ({count}) exceeds configured limit ({most})")))
}

/// Decides about every resource, in order.
fn decide_all(
    asked: Asked,
    terms: &Terms<'_>,
    decide: Decide<'_>,
    trail: &mut Trail,
) -> Result<Vec<(ResourceName, CheckOutput)>, Fault> {
    let Asked { principal, asked, aux } = asked;
    let principal = principal.unwrap_or_default();
    let roles: Vec<Box<str>> = principal.roles.into_iter().map(Into::into).collect();
    trail.principal.clone_from(&principal.id);
    trail.roles.clone_from(&roles);
    refuse_many_resources(asked.len(), terms)?;
    let claims = claims(aux.as_ref(), terms)?;
    for (actions, _) in &asked {
        refuse_many_actions(actions.len(), terms)?;
    }
    let mut measure = Measure::new();
    let attributes = measure.take(principal.attr)?;
    let subject = Subject {
        id: &principal.id,
        roles: &roles,
        attributes: &attributes,
        policy_version: &principal.policy_version,
        scope: &principal.scope,
    };
    let mut answered = Vec::with_capacity(asked.len());
    for (actions, resource) in asked {
        let Resource { kind, policy_version, id, attr, scope } = resource;
        let name = ResourceName { id, kind, policy_version, scope };
        let attributes = measure.take(attr)?;
        let actions: Vec<Box<str>> = actions.into_iter().map(Into::into).collect();
        let object = Object {
            kind: &name.kind,
            id: &name.id,
            attributes: &attributes,
            policy_version: &name.policy_version,
            scope: &name.scope,
        };
        let input = CheckInput { principal: subject, resource: object, actions: &actions, claims: claims.as_ref() };
        let output = decide(&input, terms.clock);
        // SECURITY: what is not answered must not look as if it had not been asked: `an_action_without_an_answer_is_a_fault`.
        if output.actions.len() != actions.len() {
            return Err(Fault::new(Code::Internal, "the policies cannot be asked"));
        }
        trail.resources.push(checked(&name, &output));
        answered.push((name, output));
    }
    Ok(answered)
}

fn claims(aux: Option<&AuxData>, terms: &Terms<'_>) -> Result<Option<Map<String, Json>>, Fault> {
    let Some(jwt) = aux.and_then(|aux| aux.jwt.as_ref()) else { return Ok(None) };
    match terms.aux_keys.claims(jwt, terms.clock.time) {
        Ok(claims) => Ok(Some(claims)),
        Err(error) => {
            tracing::info!(call_id = terms.call_id, %error, "the token of a question is refused");
            Err(Fault::invalid("invalid auxData"))
        }
    }
}

/// For the account.
fn checked(name: &ResourceName, output: &CheckOutput) -> CheckedResource {
    let decided = |(action, result): &(Box<str>, crate::policy::cerbos::ActionResult)| Decided {
        action: action.clone(),
        is_allowed: result.effect == Effect::Allow,
        policy: result.policy.clone(),
        rule: result.rule.clone(),
        errs: result.errs,
        disputed: result.disputed,
    };
    CheckedResource {
        kind: name.kind.as_str().into(),
        id: name.id.as_str().into(),
        decided: output.actions.iter().map(decided).collect(),
    }
}

fn effects(output: &CheckOutput) -> Effects {
    let number = |effect| match effect {
        Effect::Allow => wire::ALLOW,
        Effect::Deny => wire::DENY,
    };
    output.actions.iter().map(|(action, result)| (action.to_string(), number(result.effect))).collect()
}

fn meta(output: &CheckOutput) -> Meta {
    let of = |(action, result): &(Box<str>, crate::policy::cerbos::ActionResult)| {
        let effect = EffectMeta { matched_policy: result.policy.to_string(), matched_scope: result.scope.to_string() };
        (action.to_string(), effect)
    };
    Meta {
        actions: output.actions.iter().map(of).collect(),
        effective_derived_roles: output.effective_derived_roles.iter().map(ToString::to_string).collect(),
    }
}

fn outputs(output: &CheckOutput) -> Vec<OutputEntry> {
    let of = |entry: &crate::policy::cerbos::Output| OutputEntry {
        src: entry.source.to_string(),
        val: entry.value.clone().map(Into::into),
        action: entry.action.to_string(),
    };
    output.outputs.iter().map(of).collect()
}

fn validation_errors(output: &CheckOutput) -> Vec<ValidationError> {
    let of = |error: &crate::policy::cerbos::ValidationError| ValidationError {
        path: error.path.to_string(),
        message: error.message.to_string(),
        source: match error.source {
            ValidationSource::Principal => wire::OF_PRINCIPAL,
            ValidationSource::Resource => wire::OF_RESOURCE,
        },
    };
    output.validation_errors.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
