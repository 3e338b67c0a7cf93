//! What a genuine token says.

use std::fmt;

use serde_json::{Map, Value};

use super::TokenUse;
use crate::{json, time::UnixTime};

/// The claims of a token that passed every check. Made only by the verifier.
pub struct Claims {
    pub(super) provider: usize,
    pub(super) token_use: Option<TokenUse>,
    pub(super) id: Box<str>,
    pub(super) username: Option<Box<str>>,
    pub(super) client_id: Option<Box<str>>,
    pub(super) groups: Vec<Box<str>>,
    pub(super) scopes: Vec<Box<str>>,
    pub(super) machine: bool,
    pub(super) expires: UnixTime,
    pub(super) all: Map<String, Value>,
}

impl Claims {
    /// The place of the provider in the settings.
    pub fn provider(&self) -> usize {
        self.provider
    }

    /// `token_use`; `None` for a provider that is not Cognito.
    pub fn token_use(&self) -> Option<TokenUse> {
        self.token_use
    }

    /// The value of the provider's principal claim.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `username`, or `cognito:username`; for a provider that is not Cognito, `username` or `preferred_username`.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The app client that the token was issued to.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The groups as the token lists them; empty for a machine.
    pub fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// The scopes.
    pub fn scopes(&self) -> &[Box<str>] {
        &self.scopes
    }

    /// A client-credentials token: nobody is signed in.
    pub fn is_machine(&self) -> bool {
        self.machine
    }

    /// `exp`: from this second on the token is not accepted.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// About how many bytes of memory they take, rather more than fewer.
    pub fn memory(&self) -> usize {
        let lists = [&self.groups, &self.scopes].into_iter().flatten();
        let texts: usize = lists.map(|text| size_of_val(text) + json::text_memory(text)).sum();
        size_of::<Self>() + texts + json::object_memory(&self.all)
    }

    /// One claim by name. `email` is absent unless `email_verified` is true.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// Every claim, as JSON, but for an `email` that nobody confirmed.
    pub fn all(&self) -> &Map<String, Value> {
        &self.all
    }
}

impl fmt::Debug for Claims {
    /// Says nothing of the claims: they are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("provider", &self.provider).finish_non_exhaustive()
    }
}
