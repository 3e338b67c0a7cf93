//! Where a request ends on the wire.
//!
//! Follows the body of an HTTP/1 request byte by byte, so that what comes after it stays with the connection. Reads the framing from a
//! head that the scanner has accepted, and is as strict: sizes are hexadecimal, lines end with CR LF, trailers are fields. Keeps no byte.

use memchr::memchr;

use crate::request::wire::is_token;

/// The most bytes of chunk extensions and trailers in one body.
const EXTRAS: usize = 8 * 1024;

/// The framing has two readings, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Malformed;

/// The part of a request body that has not come yet.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edge) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks up to the last one, and its trailers.
    Chunked(Chunks),
}

impl Body {
    /// The framing that a head announces. The scanner has refused heads that announce two.
    pub(in crate::edge) fn announced(head: &[u8]) -> Result<Body, Malformed> {
        let mut body = Body::Length(0);
        let mut rest = head;
        let mut found = false;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at_checked(end + 1).ok_or(Malformed)?;
            rest = after;
            let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else {
                continue;
            };
            let framing = match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => Body::Length(length(value)?),
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Body::Chunked(Chunks::default()),
                _ => continue,
            };
            // SECURITY: `content_length_with_transfer_encoding_is_refused`; the scanner refuses it too.
            if std::mem::replace(&mut found, true) {
                return Err(Malformed);
            }
            body = framing;
        }
        Ok(body)
    }

    /// Whether the body is complete.
    pub(in crate::edge) fn is_complete(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.step == Step::Complete,
        }
    }

    /// How many of these bytes belong to the body; the rest is the next request's.
    pub(in crate::edge) fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match self {
            Body::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Body::Chunked(chunks) => chunks.take(bytes),
        }
    }
}

/// The value of a Content-Length line, `: 12\r\n`.
fn length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(digits.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Where a chunked body stands.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edge) struct Chunks {
    step: Step,
    extras: usize,
}

