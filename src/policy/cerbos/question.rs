//! What a Cerbos engine is asked, and what it answers.
//!
//! One shape for the proxy, the check API and policy tests. Names are those of the Cerbos protocol.

use serde_json::{Map, Value};

use crate::time::UnixTime;

/// One principal, one resource, any number of actions.
#[derive(Clone, Copy)]
pub struct CheckInput<'a> {
    /// Who asks.
    pub principal: Subject<'a>,
    /// What is asked for.
    pub resource: Object<'a>,
    /// What is to be done with it.
    pub actions: &'a [Box<str>],
    /// `request.auxData.jwt`: the claims of a verified token.
    pub claims: Option<&'a Map<String, Value>>,
}

/// The principal of a question.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// `P.id`.
    pub id: &'a str,
    /// `P.roles`: not empty, each once.
    pub roles: &'a [Box<str>],
    /// `P.attr`.
    pub attributes: &'a Map<String, Value>,
    /// `P.policyVersion`; empty for the default.
    pub policy_version: &'a str,
    /// `P.scope`; empty for the default.
    pub scope: &'a str,
}

/// The resource of a question.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// `R.kind`.
    pub kind: &'a str,
    /// `R.id`.
    pub id: &'a str,
    /// `R.attr`.
    pub attributes: &'a Map<String, Value>,
    /// `R.policyVersion`; empty for the default.
    pub policy_version: &'a str,
    /// `R.scope`; empty for the default.
    pub scope: &'a str,
}

/// The time of a question: one for all inputs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Whole seconds.
    pub time: UnixTime,
    /// What is beyond them, in nanoseconds.
    pub nanos: u32,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckOutput {
    /// One for each action, in the order of the question.
    pub actions: Vec<(Box<str>, ActionResult)>,
    /// The derived roles that were active, each once.
    pub effective_derived_roles: Vec<Box<str>>,
    /// What rules put out.
    pub outputs: Vec<Output>,
    /// What the schemas find wrong.
    pub validation_errors: Vec<ValidationError>,
}

/// The answer about one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// Yes or no.
    pub effect: Effect,
    /// The policy that decided, as Cerbos names it (`resource.contact.vdefault/acme`), or `NO_MATCH`.
    pub policy: Box<str>,
    /// The scope in which it decided.
    pub scope: Box<str>,
    /// The rule that decided; `None` where none did. Not told by the API.
    pub rule: Option<Box<str>>,
    /// An error while evaluating took part in the answer.
    pub errs: bool,
    /// The other profile would have answered differently.
    pub disputed: bool,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `EFFECT_ALLOW`
    Allow,
    /// `EFFECT_DENY`
    Deny,
}

/// What a rule put out.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `<policy>#<rule>`
    pub source: Box<str>,
    /// The action that was asked about.
    pub action: Box<str>,
    /// The value; `None` where its expression has none.
    pub value: Option<Value>,
}

/// What a schema finds wrong with attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError {
    /// A JSON pointer.
    pub path: Box<str>,
    /// What is wrong.
    pub message: Box<str>,
    /// Whose attributes they are.
    pub source: ValidationSource,
}

/// Whose attributes a schema is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationSource {
    /// `SOURCE_PRINCIPAL`
    Principal,
    /// `SOURCE_RESOURCE`
    Resource,
}
