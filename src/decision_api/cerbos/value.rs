//! JSON values as Protobuf has them (`google.protobuf.Value`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Attributes: a map of JSON values.
pub(super) type Attributes = BTreeMap<String, Value>;

/// `google.protobuf.Value`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub(super) kind: Option<Kind>,
}

/// What a [`Value`] is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Map(Struct),
    #[prost(message, tag = "6")]
    List(ListValue),
}

/// `google.protobuf.Struct`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) fields: Attributes,
}

/// `google.protobuf.ListValue`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListValue {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Value>,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            None | Some(Kind::Null(_)) => serializer.serialize_unit(),
            Some(Kind::Number(number)) => number_json(*number).serialize(serializer),
            Some(Kind::Text(text)) => serializer.serialize_str(text),
            Some(Kind::Bool(is)) => serializer.serialize_bool(*is),
            Some(Kind::Map(map)) => serializer.collect_map(&map.fields),
            Some(Kind::List(list)) => serializer.collect_seq(&list.values),
        }
    }
}

/// A number as JSON writes it: without a fraction where it has none.
fn number_json(number: f64) -> serde_json::Value {
    // Beyond 2^53 not every whole number is a double; within, the cast is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let whole = number as i64;
        return serde_json::Value::from(whole);
    }
    serde_json::Value::from(number)
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let kind = match value {
            Json::Null => Kind::Null(0),
            Json::Bool(is) => Kind::Bool(is),
            Json::Number(number) => Kind::Number(number.as_f64().unwrap_or_default()),
            Json::String(text) => Kind::Text(text),
            Json::Array(items) => Kind::List(ListValue { values: items.into_iter().map(Self::from).collect() }),
            Json::Object(members) => {
                Kind::Map(Struct { fields: members.into_iter().map(|(name, value)| (name, value.into())).collect() })
            }
        };
        Self { kind: Some(kind) }
    }
}
