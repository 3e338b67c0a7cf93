//! Who is asking?
//!
//! Finds the one credential of a request, has its token verified, and makes the [`Principal`]. Principals are made nowhere else.

mod credential;
mod principal;

pub use credential::{Credential, CredentialSource};
pub use principal::{Kind, Principal, RESERVED_ROLES, Verified};

/// Does a route look at credentials?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// A request without a credential is 401.
    Required,
    /// A request without a credential is anonymous; one that is presented must verify.
    Optional,
    /// Credentials are not looked at: everybody is anonymous.
    None,
}
