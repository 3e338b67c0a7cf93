//! One reading of the frame: may the head of a request be understood at all?
//!
//! Judges the raw bytes of an HTTP/1 head (RFC 9112) line by line as they arrive, and the fields of an HTTP/2 one (RFC 9113). It looks
//! only for what two programs could read in two ways; it builds nothing, and what the target means is decided in `target`.
//! Invariant: the verdict does not depend on how the bytes were cut.

mod h2;
mod nominations;
mod origin;

use memchr::{memchr, memrchr};
use thiserror::Error;

use super::Host;
use nominations::Nominations;

pub use h2::check_h2;
pub use origin::{Rewrite, in_origin_form};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Header fields at most.
    pub headers: usize,
    /// Bytes of the request target at most.
    pub target_bytes: usize,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireFault {
    /// 400 `request_malformed`.
    #[error(transparent)]
    Malformed(Malformation),
    /// 431 `headers_too_large`.
    #[error("the request has too many header fields")]
    TooManyHeaders,
    /// 431 `headers_too_large`.
    #[error("the request target is too long")]
    TargetTooLong,
}

impl WireFault {
    /// The public code of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "request_malformed",
            Self::TooManyHeaders | Self::TargetTooLong => "headers_too_large",
        }
    }
}

impl From<Malformation> for WireFault {
    fn from(malformation: Malformation) -> Self {
        Self::Malformed(malformation)
    }
}

/// What has two readings, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformation {
    /// A line feed without a carriage return before it.
    #[error("a line ends with a bare line feed")]
    BareLf,
    /// A carriage return that does not end a line.
    #[error("a carriage return stands inside a line")]
    BareCr,
    /// A NUL.
    #[error("the head has a NUL")]
    Nul,
    /// Another control character; in the request line a tab too.
    #[error("the head has a control character")]
    Control,
    /// A byte beyond ASCII in the request line.
    #[error("the request line has a byte beyond ASCII")]
    BeyondAscii,
    /// Not `method SP target SP version`.
    #[error("the request line is not a method, a target and a version with single spaces between")]
    RequestLine,
    /// Neither `HTTP/1.0` nor `HTTP/1.1`.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// A field that goes on in a second line.
    #[error("a header field is folded")]
    Fold,
    /// A field that does not begin with a token (in HTTP/1: and a colon).
    #[error("a header field does not begin with a name")]
    HeaderName,
    /// A Content-Length other than 1 to 19 digits.
    #[error("the content length is not one plain number")]
    ContentLength,
    /// A second Content-Length.
    #[error("the content length is repeated")]
    RepeatedContentLength,
    /// A Transfer-Encoding other than one `chunked`.
    #[error("the transfer encoding is not exactly `chunked`")]
    TransferEncoding,
    /// Transfer-Encoding in an HTTP/1.0 request.
    #[error("an HTTP/1.0 request has a transfer encoding")]
    ChunkedBefore11,
    /// Both Content-Length and Transfer-Encoding.
    #[error("the request has a content length and a transfer encoding")]
    LengthAndChunked,
    /// No Host (HTTP/2: no `:authority` either).
    #[error("the request names no host")]
    MissingHost,
    /// A second Host.
    #[error("the host is repeated")]
    RepeatedHost,
    /// A Host or `:authority` that is not `host[:port]`.
    #[error("the host is not `host[:port]`")]
    Host,
    /// A Connection field that is no list of tokens, is too long, or nominates what is not for one hop only.
    #[error("the connection field nominates too much, or what it must not")]
    Connection,
    /// The body ends early, or its chunks are broken.
    #[error("the body is not framed as announced")]
    Body,
    /// The bytes are no head of HTTP/1.
    #[error("the head breaks the grammar of HTTP/1")]
    NotOneHead,
    /// HTTP/2: a field value with white space around it, which HTTP/1 does not count as part of the value.
    #[error("a field value of an HTTP/2 request begins or ends with white space")]
    Padded,
    /// HTTP/2: Connection, Transfer-Encoding, Upgrade and their like.
    #[error("an HTTP/2 request has a field that belongs to a connection")]
    ConnectionField,
    /// HTTP/2: a TE other than `trailers`.
    #[error("the field `te` of an HTTP/2 request is not `trailers`")]
    Te,
    /// HTTP/2: Host is not what `:authority` is.
    #[error("the host differs from the authority")]
    HostDiffers,
    /// HTTP/2: a `:scheme` other than `http` and `https`, or none.
    #[error("the scheme is neither http nor https")]
    Scheme,
}

