//! The private networks that a proxy may reach all the same.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network, or one address.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or(address).map_err(|_| "write a network such as 10.1.2.0/24, or an address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_taken() {
        assert_eq!(network("10.1.2.0/24").unwrap().to_string(), "10.1.2.0/24");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        network("localhost").unwrap_err();
    }
}
