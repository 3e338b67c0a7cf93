//! Decisions for other programs: listeners that answer questions and forward nothing.
//!
//! A question names its principal, and the caller's word is taken for it; so who may ask is settled by the settings (loopback, a secret, a
//! certificate). Decides nothing itself: the engine of the policies does, the same one that decides for the proxy. Off without its
//! section in the settings.

mod cerbos;

pub use cerbos::{Api, Budget, Snapshot, Transport};
