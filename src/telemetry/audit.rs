//! One line per decision: who asked for what, what was decided, and why.
//!
//! Owns the record and its rendering; [`AuditSink`] owns the way out. The record's fields, their names and their order are a contract. It
//! has no place for a query string or a token, and every value that a client could choose is redacted, cut and escaped while it is
//! written.

mod sink;

pub use sink::{AuditError, AuditSink};

use serde::{
    Serialize, Serializer,
    ser::{SerializeSeq, SerializeStruct},
};

use crate::identity::Kind;

use super::text;

/// Longest path in a record, in bytes.
const LONGEST_PATH: usize = 2048;

/// Longest other value, in bytes.
const LONGEST_VALUE: usize = 512;

/// Most roles in a record. A Cognito user has at most 100 groups.
const MOST_ROLES: usize = 100;

/// Was the request let through?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

impl Outcome {
    /// The word for it in audit lines and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// What one decision leaves behind. Absent values are written as `null`, so that every line has the same fields.
#[derive(Clone, Copy, Debug)]
pub struct AuditRecord<'a> {
    /// When the request came, since the epoch.
    pub time: std::time::Duration,
    /// The id that the upstream and the client see as `X-Request-Id`.
    pub request_id: &'a str,
    /// The generation of settings and policies that decided.
    pub generation: u64,
    /// The route, if one matched.
    pub route: Option<&'a str>,
    /// The method, if the request had a readable one.
    pub method: Option<&'a str>,
    /// The canonical path, without a query; absent where the target was refused.
    pub path: Option<&'a str>,
    /// Was it let through?
    pub outcome: Outcome,
    /// Why not; for one that was let through, what went wrong afterwards. A reason code.
    pub reason: Option<&'static str>,
    /// The rule that decided, if one did.
    pub rule: Option<&'a str>,
    /// The principal's id.
    pub principal: Option<&'a str>,
    /// What kind of principal, once that is known.
    pub kind: Option<Kind>,
    /// The app client of the token.
    pub client_id: Option<&'a str>,
    /// The provider that vouches for the principal.
    pub provider: Option<&'a str>,
    /// The principal's roles.
    pub roles: &'a [Box<str>],
    /// Where the owner was read from, such as `path`, when an owner rule was looked at.
    pub owner_source: Option<&'a str>,
    /// What the other profile of Cerbos policies would have said, where it differs.
    pub other_profile: Option<&'static str>,
    /// The status that the client was sent; absent when it left before.
    pub status: Option<u16>,
    /// How long the decision took, in microseconds.
    pub decision_us: Option<u64>,
    /// How long the upstream took to answer, in microseconds.
    pub upstream_us: Option<u64>,
}

impl Serialize for AuditRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = |value| Shown { value, most: LONGEST_VALUE };
        let mut line = serializer.serialize_struct("AuditRecord", FIELDS.len())?;
        line.serialize_field("time", &text::rfc3339(self.time))?;
        line.serialize_field("request_id", &value(Some(self.request_id)))?;
        line.serialize_field("generation", &self.generation)?;
        line.serialize_field("route", &value(self.route))?;
        line.serialize_field("method", &value(self.method))?;
        line.serialize_field("path", &Shown { value: self.path.map(without_query), most: LONGEST_PATH })?;
        line.serialize_field("outcome", self.outcome.as_str())?;
        line.serialize_field("reason", &self.reason)?;
        line.serialize_field("rule", &value(self.rule))?;
        line.serialize_field("principal", &value(self.principal))?;
        line.serialize_field("kind", &self.kind.map(Kind::as_str))?;
        line.serialize_field("client_id", &value(self.client_id))?;
        line.serialize_field("provider", &value(self.provider))?;
        line.serialize_field("roles", &Roles(self.roles))?;
        line.serialize_field("owner_source", &value(self.owner_source))?;
        line.serialize_field("other_profile", &self.other_profile)?;
        line.serialize_field("status", &self.status)?;
        line.serialize_field("decision_us", &self.decision_us)?;
        line.serialize_field("upstream_us", &self.upstream_us)?;
        line.end()
    }
}

