//! All policies, found by name, version and scope without a search.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use super::{
    ask::Where,
    entry::{PrincipalEntry, ResourceEntry, RoleEntry},
    options::Profile,
};
use crate::policy::cerbos::{
    Glob,
    document::sanitise,
    model::{Envelope, Policies, RolePolicy, ScopePermissions},
};

/// Policies of one name: by version, then by scope.
pub(super) type Versions<T> = HashMap<Box<str>, HashMap<Box<str>, T>>;

/// All policies.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By the sanitised name of the kind.
    resources: HashMap<Box<str>, Versions<ResourceEntry>>,
    /// By the principal's id.
    principals: HashMap<Box<str>, Versions<PrincipalEntry>>,
    /// By the role.
    roles: HashMap<Box<str>, Versions<RoleEntry>>,
    /// Where any resource or role policy is.
    resource_scopes: HashSet<Box<str>>,
    /// Where any principal policy is.
    principal_scopes: HashSet<Box<str>>,
    /// The scopes of principal policies of a version.
    principal_versions: HashMap<Box<str>, HashSet<Box<str>>>,
    /// The resources that role policies of a version and scope are about.
    reach: Versions<Reach>,
    /// The same of principal policies.
    principal_reach: Versions<Reach>,
    /// The parents of roles in a scope, and theirs, by the version of the role policies.
    parents: Versions<Parents>,
    /// The same whatever the version, as 0.51 has it.
    parents_of_any_version: HashMap<Box<str>, Parents>,
    /// What 0.51 takes for the permissions of all policies in a scope, and whether these are of one mind.
    permissions: HashMap<Box<str>, (ScopePermissions, Agreed)>,
    /// Some expression reads the derived roles that are active.
    pub(super) reads_derived_roles: bool,
}

/// The parents of each role of a scope, and theirs.
type Parents = HashMap<Box<str>, Box<[Box<str>]>>;

/// The parents of each role of a scope, as its policy names them.
type Direct<'p> = HashMap<&'p str, &'p [Box<str>]>;

/// Are the policies of a scope of one mind?
type Agreed = bool;

/// The resources that role policies are about.
#[derive(Debug, Default)]
struct Reach {
    names: HashSet<Box<str>>,
    patterns: Vec<Glob>,
}

impl Reach {
    fn add(&mut self, resource: &Glob) {
        match resource.literal() {
            Some(name) => drop(self.names.insert(sanitise(name).into())),
            None if self.patterns.contains(resource) => {}
            None => self.patterns.push(resource.clone()),
        }
    }

    fn includes_as_of_0_51(&self, name: &str) -> bool {
        let fits = |pattern: &Glob| pattern.matches_as_of_0_51(name, |text| text == name);
        self.names.contains(name) || self.patterns.iter().any(fits)
    }
}

impl Index {
    pub(super) fn new(policies: Policies) -> Self {
        let mut index = Self::default();
        for policy in policies.resources {
            index.resource_scopes.insert(policy.envelope.scope.clone());
            index.note_permissions(&policy.envelope);
            let at = place(&policy.envelope, &policy.envelope.sanitised);
            let entry = ResourceEntry::new(policy);
            index.reads_derived_roles |= entry.traits.reads_derived_roles;
            put(&mut index.resources, at, entry);
        }
        for policy in policies.principals {
            let envelope = &policy.envelope;
            index.principal_scopes.insert(envelope.scope.clone());
            index.principal_versions.entry(envelope.version.clone()).or_default().insert(envelope.scope.clone());
            index.note_permissions(envelope);
            let at = place(envelope, &envelope.name);
            if !policy.rules.is_empty() {
                let reach = reach_of(&mut index.principal_reach, envelope);
                policy.rules.iter().for_each(|rule| reach.add(&rule.resource));
            }
            let entry = PrincipalEntry::new(policy);
            index.reads_derived_roles |= entry.traits.reads_derived_roles;
            put(&mut index.principals, at, entry);
        }
        index.put_parents(&policies.roles);
        for policy in policies.roles {
            index.put_role(policy);
        }
        index
    }

    /// The resource policy of that sanitised name.
    pub(super) fn resource(&self, name: &str, version: &str, scope: &str) -> Option<&ResourceEntry> {
        self.resources.get(name)?.get(version)?.get(scope)
    }

    /// The policies about the resource of that sanitised name.
    pub(super) fn resource_versions(&self, name: &str) -> Option<&Versions<ResourceEntry>> {
        self.resources.get(name)
    }

    /// The principal policy for that id.
    pub(super) fn principal(&self, id: &str, version: &str, scope: &str) -> Option<&PrincipalEntry> {
        self.principals.get(id)?.get(version)?.get(scope)
    }

    /// The role policy of that role.
    pub(super) fn role(&self, role: &str, version: &str, scope: &str) -> Option<&RoleEntry> {
        self.roles.get(role)?.get(version)?.get(scope)
    }

    /// Is any resource or role policy in that scope?
    pub(super) fn has_resource_scope(&self, scope: &str) -> bool {
        self.resource_scopes.contains(scope)
    }

    /// Is any principal policy in that scope?
    pub(super) fn has_principal_scope(&self, scope: &str) -> bool {
        self.principal_scopes.contains(scope)
    }

