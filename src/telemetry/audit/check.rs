//! The line of one call of the check API: who was asked about, what, and what was decided.
//!
//! Of attributes, tokens and outputs nothing is written.

use serde::{
    Serialize, Serializer,
    ser::{SerializeSeq, SerializeStruct},
};

use super::{LONGEST_VALUE, Roles, Shown};
use crate::telemetry::text;

/// Most decisions in a line.
const MOST_DECISIONS: usize = 500;

/// What one call leaves behind. Absent values are written as `null`.
#[derive(Clone, Copy, Debug)]
pub struct CheckRecord<'a> {
    /// When the call was over, since the epoch.
    pub time: std::time::Duration,
    /// The id of the call: `cerbosCallId` of its answer.
    pub call_id: &'a str,
    /// The caller's own id of it.
    pub request_id: Option<&'a str>,
    /// The generation that decided.
    pub generation: u64,
    /// `http` or `grpc`.
    pub transport: &'static str,
    /// The method, such as `CheckResources`.
    pub method: &'static str,
    /// `ok`, or why there was no answer.
    pub code: &'static str,
    /// Who asked, by their certificate or address.
    pub caller: Option<std::net::IpAddr>,
    /// The principal that was asked about.
    pub principal: Option<&'a str>,
    /// Its roles, as the caller states them.
    pub roles: &'a [Box<str>],
    /// What was decided.
    pub resources: &'a [CheckedResource],
    /// How long it took, in microseconds.
    pub decision_us: u64,
}

/// A resource that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedResource {
    /// Its kind.
    pub kind: Box<str>,
    /// Its id.
    pub id: Box<str>,
    /// One for each action.
    pub decided: Vec<Decided>,
}

/// What was decided about an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The action.
    pub action: Box<str>,
    /// Yes or no.
    pub is_allowed: bool,
    /// The policy that decided.
    pub policy: Box<str>,
    /// The rule that decided.
    pub rule: Option<Box<str>>,
    /// An error took part.
    pub errs: bool,
    /// The other profile would have decided differently.
    pub disputed: bool,
}

impl Serialize for CheckRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = |value| Shown { value, most: LONGEST_VALUE };
        let mut line = serializer.serialize_struct("CheckRecord", CHECK_FIELDS.len())?;
        line.serialize_field("time", &text::rfc3339(self.time))?;
        line.serialize_field("api", "cerbos")?;
        line.serialize_field("call_id", self.call_id)?;
        line.serialize_field("request_id", &value(self.request_id))?;
        line.serialize_field("generation", &self.generation)?;
        line.serialize_field("transport", self.transport)?;
        line.serialize_field("method", self.method)?;
        line.serialize_field("code", self.code)?;
        line.serialize_field("caller", &self.caller)?;
        line.serialize_field("principal", &value(self.principal))?;
        line.serialize_field("roles", &Roles(self.roles))?;
        line.serialize_field("decisions", &Decisions(self.resources))?;
        line.serialize_field("decision_us", &self.decision_us)?;
        line.end()
    }
}

struct Decisions<'a>(&'a [CheckedResource]);

impl Serialize for Decisions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all =
            || self.0.iter().flat_map(|resource| resource.decided.iter().map(move |decided| Line(resource, decided)));
        let mut list = serializer.serialize_seq(None)?;
        for decision in all().take(MOST_DECISIONS) {
            list.serialize_element(&decision)?;
        }
        if all().nth(MOST_DECISIONS).is_some() {
            list.serialize_element(text::CUT)?;
        }
        list.end()
    }
}

struct Line<'a>(&'a CheckedResource, &'a Decided);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(resource, decided) = self;
        let value = |value| Shown { value: Some(value), most: LONGEST_VALUE };
        let mut line = serializer.serialize_struct("Decision", 8)?;
        line.serialize_field("kind", &value(&resource.kind))?;
        line.serialize_field("id", &value(&resource.id))?;
        line.serialize_field("action", &value(&decided.action))?;
        line.serialize_field("outcome", if decided.is_allowed { "allow" } else { "deny" })?;
        line.serialize_field("policy", &value(&decided.policy))?;
        line.serialize_field("rule", &Shown { value: decided.rule.as_deref(), most: LONGEST_VALUE })?;
        line.serialize_field("errs", &decided.errs)?;
        line.serialize_field("disputed", &decided.disputed)?;
        line.end()
    }
}

/// The fields of a line of the check API, in order, with what each one is.
pub const CHECK_FIELDS: &[(&str, &str)] = &[
    ("time", "when the line was written: RFC 3339, UTC, milliseconds"),
    ("api", "`cerbos`"),
    ("call_id", "the `cerbosCallId` of the answer"),
    ("request_id", "the `requestId` of the question; null where it has none"),
    ("generation", "the generation of settings and policies that decided"),
    ("transport", "`http` or `grpc`"),
    ("method", "`CheckResources`, `CheckResourceSet`, `CheckResourceBatch` or `PlanResources`"),
    ("code", "`ok`, or the gRPC status of a call that was refused, such as `invalid_argument` or `unauthenticated`"),
    ("caller", "the address that asked"),
    ("principal", "the id of the principal, as the caller states it"),
    ("roles", "its roles, as the caller states them"),
    (
        "decisions",
        "one member for each action of each resource, at most 500: `kind`, `id`, `action`, `outcome` (`allow` or `deny`), `policy` and \
         `rule` (what decided), `errs` (an error of evaluation took part), `disputed` (the other profile would have decided differently)",
    ),
    ("decision_us", "microseconds from the whole question to the answer"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(action: &str) -> Decided {
        Decided {
            action: action.into(),
            is_allowed: true,
            policy: "resource.a.vdefault".into(),
            rule: None,
            errs: false,
            disputed: true,
        }
    }

    fn line(resources: &[CheckedResource]) -> serde_json::Value {
        let record = CheckRecord {
            time: std::time::Duration::from_millis(1),
            call_id: "01",
            request_id: None,
            generation: 2,
            transport: "http",
            method: "CheckResources",
            code: "ok",
            caller: Some([127, 0, 0, 1].into()),
            principal: Some("Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJlLW9mLXRva2Vu"),
            roles: &["user".into()],
            resources,
            decision_us: 3,
        };
        serde_json::to_value(record).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_the_table_in_their_order() {
        let line = line(&[CheckedResource { kind: "a".into(), id: "1".into(), decided: vec![decided("read")] }]);
        let text = serde_json::to_string(&line["decisions"]).unwrap();
        assert!(text.contains(r#""disputed":true"#) && text.contains(r#""rule":null"#), "{text}");
        let names: std::collections::BTreeSet<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, CHECK_FIELDS.iter().map(|(name, _)| *name).collect());
        assert_eq!(line["caller"], "127.0.0.1");
    }

    #[test]
    fn a_token_in_a_name_is_not_written() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJlLW9mLXRva2Vu";
        let resource = CheckedResource { kind: token.into(), id: token.into(), decided: vec![decided(token)] };
        let line = line(&[resource]).to_string();
        assert!(!line.contains("eyJzdWIi"), "{line}");
    }

    #[test]
    fn a_line_is_bounded() {
        let resource = CheckedResource { kind: "a".into(), id: "1".into(), decided: vec![decided("read"); 300] };
        let line = line(&[resource.clone(), resource]);
        let decisions = line["decisions"].as_array().unwrap();
        assert_eq!((decisions.len(), &decisions[500]), (501, &serde_json::Value::from("…")));
    }
}
