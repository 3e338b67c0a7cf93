//! What a question must hold before it is looked at: the rules that the protocol states for its fields.
//!
//! Every breach is told, in the order of the fields; a flood of them is cut short.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::{Value, json};

use super::{
    fault::Fault,
    value::Attributes,
    wire::{
        AuxData, CheckResourceBatchRequest, CheckResourceSetRequest, CheckResourcesRequest, Entry, Principal, Resource,
        ResourceSet,
    },
};

/// The most breaches that an answer tells.
const MOST_TOLD: usize = 50;

const VERSION_PATTERN: &str = r"^[\w]*$";
const SCOPE_PATTERN: &str = r"^(^$|\.|[0-9a-zA-Z][\w\-]*(\.\w[\w\-]*)*)$";

/// A question that the rules are about.
pub(super) trait Ruled {
    /// Notes every breach.
    fn look(&self, desk: &mut Desk);

    /// Refuses the question with all breaches.
    fn validate(&self) -> Result<(), Fault> {
        let mut desk = Desk::default();
        self.look(&mut desk);
        desk.into_result()
    }
}

impl Ruled for CheckResourcesRequest {
    fn look(&self, desk: &mut Desk) {
        desk.required_message(3, "principal", self.principal.as_ref(), principal);
        entries(desk, 4, &self.resources);
        aux_data(desk, 5, self.aux_data.as_ref());
    }
}

impl Ruled for CheckResourceBatchRequest {
    fn look(&self, desk: &mut Desk) {
        desk.required_message(2, "principal", self.principal.as_ref(), principal);
        entries(desk, 3, &self.resources);
        aux_data(desk, 4, self.aux_data.as_ref());
    }
}

impl Ruled for CheckResourceSetRequest {
    fn look(&self, desk: &mut Desk) {
        desk.names(2, "actions", &self.actions);
        desk.required_message(3, "principal", self.principal.as_ref(), principal);
        desk.required_message(4, "resource", self.resource.as_ref(), resource_set);
        aux_data(desk, 6, self.aux_data.as_ref());
    }
}

fn principal(desk: &mut Desk, principal: &Principal) {
    desk.required_text(1, "id", &principal.id);
    desk.pattern(2, "policy_version", VERSION_PATTERN, is_version(&principal.policy_version));
    desk.names(3, "roles", &principal.roles);
    desk.attributes(4, &principal.attr);
    desk.pattern(5, "scope", SCOPE_PATTERN, is_scope(&principal.scope));
}

fn resource(desk: &mut Desk, resource: &Resource) {
    desk.required_text(1, "kind", &resource.kind);
    desk.pattern(2, "policy_version", VERSION_PATTERN, is_version(&resource.policy_version));
    desk.required_text(3, "id", &resource.id);
    desk.attributes(4, &resource.attr);
    desk.pattern(5, "scope", SCOPE_PATTERN, is_scope(&resource.scope));
}

fn resource_set(desk: &mut Desk, set: &ResourceSet) {
    desk.required_text(1, "kind", &set.kind);
    desk.pattern(2, "policy_version", VERSION_PATTERN, is_version(&set.policy_version));
    desk.required(Step::message(3, "instances"), !set.instances.is_empty());
    desk.pattern(4, "scope", SCOPE_PATTERN, is_scope(&set.scope));
}

fn entries(desk: &mut Desk, number: u8, entries: &[Entry]) {
    desk.required(Step::message(number, "resources"), !entries.is_empty());
    for (place, entry) in entries.iter().enumerate() {
        desk.within(Step::message(number, "resources").nth(place), |desk| {
            desk.names(1, "actions", &entry.actions);
            desk.required_message(2, "resource", entry.resource.as_ref(), resource);
        });
    }
}

fn aux_data(desk: &mut Desk, number: u8, aux: Option<&AuxData>) {
    let Some(jwt) = aux.and_then(|aux| aux.jwt.as_ref()) else { return };
    desk.within(Step::message(number, "aux_data"), |desk| {
        desk.within(Step::message(1, "jwt"), |desk| desk.required_text(1, "token", &jwt.token));
    });
}

