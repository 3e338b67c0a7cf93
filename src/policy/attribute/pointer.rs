//! A place in a JSON document (RFC 6901), taken apart once.

use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

/// A JSON pointer with at least one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Box<[Box<str>]>);

/// The text is not a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a JSON pointer such as `/owner` or `/items/0/id`")]
pub(crate) struct PointerError(String);

impl Pointer {
    /// The value there.
    pub(crate) fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(document, |value, step| match value {
            Value::Object(members) => members.get(&**step),
            Value::Array(items) => items.get(index(step)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }
}

/// An array index has no sign and no leading zero.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    step.parse().ok().filter(|_| plain)
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let refuse = || PointerError(text.to_owned());
        let steps = text.strip_prefix('/').ok_or_else(refuse)?.split('/');
        let steps = steps.map(|step| {
            // `~` stands before 0 or 1 and nowhere else (RFC 6901 section 3).
            let escapes = step.matches("~0").count() + step.matches("~1").count();
            let sound = step.matches('~').count() == escapes;
            sound.then(|| step.replace("~1", "/").replace("~0", "~").into_boxed_str())
        });
        steps.collect::<Option<_>>().map(Self).ok_or_else(refuse)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(pointer: &str, document: &Value) -> Option<Value> {
        pointer.parse::<Pointer>().unwrap().find(document).cloned()
    }

    #[test]
    fn a_pointer_steps_into_objects_and_arrays() {
        let document = json!({ "a": { "b/c": [10, 20], "~": 1 }, "": 2 });
        assert_eq!(find("/a/b~1c/1", &document), Some(json!(20)));
        assert_eq!(find("/a/~0", &document), Some(json!(1)));
        assert_eq!(find("/", &document), Some(json!(2)));
        for absent in ["/a/b~1c/2", "/a/b~1c/01", "/a/b~1c/-", "/a/b~1c/+1", "/x", "/a/~0/x"] {
            assert_eq!(find(absent, &document), None, "{absent}");
        }
    }

    #[test]
    fn what_is_not_a_pointer_is_refused() {
        for text in ["", "a", "/~", "/~2", "/a~"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }
}
