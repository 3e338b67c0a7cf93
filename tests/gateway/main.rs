//! The real binary from outside: real sockets in front, a real upstream behind, files on disk. Nothing of the gateway is replaced.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod footguns;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile_upstreams;
#[cfg(test)]
mod http2_abuse;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod rate_limits;
#[cfg(test)]
mod reloads;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tls_upstreams;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod upstreams;
