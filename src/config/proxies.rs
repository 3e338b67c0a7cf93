//! The networks whose forwarding headers are believed.

use ipnet::IpNet;

use super::read::{each_once, scalar};
use crate::{request::TrustedProxies, yaml::Cursor};

/// Reads `trusted_proxies`.
pub(super) fn trusted(at: &Cursor<'_>) -> Option<TrustedProxies> {
    let networks = each_once(&at.list_or_empty()?, network)?;
    // SECURITY: whoever is trusted tells any client address: `trusting_the_whole_internet_is_refused`.
    match TrustedProxies::new(networks) {
        Ok(proxies) => Some(proxies),
        Err(error) => {
            at.error_with_help("C012", error.to_string(), "name the networks of your load balancers");
            None
        }
    }
}

fn network(at: &Cursor<'_>) -> Option<IpNet> {
    let text = scalar(at)?;
    let network = match TrustedProxies::network(&text) {
        Ok(network) => network,
        Err(error) => {
            at.error_with_help(
                "C012",
                format!("`{text}`: {error}"),
                "name a network such as `10.0.0.0/8`, or an address",
            );
            return None;
        }
    };
    // What looks like one address would trust all its neighbours.
    if let Ok(written) = text.parse::<IpNet>()
        && written.trunc() != written
    {
        at.error_with_help(
            "C012",
            format!("`{written}` names an address inside a network"),
            format!("write `{}` for the network, or `{}` for the address", written.trunc(), written.addr()),
        );
        return None;
    }
    Some(network)
}
