//! The types of expressions.
//!
//! A type is a small tree: one that would have more than [`WIDEST`] leaves is `dyn` instead, so that no expression can build one that takes long
//! to go through.

use std::fmt;
use std::rc::Rc;

/// How many leaves a type has at most.
const WIDEST: usize = 64;

/// What is known of a value before there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Nothing: a value out of a request, or of mixed types.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Rc<Type>),
    Map(Rc<Type>, Rc<Type>),
    /// The type itself as a value, as in `type(x) == int`.
    Meta(Rc<Type>),
    Message(Message),
    /// A type that is not known yet.
    Variable(usize),
}

/// Values with fields, and values that only functions look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Principal,
    Resource,
    AuxiliaryData,
    Runtime,
    /// Variables, constants and globals.
    Variables,
    Hierarchy,
    SpiffeId,
    SpiffeTrustDomain,
    SpiffeMatcher,
}

impl Type {
    pub(super) fn list(element: Self) -> Self {
        Self::List(Rc::new(element)).bounded()
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Rc::new(key), Rc::new(value)).bounded()
    }

    pub(super) fn meta(value: Self) -> Self {
        Self::Meta(Rc::new(value)).bounded()
    }

    fn bounded(self) -> Self {
        if self.leaves() > WIDEST { Self::Dyn } else { self }
    }

    /// Its size, where a level counts too.
    fn leaves(&self) -> usize {
        1 + self.parts().into_iter().flatten().map(|part| part.leaves()).sum::<usize>()
    }

    /// The types that it is made of.
    pub(super) fn parts(&self) -> [Option<&Rc<Self>>; 2] {
        match self {
            Self::List(part) | Self::Meta(part) => [Some(part), None],
            Self::Map(key, value) => [Some(key), Some(value)],
            Self::Dyn
            | Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::String
            | Self::Bytes
            | Self::Timestamp
            | Self::Duration
            | Self::Message(_)
            | Self::Variable(_) => [None, None],
        }
    }

    /// May null stand in its place? The language says so of messages and of what is a message by descent.
    pub(super) fn is_nullable(&self) -> bool {
        matches!(self, Self::Null | Self::Message(_) | Self::Timestamp | Self::Duration)
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List(element) => return write!(f, "list({element})"),
            Self::Map(key, value) => return write!(f, "map({key}, {value})"),
            Self::Meta(value) => return write!(f, "type({value})"),
            Self::Dyn | Self::Variable(_) => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Message(message) => message.name(),
        })
    }
}

impl Message {
    /// As it stands in messages to authors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Principal => "principal",
            Self::Resource => "resource",
            Self::AuxiliaryData => "auxData",
            Self::Runtime => "runtime",
            Self::Variables => "variables",
            Self::Hierarchy => "hierarchy",
            Self::SpiffeId => "spiffeID",
            Self::SpiffeTrustDomain => "spiffeTrustDomain",
            Self::SpiffeMatcher => "spiffeMatcher",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_grows_without_end_becomes_dyn() {
        let grow = |unit: fn(Type) -> Type| (0..100).fold(Type::Int, |inner, _| unit(inner));
        for unit in [|inner| Type::list(inner), |inner: Type| Type::map(inner.clone(), inner)] {
            assert!(grow(unit).leaves() <= WIDEST);
        }
        assert_eq!(Type::map(Type::String, Type::list(Type::Dyn)).to_string(), "map(string, list(dyn))");
    }
}