    /// Is any principal policy of that version in that scope?
    pub(super) fn has_principal_policy(&self, version: &str, scope: &str) -> bool {
        self.principal_versions.get(version).is_some_and(|scopes| scopes.contains(scope))
    }

    /// Is any role policy of that version and scope about that resource?
    pub(super) fn is_within_reach(&self, name: &str, version: &str, scope: &str) -> bool {
        let reach = self.reach.get(version).and_then(|scopes| scopes.get(scope));
        reach.is_some_and(|reach| {
            reach.names.contains(name) || reach.patterns.iter().any(|pattern| pattern.matches(name))
        })
    }

    /// Is there a rule of any policy of that version and scope that is about that resource, as 0.51 sees it?
    pub(super) fn is_ruled(&self, name: &str, version: &str, scope: &str) -> bool {
        let reaches = [&self.reach, &self.principal_reach].into_iter();
        let mut reaches = reaches.filter_map(|reach| reach.get(version)?.get(scope));
        self.resource(name, version, scope).is_some() || reaches.any(|reach| reach.includes_as_of_0_51(name))
    }

    /// The parents of a role in a scope, and theirs.
    pub(super) fn parents(&self, profile: Profile, role: &str, version: &str, scope: &str) -> &[Box<str>] {
        let parents = match profile {
            Profile::Strict => self.parents.get(version).and_then(|scopes| scopes.get(scope)),
            Profile::Cerbos051 => self.parents_of_any_version.get(scope),
        };
        parents.and_then(|parents| parents.get(role)).map(|parents| &**parents).unwrap_or_default()
    }

    /// Has one of these roles other parents in some version than in all of them?
    pub(super) fn differs_by_version(&self, roles: &[Box<str>], at: Where<'_>) -> bool {
        let parents = |profile, role| self.parents(profile, role, at.version, at.scope);
        !self.roles.is_empty()
            && roles.iter().any(|role| parents(Profile::Strict, role) != parents(Profile::Cerbos051, role))
    }

    /// What 0.51 takes for the permissions of every policy in that scope.
    pub(super) fn permissions(&self, scope: &str) -> Option<ScopePermissions> {
        self.permissions.get(scope).map(|(permissions, _)| *permissions)
    }

    /// Do the policies of that scope differ in their permissions?
    pub(super) fn is_torn(&self, scope: &str) -> bool {
        self.permissions.get(scope).is_some_and(|(_, agreed)| !agreed)
    }

    /// In 0.51 the policy that happens to be loaded last speaks for its whole scope. Here the one that permits more does.
    fn note_permissions(&mut self, envelope: &Envelope) {
        let noted = self.permissions.entry(envelope.scope.clone()).or_insert((envelope.permissions, true));
        if noted.0 != envelope.permissions {
            *noted = (ScopePermissions::OverrideParent, false);
        }
    }

    fn put_role(&mut self, policy: RolePolicy) {
        let (envelope, at) = (&policy.envelope, place(&policy.envelope, &policy.envelope.name));
        if !policy.rules.is_empty() {
            self.resource_scopes.insert(envelope.scope.clone());
            let reach = reach_of(&mut self.reach, envelope);
            policy.rules.iter().for_each(|rule| reach.add(&rule.resource));
        }
        put(&mut self.roles, at, RoleEntry::new(policy));
    }

    fn put_parents(&mut self, policies: &[RolePolicy]) {
        let mut direct: HashMap<(&str, &str), Direct<'_>> = HashMap::new();
        let mut any_version: HashMap<&str, Direct<'_>> = HashMap::new();
        for policy in policies {
            let envelope = &policy.envelope;
            let parents = direct.entry((&envelope.version, &envelope.scope)).or_default();
            parents.insert(&envelope.name, &policy.parent_roles);
            any_version.entry(&envelope.scope).or_default().insert(&envelope.name, &policy.parent_roles);
        }
        for ((version, scope), parents) in direct {
            self.parents.entry(version.into()).or_default().insert(scope.into(), ancestors(&parents));
        }
        self.parents_of_any_version =
            any_version.into_iter().map(|(scope, parents)| (scope.into(), ancestors(&parents))).collect();
    }
}

/// The parents of each role, and theirs, each once.
fn ancestors(direct: &Direct<'_>) -> Parents {
    let all = |role: &str| {
        let mut found: Vec<Box<str>> = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![role];
        while let Some(role) = open.pop() {
            for parent in direct.get(role).copied().unwrap_or_default() {
                if seen.insert(&**parent) {
                    found.push(parent.clone());
                    open.push(parent);
                }
            }
        }
        found.into_boxed_slice()
    };
    direct.keys().map(|role| ((*role).into(), all(role))).collect()
}

fn reach_of<'r>(all: &'r mut Versions<Reach>, envelope: &Envelope) -> &'r mut Reach {
    all.entry(envelope.version.clone()).or_default().entry(envelope.scope.clone()).or_default()
}

fn place(envelope: &Envelope, name: &str) -> [Box<str>; 3] {
    [name.into(), envelope.version.clone(), envelope.scope.clone()]
}

fn put<K: Eq + Hash, T>(all: &mut HashMap<K, HashMap<K, HashMap<K, T>>>, [name, version, scope]: [K; 3], entry: T) {
    all.entry(name).or_default().entry(version).or_default().insert(scope, entry);
}