/// A canonical path holds no `?`. Should a caller pass a whole target all the same, its query stays behind.
fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

/// A value that a client could have chosen.
struct Shown<'a> {
    value: Option<&'a str>,
    most: usize,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            // SECURITY: a reset link carries a token in its path: `a_token_in_the_path_is_not_written`.
            Some(value) => serializer.serialize_str(&text::presentable(value, self.most)),
            None => serializer.serialize_none(),
        }
    }
}

struct Roles<'a>(&'a [Box<str>]);

impl Serialize for Roles<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for role in self.0.iter().take(MOST_ROLES) {
            list.serialize_element(&Shown { value: Some(role), most: LONGEST_VALUE })?;
        }
        if self.0.len() > MOST_ROLES {
            list.serialize_element(text::CUT)?;
        }
        list.end()
    }
}

/// The fields of a line, in order, with what each one is. `docs/audit.md` is rendered from this.
pub const FIELDS: &[(&str, &str)] = &[
    ("time", "when the line was written: RFC 3339, UTC, milliseconds"),
    ("request_id", "the `X-Request-Id` that the upstream and the client see"),
    ("generation", "the generation of settings and policies that decided"),
    ("route", "the route's id; null where none matched"),
    ("method", "the request's method"),
    ("path", "the canonical path, without the query; null where the target was refused"),
    ("outcome", "`allow` or `deny`"),
    (
        "reason",
        "the reason code of a deny, or of what went wrong after an allow; `preflight` for a CORS preflight that the gateway answered; null \
         for any other allow",
    ),
    ("rule", "the id of the rule that decided; null where none did"),
    ("principal", "the principal's id; null for an anonymous caller"),
    ("kind", "`user`, `machine` or `anonymous`; null where the request was refused before that was known"),
    ("client_id", "the app client that the token was issued to"),
    ("provider", "the provider that vouches for the principal"),
    ("roles", "the principal's roles, a list, empty where there are none"),
    ("owner_source", "where the owner was read from, when an owner rule was looked at"),
    (
        "other_profile",
        "`allow` or `deny`: what the other profile of Cerbos policies (`policies.cerbos.profile`) would have said; null where it agrees",
    ),
    ("status", "the status that the client was sent; null where it left before"),
    ("decision_us", "microseconds from the request's head to the decision"),
    ("upstream_us", "microseconds from the decision to the head of the upstream's answer; null where none came"),
];

/// The reference page, `docs/audit.md`.
pub fn render_reference() -> String {
    let rows: String = FIELDS.iter().map(|(name, help)| format!("| `{name}` | {help} |\n")).collect();
    format!("{PREAMBLE}\n| field | value |\n|---|---|\n{rows}{CLOSE}")
}

const PREAMBLE: &str = "\
# Audit lines

Each decision leaves one line of JSON at `audit.destination`: standard output, a file, or nowhere (`off`). This page is rendered from
the code; a test compares it. The line is written when the request is over, and of a stream (WebSocket, event stream, gRPC call) when it
opens: how that ends is counted in `cogward_streams_ended_total`, and is no decision. Every line has all fields, in this order; an absent
value is `null`.
";

const CLOSE: &str = "
**What is never in a line.** A token, a header, a body, or a query string. Anything in a value that looks like a token is replaced by
`[redacted]`.

**Length.** A path is cut at 2048 bytes, any other value at 512, roles at 100; `…` marks the place. Control characters, DEL, C1, line
separators and marks that turn the direction of text are escaped, so a line is one line for every reader.

**Loss.** Lines go through a queue of at most 16 MiB to one writer. A destination that is slower than the requests never slows them:
lines that find the queue full are dropped and counted in `cogward_audit_dropped_total{reason=\"queue_full\"}`; lines that the destination
refused are counted as `write_failed`. The last lines are written at shutdown, for at most two seconds.

**Rotation.** A file is appended to and created with mode 0600. After renaming it, send SIGHUP: the file is opened anew. Where that fails,
the old one stays in use.
";

#[cfg(test)]
mod tests;
