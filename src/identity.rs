//! Who is asking?
//!
//! Finds the one credential of a request, has its token verified, and makes the [`Principal`]. Principals are made nowhere
//! else. Two credentials that differ are refused, never chosen between; a cookie counts only where no other site can have
//! sent it. Reads no clock and fetches nothing; asking twice costs time and changes nothing.

mod authenticator;
mod credential;
mod error;
mod origin;
mod principal;

pub use authenticator::{Authenticated, Authentication, Authenticator, Demands, Held, VerifiedTokens};
pub use credential::{Credential, CredentialSource, cookie_pairs, join_cookies};
pub use error::AuthenticationError;
pub use origin::{Origin, OriginError};
pub use principal::{Kind, Principal, RESERVED_ROLES, Verified};