/// ASCII letters, digits and `_`.
fn is_version(text: &str) -> bool {
    text.bytes().all(is_word)
}

/// Nothing, a dot, or words separated by dots; the first begins with a letter or a digit, and a hyphen begins none.
fn is_scope(text: &str) -> bool {
    if text.is_empty() || text == "." {
        return true;
    }
    let is_segment = |segment: &str| {
        let mut bytes = segment.bytes();
        bytes.next().is_some_and(is_word) && bytes.all(|byte| is_word(byte) || byte == b'-')
    };
    !text.starts_with('_') && text.split('.').all(is_segment)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A step on the way to a field.
#[derive(Clone, Debug)]
struct Step {
    number: u8,
    name: &'static str,
    is_message: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Whole,
    Nth(usize),
    /// The entry of a map whose key is empty: the only key that breaks a rule.
    EmptyKey,
}

impl Step {
    const fn message(number: u8, name: &'static str) -> Self {
        Self { number, name, is_message: true, place: Place::Whole }
    }

    const fn text(number: u8, name: &'static str) -> Self {
        Self { number, name, is_message: false, place: Place::Whole }
    }

    const fn nth(self, place: usize) -> Self {
        Self { place: Place::Nth(place), ..self }
    }

    fn json(&self) -> Value {
        let kind = if self.is_message { "TYPE_MESSAGE" } else { "TYPE_STRING" };
        let mut element = json!({ "fieldNumber": self.number, "fieldName": self.name, "fieldType": kind });
        if let Value::Object(members) = &mut element {
            match self.place {
                Place::Whole => {}
                Place::Nth(place) => drop(members.insert("index".to_owned(), place.to_string().into())),
                Place::EmptyKey => {
                    members.insert("keyType".to_owned(), "TYPE_STRING".into());
                    members.insert("valueType".to_owned(), "TYPE_MESSAGE".into());
                    members.insert("stringKey".to_owned(), "".into());
                }
            }
        }
        element
    }
}

/// A rule of the protocol.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Required,
    Unique,
    ItemNotEmpty,
    KeyNotEmpty,
    Pattern(&'static str),
}

impl Rule {
    fn id(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Unique => "repeated.unique",
            Self::ItemNotEmpty | Self::KeyNotEmpty => "string.min_len",
            Self::Pattern(_) => "string.pattern",
        }
    }

    fn message(self) -> String {
        match self {
            Self::Required => "value is required".to_owned(),
            Self::Unique => "repeated value must contain unique items".to_owned(),
            Self::ItemNotEmpty | Self::KeyNotEmpty => "value length must be at least 1 characters".to_owned(),
            Self::Pattern(pattern) => format!("value does not match regex pattern `{pattern}`"),
        }
    }

    /// The way to the rule among all rules, as its own protocol counts them.
    fn path(self) -> &'static [(u8, &'static str, &'static str)] {
        const MESSAGE: &str = "TYPE_MESSAGE";
        match self {
            Self::Required => &[(25, "required", "TYPE_BOOL")],
            Self::Unique => &[(18, "repeated", MESSAGE), (3, "unique", "TYPE_BOOL")],
            Self::ItemNotEmpty => &[
                (18, "repeated", MESSAGE),
                (4, "items", MESSAGE),
                (14, "string", MESSAGE),
                (2, "min_len", "TYPE_UINT64"),
            ],
            Self::KeyNotEmpty => {
                &[(19, "map", MESSAGE), (4, "keys", MESSAGE), (14, "string", MESSAGE), (2, "min_len", "TYPE_UINT64")]
            }
            Self::Pattern(_) => &[(14, "string", MESSAGE), (6, "pattern", "TYPE_STRING")],
        }
    }
}

/// Where breaches are noted.
#[derive(Debug, Default)]
pub(super) struct Desk {
    way: Vec<Step>,
    breaches: Vec<(Vec<Step>, Rule)>,
}

