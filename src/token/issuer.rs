//! User pools and the issuers that their tokens name.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// An `iss` value, compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer(Box<str>);

impl Issuer {
    /// An issuer as the settings give it.
    pub fn new(issuer: &str) -> Self {
        Self(issuer.into())
    }

    /// The value of `iss`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a Cognito user pool: `<region>_<alphanumerics>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPoolId {
    id: Box<str>,
    region_length: usize,
}

/// The text is no user pool id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a user pool id such as `eu-west-1_a1B2c3D4e`")]
pub struct UserPoolIdError(String);

impl UserPoolId {
    /// The AWS region that the pool lives in.
    pub fn region(&self) -> &str {
        self.id.get(..self.region_length).unwrap_or_default()
    }

    /// Both issuer forms that AWS documents for one pool.
    pub fn issuers(&self) -> [Issuer; 2] {
        let (region, id) = (self.region(), &self.id);
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        [
            Issuer::new(&format!("https://cognito-idp.{region}.{domain}/{id}")),
            Issuer::new(&format!("https://issuer-cognito-idp.{region}.{domain}/{id}")),
        ]
    }
}

impl fmt::Display for UserPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl FromStr for UserPoolId {
    type Err = UserPoolIdError;

    fn from_str(text: &str) -> Result<Self, UserPoolIdError> {
        let refuse = || UserPoolIdError(text.to_owned());
        let (region, pool) = text.split_once('_').ok_or_else(refuse)?;
        let is_region = region.split('-').count() >= 3
            && region
                .split('-')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        let is_pool = (1..=55).contains(&pool.len()) && pool.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_region && is_pool { Ok(Self { id: text.into(), region_length: region.len() }) } else { Err(refuse()) }
    }
}