/// Judges one HTTP/1 head while it arrives.
#[derive(Clone, Debug)]
pub struct HeadScan {
    limits: HeadLimits,
    /// Start of the line that is not complete yet.
    line: usize,
    /// Bytes before this one hold no line feed behind `line`, and no forbidden control.
    seen: usize,
    fields: usize,
    /// `None` until the request line is judged.
    version: Option<Version>,
    framing: Framing,
    verdict: Option<Result<usize, WireFault>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: bool,
    chunked: bool,
    host: bool,
    nominations: Nominations,
}

impl HeadScan {
    /// A scan that has seen nothing.
    pub fn new(limits: HeadLimits) -> Self {
        let framing = Framing::default();
        Self { limits, line: 0, seen: 0, fields: 0, version: None, framing, verdict: None }
    }

    /// Judges what is new in `buffered`, which holds everything from the first byte of the head on: each call gives the bytes of the one
    /// before, and more. Answers where the head ends (behind its empty line), once it does. A verdict is final.
    ///
    /// The length of the whole head is for the caller to limit.
    pub fn feed(&mut self, buffered: &[u8]) -> Result<Option<usize>, WireFault> {
        if let Some(verdict) = self.verdict {
            return verdict.map(Some);
        }
        let outcome = self.advance(buffered);
        self.verdict = outcome.transpose();
        outcome
    }

    fn advance(&mut self, buffered: &[u8]) -> Result<Option<usize>, WireFault> {
        loop {
            let fresh = buffered.get(self.seen..).unwrap_or_default();
            let Some(length) = memchr(b'\n', fresh) else {
                self.seen += self.begun(fresh)?;
                return Ok(None);
            };
            let end = self.seen + length;
            let line = buffered.get(self.line..end).unwrap_or_default();
            (self.line, self.seen) = (end + 1, end + 1);
            if self.judge(line)? == Line::Last {
                return Ok(Some(end + 1));
            }
        }
    }

    /// Judges the bytes of a line that is not complete; answers how many are done with. A final CR waits for its LF.
    fn begun(&self, fresh: &[u8]) -> Result<usize, Malformation> {
        let text = fresh.strip_suffix(b"\r").unwrap_or(fresh);
        self.characters(text)?;
        Ok(text.len())
    }

    /// Judges a line, given without its LF.
    fn judge(&mut self, line: &[u8]) -> Result<Line, WireFault> {
        let ended = line.strip_suffix(b"\r");
        let text = ended.unwrap_or(line);
        self.characters(text)?;
        // SECURITY: held by `a_bare_line_feed_is_refused`.
        if ended.is_none() {
            return Err(Malformation::BareLf.into());
        }
        match self.version {
            None => self.version = Some(request_line(text, self.limits.target_bytes)?),
            // Also in HTTP/1.0, which does not ask for a host: without one no route can be chosen.
            Some(_) if text.is_empty() && !self.framing.host => return Err(Malformation::MissingHost.into()),
            Some(_) if text.is_empty() => return Ok(Line::Last),
            Some(version) => self.field(text, version)?,
        }
        Ok(Line::Inner)
    }

    /// No control characters; a tab only in a field, a byte beyond ASCII only in a field.
    fn characters(&self, text: &[u8]) -> Result<(), Malformation> {
        let bad = match self.version {
            None => first(text, |byte| !matches!(byte, b' '..=b'~')),
            Some(_) => first(text, |byte| byte.is_ascii_control() && byte != b'\t'),
        };
        match bad {
            None => Ok(()),
            Some(b'\r') => Err(Malformation::BareCr),
            Some(0) => Err(Malformation::Nul),
            Some(0x80..) => Err(Malformation::BeyondAscii),
            Some(_) => Err(Malformation::Control),
        }
    }

