//! Times and sizes as people write them: `500ms`, `5s`, `2m`, `24h`; `512B`, `64KiB`, `10MiB`, `1GiB`.
//!
//! A number without a unit is refused: nobody should have to know whether `5` means seconds or milliseconds.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

/// A duration in the notation of settings and policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a duration such as `500ms`, `5s`, `2m` or `24h`")]
pub struct SpanError(String);

/// Units of a [`Span`] in milliseconds, the longest first.
const SPANS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Span {
    /// So many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// So many minutes.
    pub const fn minutes(count: u64) -> Self {
        Self::seconds(count * 60)
    }

    /// So many hours.
    pub const fn hours(count: u64) -> Self {
        Self::minutes(count * 60)
    }

    /// The duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refuse = || SpanError(text.to_owned());
        let (count, unit) = split(text).ok_or_else(refuse)?;
        let (_, millis) = SPANS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        count.checked_mul(*millis).map(Self::millis).ok_or_else(refuse)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match SPANS.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit))) {
            Some((name, unit)) => write!(f, "{}{name}", millis / u128::from(*unit)),
            None => f.write_str("0s"),
        }
    }
}

/// A number of bytes in the notation of settings and policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// The text is no size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a size such as `512B`, `64KiB`, `10MiB` or `1GiB`")]
pub struct ByteSizeError(String);

/// Units of a [`ByteSize`], the largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// So many units of 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many units of 1024 KiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many units of 1024 MiB.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    pub const fn count(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let refuse = || ByteSizeError(text.to_owned());
        let (count, unit) = split(text).ok_or_else(refuse)?;
        let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
        count.checked_mul(*bytes).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0B"),
        }
    }
}

/// Digits, then letters; nothing between, before or after.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at_checked(digits)?;
    Some((count.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [("500ms", 500), ("5s", 5000), ("2m", 120_000), ("24h", 86_400_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Span::millis(millis)), "{text}");
        }
        for text in [
            "5",
            "",
            "s",
            "5 s",
            "-5s",
            "+5s",
            "1.5s",
            "5S",
            "5d",
            "5ss",
            "٥s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1GiB", 1_073_741_824)] {
            assert_eq!(text.parse(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
        for text in ["64", "", "KiB", "64 KiB", "64KB", "64kib", "64K", "-1B", "1.5MiB", "17179869184GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_value() {
        for span in [Span::millis(0), Span::millis(1500), Span::seconds(90), Span::minutes(2), Span::hours(720)] {
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for size in [ByteSize::bytes(0), ByteSize::bytes(1025), ByteSize::kib(64), ByteSize::mib(10), ByteSize::gib(64)]
        {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
