//! How Cerbos policies are read: the settings `policies.cerbos`.

use serde_json::{Map, Value};

/// The settings `policies.cerbos`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which reading decides.
    pub profile: Profile,
    /// `globals`, `G`.
    pub globals: Map<String, Value>,
    /// What follows from attributes that a schema refuses.
    pub schema_enforcement: SchemaEnforcement,
    /// A scope that no policy has is searched from its nearest parent that one has.
    pub lenient_scope_search: bool,
    /// The version of a question that names none.
    pub default_policy_version: String,
    /// The scope of a question that names none.
    pub default_scope: String,
}

/// A reading of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What cannot be evaluated denies, and what a policy says counts for that policy.
    Strict,
    /// What Cerbos 0.51 answers, its errors included.
    Cerbos051,
}

/// What follows from attributes that a schema refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaEnforcement {
    /// They are not looked at.
    None,
    /// The answer lists what is wrong.
    Warn,
    /// The answer lists what is wrong, and is no.
    Reject,
}

impl Profile {
    /// The words for them in settings.
    pub const WORDS: [(&str, Self); 2] = [("strict", Self::Strict), ("cerbos-0.51", Self::Cerbos051)];

    /// The one that does not decide.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Strict => Self::Cerbos051,
            Self::Cerbos051 => Self::Strict,
        }
    }
}

impl SchemaEnforcement {
    /// The words for them in settings.
    pub const WORDS: [(&str, Self); 3] = [("none", Self::None), ("warn", Self::Warn), ("reject", Self::Reject)];
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::Strict,
            globals: Map::new(),
            schema_enforcement: SchemaEnforcement::None,
            lenient_scope_search: false,
            default_policy_version: "default".to_owned(),
            default_scope: String::new(),
        }
    }
}
