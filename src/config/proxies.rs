//! The networks whose forwarding headers are believed.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::read::{each_once, scalar};
use crate::{request::TrustedProxies, yaml::Cursor};

/// Reads `trusted_proxies`.
pub(super) fn trusted(at: &Cursor<'_>) -> Option<TrustedProxies> {
    Some(TrustedProxies::new(each_once(&at.list_or_empty()?, network)?))
}

fn network(at: &Cursor<'_>) -> Option<IpNet> {
    let text = scalar(at)?;
    let Ok(network) = text.parse::<IpNet>() else {
        let message = format!("`{text}` is not a network such as `10.0.0.0/8` or `fd00::/8`");
        match text.parse::<IpAddr>() {
            Ok(address) => {
                at.error_with_help("C012", message, format!("for one address write `{}`", IpNet::from(address)))
            }
            Err(_) => at.error("C012", message),
        }
        return None;
    };
    if network.trunc() != network {
        at.error_with_help(
            "C012",
            format!("`{network}` names an address inside a network"),
            format!(
                "write `{}` for the network, or `{}` for the address",
                network.trunc(),
                IpNet::from(network.addr())
            ),
        );
        return None;
    }
    // SECURITY: whoever is trusted tells any client address: `trusting_the_whole_internet_is_refused`.
    if network.prefix_len() == 0 || holds_ipv4(&network) {
        at.error_with_help(
            "C012",
            format!("`{network}` trusts everybody, so that every client could choose its own address"),
            "name the networks of your load balancers",
        );
        return None;
    }
    Some(network)
}

/// True when an IPv6 network holds every IPv4 address, in the form in which a dual-stack socket tells them (RFC 4291 section 2.5.5.2).
fn holds_ipv4(network: &IpNet) -> bool {
    let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].map(|end| IpAddr::V6(end.to_ipv6_mapped()));
    ends.iter().all(|end| network.contains(end))
}
