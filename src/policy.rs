//! May they?
//!
//! Compiles policy files into one rule table and decides queries on it. Deny by default; an evaluation error is never a silent `false`.
//! Knows no pingora, no clock, no file system: files arrive as text, `now` as an argument.

pub mod condition;
