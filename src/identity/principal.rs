//! Who is asking, once that is known.

use std::sync::Arc;

use serde_json::Value;

use crate::token::{Claims, Provider, ProviderId};

/// What kind of principal asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody that is known.
    Anonymous,
    /// A person who signed in.
    User,
    /// A program with client credentials.
    Machine,
}

impl Kind {
    /// The word for it in policies, headers and audit lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User => "user",
            Self::Machine => "machine",
        }
    }
}

/// Roles that the gateway gives; groups of these names are ignored.
pub const RESERVED_ROLES: [&str; 3] = ["authenticated", "anonymous", "anyone"];

/// A principal whose token verified. Two of them are the same when provider and id are.
#[derive(Debug)]
pub struct Verified {
    provider: ProviderId,
    roles: Vec<Box<str>>,
    claims: Claims,
}

impl Verified {
    /// The principal that the claims name, at the provider that made them.
    pub(super) fn of(claims: Claims, provider: &Provider) -> Self {
        let groups = claims.groups().iter().filter(|group| !is_reserved(group));
        let roles = groups.map(|group| format!("{}{group}", provider.role_prefix).into_boxed_str());
        // SECURITY: only the gateway says who is `authenticated`: `a_group_cannot_take_a_reserved_name`.
        let roles = roles.filter(|role| !is_reserved(role)).collect();
        Self { provider: provider.id.clone(), roles, claims }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        let roles: usize = self.roles.iter().map(|role| size_of_val(role) + role.len()).sum();
        size_of::<Self>() + roles + self.claims.memory()
    }

    /// The provider that vouches for it.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// The id: the value of the principal claim.
    pub fn id(&self) -> &str {
        self.claims.id()
    }

    /// The token's groups behind the provider's `role_prefix`, reserved names left out. Empty for a machine.
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// The verified claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// One claim by name. `email` is absent unless `email_verified` is true.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

fn is_reserved(role: &str) -> bool {
    RESERVED_ROLES.contains(&role)
}

/// Who is asking. Made only in this module's parent.
#[derive(Clone, Debug)]
pub enum Principal {
    /// No credential was presented, or the route does not look.
    Anonymous,
    /// A person.
    User(Arc<Verified>),
    /// A program.
    Machine(Arc<Verified>),
}

impl Principal {
    /// The principal of a verified token.
    pub(super) fn of(verified: Arc<Verified>) -> Self {
        if verified.claims.is_machine() { Self::Machine(verified) } else { Self::User(verified) }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Anonymous => Kind::Anonymous,
            Self::User(_) => Kind::User,
            Self::Machine(_) => Kind::Machine,
        }
    }

    /// The verified principal, unless anonymous.
    pub fn verified(&self) -> Option<&Arc<Verified>> {
        match self {
            Self::Anonymous => None,
            Self::User(verified) | Self::Machine(verified) => Some(verified),
        }
    }

    /// Its id at its provider, unless anonymous.
    pub fn id(&self) -> Option<&str> {
        self.verified().map(|verified| verified.id())
    }

    /// One claim by name. `email` is absent unless `email_verified` is true.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.verified()?.claim(name)
    }
}

#[cfg(test)]
impl Principal {
    /// The principal of a token with these claims, minted and verified, for the tests of rooms that cannot make one.
    pub(crate) fn of_claims(payload: &Value) -> Self {
        use crate::token::{
            Accepts,
            testing::{SECOND, mint_second, providers, token_of, verify_up_to},
        };
        let second = payload.get("iss").and_then(Value::as_str) == Some(SECOND);
        let token = if second { mint_second(payload) } else { token_of(payload) };
        let claims = verify_up_to(usize::MAX, &token, Accepts::default()).unwrap();
        let place = claims.provider();
        Self::of(Arc::new(Verified::of(claims, &providers()[place])))
    }
}
