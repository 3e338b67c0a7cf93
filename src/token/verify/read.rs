//! What a genuine token says: use, client, times, and who it names.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Accepts;
use crate::{
    time::UnixTime,
    token::{Claims, Clients, Dialect, Provider, TokenError, TokenUse},
};

/// Longest id of a principal.
const MAX_ID: usize = 256;
/// Claims of an OpenID Connect token that speak of a person.
const PERSONAL: [&str; 4] = ["username", "preferred_username", "email", "name"];

/// The use of a Cognito token, if it is accepted; `None` for other providers, whose tokens do not tell.
pub(super) fn token_use(
    provider: &Provider,
    all: &Map<String, Value>,
    accepts: Accepts<'_>,
) -> Result<Option<TokenUse>, TokenError> {
    let Dialect::Cognito { token_use: accepted, .. } = &provider.dialect else {
        return Ok(None);
    };
    let token_use = match all.get("token_use").and_then(Value::as_str) {
        Some("access") => TokenUse::Access,
        Some("id") => TokenUse::Id,
        _ => return Err(TokenError::WrongUse),
    };
    if accepts.token_use.unwrap_or(*accepted).contains(token_use) {
        Ok(Some(token_use))
    } else {
        Err(TokenError::WrongUse)
    }
}

/// The client that the token was issued to, once the token is known to be for us.
pub(super) fn client(
    provider: &Provider,
    token_use: Option<TokenUse>,
    all: &Map<String, Value>,
) -> Result<Option<Box<str>>, TokenError> {
    match &provider.dialect {
        Dialect::Cognito { clients, .. } => {
            let name = if token_use == Some(TokenUse::Id) { "aud" } else { "client_id" };
            let client = all.get(name).and_then(Value::as_str).ok_or(TokenError::WrongClient)?;
            let is_ours = match clients {
                Clients::Any => !client.is_empty(),
                Clients::OneOf(clients) => clients.iter().any(|ours| ours == client),
            };
            if is_ours { Ok(Some(client.into())) } else { Err(TokenError::WrongClient) }
        }
        Dialect::Oidc { audiences } => {
            if !names_an_audience(all.get("aud"), audiences) {
                return Err(TokenError::WrongClient);
            }
            let client = match text(all, "client_id")? {
                Some(client) => Some(client),
                None => text(all, "azp")?,
            };
            Ok(client.map(Into::into))
        }
    }
}

/// Is `aud` one of ours, or a list of strings with one of ours (RFC 7519 section 4.1.3)?
fn names_an_audience(aud: Option<&Value>, audiences: &[String]) -> bool {
    let is_ours = |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|ours| ours == text));
    match aud {
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_ours),
        Some(value) => is_ours(value),
        None => false,
    }
}

/// Checks `exp`, `nbf` and `iat`, and gives `exp`.
pub(super) fn times(provider: &Provider, all: &Map<String, Value>, now: UnixTime) -> Result<UnixTime, TokenError> {
    let expires = time(all, "exp")?.ok_or(TokenError::ClaimsInvalid)?;
    if now >= expires {
        return Err(TokenError::Expired);
    }
    let lies_ahead = |moment: UnixTime| Duration::from_secs(moment.seconds_since(now)) > provider.leeway;
    if time(all, "nbf")?.is_some_and(lies_ahead) {
        return Err(TokenError::NotYetValid);
    }
    let issued = time(all, "iat")?.ok_or(TokenError::ClaimsInvalid)?;
    if lies_ahead(issued) {
        return Err(TokenError::NotYetValid);
    }
    let lifetime = Duration::from_secs(expires.seconds_since(issued));
    if issued > expires || lifetime > provider.max_lifetime { Err(TokenError::ClaimsInvalid) } else { Ok(expires) }
}

/// A time claim: a JSON integer up to the end of the year 9999.
fn time(all: &Map<String, Value>, name: &str) -> Result<Option<UnixTime>, TokenError> {
    let read = |value: &Value| value.as_u64().map(UnixTime::from_seconds).filter(|time| *time <= UnixTime::MAX);
    all.get(name).map(|value| read(value).ok_or(TokenError::ClaimsInvalid)).transpose()
}

/// What the checks before the last one found.
pub(super) struct Genuine<'p> {
    pub(super) place: usize,
    pub(super) provider: &'p Provider,
    pub(super) token_use: Option<TokenUse>,
    pub(super) client_id: Option<Box<str>>,
    pub(super) expires: UnixTime,
}

