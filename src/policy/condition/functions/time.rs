//! `duration("1h30m")`: the texts that Go reads as durations, exactly; and times in UTC.

use cel::common::types::{CelDuration, CelString, CelTimestamp, DURATION_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};

/// Declares `@duration`, which takes the place of the interpreter's own: that one passes over what stands behind a duration.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("@duration", "@duration(string)", vec![STRING_TYPE], |arguments| {
        let text = arguments.first().and_then(|text| text.downcast_ref::<CelString<'_>>());
        let duration = parse(text.ok_or(ExecutionError::MissingArgumentOrTarget)?.inner());
        let duration = duration.ok_or_else(|| ExecutionError::function_error("duration", "not a duration"))?;
        Ok(CowVal::owned(CelDuration::from(chrono::Duration::nanoseconds(duration))))
    })?;
    env.add_overload("@duration", "@duration(duration)", vec![DURATION_TYPE], |mut arguments| {
        arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)
    })
}

/// `@utc(time)`: the parts of a time are told in UTC, unless a zone is named. Other values pass.
pub(super) fn utc<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    Ok(match value.downcast_ref::<CelTimestamp>() {
        Some(time) => CowVal::owned(CelTimestamp::from(time.inner().to_utc().fixed_offset())),
        None => value,
    })
}

/// `@since(now, time)`: what lies between, at most the longest duration there is (292 years), as Go has it.
pub(super) fn since<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let time = |value: &CowVal<'b, 'v>| value.downcast_ref::<CelTimestamp>().map(|time| *time.inner());
    let [now, then] = arguments.as_slice() else { return Err(ExecutionError::MissingArgumentOrTarget) };
    let (Some(now), Some(then)) = (time(now), time(then)) else {
        return Err(ExecutionError::function_error("timeSince", "not a timestamp"));
    };
    let between = now.signed_duration_since(then);
    let (least, most) = (chrono::Duration::nanoseconds(i64::MIN), chrono::Duration::nanoseconds(i64::MAX));
    Ok(CowVal::owned(CelDuration::from(between.clamp(least, most))))
}

/// Nanoseconds. `None` when it is not a duration, or one beyond 292 years.
fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum: i128 = 0;
    loop {
        let (part, after) = take_part(rest)?;
        sum = sum.checked_add(part)?;
        if after.is_empty() {
            return i64::try_from(if negative { -sum } else { sum }).ok();
        }
        rest = after;
    }
}

/// One number with its unit, and what follows.
fn take_part(text: &str) -> Option<(i128, &str)> {
    let (whole, rest) = take_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => take_digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|letter: char| letter == '.' || letter.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(end)?;
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    };
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits beyond the eighteenth are far below a nanosecond.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some((whole.checked_mul(unit)?.checked_add(fraction * unit / scale)?, rest))
}

fn take_digits(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_to_its_end() {
        for (text, expected) in [
            ("1s", Some(1_000_000_000)),
            ("-1.5h", Some(-5_400_000_000_000)),
            ("+90s", Some(90_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5ns", Some(1)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("1us1µs1μs", Some(3_000)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("9223372036854775808ns", None),
            ("0.0000000000000000000000000000000001s", Some(0)),
            ("", None),
            ("1", None),
            ("s", None),
            (".s", None),
            ("1 s", None),
            ("1s ", None),
            ("1sx", None),
            ("1e3s", None),
            ("infs", None),
            ("--1s", None),
            ("1d", None),
            ("99999999999999999999999999999999999999999h", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
