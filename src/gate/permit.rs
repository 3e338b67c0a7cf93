//! Permission as a value.
//!
//! Without a [`Permit`] there is no upstream peer and no forwarded header: the code behind the gate takes one as an argument. It cannot be
//! made outside of this folder, copied, or built from parts.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{Denial, Generation};
use crate::{
    config::IdentityValue,
    identity::{Principal, Verified},
    policy::{Route, RuleId},
};

/// All identity headers of a request together may have so many bytes.
const MAX_IDENTITY_BYTES: usize = 8 * 1024;

/// Says that one request may be forwarded, where to, and with which identity.
#[must_use = "a permit that is dropped forwards nothing"]
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    rule: RuleId,
    identity: Vec<(HeaderName, HeaderValue)>,
    is_authenticated: bool,
}

impl Permit {
    /// The only maker. Called in one place: `Generation::admit`, after the rules said yes.
    pub(super) fn grant(
        route: Arc<Route>,
        rule: RuleId,
        identity: Vec<(HeaderName, HeaderValue)>,
        is_authenticated: bool,
    ) -> Self {
        Self { route, rule, identity, is_authenticated }
    }

    /// The route that the request takes.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &RuleId {
        &self.rule
    }

    /// The header fields that tell the upstream who asks. Empty for an anonymous principal.
    pub fn identity(&self) -> &[(HeaderName, HeaderValue)] {
        &self.identity
    }

    /// A credential was presented, and verified.
    pub fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }
}

impl Generation {
    /// The identity headers of a principal; none for an anonymous one.
    ///
    /// # Errors
    /// [`Denial::IdentityNotRepresentable`] when a value would have a second reading for whoever parses it.
    pub(super) fn headers_for(&self, principal: &Principal) -> Result<Vec<(HeaderName, HeaderValue)>, Denial> {
        let Some(verified) = principal.verified() else { return Ok(Vec::new()) };
        let mut fields = Vec::with_capacity(self.settings.identity_headers.len());
        let mut bytes = 0;
        for header in &self.settings.identity_headers {
            let Some(text) = text_of(&header.value, principal, verified)? else { continue };
            bytes += header.name.as_str().len() + text.len();
            fields.push((header.name.clone(), field_value(&text)?));
        }
        // SECURITY: what does not fit would be cut somewhere on the way: `sixty_kilobytes_of_groups_are_refused`.
        if bytes > MAX_IDENTITY_BYTES { Err(Denial::IdentityNotRepresentable) } else { Ok(fields) }
    }
}

/// The text of one identity header; `None` when the principal has no such thing.
fn text_of(value: &IdentityValue, principal: &Principal, verified: &Verified) -> Result<Option<String>, Denial> {
    let claims = verified.claims();
    let text = match value {
        IdentityValue::Id => Some(verified.id().to_owned()),
        IdentityValue::Roles => joined(verified.roles().iter().map(|role| &**role))?,
        IdentityValue::Provider => Some(verified.provider().as_str().to_owned()),
        IdentityValue::ClientId => claims.client_id().map(str::to_owned),
        IdentityValue::Kind => Some(principal.kind().as_str().to_owned()),
        IdentityValue::Claim(name) if name == "username" => claims.username().map(str::to_owned),
        IdentityValue::Claim(name) => match verified.claim(name) {
            None | Some(Value::Null) => None,
            Some(claim) => claim_text(claim)?,
        },
    };
    Ok(text.filter(|text| !text.is_empty()))
}

fn claim_text(claim: &Value) -> Result<Option<String>, Denial> {
    match claim {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) => Ok(Some(claim.to_string())),
        Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            joined(items.ok_or(Denial::IdentityNotRepresentable)?.into_iter())
        }
        Value::Object(_) => Err(Denial::IdentityNotRepresentable),
    }
}

/// Names joined by commas; `None` when there are none.
fn joined<'a>(names: impl Iterator<Item = &'a str>) -> Result<Option<String>, Denial> {
    let mut text = String::new();
    for name in names {
        // SECURITY: a comma would make two groups of one: `a_comma_in_a_group_name_is_refused`.
        if name.is_empty() || name.contains(',') || name.trim() != name {
            return Err(Denial::IdentityNotRepresentable);
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
    }
    Ok((!text.is_empty()).then_some(text))
}

fn field_value(text: &str) -> Result<HeaderValue, Denial> {
    // SECURITY: CR LF would start a second field, and outer white space is cut by every parser:
    // `a_line_break_in_a_username_is_refused`.
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(Denial::IdentityNotRepresentable);
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Denial::IdentityNotRepresentable)
}
