//! One task that swaps.
pub mod fetch;
pub mod watch;
