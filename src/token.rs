//! Is this token genuine?
//!
//! [`Verifier::verify`] makes the checks in a written order and is the only maker of [`Claims`]. Its signature step stands alone
//! as [`verify_signature`], for texts that are no tokens. `jsonwebtoken` checks the signature and nothing else: its own claim
//! checks read the wall clock and pass tokens whose `iss` or `aud` is absent.
//! Reads no clock, fetches nothing: keys and `now` are arguments.

mod cache;
mod claims;
mod error;
mod header;
mod issuer;
mod jws;
mod keys;
mod provider;
mod raw;
mod verify;

#[cfg(test)]
pub(crate) mod testing;

pub use cache::TokenCache;
pub use claims::Claims;
pub use error::TokenError;
pub use header::signature_algorithm;
pub use issuer::{Issuer, UserPoolId, UserPoolIdError};
pub use jsonwebtoken::Algorithm;
pub use jws::{SignatureError, verify_signature};
pub use keys::{KeyRing, KeySet, KeySetError, SkipReason, SkippedKey};
pub use provider::{Clients, Dialect, Provider, ProviderId, TokenUse, TokenUses};
pub use raw::RawToken;
pub use verify::{Accepts, Verifier};
