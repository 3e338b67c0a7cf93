//! Cerbos policies, unmodified.
//!
//! `document` reads files, `link` brings them together, and leaves a [`model`] in which every name is resolved. What the language can say and
//! is not decided with is a compile error with its place: a part that was skipped would be a decision that Cerbos does not make.

mod document;
mod engine;
mod glob;
mod link;
pub(crate) mod model;
pub(crate) mod question;
pub(crate) mod schema;

pub(crate) use document::{Document, read_document};
pub(crate) use engine::{Judged, Judgement, Unread};
pub(crate) use glob::{ActionPattern, Glob};
pub(crate) use link::{Linking, link};
pub(crate) use schema::Schemas;

pub use engine::{Engine, Options, Profile, SchemaEnforcement, is_scope};
pub use question::{
    ActionResult, CheckInput, CheckOutput, Clock, Effect, Object, Output, Subject, ValidationError, ValidationSource,
};
pub use schema::SchemaFile;

#[cfg(test)]
mod tests;