    fn field(&mut self, line: &[u8], version: Version) -> Result<(), WireFault> {
        self.fields += 1;
        if self.fields > self.limits.headers {
            return Err(WireFault::TooManyHeaders);
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Malformation::Fold.into());
        }
        let (name, value) = split_at(line, memchr(b':', line)).ok_or(Malformation::HeaderName)?;
        if !is_token(name) {
            return Err(Malformation::HeaderName.into());
        }
        // Four names matter, and all differ in length.
        Ok(match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.framing.host(trim(value)),
            10 if name.eq_ignore_ascii_case(b"connection") => self.framing.nominations.read(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.framing.length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.framing.encoding(trim(value), version),
            _ => Ok(()),
        }?)
    }
}

impl Framing {
    fn host(&mut self, value: &[u8]) -> Result<(), Malformation> {
        // SECURITY: held by `a_host_that_is_missing_repeated_or_odd_is_refused`.
        if self.host {
            return Err(Malformation::RepeatedHost);
        }
        self.host = true;
        if Host::reads(value) { Ok(()) } else { Err(Malformation::Host) }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Malformation> {
        // SECURITY: held by `a_repeated_or_odd_content_length_is_refused` and `cl_te_smuggling_is_refused`.
        if self.length {
            return Err(Malformation::RepeatedContentLength);
        }
        if self.chunked {
            return Err(Malformation::LengthAndChunked);
        }
        self.length = true;
        if is_length(value) { Ok(()) } else { Err(Malformation::ContentLength) }
    }

    fn encoding(&mut self, value: &[u8], version: Version) -> Result<(), Malformation> {
        // SECURITY: held by `te_te_smuggling_is_refused` and `cl_te_smuggling_is_refused`.
        if self.length {
            return Err(Malformation::LengthAndChunked);
        }
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformation::TransferEncoding);
        }
        self.chunked = true;
        match version {
            Version::Http10 => Err(Malformation::ChunkedBefore11),
            Version::Http11 => Ok(()),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Line {
    Inner,
    /// The empty line that ends the head.
    Last,
}

fn request_line(line: &[u8], target_bytes: usize) -> Result<Version, WireFault> {
    let (method, rest) = split_at(line, memchr(b' ', line)).ok_or(Malformation::RequestLine)?;
    let (target, version) = split_at(rest, memrchr(b' ', rest)).ok_or(Malformation::RequestLine)?;
    // SECURITY: held by `a_request_line_with_other_than_two_single_spaces_is_refused`.
    if !is_token(method) || target.is_empty() || memchr(b' ', target).is_some() {
        return Err(Malformation::RequestLine.into());
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Malformation::Version.into()),
    };
    if target.len() > target_bytes { Err(WireFault::TargetTooLong) } else { Ok(version) }
}

/// One plain decimal number that fits 64 bits.
fn is_length(value: &[u8]) -> bool {
    (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
}

/// The first byte that is `bad`. There is none in nearly every line, and that is told without a branch a byte.
fn first(text: &[u8], bad: impl Fn(u8) -> bool) -> Option<u8> {
    let any = text.iter().fold(false, |any, &byte| any | bad(byte));
    if any { text.iter().copied().find(|&byte| bad(byte)) } else { None }
}

/// What stands before and behind the byte at `at`.
fn split_at(line: &[u8], at: Option<usize>) -> Option<(&[u8], &[u8])> {
    let (before, rest) = line.split_at_checked(at?)?;
    Some((before, rest.get(1..)?))
}

/// Without the optional white space around a field value (RFC 9110 section 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A token (RFC 9110 section 5.6.2).
pub fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| TOKEN.get(usize::from(byte)).copied().unwrap_or(false))
}

static TOKEN: [bool; 256] = token_table();

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let (mut rest, mut byte): (&mut [bool], u8) = (&mut table, 0);
    while let Some((slot, more)) = rest.split_first_mut() {
        *slot = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
            || byte.is_ascii_alphanumeric();
        rest = more;
        byte = byte.wrapping_add(1);
    }
    table
}

#[cfg(test)]
mod tests;
