//! Is this token genuine?
//!
//! `Verifier::verify` makes the checks in a written order and is the only maker of [`Claims`]. `jsonwebtoken` checks the
//! signature and nothing else: its own claim checks read the wall clock and pass tokens whose `iss` or `aud` is absent.
//! Reads no clock, fetches nothing: keys and `now` are arguments.

mod claims;
mod error;
mod issuer;
mod provider;
mod raw;

pub use claims::Claims;
pub use error::TokenError;
pub use issuer::{Issuer, UserPoolId, UserPoolIdError};
pub use provider::{Clients, Dialect, Provider, ProviderId, TokenUse, TokenUses};
pub use raw::RawToken;
