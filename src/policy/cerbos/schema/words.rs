//! What a schema finds wrong, told as Cerbos tells it: the innermost reasons, one for each place and keyword.

use std::collections::HashSet;

use jsonschema::{
    ValidationError as Flaw,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value;

use crate::policy::condition::double;

/// The most findings about one set of attributes.
const MOST: usize = 100;

/// The findings, without those that follow from another at the same place.
pub(super) fn tell<'f>(flaws: impl Iterator<Item = Flaw<'f>>) -> Vec<(Box<str>, Box<str>)> {
    let mut leaves = Vec::new();
    for flaw in flaws {
        gather(flaw, &mut leaves);
        if leaves.len() >= MOST {
            break;
        }
    }
    // Cerbos looks no further where the type is wrong.
    let mistyped: HashSet<_> = leaves.iter().filter(|leaf| leaf.keyword == "type").map(Leaf::place).collect();
    let mut told: Vec<(Leaf, String)> = Vec::new();
    for leaf in &leaves {
        if leaf.keyword != "type" && mistyped.contains(&leaf.place()) {
            continue;
        }
        // All properties that one `required` misses are one finding.
        let same = |other: &&mut (Leaf, String)| other.0.keyword == "required" && other.0.place() == leaf.place();
        match told.iter_mut().find(same) {
            Some((_, message)) if leaf.keyword == "required" => {
                message.push_str(", ");
                message.push_str(leaf.message.trim_start_matches(MISSING));
            }
            Some(_) | None => told.push((leaf.clone(), leaf.message.clone())),
        }
    }
    let error = |(leaf, message): (Leaf, String)| {
        let path = if leaf.path.is_empty() { "/".into() } else { leaf.path.into() };
        (path, message.into())
    };
    told.into_iter().map(error).collect()
}

const MISSING: &str = "missing properties: ";

#[derive(Clone)]
struct Leaf {
    /// A JSON pointer into the attributes.
    path: String,
    /// The part of the schema that the keyword stands in.
    parent: String,
    keyword: String,
    message: String,
}

impl Leaf {
    fn place(&self) -> (String, String) {
        (self.path.clone(), self.parent.clone())
    }
}

/// The innermost reasons of a finding.
fn gather(flaw: Flaw<'_>, leaves: &mut Vec<Leaf>) {
    if leaves.len() >= MOST {
        return;
    }
    let path = flaw.instance_path().as_str().to_owned();
    let at = flaw.evaluation_path().as_str().to_owned();
    let value = flaw.instance().clone().into_owned();
    let parts = flaw.into_parts();
    if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = parts.kind {
        context.into_iter().flatten().for_each(|inner| gather(inner, leaves));
    } else if let Kind::PropertyNames { error } = parts.kind {
        let first = leaves.len();
        let name = error.instance().as_str().map(escape).unwrap_or_default();
        gather(*error, leaves);
        leaves.iter_mut().skip(first).for_each(|leaf| leaf.path = format!("{path}/{name}"));
    } else if let Kind::UnevaluatedProperties { unexpected } = &parts.kind {
        let leaf = |name: &String| Leaf {
            path: format!("{path}/{}", escape(name)),
            parent: at.clone(),
            keyword: parts.kind.keyword().to_owned(),
            message: "not allowed".to_owned(),
        };
        leaves.extend(unexpected.iter().map(leaf));
    } else {
        let (parent, keyword) = at.rsplit_once('/').unwrap_or(("", &at));
        let message = if let (Kind::Required { property }, "dependentRequired") = (&parts.kind, keyword) {
            format!("property {} is required beside another", quoted(property.as_str().unwrap_or_default()))
        } else {
            words(&parts.kind, &value)
        };
        leaves.push(Leaf { path, parent: parent.to_owned(), keyword: keyword.to_owned(), message });
    }
}

