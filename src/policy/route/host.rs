//! The hosts that a route answers for: `api.example.com`, `*.example.com`.

use std::str::FromStr;

use thiserror::Error;

use crate::request::Host;

/// One entry of a route's `hosts`, in lower case. Ports are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Box<str>),
    /// Every host that ends in this and has something before it: held with its leading dot.
    Suffix(Box<str>),
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a host such as `api.example.com` or `*.example.com`")]
pub struct HostPatternError(String);

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (name, suffix) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let host = Host::parse(name.as_bytes()).ok();
        let host = host.filter(|host| host.port().is_none() && !name.ends_with(':') && !name.contains('*'));
        let Some(host) = host else { return Err(HostPatternError(text.to_owned())) };
        Ok(if suffix { Self::Suffix(format!(".{}", host.name()).into()) } else { Self::Exact(host.name().into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_held_in_lower_case() {
        assert_eq!("API.Example.com".parse(), Ok(HostPattern::Exact("api.example.com".into())));
        assert_eq!("*.Example.com".parse(), Ok(HostPattern::Suffix(".example.com".into())));
    }

    #[test]
    fn a_port_or_a_star_elsewhere_is_no_host_pattern() {
        for text in ["example.com:8080", "example.com:", "a.*.com", "*", "*.", "", "a/b"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
