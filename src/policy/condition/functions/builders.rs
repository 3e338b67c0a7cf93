//! Functions that build texts and lists whose size a request may choose: measured before they are built.

use std::collections::HashMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cel::common::functions::Function;
use cel::common::types::{
    BYTES_TYPE, CelBool, CelBytes, CelInt, CelList, CelMap, CelMapKey, CelString, DYN_TYPE, INT_TYPE, LIST_TYPE,
    MAP_TYPE, STRING_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::hierarchy::Hierarchy;
use super::meter::{metered, weight};

/// Padding may be missing, and the last bits may be anything: as Go reads base64.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Declares them, each under its name behind an `@`, with the meter before the arguments.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    use self::{DYN_TYPE as METER, INT_TYPE as INT, LIST_TYPE as LIST, MAP_TYPE as MAP, STRING_TYPE as TEXT};
    let functions: [(&str, &str, Vec<Type>, Function); 10] = [
        ("@join", "list", vec![METER, LIST], |arguments| join(&arguments)),
        ("@join", "list,string", vec![METER, LIST, TEXT], |arguments| join(&arguments)),
        ("@replace", "all", vec![METER, TEXT, TEXT, TEXT], |arguments| replace(&arguments)),
        ("@replace", "some", vec![METER, TEXT, TEXT, TEXT, INT], |arguments| replace(&arguments)),
        ("@distinct", "list", vec![METER, LIST], |arguments| distinct(&arguments)),
        ("@lists.range", "int", vec![METER, INT], |arguments| range(&arguments)),
        ("@entries", "list", vec![METER, LIST], |arguments| list_entries(&arguments)),
        ("@entries", "map", vec![METER, MAP], |arguments| map_entries(&arguments)),
        ("@map", "list", vec![METER, LIST], |arguments| map(&arguments)),
        ("@merge", "list", vec![METER, LIST], |arguments| merge(&arguments)),
    ];
    for (name, id, types, function) in functions {
        env.add_overload(name, &format!("{name}({id})"), types, function)?;
    }
    env.add_overload("base64.encode", "base64.encode(bytes)", vec![BYTES_TYPE], |arguments| {
        let bytes = arguments.first().and_then(|bytes| bytes.downcast_ref::<CelBytes<'_>>());
        let bytes = bytes.ok_or(ExecutionError::MissingArgumentOrTarget)?;
        Ok(CowVal::owned(CelString::from(BASE64.encode(bytes.inner()))))
    })?;
    env.add_overload("base64.decode", "base64.decode(string)", vec![STRING_TYPE], |arguments| {
        let text = arguments.first().and_then(|text| text.downcast_ref::<CelString<'_>>());
        let text = text.ok_or(ExecutionError::MissingArgumentOrTarget)?.inner().replace(['\r', '\n'], "");
        let bytes = BASE64.decode(text).map_err(|_| ExecutionError::function_error("base64.decode", "not base64"))?;
        Ok(CowVal::owned(CelBytes::from(bytes)))
    })
}

const WRONG: ExecutionError = ExecutionError::MissingArgumentOrTarget;

fn text<'c>(argument: Option<&'c CowVal<'_, '_>>) -> Result<&'c str, ExecutionError> {
    argument.and_then(|argument| argument.downcast_ref::<CelString<'_>>()).map(CelString::inner).ok_or(WRONG)
}

fn list<'c, 'v>(argument: Option<&'c CowVal<'_, 'v>>) -> Result<&'c [Box<dyn Val + 'v>], ExecutionError> {
    argument.and_then(|argument| argument.downcast_ref::<CelList<'v>>()).map(|list| list.inner()).ok_or(WRONG)
}

fn int(argument: Option<&CowVal<'_, '_>>) -> Result<i64, ExecutionError> {
    argument.and_then(|argument| argument.downcast_ref::<CelInt>()).map(|number| *number.inner()).ok_or(WRONG)
}

fn number<'v>(at: usize) -> Box<dyn Val + 'v> {
    Box::new(CelInt::from(i64::try_from(at).unwrap_or(i64::MAX)))
}

fn join<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let separator = if rest.len() > 1 { text(rest.get(1))? } else { "" };
    let parts = list(rest.first())?.iter().map(|item| item.downcast_ref::<CelString<'_>>().map(CelString::inner));
    let parts: Vec<&str> =
        parts.collect::<Option<_>>().ok_or_else(|| ExecutionError::function_error("join", "not texts"))?;
    let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len() + separator.len()));
    meter.charge(length / 8)?;
    Ok(CowVal::owned(CelString::from(parts.join(separator))))
}

fn replace<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let (whole, from, to) = (text(rest.first())?, text(rest.get(1))?, text(rest.get(2))?);
    let limit = if rest.len() > 3 { usize::try_from(int(rest.get(3))?).ok() } else { None };
    let found = whole.matches(from).take(limit.unwrap_or(usize::MAX)).count();
    // SECURITY: replacing nothing by much multiplies lengths: `a_replacement_cannot_grow_beyond_the_budget`.
    meter.charge(found.saturating_mul(to.len()).saturating_add(whole.len()) / 8)?;
    Ok(CowVal::owned(CelString::from(whole.replacen(from, to, found))))
}

