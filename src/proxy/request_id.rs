//! The id of a request: the client's own when it is well formed, else a new one.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::request::{Headers, Lookup};

/// The longest id that is kept, in bytes.
const LONGEST: usize = 128;

/// Letters, digits, `-`, `_` and `.`: safe in header fields, JSON and log lines.
#[derive(Clone, Debug)]
pub(super) struct RequestId(Box<str>);

impl RequestId {
    /// The client's own id, if it sent one that is well formed; else a new one.
    pub(super) fn of(headers: Headers<'_>) -> Self {
        match headers.single(&http::HeaderName::from_static("x-request-id")) {
            Lookup::One(value) => {
                value.to_str().ok().filter(|id| is_well_formed(id)).map_or_else(Self::new, |id| Self(id.into()))
            }
            Lookup::Absent | Lookup::Repeated | Lookup::Malformed => Self::new(),
        }
    }

    /// An id that no other request of this process has, and most likely none of another process.
    pub(super) fn new() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Not a secret, so the seed of a hash map will do. A generator for keys would gather entropy for tens of milliseconds first.
        let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
        Self(format!("{process:016x}-{:x}", COUNT.fetch_add(1, Relaxed)).into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_well_formed(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn id(values: &[&[u8]]) -> String {
        let mut map = HeaderMap::new();
        for value in values {
            map.append("x-request-id", HeaderValue::from_bytes(value).unwrap());
        }
        RequestId::of(Headers::new(&map)).as_str().to_owned()
    }

    #[test]
    fn a_well_formed_id_is_kept() {
        assert_eq!(id(&[b"abc-1_2.3"]), "abc-1_2.3");
    }

    #[test]
    fn an_id_that_could_break_a_log_line_is_replaced() {
        for values in [&[&b"a b"[..]][..], &[b"a\"b"], &[b""], &[b"\xff"], &[b"a", b"b"], &[&[b'a'; 129]], &[]] {
            let made = id(values);
            assert!(is_well_formed(&made) && made.len() > 16, "{made}");
        }
        assert_ne!(id(&[]), id(&[]));
    }
}
