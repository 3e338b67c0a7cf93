//! What an evaluation may cost, as a value that functions are handed.
//!
//! `@meter` stands for it in compiled expressions: it cannot be written in a text. Functions whose work is more than the length of what they
//! are given charge it first, and whatever builds a value is charged for the value.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};

use super::super::WORK;
use super::hierarchy::Hierarchy;

static METER: Type = Type::new_unspecified_type("@meter");

/// What a part of a value costs where it is built, and what so many bytes of text cost one of.
const PART: usize = 4;
const BYTES: usize = 8;

/// Up to where whole doubles are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Counts the work of one evaluation.
#[derive(Debug, Default)]
pub(in super::super) struct Meter {
    spent: AtomicUsize,
}

impl Meter {
    /// Counts work. An error when there was too much.
    pub(in super::super) fn charge(&self, work: usize) -> Result<(), ExecutionError> {
        let before = self.spent.fetch_add(work.min(WORK + 1), Ordering::Relaxed);
        if before.saturating_add(work) > WORK {
            return Err(ExecutionError::function_error("@meter", ""));
        }
        Ok(())
    }

    /// Was there too much?
    pub(in super::super) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed) > WORK
    }
}

impl Val for Meter {
    fn get_type(&self) -> &Type {
        &METER
    }

    fn cel_type() -> &'static Type {
        &METER
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Self { spent: AtomicUsize::new(self.spent.load(Ordering::Relaxed)) })
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Meter {}

/// The meter of a call, and its other arguments.
pub(super) fn metered<'c, 'b, 'v>(
    arguments: &'c [CowVal<'b, 'v>],
) -> Result<(&'c Meter, &'c [CowVal<'b, 'v>]), ExecutionError> {
    let (meter, rest) = arguments.split_first().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    Ok((meter.downcast_ref::<Meter>().ok_or(ExecutionError::MissingArgumentOrTarget)?, rest))
}

/// `@kept(@meter, value)` is the value, paid for.
// SECURITY: `a_text_that_doubles_itself_stops_at_the_budget`.
pub(super) fn kept<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(&arguments)?;
    let value = rest.first().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    meter.charge(weight(value.as_ref()))?;
    arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)
}

/// `@key(@meter, value)` is a key of a map, paid for. A number out of JSON that is whole is an integer here: the interpreter's maps have no
/// doubles as keys, and look numbers of all types up by value.
#[expect(clippy::cast_possible_truncation, reason = "the number was seen to be whole and small enough")]
pub(super) fn key<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = kept(arguments)?;
    Ok(match value.downcast_ref::<CelDouble>().map(|number| *number.inner()) {
        Some(number) if number.fract() == 0.0 && number.abs() < EXACT => CowVal::owned(CelInt::from(number as i64)),
        Some(_) | None => value,
    })
}

/// What it costs to build a value.
pub(super) fn weight(value: &dyn Val) -> usize {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return PART + text.inner().len() / BYTES;
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list.inner().iter().fold(PART, |sum, item| sum + weight(&**item));
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        return map.inner().iter().fold(PART, |sum, (key, value)| sum + key_weight(key) + weight(&**value));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return PART + bytes.inner().len() / BYTES;
    }
    value.downcast_ref::<Hierarchy>().map_or(PART, |hierarchy| PART * (1 + hierarchy.levels().len()))
}

fn key_weight(key: &CelMapKey<'_>) -> usize {
    match key {
        CelMapKey::String(text) => PART + text.inner().len() / BYTES,
        CelMapKey::Bool(_) | CelMapKey::Int(_) | CelMapKey::UInt(_) => PART,
    }
}
