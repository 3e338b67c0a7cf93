//! A moment as RFC 3339 writes it.

use crate::{policy::cerbos::Clock, time::UnixTime};

const DAY: i64 = 24 * 60 * 60;

/// The moment that `text` names; `None` where it is no RFC 3339 timestamp, or one before 1970.
pub(super) fn parse(text: &str) -> Option<Clock> {
    let (date, time) = text.split_once('T')?;
    let days = days(&numbers::<3>(date, '-', [4, 2, 2])?)?;
    let (time, offset) = zone(time)?;
    let (time, nanos) = match time.split_once('.') {
        Some((time, fraction)) => (time, fraction_of_a_second(fraction)?),
        None => (time, 0),
    };
    let [hour, minute, second] = numbers::<3>(time, ':', [2, 2, 2])?;
    // A leap second counts as the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset;
    let time = UnixTime::from_seconds(u64::try_from(seconds).ok()?);
    (time <= UnixTime::MAX).then_some(Clock { time, nanos })
}

/// Numbers of just so many digits each, `mark` between them.
fn numbers<const N: usize>(text: &str, mark: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(mark);
    let mut found = [0; N];
    for (found, digits) in found.iter_mut().zip(digits) {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *found = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// The time without its zone, and the seconds by which the zone is ahead.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let (time, zone) = text.split_at_checked(text.rfind(['+', '-'])?)?;
    let (sign, zone) = zone.split_at_checked(1)?;
    let [hours, minutes] = numbers::<2>(zone, ':', [2, 2])?;
    let ahead = hours * 3600 + minutes * 60;
    (hours <= 23 && minutes <= 59).then_some((time, if sign == "-" { -ahead } else { ahead }))
}

fn fraction_of_a_second(digits: &str) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(&[year, month, day]: &[i64; 3]) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the day that some have more stands at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let since_march = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + since_march - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_with_its_zone_and_its_fraction() {
        let good = [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T23:59:59Z", 951_868_799, 0),
            ("2022-08-02T15:00:00Z", 1_659_452_400, 0),
            ("2021-04-22T10:05:20.021-05:00", 1_619_103_920, 21_000_000),
            ("2021-04-22T20:35:20.123456789+05:30", 1_619_103_920, 123_456_789),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ];
        for (text, seconds, nanos) in good {
            assert_eq!(parse(text), Some(Clock { time: UnixTime::from_seconds(seconds), nanos }), "{text}");
        }
        let bad = [
            "",
            "blah",
            "2022-08-02",
            "2022-08-02T15:00Z",
            "2022-08-02 15:00:00Z",
            "2022-08-02T15:00:00",
            "2022-13-02T15:00:00Z",
            "2022-02-29T15:00:00Z",
            "1900-02-29T15:00:00Z",
            "2022-08-02T24:00:00Z",
            "2022-08-02T15:60:00Z",
            "2022-08-02T15:00:00.Z",
            "2022-08-02T15:00:00+5:00",
            "2022-08-02T15:00:00.1234567890Z",
            "1969-12-31T23:59:59Z",
            "2022-8-2T15:00:00Z",
            "2022-08-02T15:00:00Zjunk",
            "+022-08-02T15:00:00Z",
            "2022-08-02T15:00:00Ä",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