impl Default for Chunks {
    fn default() -> Chunks {
        Chunks { step: Step::Size { size: 0, digits: 0 }, extras: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    Trailer,
    TrailerName,
    TrailerText,
    TrailerLf,
    LastLf,
    Complete,
}

impl Chunks {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while self.step != Step::Complete {
            if let Step::Data { left } = self.step {
                let passed = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let Some((_, after)) = rest.split_at_checked(passed) else { break };
                rest = after;
                let left = left - passed as u64;
                self.step = if left == 0 { Step::DataCr } else { Step::Data { left } };
                if rest.is_empty() {
                    break;
                }
                continue;
            }
            let Some((byte, after)) = rest.split_first() else { break };
            rest = after;
            self.step = self.after(*byte)?;
        }
        Ok(bytes.len() - rest.len())
    }

    /// The step that follows, outside of data. A bare CR or LF is an error everywhere.
    fn after(&mut self, byte: u8) -> Result<Step, Malformed> {
        match (self.step, byte) {
            (Step::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                Ok(Step::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (Step::Size { size, digits: 1.. }, b'\r') => Ok(Step::SizeLf { size }),
            (Step::Size { size, digits: 1.. }, b';') => Ok(Step::Extension { size }),
            (Step::Extension { size }, b'\r') => Ok(Step::SizeLf { size }),
            (Step::Extension { size }, _) => self.extra(byte, Step::Extension { size }),
            (Step::SizeLf { size: 0 }, b'\n') => Ok(Step::Trailer),
            (Step::SizeLf { size }, b'\n') => Ok(Step::Data { left: size }),
            (Step::DataCr, b'\r') => Ok(Step::DataLf),
            (Step::DataLf, b'\n') => Ok(Step::Size { size: 0, digits: 0 }),
            (Step::Trailer, b'\r') => Ok(Step::LastLf),
            (Step::TrailerText, b'\r') => Ok(Step::TrailerLf),
            (Step::TrailerName, b':') => self.extra(byte, Step::TrailerText),
            // SECURITY: `a_trailer_that_is_no_field_is_malformed`.
            (Step::Trailer | Step::TrailerName, _) if is_token(&[byte]) => self.extra(byte, Step::TrailerName),
            (Step::TrailerText, _) => self.extra(byte, Step::TrailerText),
            (Step::TrailerLf, b'\n') => Ok(Step::Trailer),
            (Step::LastLf, b'\n') => Ok(Step::Complete),
            (
                Step::Size { .. }
                | Step::SizeLf { .. }
                | Step::DataCr
                | Step::DataLf
                | Step::Trailer
                | Step::TrailerName
                | Step::TrailerLf
                | Step::LastLf
                | Step::Data { .. }
                | Step::Complete,
                _,
            ) => Err(Malformed),
        }
    }

    fn extra(&mut self, byte: u8, next: Step) -> Result<Step, Malformed> {
        self.extras += 1;
        // SECURITY: `a_bare_line_feed_in_a_chunk_extension_is_malformed`.
        if self.extras > EXTRAS || (byte < 0x20 && byte != b'\t') || byte == 0x7f {
            return Err(Malformed);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunked() -> Body {
        Body::announced(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap()
    }

    /// The bytes that belong to the body, however they are cut up.
    fn check(bytes: &[u8], expect: Result<usize, Malformed>) {
        for piece in [1, 2, 3, 7, bytes.len()] {
            let mut body = chunked();
            let mut total = Ok(0);
            for part in bytes.chunks(piece) {
                match body.take(part) {
                    Ok(n) => total = total.map(|sum| sum + n),
                    Err(fault) => total = Err(fault),
                }
                if total.is_err() || body.is_complete() {
                    break;
                }
            }
            assert_eq!(total, expect, "{} in pieces of {piece}", bytes.escape_ascii());
            assert_eq!(body.is_complete(), expect.is_ok(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_next_request_stays_outside_a_chunked_body() {
        check(b"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n", Ok(13));
        check(b"A;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nrest", Ok(43));
        check(b"0\r\n\r\n", Ok(5));
    }

    #[test]
    fn a_bare_line_feed_in_a_chunk_extension_is_malformed() {
        check(b"3;a\nabc\r\n0\r\n\r\n", Err(Malformed));
        check(b"3\nabc\r\n0\r\n\r\n", Err(Malformed));
        check(b"3\r\nabc\n0\r\n\r\n", Err(Malformed));
        check(b"0\r\n\n", Err(Malformed));
    }

    #[test]
    fn a_trailer_that_is_no_field_is_malformed() {
        for trailer in [
            "a b: c",
            "a",
            "GET /admin HTTP/1.1",
            ": a",
            " a: b",
            "a: b\r\n c",
            "a\0: b",
            "a: b\0",
            "a: b\n",
            "\u{e9}: a",
        ] {
            check(format!("0\r\n{trailer}\r\n\r\n").as_bytes(), Err(Malformed));
        }
        check(b"0\r\na:\r\nb: \xe9 c:d\r\n\r\n", Ok(19));
    }

    #[test]
    fn a_chunk_size_with_another_reading_is_malformed() {
        for size in ["", "+3", " 3", "3 ", "0x3", "-1", "ffffffffffffffff", "3,3"] {
            check(format!("{size}\r\nabc\r\n0\r\n\r\n").as_bytes(), Err(Malformed));
        }
    }

    #[test]
    fn endless_chunk_extensions_are_malformed() {
        check(&[b"3;".as_slice(), &[b'a'; EXTRAS + 1]].concat(), Err(Malformed));
    }

    #[test]
    fn a_chunk_longer_than_its_size_is_malformed() {
        check(b"2\r\nabc\r\n0\r\n\r\n", Err(Malformed));
    }

    #[test]
    fn a_length_is_read_from_its_line() {
        let head = |line: &str| Body::announced(format!("POST / HTTP/1.1\r\n{line}\r\n\r\n").as_bytes());
        assert_eq!(head("Content-Length: 12"), Ok(Body::Length(12)));
        assert_eq!(head("content-length:12"), Ok(Body::Length(12)));
        assert_eq!(head("X-Other: 12"), Ok(Body::Length(0)));
        for bad in ["+1", "", "1,1", "0x1", "1 1", "99999999999999999999"] {
            assert_eq!(head(&format!("Content-Length: {bad}")), Err(Malformed), "{bad}");
        }
        assert_eq!(head("Content-Length: 1\r\nTransfer-Encoding: chunked"), Err(Malformed));
        assert_eq!(head("Content-Length: 1\r\nContent-Length: 1"), Err(Malformed));
    }

    #[test]
    fn a_length_takes_no_more_than_its_own() {
        let mut body = Body::Length(3);
        assert_eq!(body.take(b"ab"), Ok(2));
        assert_eq!(body.take(b"cGET"), Ok(1));
        assert!(body.is_complete());
    }

    /// Chunked bodies, most of them nearly right.
    fn raw_chunks() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => prop::sample::select(vec!["0\r\n", "3\r\nabc\r\n", "A\r\n0123456789\r\n", "\r\n", "1;a=b\r\nx\r\n", "X: y\r\n"]),
            2 => prop::sample::select(vec!["\n", "\r", ";", " ", "0x3", "+1", ":", "GET / HTTP/1.1\r\n", "fffffffffffffff\r\n", "\0"]),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
    }

    /// Where a body ends that comes in these pieces: how much of them it takes, or that it is malformed.
    fn taken(bytes: &[u8], cuts: &[usize]) -> Result<(usize, bool), Malformed> {
        let (mut body, mut total) = (chunked(), 0);
        let ends: Vec<usize> = cuts.iter().map(|cut| (*cut).min(bytes.len())).chain([bytes.len()]).collect();
        for end in ends {
            if end > total && !body.is_complete() {
                total += body.take(&bytes[total..end])?;
            }
        }
        Ok((total, body.is_complete()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn where_a_body_ends_does_not_depend_on_how_it_was_cut(bytes in raw_chunks(), mut cuts in prop::collection::vec(0usize..80, 0..8)) {
            cuts.sort_unstable();
            let whole = taken(&bytes, &[]);
            prop_assert_eq!(taken(&bytes, &cuts), whole);
            prop_assert_eq!(taken(&bytes, &(0..bytes.len()).collect::<Vec<_>>()), whole);
            if let Ok((end, true)) = whole {
                prop_assert!(bytes[..end].ends_with(b"\r\n\r\n"), "{}", bytes[..end].escape_ascii());
            }
        }
    }
}
