//! Attributes of a question, as the engine takes them: bounded in depth, in values and in bytes.

use serde_json::{Map, Number, Value as Json};

use super::{
    fault::Fault,
    value::{Attributes, Kind, Value},
};

/// How deep attributes may nest.
const DEEPEST: usize = 32;
/// The most values of all attributes of a question.
const MOST_VALUES: usize = 100_000;

/// Counts what a question brings.
pub(super) struct Measure {
    left: usize,
}

impl Measure {
    pub(super) fn new() -> Self {
        Self { left: MOST_VALUES }
    }

    /// The attributes as JSON. Nothing is copied.
    pub(super) fn take(&mut self, attributes: Attributes) -> Result<Map<String, Json>, Fault> {
        self.members(attributes, DEEPEST)
    }

    fn members(&mut self, attributes: Attributes, depth: usize) -> Result<Map<String, Json>, Fault> {
        let members = attributes.into_iter();
        members.map(|(name, value)| Ok((name, self.value(value, depth)?))).collect()
    }

    fn value(&mut self, value: Value, depth: usize) -> Result<Json, Fault> {
        // SECURITY: `attributes_that_are_too_many_or_too_deep_are_refused`.
        self.left = self.left.checked_sub(1).ok_or_else(|| Fault::invalid("the attributes hold too many values"))?;
        let deeper = || depth.checked_sub(1).ok_or_else(|| Fault::invalid("the attributes are nested too deep"));
        Ok(match value.kind {
            None | Some(Kind::Null(_)) => Json::Null,
            Some(Kind::Bool(is)) => Json::Bool(is),
            Some(Kind::Number(number)) => {
                let number = Number::from_f64(number);
                Json::Number(number.ok_or_else(|| Fault::invalid("an attribute is a number that is not finite"))?)
            }
            Some(Kind::Text(text)) => Json::String(text),
            Some(Kind::Map(map)) => Json::Object(self.members(map.fields, deeper()?)?),
            Some(Kind::List(list)) => {
                let depth = deeper()?;
                let items = list.values.into_iter().map(|item| self.value(item, depth));
                Json::Array(items.collect::<Result<_, _>>()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(value: Value) -> Result<Map<String, Json>, Fault> {
        Measure::new().take(Attributes::from([("a".to_owned(), value)]))
    }

    fn json(value: Json) -> Value {
        value.into()
    }

    #[test]
    fn every_kind_of_value_arrives() {
        let all = serde_json::json!({"n": null, "t": true, "d": 1.5, "i": 3.0, "s": "x", "l": [1.0, [], {}]});
        assert_eq!(take(json(all.clone())).unwrap()["a"], all);
        assert_eq!(take(Value { kind: None }).unwrap()["a"], Json::Null);
    }

    #[test]
    fn attributes_that_are_too_many_or_too_deep_are_refused() {
        let nested = |levels: usize| (0..levels).fold(Json::Null, |inner, _| Json::Array(vec![inner]));
        assert!(take(json(nested(32))).is_ok());
        assert!(take(json(nested(33))).is_err());
        let many = |count: usize| Json::Array(vec![Json::Null; count]);
        assert!(take(json(many(MOST_VALUES - 1))).is_ok());
        assert!(take(json(many(MOST_VALUES))).is_err());
    }

    #[test]
    fn a_number_that_is_not_finite_is_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(take(Value { kind: Some(Kind::Number(number)) }).is_err(), "{number}");
        }
    }
}