fn words(kind: &Kind, value: &Value) -> String {
    let count = || value.as_array().map(Vec::len).or(value.as_object().map(serde_json::Map::len)).unwrap_or_default();
    let letters = || value.as_str().map_or(0, |text| text.chars().count());
    match kind {
        Kind::Type { kind } => format!("expected {}, but got {}", types(kind), type_of(value)),
        Kind::Required { property } => format!("{MISSING}{}", quoted(property.as_str().unwrap_or_default())),
        Kind::AdditionalProperties { unexpected } => format!("additionalProperties {} not allowed", list(unexpected)),
        Kind::UnevaluatedItems { unexpected } => format!("unevaluatedItems {} not allowed", unexpected.join(", ")),
        Kind::Enum { options } => match options.as_array().map(Vec::as_slice) {
            Some([one]) if is_plain(one) => format!("value must be {}", stated(one)),
            Some(all) if all.iter().all(is_plain) => {
                let all: Vec<_> = all.iter().map(stated).collect();
                format!("value must be one of {}", all.join(", "))
            }
            Some(_) | None => "enum failed".to_owned(),
        },
        Kind::Constant { expected_value } if is_plain(expected_value) => {
            format!("value must be {}", stated(expected_value))
        }
        Kind::Constant { .. } => "const failed".to_owned(),
        Kind::Format { format } => format!("{} is not valid {}", shown(value), quoted(format)),
        Kind::Pattern { pattern } => format!("does not match pattern {}", quoted(pattern)),
        Kind::MinLength { limit } => format!("length must be >= {limit}, but got {}", letters()),
        Kind::MaxLength { limit } => format!("length must be <= {limit}, but got {}", letters()),
        Kind::Minimum { limit } => format!("must be >= {} but found {}", number(limit), number(value)),
        Kind::Maximum { limit } => format!("must be <= {} but found {}", number(limit), number(value)),
        Kind::ExclusiveMinimum { limit } => format!("must be > {} but found {}", number(limit), number(value)),
        Kind::ExclusiveMaximum { limit } => format!("must be < {} but found {}", number(limit), number(value)),
        Kind::MultipleOf { multiple_of } => format!("{} not multipleOf {}", number(value), double(*multiple_of)),
        Kind::MinItems { limit } => format!("minimum {limit} items required, but found {} items", count()),
        Kind::MaxItems { limit } => format!("maximum {limit} items required, but found {} items", count()),
        Kind::AdditionalItems { limit } => format!("only {limit} items are allowed, but found {} items", count()),
        Kind::MinProperties { limit } => {
            format!("minimum {limit} properties allowed, but found {} properties", count())
        }
        Kind::MaxProperties { limit } => {
            format!("maximum {limit} properties allowed, but found {} properties", count())
        }
        Kind::UniqueItems => equal_items(value),
        Kind::FalseSchema => "not allowed".to_owned(),
        Kind::OneOfMultipleValid { .. } => "valid against more than one schema of oneOf".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("value is not {content_encoding} encoded"),
        Kind::ContentMediaType { content_media_type } => {
            format!("value is not of mediatype {}", quoted(content_media_type))
        }
        Kind::FromUtf8 { .. } => "value is not text".to_owned(),
        Kind::Custom { message, .. } => message.clone(),
        Kind::AnyOf { .. }
        | Kind::OneOfNotValid { .. }
        | Kind::PropertyNames { .. }
        | Kind::UnevaluatedProperties { .. }
        | Kind::Contains
        | Kind::Not { .. }
        | Kind::BacktrackLimitExceeded { .. }
        | Kind::RegexEngineFailure { .. }
        | Kind::Referencing(_) => format!("{} failed", kind.keyword()),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_plain(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// Every number of attributes and of their bounds is a double to Cerbos, and written as Go writes one.
fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), double)
}

/// A value of a schema. Numbers are texts to Cerbos there.
fn stated(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Number(number) => format!("\"{number}\""),
        Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn equal_items(value: &Value) -> String {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let pair = items.iter().enumerate().find_map(|(later, item)| {
        let earlier = items.iter().take(later).position(|other| is_equal(other, item))?;
        Some((earlier, later))
    });
    match pair {
        Some((one, other)) => format!("items at index {one} and {other} are equal"),
        None => "items are not unique".to_owned(),
    }
}

/// Numbers are equal however they are written.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| is_equal(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            other,
        ) => one == other,
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "\\'"))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}
