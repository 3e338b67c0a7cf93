//! What the Connection fields of a request may nominate (RFC 9110 section 7.6.1).

use super::{Malformation, is_token, trim};

/// The most options of all Connection fields together. pingora refuses more, but only once the request is admitted.
const MOST: u8 = 9;

/// What belongs to the whole way and not to one hop: what frames the message, and what names its host or its sender.
const PROTECTED: [&[u8]; 6] =
    [b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"];

/// Counts the options of the Connection fields of one head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nominations(u8);

impl Nominations {
    /// Judges the value of one Connection field. Empty list elements are legal.
    pub(super) fn read(&mut self, value: &[u8]) -> Result<(), Malformation> {
        for option in value.split(|&byte| byte == b',').map(trim).filter(|option| !option.is_empty()) {
            self.0 = self.0.saturating_add(1);
            // SECURITY: held by `a_connection_field_that_nominates_too_much_or_nonsense_is_refused`.
            let protected = PROTECTED.iter().any(|name| option.eq_ignore_ascii_case(name));
            if self.0 > MOST || protected || !is_token(option) {
                return Err(Malformation::Connection);
            }
        }
        Ok(())
    }
}
