//! `contentEncoding` and `contentMediaType`, which Cerbos checks in every draft: of the encodings base64, of the media types JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonschema::{Keyword, ValidationError, paths::Location};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

type Checked<'a> = Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>>;

pub(super) const ENCODING: &str = "contentEncoding";
pub(super) const MEDIA_TYPE: &str = "contentMediaType";

const BASE64: &str = "base64";
const JSON: &str = "application/json";

/// What a text must be.
struct Content {
    is_base64: bool,
    /// JSON is asked for, and not only the encoding.
    is_json: bool,
}

pub(super) fn encoding<'a>(_: &'a Map<String, Value>, value: &'a Value, _: Location) -> Checked<'a> {
    Ok(Box::new(Content { is_base64: value == BASE64, is_json: false }))
}

pub(super) fn media_type<'a>(schema: &'a Map<String, Value>, value: &'a Value, _: Location) -> Checked<'a> {
    let is_base64 = schema.get(ENCODING).is_some_and(|encoding| encoding == BASE64);
    Ok(Box::new(Content { is_base64, is_json: value == JSON }))
}

impl Content {
    fn fault(&self, value: &Value) -> Option<String> {
        let text = value.as_str()?;
        let decoded = if self.is_base64 { STANDARD.decode(text).ok() } else { Some(text.as_bytes().to_vec()) };
        match (decoded, self.is_json) {
            (None, false) => Some(format!("value is not {BASE64} encoded")),
            (Some(content), true) if serde_json::from_slice::<IgnoredAny>(&content).is_err() => {
                Some(format!("value is not of mediatype '{JSON}'"))
            }
            // What is not encoded is told once.
            (None, true) | (Some(_), _) => None,
        }
    }
}

impl<'i> Keyword<'i> for Content {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.fault(value).map_or(Ok(()), |fault| Err(ValidationError::custom(fault)))
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.fault(value).is_none()
    }
}
