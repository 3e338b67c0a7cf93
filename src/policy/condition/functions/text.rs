//! Texts as Go has them: positions in texts, and numbers and times written out.

use cel::common::types::{
    CelDouble, CelDuration, CelInt, CelString, CelTimestamp, DYN_TYPE, INT_TYPE, STRING_TYPE, TIMESTAMP_TYPE,
};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};
use chrono::{DateTime, Duration, FixedOffset, Timelike};

/// Declares what takes the place of the interpreter's own functions.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let (two, three) = (|| vec![STRING_TYPE, STRING_TYPE], || vec![STRING_TYPE, STRING_TYPE, INT_TYPE]);
    env.add_overload("@indexOf", "@indexOf(text,text)", two(), |arguments| find(&arguments, first_from))?;
    env.add_overload("@indexOf", "@indexOf(text,text,int)", three(), |arguments| find(&arguments, first_from))?;
    env.add_overload("@lastIndexOf", "@lastIndexOf(text,text)", two(), |arguments| find(&arguments, last_up_to))?;
    env.add_overload("@lastIndexOf", "@lastIndexOf(text,text,int)", three(), |arguments| find(&arguments, last_up_to))?;
    env.add_overload("@written", "@written(any)", vec![DYN_TYPE], written)?;
    env.add_overload("@timestamp", "@timestamp(text)", vec![STRING_TYPE], timestamp)?;
    for (id, own) in [("@timestamp(int)", INT_TYPE), ("@timestamp(timestamp)", TIMESTAMP_TYPE)] {
        env.add_overload("@timestamp", id, vec![own], |mut arguments| {
            let value = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
            let Some(seconds) = value.downcast_ref::<CelInt>() else { return Ok(value) };
            let time = DateTime::from_timestamp(*seconds.inner(), 0).map(|time| time.fixed_offset());
            time.and_then(in_range).map(CowVal::owned).ok_or_else(no_time)
        })?;
    }
    Ok(())
}

/// Where a text stands in another, counted in letters. Looked for behind the end it is not found, and nothing is found anywhere.
fn find<'b, 'v>(
    arguments: &[CowVal<'b, 'v>],
    search: impl Fn(&str, &str, Option<usize>) -> Option<usize>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text =
        |at: usize| arguments.get(at).and_then(|text| text.downcast_ref::<CelString<'v>>()).map(CelString::inner);
    let (Some(whole), Some(part)) = (text(0), text(1)) else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let offset = match arguments.get(2).and_then(|offset| offset.downcast_ref::<CelInt>()) {
        None => None,
        Some(offset) => Some(
            usize::try_from(*offset.inner())
                .map_err(|_| ExecutionError::function_error("indexOf", "a negative offset"))?,
        ),
    };
    let found = match offset {
        Some(offset) if part.is_empty() => Some(offset),
        Some(offset) => whole.char_indices().nth(offset).and_then(|(at, _)| search(whole, part, Some(at))),
        None => search(whole, part, None),
    };
    let letters = match (found, part.is_empty() && offset.is_some()) {
        (Some(at), true) => i64::try_from(at),
        (Some(at), false) => i64::try_from(whole.get(..at).map_or(0, |before| before.chars().count())),
        (None, _) => Ok(-1),
    };
    Ok(CowVal::owned(CelInt::from(letters.unwrap_or(i64::MAX))))
}

/// The first place from a byte on.
fn first_from(whole: &str, part: &str, from: Option<usize>) -> Option<usize> {
    let from = from.unwrap_or_default();
    whole.get(from..)?.find(part).map(|at| from + at)
}

/// The last place that begins at a byte or before.
fn last_up_to(whole: &str, part: &str, at: Option<usize>) -> Option<usize> {
    let end = at.map_or(whole.len(), |at| whole.len().min(at + part.len()));
    memchr::memmem::rfind(whole.as_bytes().get(..end)?, part.as_bytes())
}

/// What `string()` is to write differently from the interpreter: doubles, times and durations.
fn written<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return Ok(CowVal::owned(CelString::from(double(*number.inner()))));
    }
    if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        return Ok(CowVal::owned(CelString::from(rfc3339(time.inner()))));
    }
    if let Some(duration) = value.downcast_ref::<CelDuration>() {
        return Ok(CowVal::owned(CelString::from(seconds(duration.inner()))));
    }
    Ok(value)
}

/// A double as Go's `%g` writes it: with an exponent from a million on, and below a ten-thousandth.
pub(in crate::policy) fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if exponent < -4 => format!("{digits}e-{:02}", exponent.unsigned_abs()),
        Ok(exponent) if exponent >= 6 => format!("{digits}e+{exponent:02}"),
        Ok(_) | Err(_) => number.to_string(),
    }
}

/// A time as RFC 3339 writes it, in its own zone, with no more digits than it has.
pub(in super::super) fn rfc3339(time: &DateTime<FixedOffset>) -> String {
    let fraction = match time.nanosecond() % 1_000_000_000 {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    let zone = if time.offset().local_minus_utc() == 0 { "Z".to_owned() } else { time.format("%:z").to_string() };
    format!("{}{fraction}{zone}", time.format("%Y-%m-%dT%H:%M:%S"))
}

/// `90s`, `-1.5s`: seconds as a double, so that a long duration loses its last nanoseconds, as it does in Cerbos.
#[expect(clippy::cast_precision_loss, reason = "that is what is written")]
pub(in super::super) fn seconds(duration: &Duration) -> String {
    let seconds = duration.num_seconds() as f64 + f64::from(duration.subsec_nanos()) / 1e9;
    format!("{seconds}s")
}

/// A time out of a text: RFC 3339, with capital letters.
fn timestamp<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = arguments.first().and_then(|text| text.downcast_ref::<CelString<'v>>());
    let text = text.ok_or(ExecutionError::MissingArgumentOrTarget)?.inner();
    let is_strict = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
    // A leap second is no time in Go.
    let is_leap = |time: &DateTime<FixedOffset>| time.nanosecond() >= 1_000_000_000;
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|time| is_strict && !is_leap(time));
    time.and_then(in_range).map(CowVal::owned).ok_or_else(no_time)
}

/// The language's times are those from the year 1 to the year 9999.
fn in_range(time: DateTime<FixedOffset>) -> Option<CelTimestamp> {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;
    (FIRST..=LAST).contains(&time.timestamp()).then(|| CelTimestamp::from(time))
}

fn no_time() -> ExecutionError {
    ExecutionError::function_error("timestamp", "not a time")
}
