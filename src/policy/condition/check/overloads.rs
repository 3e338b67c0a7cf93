//! What every function takes and gives, as data: those that Cerbos 0.51 declares, under the names that the parser leaves for operators and macros.
//!
//! Says nothing about what a function does: `functions` and its neighbours implement them.

mod cerbos;
mod extensions;
mod operators;
mod standard;

use super::types::{Message, Type};

/// One way to call a function. Where it is called on a value, that is the first thing it takes.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) is_member: bool,
    pub(super) takes: &'static [Shape],
    pub(super) gives: Shape,
}

/// A function and the ways to call it.
pub(super) type Function = (&'static str, &'static [Overload]);

/// A type in a declaration, where letters stand for types that the call decides.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Dyn,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(&'static Shape),
    Map(&'static Shape, &'static Shape),
    Meta(&'static Shape),
    Message(Message),
    A,
    B,
}

const LIST_OF_A: Shape = Shape::List(&Shape::A);
const MAP_OF_A_TO_B: Shape = Shape::Map(&Shape::A, &Shape::B);

/// `f(x)`
const fn global(takes: &'static [Shape], gives: Shape) -> Overload {
    Overload { is_member: false, takes, gives }
}

/// `x.f()`
const fn member(takes: &'static [Shape], gives: Shape) -> Overload {
    Overload { is_member: true, takes, gives }
}

/// The ways to call the function of that name.
pub(super) fn find(name: &str) -> Option<&'static [Overload]> {
    functions().find(|(known, _)| *known == name).map(|(_, overloads)| *overloads)
}

fn functions() -> impl Iterator<Item = &'static Function> {
    let tables = [operators::FUNCTIONS, standard::FUNCTIONS, extensions::FUNCTIONS, cerbos::FUNCTIONS];
    tables.into_iter().flatten()
}

impl Shape {
    /// The type, with these in the place of the letters.
    pub(super) fn instance(self, a: &Type, b: &Type) -> Type {
        match self {
            Self::Dyn => Type::Dyn,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::Bytes => Type::Bytes,
            Self::Timestamp => Type::Timestamp,
            Self::Duration => Type::Duration,
            Self::List(element) => Type::list(element.instance(a, b)),
            Self::Map(key, value) => Type::map(key.instance(a, b), value.instance(a, b)),
            Self::Meta(value) => Type::meta(value.instance(a, b)),
            Self::Message(message) => Type::Message(message),
            Self::A => a.clone(),
            Self::B => b.clone(),
        }
    }

    /// As it stands in advice.
    pub(super) fn written(self) -> String {
        match self {
            Self::A => "A".to_owned(),
            Self::B => "B".to_owned(),
            Self::List(element) => format!("list({})", element.written()),
            Self::Map(key, value) => format!("map({}, {})", key.written(), value.written()),
            Self::Meta(value) => format!("type({})", value.written()),
            Self::Dyn
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::String
            | Self::Bytes
            | Self::Timestamp
            | Self::Duration
            | Self::Message(_) => self.instance(&Type::Dyn, &Type::Dyn).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_function_is_declared_once_and_what_is_called_on_a_value_takes_it() {
        let mut seen = BTreeSet::new();
        for (name, overloads) in functions() {
            assert!(seen.insert(name), "{name} stands twice");
            assert!(!overloads.is_empty(), "{name}");
            assert!(overloads.iter().all(|overload| !overload.is_member || !overload.takes.is_empty()), "{name}");
        }
        assert_eq!(seen.len(), functions().count());
    }
}