impl Genuine<'_> {
    /// The last check: the claims that are relied on have possible values.
    pub(super) fn claims(self, mut all: Map<String, Value>) -> Result<Claims, TokenError> {
        let machine = self.is_machine(&all);
        // SECURITY: an address that nobody confirmed is what the user typed: `an_unverified_email_is_no_email` and
        // `an_unverified_email_is_no_principal_id`. Gone from here on, for rules, headers and ids alike.
        if !all.get("email_verified").is_some_and(is_true) {
            all.remove("email");
        }
        let groups = groups(&all, &self.provider.roles_claim)?;
        let id = principal_id(&all, &self.provider.principal_claim)?;
        let scopes = self.scopes(&all)?;
        let username = self.username(&all)?;
        Ok(Claims {
            provider: self.place,
            token_use: self.token_use,
            id,
            username,
            client_id: self.client_id,
            groups: if machine { Vec::new() } else { groups },
            scopes,
            machine,
            expires: self.expires,
            all,
        })
    }

    /// A Cognito access token without a `username` whose `sub` is its client. OpenID Connect has no sign for client
    /// credentials: there it is a token whose `sub` is its client and that holds no claim about a person.
    fn is_machine(&self, all: &Map<String, Value>) -> bool {
        let names_its_client =
            self.client_id.as_deref().is_some_and(|client| all.get("sub").and_then(Value::as_str) == Some(client));
        let names_a_person = match self.provider.dialect {
            Dialect::Cognito { .. } => self.token_use != Some(TokenUse::Access) || all.contains_key("username"),
            Dialect::Oidc { .. } => PERSONAL.iter().any(|name| all.contains_key(*name)),
        };
        names_its_client && !names_a_person
    }

    fn username(&self, all: &Map<String, Value>) -> Result<Option<Box<str>>, TokenError> {
        let second = match self.provider.dialect {
            Dialect::Cognito { .. } => "cognito:username",
            Dialect::Oidc { .. } => "preferred_username",
        };
        let username = match text(all, "username")? {
            Some(username) => Some(username),
            None => text(all, second)?,
        };
        Ok(username.map(Into::into))
    }

    /// `scope`, separated by spaces (RFC 6749 section 3.3); without it, for a provider that is not Cognito, `scp`, which some
    /// write as a list.
    fn scopes(&self, all: &Map<String, Value>) -> Result<Vec<Box<str>>, TokenError> {
        let value = match self.provider.dialect {
            Dialect::Cognito { .. } => all.get("scope"),
            Dialect::Oidc { .. } => all.get("scope").or_else(|| all.get("scp")),
        };
        let may_be_list = !all.contains_key("scope");
        match value {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if !has_control(text) => {
                Ok(text.split(' ').filter(|scope| !scope.is_empty()).map(Into::into).collect())
            }
            Some(list @ Value::Array(_)) if may_be_list => strings(list),
            Some(_) => Err(TokenError::ClaimsInvalid),
        }
    }
}

/// The groups: a list of strings without control characters. Absent is none.
fn groups(all: &Map<String, Value>, name: &str) -> Result<Vec<Box<str>>, TokenError> {
    all.get(name).map_or_else(|| Ok(Vec::new()), strings)
}

/// The id of the principal: 1 to 256 visible ASCII characters.
fn principal_id(all: &Map<String, Value>, name: &str) -> Result<Box<str>, TokenError> {
    // SECURITY: ids go into headers and compare with path segments: `claims_of_impossible_value_are_refused`.
    all.get(name)
        .and_then(Value::as_str)
        .filter(|id| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(Into::into)
        .ok_or(TokenError::ClaimsInvalid)
}

/// `true`, or the string that some emulators and user pool attributes carry instead.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

/// A claim that is a string where it is present at all.
fn text<'a>(all: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, TokenError> {
    all.get(name).map(|value| value.as_str().ok_or(TokenError::ClaimsInvalid)).transpose()
}

fn strings(value: &Value) -> Result<Vec<Box<str>>, TokenError> {
    let list = value.as_array().ok_or(TokenError::ClaimsInvalid)?;
    let read = |item: &Value| item.as_str().filter(|text| !has_control(text)).map(Into::into);
    list.iter().map(|item| read(item).ok_or(TokenError::ClaimsInvalid)).collect()
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}
