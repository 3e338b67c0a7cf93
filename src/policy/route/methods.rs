//! The methods that a route or a rule takes.
//!
//! GET brings HEAD along, everywhere. TRACE and CONNECT cannot be named: nothing here can hold them.

use http::{HeaderValue, Method};
use thiserror::Error;

/// The methods of a route that names none, in the order in which `Allow` tells them.
const USUAL: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A set of methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// One bit for each of [`USUAL`].
    usual: u8,
    others: Vec<Method>,
}

/// Why a word is not a method that a policy may name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MethodError {
    /// Not a token (RFC 9110 section 5.6.2).
    #[error("`{0}` is not a method")]
    NotAToken(String),
    /// Methods are case-sensitive, so this one would never match.
    #[error("`{0}` is not in upper case, and methods are case-sensitive")]
    LowerCase(String),
    /// They have no place behind a gateway.
    #[error("`{0}` never passes the gateway")]
    NeverPasses(String),
}

impl MethodError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::NotAToken(_) => "write a method such as `GET`".to_owned(),
            Self::LowerCase(word) => format!("write `{}`", word.to_ascii_uppercase()),
            Self::NeverPasses(_) => "leave it out: such requests are refused on every route".to_owned(),
        }
    }
}

impl Methods {
    /// What a route without `methods` takes.
    pub fn usual() -> Self {
        Self { usual: (1 << USUAL.len()) - 1, others: Vec::new() }
    }

    /// Reads one method as a policy names it.
    ///
    /// # Errors
    /// What is wrong with the word.
    pub fn parse(word: &str) -> Result<Method, MethodError> {
        let method = Method::from_bytes(word.as_bytes()).map_err(|_| MethodError::NotAToken(word.to_owned()))?;
        if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(MethodError::LowerCase(word.to_owned()));
        }
        if method == Method::TRACE || method == Method::CONNECT {
            return Err(MethodError::NeverPasses(word.to_owned()));
        }
        Ok(method)
    }

    /// Adds a method, and HEAD with GET.
    pub fn insert(&mut self, method: Method) {
        match place(&method) {
            Some(bit) => self.usual |= bit,
            None if self.others.contains(&method) => {}
            None => self.others.push(method.clone()),
        }
        if method == Method::GET {
            self.insert(Method::HEAD);
        }
    }

    /// Is that method in the set?
    pub fn contains(&self, method: &Method) -> bool {
        match place(method) {
            Some(bit) => self.usual & bit != 0,
            None => self.others.contains(method),
        }
    }

    /// Every method of the set: the usual ones first, then the others as they were named.
    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        USUAL.iter().filter(|method| self.contains(method)).chain(&self.others)
    }

    /// The first method that both sets hold.
    pub fn shared<'a>(&'a self, other: &Self) -> Option<&'a Method> {
        self.iter().find(|method| other.contains(method))
    }

    /// Adds every method of the other set.
    pub fn extend(&mut self, other: &Self) {
        for method in other.iter() {
            self.insert(method.clone());
        }
    }

    /// May a request with one of these methods change something? (RFC 9110 section 9.2.1 calls the others safe.)
    pub fn write(&self) -> bool {
        self.iter().any(|method| !method.is_safe())
    }

    /// The set as a list with commas: the value of `Allow` (RFC 9110 section 10.2.1).
    pub fn render(&self) -> String {
        self.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The set as the value of `Allow`.
    pub(crate) fn allow(&self) -> HeaderValue {
        // A method is a token, and tokens with commas between them are always a header value.
        HeaderValue::try_from(self.render()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl FromIterator<Method> for Methods {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        let mut set = Self::default();
        for method in methods {
            set.insert(method);
        }
        set
    }
}

fn place(method: &Method) -> Option<u8> {
    USUAL.iter().position(|usual| usual == method).map(|place| 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_implies_head() {
        let methods: Methods = [Method::GET].into_iter().collect();
        assert!(methods.contains(&Method::HEAD));
        assert_eq!(methods.render(), "GET, HEAD");
    }

    #[test]
    fn without_methods_the_seven_usual_ones_are_taken_and_no_other() {
        assert_eq!(Methods::usual().render(), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        assert!(!Methods::usual().contains(&Method::from_bytes(b"PROPFIND").unwrap()));
        assert!(!Methods::usual().contains(&Method::TRACE));
    }

    #[test]
    fn trace_and_connect_never_pass() {
        for word in ["TRACE", "CONNECT"] {
            assert_eq!(Methods::parse(word), Err(MethodError::NeverPasses(word.into())));
        }
    }

    #[test]
    fn an_unusual_method_passes_once_it_is_named() {
        let methods: Methods = [Methods::parse("PROPFIND").unwrap()].into_iter().collect();
        assert!(methods.contains(&Method::from_bytes(b"PROPFIND").unwrap()));
        assert!(!methods.contains(&Method::GET));
    }

    #[test]
    fn a_method_in_lower_case_would_never_match() {
        assert_eq!(Methods::parse("get"), Err(MethodError::LowerCase("get".into())));
        assert_eq!(Methods::parse("GE T"), Err(MethodError::NotAToken("GE T".into())));
    }
}
