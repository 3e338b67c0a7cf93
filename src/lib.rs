//! Cogward: a reverse-proxy authorization gateway for AWS Cognito.
//!
//! The modules stand in the order in which a request meets them:
//!
//! ```text
//! listener -> target (one reading, or 400) -> route -> credential -> verified claims -> principal
//!   -> resource and its attributes -> decision -> Permit | Denial -> upstream, with identity headers -> one audit record
//! ```
//!
//! Four verbs carry the design and mean nothing else: *verify* a token, *authenticate* a request, *decide* a query, *admit* (the whole
//! line). The core (everything outside the feature `gateway`) reads no clock, no file, no environment and no network.

// The ground: words that every room uses.
pub mod diagnostic;
pub mod json;
pub mod time;
pub mod units;
pub mod yaml;

// The line, from request to decision.
pub mod request;

pub mod rate;

pub mod token;

pub mod identity;

pub mod policy;

pub mod config;

pub mod gate;

// The edge: sockets, files, clocks.
#[cfg(feature = "gateway")]
pub mod edge;

#[cfg(feature = "gateway")]
pub mod handover;

#[cfg(feature = "gateway")]
pub mod admission;

#[cfg(feature = "gateway")]
pub mod proxy;

#[cfg(feature = "gateway")]
pub mod reload;

#[cfg(feature = "gateway")]
pub mod telemetry;

#[cfg(feature = "gateway")]
pub mod decision_api;

#[cfg(feature = "gateway")]
pub mod admin;

#[cfg(feature = "gateway")]
pub mod server;

#[cfg(feature = "gateway")]
pub mod dev;

#[cfg(feature = "gateway")]
pub mod cli;