fn distinct<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let mut seen: Vec<Box<dyn Val + 'v>> = Vec::new();
    for item in list(rest.first())? {
        meter.charge(1 + seen.len())?;
        if !seen.iter().any(|known| item.equals(&**known)) {
            seen.push(item.clone());
        }
    }
    Ok(CowVal::owned(CelList::from(seen)))
}

fn range<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let size = usize::try_from(int(rest.first())?).unwrap_or_default();
    meter.charge(size.saturating_mul(4))?;
    Ok(CowVal::owned(CelList::from((0..size).map(number).collect::<Vec<_>>())))
}

/// `@has(value, field)`: `has(value.field)`. A value without entries lacks them all; a list, or a hierarchy, has none to lack.
pub(super) fn has<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, field] = arguments.as_slice() else {
        return Err(WRONG);
    };
    let is_present = match value.as_container() {
        Some(map) if *value.get_type() == MAP_TYPE => map.contains(field.as_ref())?,
        Some(_) => return Err(ExecutionError::function_error("has", "not a map")),
        None if value.downcast_ref::<Hierarchy>().is_some() => {
            return Err(ExecutionError::function_error("has", "not a map"));
        }
        None => false,
    };
    Ok(CowVal::owned(CelBool::from(is_present)))
}

fn pair<'v>(key: Box<dyn Val + 'v>, value: &(dyn Val + 'v)) -> Box<dyn Val + 'v> {
    Box::new(CelList::from(vec![key, value.clone_as_boxed()]))
}

/// The elements of a list, each behind its index.
fn list_entries<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let items = list(rest.first())?;
    meter.charge(items.iter().map(|item| 8 + weight(&**item)).sum())?;
    let pairs = items.iter().enumerate().map(|(at, item)| pair(number(at), &**item));
    Ok(CowVal::owned(CelList::from(pairs.collect::<Vec<_>>())))
}

/// The values of a map, each behind its key.
fn map_entries<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let map = rest.first().and_then(|map| map.downcast_ref::<CelMap<'v>>()).ok_or(WRONG)?;
    meter.charge(weight(map))?;
    let pairs = map.inner().iter().map(|(key, value)| pair(unpack(key), &**value));
    Ok(CowVal::owned(CelList::from(pairs.collect::<Vec<_>>())))
}

fn unpack<'v>(key: &CelMapKey<'v>) -> Box<dyn Val + 'v> {
    match key {
        CelMapKey::Bool(key) => Box::new(*key),
        CelMapKey::Int(key) => Box::new(*key),
        CelMapKey::UInt(key) => Box::new(*key),
        CelMapKey::String(key) => Box::new(key.clone()),
    }
}

/// A map of pairs of key and value. A key that stands twice is an error.
fn map<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let mut entries: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
    for item in list(rest.first())? {
        let Some([key, value]) = item.downcast_ref::<CelList<'v>>().map(|pair| pair.inner()) else {
            return Err(WRONG);
        };
        meter.charge(weight(&**value))?;
        insert(&mut entries, CelMapKey::try_from(CowVal::Borrowed(&**key))?, value.clone())?;
    }
    Ok(CowVal::owned(CelMap::from(entries)))
}

/// One map of many. A key that stands twice is an error.
fn merge<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(arguments)?;
    let mut entries: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
    for item in list(rest.first())? {
        let map = item.downcast_ref::<CelMap<'v>>().ok_or(WRONG)?;
        meter.charge(weight(map))?;
        for (key, value) in map.inner() {
            insert(&mut entries, key.clone(), value.clone())?;
        }
    }
    Ok(CowVal::owned(CelMap::from(entries)))
}

fn insert<'v>(
    entries: &mut HashMap<CelMapKey<'v>, Box<dyn Val + 'v>>,
    key: CelMapKey<'v>,
    value: Box<dyn Val + 'v>,
) -> Result<(), ExecutionError> {
    match entries.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(ExecutionError::function_error("transformMap", "a key stands twice")),
    }
}
