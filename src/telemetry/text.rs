//! Text that came from outside, made fit for a line that an operator reads: short, and without tokens.
//!
//! Redaction is the second net: callers do not hand tokens to telemetry in the first place. It is written so that it rather hides too
//! much. Escaping is not done here but where JSON is written.

use std::borrow::Cow;

/// Stands where a token stood.
pub(crate) const REDACTED: &str = "[redacted]";

/// Stands where a value was cut off.
pub(crate) const CUT: &str = "…";

/// The value without anything that looks like a token: a word that starts with `eyJ` (a JSON object in base64url), two base64url objects
/// with a dot between them wherever they stand, or whatever follows `Bearer `.
pub(crate) fn redact(value: &str) -> Cow<'_, str> {
    let mut clean: Option<String> = None;
    let mut rest = value;
    while let Some((start, end)) = next_secret(rest) {
        let (before, tail) = rest.split_at(start);
        let clean = clean.get_or_insert_with(|| String::with_capacity(value.len()));
        clean.push_str(before);
        clean.push_str(REDACTED);
        rest = tail.get(end.saturating_sub(start)..).unwrap_or_default();
    }
    match clean {
        None => Cow::Borrowed(value),
        Some(mut clean) => {
            clean.push_str(rest);
            Cow::Owned(clean)
        }
    }
}

/// The value, or its start and a mark, at most `most` bytes in all.
pub(crate) fn cap(value: &str, most: usize) -> Cow<'_, str> {
    if value.len() <= most {
        return Cow::Borrowed(value);
    }
    let end = value.floor_char_boundary_at(most.saturating_sub(CUT.len()));
    Cow::Owned(format!("{}{CUT}", value.get(..end).unwrap_or_default()))
}

/// Redacted first, then cut: a cut token would not look like one any more.
pub(crate) fn presentable(value: &str, most: usize) -> Cow<'_, str> {
    match redact(value) {
        Cow::Borrowed(value) => cap(value, most),
        Cow::Owned(value) => Cow::Owned(cap(&value, most).into_owned()),
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-01-31T23:59:59.999Z`.
pub(crate) fn rfc3339(since_epoch: std::time::Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since_epoch.subsec_millis())
}

/// Year, month and day in the Gregorian calendar of the day so many days after 1970-01-01. Years are counted from March, so that
/// the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468); // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Where the first secret of `value` starts and ends, in bytes. Both ends lie beside ASCII, or at the end of the value. Looks at each
/// byte a bounded number of times.
fn next_secret(value: &str) -> Option<(usize, usize)> {
    let bytes = value.as_bytes();
    let mut run_end = 0;
    memchr::memchr3_iter(b'e', b'b', b'B', bytes).find_map(|at| {
        let (before, rest) = bytes.split_at_checked(at)?;
        if at >= run_end {
            run_end = at + run(rest, is_base64url);
        }
        let mid_word = before.last().is_some_and(u8::is_ascii_alphanumeric);
        let is_token = rest.starts_with(b"eyJ") && !mid_word || is_object(rest) && is_payload(bytes.get(run_end..)?);
        let length =
            if is_token { Some(run(rest, |b| is_base64url(b) || matches!(b, b'.' | b'='))) } else { bearer(rest) };
        length.map(|length| (at, at + length))
    })
}

/// How long the credential is that starts `bytes`, its scheme included, if one does.
fn bearer(bytes: &[u8]) -> Option<usize> {
    let (_, value) = bytes.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))?;
    let ends = |b: u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'\\' | b',' | b'`');
    let length = run(value, |b| !ends(b));
    (length >= 16).then_some(length + 7)
}

/// Does the second part of a token start here, with its dot?
fn is_payload(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b".").is_some_and(is_object)
}

/// Is this base64url of something that starts with `{`, in whatever spelling of JSON?
fn is_object(bytes: &[u8]) -> bool {
    matches!(bytes, [b'e', b'w'..=b'z' | b'0'..=b'9' | b'-' | b'_', rest @ ..] if run(rest.get(..6).unwrap_or_default(), is_base64url) == 6)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|&&byte| belongs(byte)).count()
}

/// `str::floor_char_boundary`, which the oldest supported compiler lacks.
trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_are_cut_out_wherever_they_stand() {
        for (given, expected) in [
            ("no token here", "no token here"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", "[redacted]"),
            ("/reset/eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln/done", "/reset/[redacted]/done"),
            ("a=eyJhbGci b=eyJhbGci.eyJ.x", "a=[redacted] b=[redacted]"),
            ("/api/surveyJobs/7", "/api/surveyJobs/7"),
            ("token_eyJhbGciOiJSUzI1NiJ9", "token_[redacted]"),
            ("xeyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", "x[redacted]"),
            ("xewogICJhbGciOiAiUlMyNTYiCn0.eyAic3ViIjoidSJ9.c2ln", "x[redacted]"),
            ("ewogICJhbGciOiAiUlMyNTYiCn0.eyAic3ViIjoidSJ9.c2ln!", "[redacted]!"),
            ("Authorization: Bearer abcdefghijklmnop0123, x", "Authorization: [redacted], x"),
            ("\"authorization\": \"bearer abcdefghijklmnop0123\"", "\"authorization\": \"[redacted]\""),
            ("the bearer of news", "the bearer of news"),
            ("é eyJé", "é [redacted]é"),
            ("e2e.example.org", "e2e.example.org"),
            ("Bearer äöüäöüäöüäöü é", "[redacted] é"),
            ("", ""),
        ] {
            assert_eq!(redact(given), expected, "{given}");
        }
    }

    #[test]
    fn a_value_made_to_be_looked_at_again_and_again_costs_little() {
        let started = std::time::Instant::now();
        for unit in ["ew", "ew.", "bearer ", "bearer\t", "eewwwwwwww.", "e", "xeyJ", "Bearer"] {
            let value = unit.repeat(1 << 17);
            assert!(redact(&value).len() <= value.len() + REDACTED.len());
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "a quadratic scan takes many minutes");
    }

    #[test]
    fn a_long_value_is_cut_at_a_character_and_marked() {
        assert_eq!(cap("short", 512), "short");
        assert_eq!(cap("äääää", 10), "äääää");
        assert_eq!(cap("ääääää", 10), "äää…", "three bytes are kept for the mark, and no character is torn");
        assert_eq!(cap("abc", 2), "…", "a cap below the mark still tells that something is missing");
    }

    #[test]
    fn a_token_that_is_cut_by_the_cap_is_still_redacted() {
        let value = format!("{}eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", "x".repeat(505));
        let shown = presentable(&value, 512);
        assert!(!shown.contains("eyJ") && shown.len() <= 512, "{shown}");
    }

    #[test]
    fn times_are_rfc_3339() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_077_926_399_999, "2004-02-27T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_343_037_123, "2026-11-22T10:23:57.123Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(millis)), expected);
        }
    }
}
