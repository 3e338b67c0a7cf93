//! Cerbos resource policies, unmodified, as rows of the rule table.
//!
//! What the language can say and this version does not decide with is a compile error with its place: a part that was
//! skipped would be a decision that Cerbos does not make. Files are read as Cerbos reads them, in camelCase or snake_case.

mod document;
mod glob;
mod question;

pub(crate) use document::{ResourcePolicy, read_policy};
pub(crate) use glob::ActionPattern;
pub use question::{
    ActionResult, CheckInput, CheckOutput, Clock, Effect, Object, Output, Subject, ValidationError, ValidationSource,
};

#[cfg(test)]
mod tests;
