//! The line that a request takes, and the files that it is made of.

pub mod source;
