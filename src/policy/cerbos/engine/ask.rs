//! A question with its defaults filled in, and which scopes it leads to.

use super::{
    index::Index,
    names::scope_and_parents,
    options::{Options, Profile},
};
use crate::policy::{cerbos::document::sanitise, condition::Scope};

/// A question with its defaults filled in.
pub(super) struct Question<'q> {
    /// What conditions look at.
    pub(super) facts: Scope<'q>,
    /// The principal's id; empty for nobody that is known.
    pub(super) id: &'q str,
    pub(super) roles: &'q [Box<str>],
    pub(super) actions: &'q [Box<str>],
    /// The name of the resource, sanitised.
    pub(super) name: String,
    pub(super) principal: Where<'q>,
    pub(super) resource: Where<'q>,
    pub(super) lenient: bool,
}

/// Which policies are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Where<'q> {
    pub(super) version: &'q str,
    pub(super) scope: &'q str,
}

impl<'q> Where<'q> {
    fn new(version: &'q str, scope: &'q str, options: &'q Options) -> Self {
        let version = if version.is_empty() { &*options.default_policy_version } else { version };
        let scope = if scope.is_empty() { &*options.default_scope } else { scope };
        Self { version, scope: without_dot(scope) }
    }
}

/// A scope may be written with a dot before it.
pub(super) fn without_dot(scope: &str) -> &str {
    scope.strip_prefix('.').unwrap_or(scope)
}

impl<'q> Question<'q> {
    /// `None` where the facts name no resource.
    pub(super) fn new(facts: Scope<'q>, actions: &'q [Box<str>], options: &'q Options) -> Option<Self> {
        let resource = facts.resource?;
        let principal = facts.principal;
        Some(Self {
            facts,
            id: principal.id.unwrap_or_default(),
            roles: principal.roles,
            actions,
            name: sanitise(resource.kind),
            principal: Where::new(principal.policy_version, principal.scope, options),
            resource: Where::new(resource.policy_version, resource.scope, options),
            lenient: options.lenient_scope_search,
        })
    }

    /// Is a scope named at all?
    pub(super) fn is_scoped(&self) -> bool {
        !(self.principal.scope.is_empty() && self.resource.scope.is_empty())
    }

    /// A role, and its parents in the resource's scope.
    pub(super) fn with_parents<'i>(
        &self,
        profile: Profile,
        index: &'i Index,
        role: &'i str,
    ) -> impl Iterator<Item = &'i str> + Clone {
        let parents = index.parents(profile, role, self.resource.version, self.resource.scope);
        std::iter::once(role).chain(parents.iter().map(|parent| &**parent))
    }

    /// The scopes whose principal policies are asked, the most specific first.
    pub(super) fn principal_scopes(&self, index: &Index) -> Vec<&'q str> {
        self.scopes(self.principal.scope, |scope| index.has_principal_scope(scope))
    }

    /// The scopes whose resource and role policies are asked, the most specific first.
    pub(super) fn resource_scopes(&self, profile: Profile, index: &Index) -> Vec<&'q str> {
        match profile {
            Profile::Cerbos051 => self.scopes(self.resource.scope, |scope| index.has_resource_scope(scope)),
            // SECURITY: another resource's scope is none of this one's: `q7_a_scope_of_another_resource_is_not_one_of_this`.
            Profile::Strict => {
                let version = self.resource.version;
                let all = index.resource_versions(&self.name).and_then(|versions| versions.get(version));
                self.scopes(self.resource.scope, |scope| {
                    let has_role = |role| index.role(role, version, scope).is_some();
                    all.is_some_and(|scopes| scopes.contains_key(scope))
                        || self.roles.iter().any(|role| self.with_parents(profile, index, role).any(has_role))
                })
            }
        }
    }

    fn scopes(&self, scope: &'q str, exists: impl Fn(&str) -> bool) -> Vec<&'q str> {
        if !self.lenient && !exists(scope) {
            return Vec::new();
        }
        scope_and_parents(scope).filter(|scope| exists(scope)).collect()
    }
}
