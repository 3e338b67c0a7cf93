//! Compiled and linked Cerbos policies: what reading the files leaves, and what the engine indexes.
//!
//! Every name is resolved: constants and globals are in the expressions, variables are sorted, derived roles stand beside the rules that use them.

use std::sync::Arc;

use super::{ActionPattern, glob::Glob, question::Effect, schema::Schema};
use crate::policy::condition::{ConditionTree, Definition, Expression};

/// All policies of a folder. Disabled ones are not here.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(crate) resources: Vec<ResourcePolicy>,
    pub(crate) principals: Vec<PrincipalPolicy>,
    pub(crate) roles: Vec<RolePolicy>,
}

/// What every policy has.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The resource's kind, the principal's id or the role, as written.
    pub(crate) name: Box<str>,
    /// The same as Cerbos compares it.
    pub(crate) sanitised: Box<str>,
    pub(crate) version: Box<str>,
    /// Without a leading dot; empty for the root.
    pub(crate) scope: Box<str>,
    pub(crate) permissions: ScopePermissions,
    pub(crate) parameters: Arc<Parameters>,
}

/// What a policy says about those of the scopes above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopePermissions {
    OverrideParent,
    RequireParentalConsentForAllows,
}

/// The variables of a policy or of a set of derived roles, each after those that it uses; only those that are used.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pub(crate) variables: Box<[Definition]>,
}

#[derive(Debug)]
pub(crate) struct ResourcePolicy {
    pub(crate) envelope: Envelope,
    pub(crate) rules: Vec<ResourceRule>,
    /// Those that its rules name, of all its imports.
    pub(crate) derived_roles: Vec<DerivedRole>,
    pub(crate) schemas: Schemas,
}

#[derive(Debug)]
pub(crate) struct DerivedRole {
    pub(crate) name: Box<str>,
    /// `*` is among them as it is.
    pub(crate) parent_roles: Box<[Box<str>]>,
    pub(crate) condition: Option<Arc<ConditionTree>>,
    /// Of the file that defines it, not of the policy that imports it.
    pub(crate) parameters: Arc<Parameters>,
}

#[derive(Debug)]
pub(crate) struct ResourceRule {
    /// As written, or `rule-001`.
    pub(crate) name: Box<str>,
    pub(crate) actions: Box<[ActionPattern]>,
    /// `*` is among them as it is.
    pub(crate) roles: Box<[Box<str>]>,
    pub(crate) derived_roles: Box<[Box<str>]>,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<Arc<ConditionTree>>,
    pub(crate) output: RuleOutput,
}

/// What a rule puts out.
#[derive(Debug, Default)]
pub(crate) struct RuleOutput {
    pub(crate) when_activated: Option<Expression>,
    pub(crate) when_condition_not_met: Option<Expression>,
}

#[derive(Debug)]
pub(crate) struct PrincipalPolicy {
    pub(crate) envelope: Envelope,
    pub(crate) rules: Vec<PrincipalRule>,
}

#[derive(Debug)]
pub(crate) struct PrincipalRule {
    pub(crate) name: Box<str>,
    pub(crate) resource: Glob,
    pub(crate) action: ActionPattern,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<Arc<ConditionTree>>,
    pub(crate) output: RuleOutput,
}

#[derive(Debug)]
pub(crate) struct RolePolicy {
    pub(crate) envelope: Envelope,
    pub(crate) parent_roles: Box<[Box<str>]>,
    pub(crate) rules: Vec<RoleRule>,
}

#[derive(Debug)]
pub(crate) struct RoleRule {
    /// `rule-001` by its place: 0.51 has no names here.
    pub(crate) name: Box<str>,
    pub(crate) resource: Glob,
    pub(crate) allow_actions: Box<[ActionPattern]>,
    pub(crate) condition: Option<Arc<ConditionTree>>,
}

/// What attributes must look like. Only the schemas of the root policy count.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    pub(crate) principal: Option<SchemaUse>,
    pub(crate) resource: Option<SchemaUse>,
}

#[derive(Debug)]
pub(crate) struct SchemaUse {
    pub(crate) schema: Arc<Schema>,
    /// Not looked at where every action of the question is one of these.
    pub(crate) ignored_for: Box<[ActionPattern]>,
}
