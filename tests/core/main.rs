//! Tests of the core, and of the house itself. They need no network and no other program.

mod claims;
#[cfg(feature = "gateway")]
mod diagnostics;
mod docs;
mod layers;
mod sources;
