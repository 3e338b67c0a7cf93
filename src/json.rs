//! JSON with one reading: no member name stands twice in an object, at any depth, and nothing follows the value.
//!
//! Readers disagree on which of two equal names counts (RFC 8259 section 4), so such a document is refused rather than read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep lists and objects may nest.
const MAX_DEPTH: u8 = 32;

/// The value that `bytes` are, or `None` where they are not UTF-8, not JSON, nested too deep or repeat a name.
pub fn value(bytes: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: MAX_DEPTH }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// As [`value`], and `None` also where it is no object.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    if let Value::Object(members) = value(bytes)? { Some(members) } else { None }
}

/// About how many bytes an object takes in memory: some small texts take a hundred times their length.
pub fn object_memory(object: &Map<String, Value>) -> usize {
    // A node of the tree that the map is has room for eleven members, and is half full at least but for the last.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
    let members = object.iter().map(|(name, value)| text_memory(name) + memory(value));
    members.fold(object.len().div_ceil(8) * NODE, usize::saturating_add)
}

/// About how many bytes a text takes in memory, beside what points to it.
pub fn text_memory(text: &str) -> usize {
    text.len() + 16
}

/// What a value takes beside its own place.
fn memory(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text_memory(text),
        // A list grows by doubling.
        Value::Array(items) => items.iter().map(|item| 2 * size_of::<Value>() + memory(item)).sum(),
        Value::Object(members) => object_memory(members),
    }
}

/// Reads one value that may hold `depth` more levels.
#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.depth.checked_sub(1).map(|depth| Self { depth }).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(inner)?;
            // SECURITY: names are compared unescaped: `a_name_that_stands_twice_is_refused`.
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_good_object_reads_as_serde_json_reads_it() {
        let text = r#" {"a":1,"b":[-2,3.5,true,null,"x\u0041\ud83d\ude00"],"c":{"a":{"a":18446744073709551615}}} "#;
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let rows = [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[[{"é":1,"\u00e9":2}]]}"#,
            r#"{"":1,"":2}"#,
        ];
        for row in rows {
            assert!(object(row.as_bytes()).is_none(), "{row}");
        }
    }

    #[test]
    fn what_is_not_one_utf8_json_object_is_refused() {
        let rows: [&[u8]; 22] = [
            b"",
            b" ",
            b"null",
            b"[]",
            b"\"{}\"",
            b"1",
            b"{}{}",
            b"{} x",
            b"{},",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\xc0\xaf\"}",
            b"{\"\xed\xa0\x80\":1}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":1e400}",
            b"{\"a\":01}",
            b"{'a':1}",
            b"{\"a\":NaN}",
            b"{a:1}",
            b"{\"a\":1,}",
            b"{\"a\":\"\n\"}",
            b"{} // comment",
        ];
        for row in rows {
            assert!(object(row).is_none(), "{}", String::from_utf8_lossy(row));
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(nested(31).as_bytes()).is_some());
        assert!(object(nested(32).as_bytes()).is_none());
        assert!(object(nested(100_000).as_bytes()).is_none());
        assert!(object("{\"a\":".repeat(100_000).as_bytes()).is_none());
    }

    #[test]
    fn what_is_small_in_text_may_be_large_in_memory() {
        let of = |text: &str| object_memory(&object(text.as_bytes()).unwrap());
        let many = format!("{{\"a\":[{}1]}}", "{\"a\":1},".repeat(700));
        assert!(of(&many) > 400_000, "{}", of(&many));
        assert_eq!(of("{}"), 0);
        assert!((600..800).contains(&of(r#"{"a":true}"#)), "{}", of(r#"{"a":true}"#));
        assert_eq!(of(r#"{"a":"xxxxxxxxxx"}"#), of(r#"{"a":1}"#) + 26);
        assert_eq!(of(r#"{"a":[1,2,3]}"#), of(r#"{"a":1}"#) + 6 * size_of::<Value>());
        assert_eq!(of(r#"{"abc":1}"#), of(r#"{"a":1}"#) + 2);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_what_serde_json_reads(text in r#"[\{\}\[\]:,"a-c0-9\\u. eE+-]{0,40}"#) {
            if let Some(members) = object(text.as_bytes()) {
                prop_assert_eq!(Value::Object(members), serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
