//! One value that a condition read, borrowed from the request, with CEL's equality and membership.
//!
//! Equality never fails: values of different types differ, numbers of different types compare by value. The interpreter gives the same
//! answers on the values that [`Reading::into_val`] makes; the property test of this room compares the two.

use std::borrow::Cow;
use std::collections::HashMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use serde_json::{Map, Value};

use super::Origin;
use crate::identity::Kind;

/// What was read.
#[derive(Clone, Debug)]
pub(super) enum Reading<'a> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer: a literal of the expression, or the time.
    Int(i64),
    /// An unsigned integer: a literal of the expression.
    Uint(u64),
    /// A number out of JSON.
    Double(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list out of JSON.
    List(&'a [Value]),
    /// A list of texts: the principal's roles, or names in a certificate.
    Roles(Roles<'a>),
    /// An object out of JSON.
    Object(Object<'a>),
}

/// The operand has a type that the operation does not take.
#[derive(Debug)]
pub(super) struct Mismatch;

/// The roles of the token, and those that the gateway gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles<'a> {
    pub(super) listed: &'a [Box<str>],
    pub(super) given: &'static [&'static str],
}

impl<'a> Roles<'a> {
    /// The roles as native rules know them.
    pub(super) fn native(listed: &'a [Box<str>], kind: Kind) -> Self {
        let given: &[&str] = match kind {
            Kind::Anonymous => &["anonymous", "anyone"],
            Kind::User | Kind::Machine => &["authenticated", "anyone"],
        };
        Self { listed, given }
    }

    /// Exactly the roles, or other texts, that were listed.
    pub(super) fn listed(listed: &'a [Box<str>]) -> Self {
        Self { listed, given: &[] }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.listed.iter().map(|role| &**role).chain(self.given.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.given.is_empty()
    }
}

/// A JSON object, or the claims of a token, from which an unverified `email` is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a> {
    entries: Option<&'a Map<String, Value>>,
    hides_email: bool,
    hides_nulls: bool,
}

impl<'a> Object<'a> {
    /// An object as it is.
    pub(super) fn plain(entries: &'a Map<String, Value>) -> Self {
        Self { entries: Some(entries), hides_email: false, hides_nulls: false }
    }

    /// The claims of a token, or what a caller says; empty when there is neither.
    pub(super) fn claims(claims: Option<&'a Map<String, Value>>, origin: Origin) -> Self {
        let confirmed = claims.and_then(|claims| claims.get("email_verified"));
        let confirmed = confirmed.is_some_and(|value| value.as_bool() == Some(true) || value.as_str() == Some("true"));
        // SECURITY: an address that nobody confirmed is what the user typed: `an_unverified_email_is_not_seen_by_a_condition`.
        Self { entries: claims, hides_email: !confirmed && origin == Origin::Token, hides_nulls: false }
    }

    /// The claims as `request.auxData.jwt`: Cerbos takes none out of a token that is null.
    pub(super) fn token(claims: Option<&'a Map<String, Value>>, origin: Origin) -> Self {
        Self { hides_nulls: origin == Origin::Token, ..Self::claims(claims, origin) }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.entries?.get(key).filter(|value| self.shows(key, value))
    }

    fn shows(&self, key: &str, value: &Value) -> bool {
        !(self.hides_email && key == "email" || self.hides_nulls && value.is_null())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        let object = *self;
        self.entries.into_iter().flatten().filter(move |(key, value)| object.shows(key, value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<'a> Reading<'a> {
    /// A JSON value. Every number is a double, as in `google.protobuf.Value`.
    pub(super) fn of_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(items),
            Value::Object(entries) => Self::Object(Object::plain(entries)),
        }
    }

    /// CEL's `==`.
    pub(super) fn equals(&self, other: &Reading<'_>) -> bool {
        match (self, other) {
            (Self::Null, Reading::Null) => true,
            (Self::Bool(a), Reading::Bool(b)) => a == b,
            (Self::Text(a), Reading::Text(b)) => a == b,
            (Self::List(a), Reading::List(b)) => same_lists(a, b),
            (Self::Roles(a), Reading::Roles(b)) => a.iter().eq(b.iter()),
            (Self::Roles(roles), Reading::List(list)) => same_roles(*roles, list),
            (Self::List(list), Reading::Roles(roles)) => same_roles(*roles, list),
            (Self::Object(a), Reading::Object(b)) => same_objects(a, b),
            (a, b) => same_numbers(a, b),
        }
    }

    /// CEL's `item in self`.
    pub(super) fn contains(&self, item: &Reading<'_>) -> Result<bool, Mismatch> {
        match self {
            Self::List(items) => Ok(items.iter().any(|value| Reading::of_json(value).equals(item))),
            Self::Roles(roles) => match item {
                Reading::Text(text) => Ok(roles.iter().any(|role| role == text)),
                Reading::Null
                | Reading::Bool(_)
                | Reading::Int(_)
                | Reading::Uint(_)
                | Reading::Double(_)
                | Reading::List(_)
                | Reading::Roles(_)
                | Reading::Object(_) => Ok(false),
            },
            Self::Object(object) => match item {
                Reading::Text(key) => Ok(object.get(key).is_some()),
                Reading::Bool(_) | Reading::Int(_) | Reading::Uint(_) | Reading::Double(_) => Ok(false),
                Reading::Null | Reading::List(_) | Reading::Roles(_) | Reading::Object(_) => Err(Mismatch),
            },
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Double(_) | Self::Text(_) => {
                Err(Mismatch)
            }
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::List(_) | Self::Roles(_))
    }

    /// What `has()` of a Cerbos field tells: is it other than the default?
    pub(super) fn is_default(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Roles(roles) => roles.is_empty(),
            Self::Object(object) => object.is_empty(),
        }
    }

    /// The value as the interpreter takes it. `None` when it has more than `room` parts; what it has is taken off `room`.
    pub(super) fn into_val(self, room: &mut usize) -> Option<Box<dyn Val + 'a>> {
        *room = room.checked_sub(1)?;
        Some(match self {
            Self::Null => Box::new(CelNull),
            Self::Bool(value) => Box::new(CelBool::from(value)),
            Self::Int(value) => Box::new(CelInt::from(value)),
            Self::Uint(value) => Box::new(CelUInt::from(value)),
            Self::Double(value) => Box::new(CelDouble::from(value)),
            Self::Text(text) => Box::new(CelString::from(text)),
            Self::List(items) => {
                let items = items.iter().map(|item| Reading::of_json(item).into_val(room));
                Box::new(CelList::from(items.collect::<Option<Vec<_>>>()?))
            }
            Self::Roles(roles) => {
                let roles = roles.iter().map(|role| Reading::Text(Cow::Borrowed(role)).into_val(room));
                Box::new(CelList::from(roles.collect::<Option<Vec<_>>>()?))
            }
            Self::Object(object) => {
                let mut entries: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> = HashMap::new();
                for (key, value) in object.iter() {
                    let value = Reading::of_json(value).into_val(room)?;
                    entries.insert(CelMapKey::String(CelString::from(key.as_str())), value);
                }
                Box::new(CelMap::from(entries))
            }
        })
    }
}

fn same_roles(roles: Roles<'_>, list: &[Value]) -> bool {
    list.iter().map(Value::as_str).eq(roles.iter().map(Some))
}

fn same_lists(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Reading::of_json(a).equals(&Reading::of_json(b)))
}

fn same_objects(a: &Object<'_>, b: &Object<'_>) -> bool {
    a.iter().count() == b.iter().count()
        && a.iter().all(|(key, value)| {
            b.get(key).is_some_and(|other| Reading::of_json(value).equals(&Reading::of_json(other)))
        })
}

/// Numbers of any two types, by value; an integer meets a double as a double. Anything else differs.
#[expect(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "the language compares an integer with a double as doubles, exactly"
)]
fn same_numbers(a: &Reading<'_>, b: &Reading<'_>) -> bool {
    match (a, b) {
        (Reading::Int(a), Reading::Int(b)) => a == b,
        (Reading::Uint(a), Reading::Uint(b)) => a == b,
        (Reading::Double(a), Reading::Double(b)) => a == b,
        (Reading::Int(a), Reading::Uint(b)) | (Reading::Uint(b), Reading::Int(a)) => u64::try_from(*a) == Ok(*b),
        (Reading::Int(a), Reading::Double(b)) | (Reading::Double(b), Reading::Int(a)) => *a as f64 == *b,
        (Reading::Uint(a), Reading::Double(b)) | (Reading::Double(b), Reading::Uint(a)) => *a as f64 == *b,
        _ => false,
    }
}
