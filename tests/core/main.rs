//! Tests of the core, and of the house itself. They need no network and no other program.

#[cfg(test)]
#[cfg(test)]
mod cerbos_cel;
#[cfg(test)]
mod claims;
#[cfg(all(test, feature = "gateway"))]
mod diagnostics;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod sources;
