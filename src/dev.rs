//! The demo: an embedded issuer with a Cognito-shaped pool, and a sample upstream. For local use only.
//!
//! Shares no code path with verification: the gateway of the demo is the gateway, with settings that trust the demo's key.

mod contacts;
mod home;
mod issuer;
mod upstream;

pub use contacts::Contacts;
pub use home::{DemoHome, HomeError};
pub use issuer::{DemoKey, DemoKeyError, Mint};
pub use upstream::spawn as spawn_upstream;

/// The pool that the demo's tokens come from; the placeholder in `config/cogward.yaml`. No real pool has an id like it.
pub const DEMO_POOL: &str = "eu-west-1_EXAMPLE";

/// The app client of the demo's users.
pub const DEMO_CLIENT: &str = "example";
