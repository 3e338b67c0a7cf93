//! The value of an expression, on its own: it borrows nothing of the request.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp,
    CelType, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};

use super::functions::{Hierarchy, Matcher, SpiffeId, TrustDomain, rfc3339, seconds};

/// The largest integer that JSON numbers hold exactly everywhere.
const EXACT: i64 = (1 << 53) - 1;

/// Below this a whole double is written like an integer.
const WHOLE: f64 = 9.2e18;

/// The value of an expression.
#[derive(Clone)]
pub struct Computed {
    value: Arc<dyn Val>,
    parts: usize,
}

impl fmt::Debug for Computed {
    /// Says only the type: the value may be personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Computed").field(&self.value.get_type().name()).finish()
    }
}

impl Computed {
    /// `null`
    pub fn null() -> Self {
        Self { value: Arc::new(CelNull), parts: 1 }
    }

    /// A value of the settings: whole numbers are integers.
    pub(super) fn from_json(value: &Value) -> Self {
        let mut parts = 0;
        let value = from_json(value, &mut parts);
        Self { value: value.into(), parts }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.downcast_ref::<CelNull>().is_some()
    }

    /// What variables of Cerbos 0.51 keep of a value: of a hierarchy its levels, of SPIFFE nothing.
    pub(super) fn into_kept_by_0_51(self) -> Option<Self> {
        if let Some(hierarchy) = self.value.downcast_ref::<Hierarchy>() {
            let levels = hierarchy.levels().iter();
            let levels = levels.map(|level| -> Box<dyn Val> { Box::new(CelString::from(level.to_string())) });
            return Some(Self { value: Arc::new(CelList::from(levels.collect::<Vec<_>>())), parts: self.parts });
        }
        let is_spiffe = self.value.downcast_ref::<SpiffeId>().is_some()
            || self.value.downcast_ref::<TrustDomain>().is_some()
            || self.value.downcast_ref::<Matcher>().is_some();
        (!is_spiffe).then_some(self)
    }

    /// True or false; `None` when it is neither.
    pub fn as_bool(&self) -> Option<bool> {
        self.value.downcast_ref::<CelBool>().map(|answer| *answer.inner())
    }

    /// The value as JSON, by the rules of protocol buffers: integers beyond 2^53 are texts, bytes are base64, a duration is `90s`, a timestamp
    /// is RFC 3339. `None` where JSON has no such value.
    pub fn to_json(&self) -> Option<Value> {
        to_json(&*self.value)
    }

    pub(super) fn into_box(self) -> Box<dyn Val> {
        self.value.clone_as_boxed()
    }

    /// Copies a value. `None` when it is of a type that cannot be kept.
    pub(super) fn of(value: &dyn Val) -> Option<Self> {
        let mut parts = 0;
        let value = copy(value, &mut parts)?;
        Some(Self { value: value.into(), parts })
    }

    /// How many parts it has.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    pub(super) fn value(&self) -> &(dyn Val + 'static) {
        &*self.value
    }
}

impl PartialEq for Computed {
    fn eq(&self, other: &Self) -> bool {
        *self.value == *other.value
    }
}

fn from_json(value: &Value, parts: &mut usize) -> Box<dyn Val> {
    *parts += 1;
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.clone())),
        Value::Array(items) => {
            let items: Vec<Box<dyn Val>> = items.iter().map(|item| from_json(item, parts)).collect();
            Box::new(CelList::from(items))
        }
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (CelMapKey::String(CelString::from(key.clone())), from_json(value, parts)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}

fn copy(value: &dyn Val, parts: &mut usize) -> Option<Box<dyn Val>> {
    *parts += 1;
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        let items: Option<Vec<Box<dyn Val>>> = list.inner().iter().map(|item| copy(&**item, parts)).collect();
        return Some(Box::new(CelList::from(items?)));
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut entries: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::new();
        for (key, value) in map.inner() {
            entries.insert(copy_key(key), copy(&**value, parts)?);
        }
        return Some(Box::new(CelMap::from(entries)));
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Some(Box::new(text.clone().into_static()));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return Some(Box::new(CelBytes::from(bytes.inner().to_vec())));
    }
    scalar::<CelNull>(value)
        .or_else(|| scalar::<CelBool>(value))
        .or_else(|| scalar::<CelInt>(value))
        .or_else(|| scalar::<CelUInt>(value))
        .or_else(|| scalar::<CelDouble>(value))
        .or_else(|| scalar::<CelDuration>(value))
        .or_else(|| scalar::<CelTimestamp>(value))
        .or_else(|| scalar::<CelType>(value))
        .or_else(|| scalar::<Hierarchy>(value))
        .or_else(|| scalar::<SpiffeId>(value))
        .or_else(|| scalar::<TrustDomain>(value))
        .or_else(|| scalar::<Matcher>(value))
}

/// A copy of a value that never borrows.
fn scalar<T: cel::common::value::StaticVal>(value: &dyn Val) -> Option<Box<dyn Val>> {
    value.downcast_ref::<T>().map(T::clone_as_boxed)
}

fn copy_key(key: &CelMapKey<'_>) -> CelMapKey<'static> {
    match key {
        CelMapKey::Bool(key) => CelMapKey::Bool(*key),
        CelMapKey::Int(key) => CelMapKey::Int(*key),
        CelMapKey::UInt(key) => CelMapKey::UInt(*key),
        CelMapKey::String(key) => CelMapKey::String(key.clone().into_static()),
    }
}

fn to_json(value: &dyn Val) -> Option<Value> {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Some(text.inner().into());
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().iter().map(|item| to_json(&**item)).collect::<Option<Vec<_>>>().map(Value::Array);
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut object = Map::new();
        for (key, value) in map.inner() {
            let CelMapKey::String(key) = key else { return None };
            object.insert(key.inner().to_owned(), to_json(&**value)?);
        }
        return Some(Value::Object(object));
    }
    if let Some(number) = value.downcast_ref::<CelInt>().map(|number| *number.inner()) {
        let exact = (-EXACT..=EXACT).contains(&number);
        return Some(if exact { number.into() } else { number.to_string().into() });
    }
    if let Some(number) = value.downcast_ref::<CelUInt>().map(|number| *number.inner()) {
        let exact = i64::try_from(number).is_ok_and(|number| number <= EXACT);
        return Some(if exact { number.into() } else { number.to_string().into() });
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return double(*number.inner());
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return Some(STANDARD.encode(bytes.inner()).into());
    }
    if let Some(duration) = value.downcast_ref::<CelDuration>() {
        return Some(seconds(duration.inner()).into());
    }
    if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        return Some(rfc3339(time.inner()).into());
    }
    let truth = value.downcast_ref::<CelBool>().map(|answer| Value::Bool(*answer.inner()));
    truth.or_else(|| value.downcast_ref::<CelNull>().map(|_| Value::Null))
}

/// A double without a fraction is written without one.
#[expect(clippy::cast_possible_truncation, reason = "the number was seen to be whole and small enough")]
fn double(number: f64) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() < WHOLE && !(number == 0.0 && number.is_sign_negative()) {
        return Some((number as i64).into());
    }
    Number::from_f64(number).map(Value::Number)
}
