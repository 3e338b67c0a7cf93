//! `inIPAddrRange`: addresses and ranges as Go reads them.

use std::net::IpAddr;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelString};
use cel::common::value::CowVal;
use ipnet::{IpNet, Ipv4Net};

/// `address.inIPAddrRange(range)`
pub(super) fn in_range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut texts = arguments.iter().map(|argument| argument.downcast_ref::<CelString<'v>>().map(CelString::inner));
    let (Some(Some(address)), Some(Some(range))) = (texts.next(), texts.next()) else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let invalid = || ExecutionError::function_error("inIPAddrRange", "not an address or not a range");
    let address = address.parse::<IpAddr>().map_err(|_| invalid())?.to_canonical();
    let range = canonical(range.parse().map_err(|_| invalid())?).ok_or_else(invalid)?;
    Ok(CowVal::owned(CelBool::from(range.contains(&address))))
}

/// A range of IPv4 addresses that is written as one of IPv6 addresses holds IPv4 addresses.
fn canonical(range: IpNet) -> Option<IpNet> {
    match range.addr().to_canonical() {
        IpAddr::V4(address) => {
            let mapped = if range.addr().is_ipv6() { 96 } else { 0 };
            Ipv4Net::new(address, range.prefix_len().saturating_sub(mapped)).ok().map(IpNet::V4)
        }
        IpAddr::V6(_) => Some(range),
    }
}