impl Desk {
    fn within(&mut self, step: Step, look: impl FnOnce(&mut Self)) {
        self.way.push(step);
        look(self);
        self.way.pop();
    }

    fn breach(&mut self, step: Step, rule: Rule) {
        if self.breaches.len() < MOST_TOLD {
            let way = self.way.iter().cloned().chain([step]).collect();
            self.breaches.push((way, rule));
        }
    }

    fn required(&mut self, step: Step, is_there: bool) {
        if !is_there {
            self.breach(step, Rule::Required);
        }
    }

    fn required_text(&mut self, number: u8, name: &'static str, text: &str) {
        self.required(Step::text(number, name), !text.is_empty());
    }

    fn required_message<M>(
        &mut self,
        number: u8,
        name: &'static str,
        message: Option<&M>,
        look: impl FnOnce(&mut Self, &M),
    ) {
        match message {
            Some(message) => self.within(Step::message(number, name), |desk| look(desk, message)),
            None => self.breach(Step::message(number, name), Rule::Required),
        }
    }

    /// A list of names: at least one, none of them twice, none empty.
    fn names(&mut self, number: u8, name: &'static str, names: &[String]) {
        if names.is_empty() {
            return self.breach(Step::text(number, name), Rule::Required);
        }
        let mut seen = BTreeSet::new();
        if !names.iter().all(|name| seen.insert(name)) {
            self.breach(Step::text(number, name), Rule::Unique);
        }
        for (place, _) in names.iter().enumerate().filter(|(_, name)| name.is_empty()) {
            self.breach(Step::text(number, name).nth(place), Rule::ItemNotEmpty);
        }
    }

    fn attributes(&mut self, number: u8, attributes: &Attributes) {
        if attributes.contains_key("") {
            let step = Step { place: Place::EmptyKey, ..Step::message(number, "attr") };
            self.breach(step, Rule::KeyNotEmpty);
        }
    }

    fn pattern(&mut self, number: u8, name: &'static str, pattern: &'static str, matches: bool) {
        if !matches {
            self.breach(Step::text(number, name), Rule::Pattern(pattern));
        }
    }

    fn into_result(self) -> Result<(), Fault> {
        let told: Vec<String> =
            self.breaches.iter().map(|(way, rule)| format!("{}: {}", path(way), rule.message())).collect();
        let message = match told.as_slice() {
            [] => return Ok(()),
            [one] => format!("validation error: {one}"),
            _ => format!("validation errors:\n - {}", told.join("\n - ")),
        };
        let violations: Vec<Value> = self.breaches.iter().map(|(way, rule)| violation(way, *rule)).collect();
        let details = json!({ "@type": "type.googleapis.com/buf.validate.Violations", "violations": violations });
        Err(Fault { details: Some(details), ..Fault::invalid(message) })
    }
}

fn path(way: &[Step]) -> String {
    let mut path = String::new();
    for step in way {
        let dot = if path.is_empty() { "" } else { "." };
        // Writing to a string cannot fail.
        let _ = write!(path, "{dot}{}", step.name);
        match step.place {
            Place::Whole => {}
            Place::Nth(place) => drop(write!(path, "[{place}]")),
            Place::EmptyKey => path.push_str("[\"\"]"),
        }
    }
    path
}

fn violation(way: &[Step], rule: Rule) -> Value {
    let field: Vec<_> = way.iter().map(Step::json).collect();
    let element = |(number, name, kind): &(u8, &str, &str)| json!({ "fieldNumber": number, "fieldName": name, "fieldType": kind });
    let path: Vec<_> = rule.path().iter().map(element).collect();
    let mut violation = json!({
        "field": { "elements": field },
        "rule": { "elements": path },
        "ruleId": rule.id(),
        "message": rule.message(),
    });
    if let (Rule::KeyNotEmpty, Value::Object(members)) = (rule, &mut violation) {
        members.insert("forKey".to_owned(), true.into());
    }
    violation
}

#[cfg(test)]
mod tests;
