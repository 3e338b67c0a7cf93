//! What routes and lints ask about policies before any request comes.

use super::{
    Engine,
    entry::{Clause, ResourceEntry, Rule},
};
use crate::policy::{
    cerbos::{document::sanitise, question::Effect},
    condition::Root,
};

impl Engine {
    /// Is there a policy about a resource, of that version or, where it is empty, of the default one?
    pub(crate) fn is_about(&self, kind: &str, version: &str) -> bool {
        self.policies(kind, version).next().is_some()
    }

    /// Does a rule about one of these actions name that role?
    pub(crate) fn names_role(&self, kind: &str, version: &str, actions: &[&str], role: &str) -> bool {
        self.policies(kind, version).any(|policy| {
            policy
                .rules
                .iter()
                .filter(|rule| actions.iter().any(|action| rule.is_about(action)))
                .any(|rule| rule.roles.name(role) || rule.derived_of(policy).any(|derived| derived.parents.name(role)))
        })
    }

    /// Does a rule that allows the action compare that attribute with the principal?
    pub(crate) fn compares(&self, kind: &str, version: &str, action: &str, attribute: &str) -> bool {
        let compares = |clause: &Clause| {
            clause.references.resource_attributes().includes(attribute) && clause.references.reads(Root::Principal)
        };
        self.policies(kind, version).any(|policy| {
            policy.rules.iter().filter(|rule| rule.allows() && rule.is_about(action)).any(|rule| {
                let derived = rule.derived_of(policy).filter_map(|derived| derived.condition.as_ref());
                rule.condition.iter().chain(derived).any(compares)
            })
        })
    }

    /// The resource policies of a version, in all scopes.
    fn policies(&self, kind: &str, version: &str) -> impl Iterator<Item = &ResourceEntry> {
        let version = if version.is_empty() { &*self.options().default_policy_version } else { version };
        let scopes = self.index.resource_versions(&sanitise(kind)).and_then(|versions| versions.get(version));
        scopes.into_iter().flat_map(|scopes| scopes.values())
    }
}

impl Rule {
    fn allows(&self) -> bool {
        self.effect == Effect::Allow || self.inverted
    }
}
