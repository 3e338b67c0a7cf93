//! Cerbos policies, unmodified.
//!
//! `document` reads files, `link` brings them together, and leaves a [`model`] in which every name is resolved. What the language can say and
//! is not decided with is a compile error with its place: a part that was skipped would be a decision that Cerbos does not make.

#![allow(dead_code, unused_imports, reason = "the engine, which asks for all of it, comes with the next merge")]

mod document;
mod engine;
mod glob;
mod legacy;
mod link;
pub(crate) mod model;
pub(crate) mod question;
pub(crate) mod schema;

pub(crate) use document::read_document;
pub(crate) use engine::{Judged, Judgement, Unread};
pub(crate) use glob::{ActionPattern, Glob};
pub(crate) use legacy::{ResourcePolicy, read_policy};
pub(crate) use link::{Linking, link};
pub(crate) use schema::Schemas;

pub use engine::{Engine, Options, Profile, SchemaEnforcement};
pub use question::{
    ActionResult, CheckInput, CheckOutput, Clock, Effect, Object, Output, Subject, ValidationError, ValidationSource,
};
pub use schema::SchemaFile;

#[cfg(test)]
mod tests;
