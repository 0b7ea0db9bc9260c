//! Where an instance may connect to: public addresses, and nothing of the host or its networks.
//!
//! Pure: the host's own addresses and the operator's exceptions are arguments. The agent dials with
//! the host's network, so whatever passes here is reached with the host's rights (SSRF).

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Why a destination is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// 127.0.0.0/8, ::1.
    #[error("a loopback address")]
    Loopback,
    /// 169.254.0.0/16 with the clouds' metadata services, fe80::/10.
    #[error("a link-local address")]
    LinkLocal,
    /// RFC 1918, fc00::/7, fec0::/10.
    #[error("an address of a private network")]
    Private,
    /// 100.64.0.0/10.
    #[error("an address of a carrier's network")]
    CarrierNat,
    /// 224.0.0.0/4, ff00::/8.
    #[error("a multicast address")]
    Multicast,
    /// 0.0.0.0/8, 240.0.0.0/4 with broadcast, and other blocks nobody is at.
    #[error("a reserved address")]
    Reserved,
    /// One of the host's own addresses.
    #[error("an address of the host")]
    Host,
}

/// A block of addresses, in text `192.168.1.0/24` or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a network (192.168.1.0/24, 10.0.0.7)")]
pub struct NetworkError(String);

impl Network {
    /// Whether the address lies in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, own, other) = match (self.address, canonical(address)) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (32, u128::from(own.to_bits()), u128::from(other.to_bits()))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (128, own.to_bits(), other.to_bits()),
            _ => return false,
        };
        let host_bits = bits - u32::from(self.prefix);
        own.checked_shr(host_bits).unwrap_or(0) == other.checked_shr(host_bits).unwrap_or(0)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| error())?,
            None => longest,
        };
        if prefix > longest {
            return Err(error());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether an instance may reach `destination`. `host` are the host's own addresses; `exceptions`
/// win over everything.
pub(crate) fn allowed(
    destination: IpAddr,
    host: &BTreeSet<IpAddr>,
    exceptions: &[Network],
) -> Result<(), Denied> {
    let destination = canonical(destination);
    if exceptions.iter().any(|network| network.contains(destination)) {
        return Ok(());
    }
    match destination {
        IpAddr::V4(address) => allowed_v4(address)?,
        IpAddr::V6(address) => allowed_v6(address)?,
    }
    if host.contains(&destination) { Err(Denied::Host) } else { Ok(()) }
}

/// An IPv4 address that came in IPv6's clothes is that IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn allowed_v4(address: Ipv4Addr) -> Result<(), Denied> {
    match address.octets() {
        [127, ..] => Err(Denied::Loopback),
        [169, 254, ..] => Err(Denied::LinkLocal),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Err(Denied::Private),
        [100, 64..=127, ..] => Err(Denied::CarrierNat),
        [224..=239, ..] => Err(Denied::Multicast),
        // This network, class E and broadcast, IETF protocols, benchmarks, 6to4 relays, and the
        // three documentation blocks (one of which holds the sandbox's name server).
        [0 | 240..=255, ..]
        | [192, 0, 0 | 2, _]
        | [198, 18..=19, ..]
        | [192, 88, 99, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Err(Denied::Reserved),
        _ => Ok(()),
    }
}

fn allowed_v6(address: Ipv6Addr) -> Result<(), Denied> {
    let [first, second, third, ..] = address.segments();
    match (first, second, third) {
        _ if address.is_loopback() => Err(Denied::Loopback),
        (0xfe80..=0xfebf, ..) => Err(Denied::LinkLocal),
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, ..) => Err(Denied::Private),
        (0xff00..=0xffff, ..) => Err(Denied::Multicast),
        // Transition mechanisms carry an IPv4 address, perhaps one that is refused above: NAT64,
        // 6to4, Teredo. The rest of ::/8 and the documentation block are nobody's.
        (0x0000..=0x00ff, ..) | (0x2002, ..) | (0x2001, 0 | 0xdb8, _) => Err(Denied::Reserved),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(address: &str) -> Result<(), Denied> {
        allowed(address.parse().unwrap(), &BTreeSet::new(), &[])
    }

    #[test]
    fn public_addresses_are_reached() {
        for address in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert_eq!(verdict(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_host_its_networks_and_metadata_services_are_not() {
        for (address, denied) in [
            ("127.0.0.1", Denied::Loopback),
            ("127.255.0.9", Denied::Loopback),
            ("::1", Denied::Loopback),
            ("169.254.169.254", Denied::LinkLocal),
            ("fe80::1", Denied::LinkLocal),
            ("10.0.0.1", Denied::Private),
            ("172.16.0.1", Denied::Private),
            ("172.31.255.255", Denied::Private),
            ("192.168.1.1", Denied::Private),
            ("fd00::1", Denied::Private),
            ("100.64.0.1", Denied::CarrierNat),
            ("224.0.0.251", Denied::Multicast),
            ("ff02::1", Denied::Multicast),
            ("0.0.0.0", Denied::Reserved),
            ("255.255.255.255", Denied::Reserved),
            ("192.0.2.53", Denied::Reserved),
            ("::", Denied::Reserved),
        ] {
            assert_eq!(verdict(address), Err(denied), "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_cannot_hide_in_an_ipv6_address() {
        for address in ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"] {
            assert!(verdict(address).is_err(), "{address}");
        }
    }

    #[test]
    fn the_hosts_own_public_address_is_refused_unless_excepted() {
        let own: IpAddr = "5.9.1.2".parse().unwrap();
        let host = BTreeSet::from([own]);
        assert_eq!(allowed(own, &host, &[]), Err(Denied::Host));
        let exception = "5.9.1.0/24".parse().unwrap();
        assert_eq!(allowed(own, &host, &[exception]), Ok(()));
    }

    #[test]
    fn an_exception_reaches_no_further_than_its_block() {
        let exception: Network = "192.168.7.0/24".parse().unwrap();
        let verdict = |a: &str| allowed(a.parse().unwrap(), &BTreeSet::new(), &[exception]);
        assert_eq!(verdict("192.168.7.255"), Ok(()));
        assert_eq!(verdict("192.168.8.0"), Err(Denied::Private));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("9.9.9.9".parse().unwrap()));
        for text in ["", "1.2.3.4/33", "::/129", "1.2.3/8", "1.2.3.4/-1", "x"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn mapping_an_address_never_changes_the_verdict(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            let plain = allowed(IpAddr::V4(address), &BTreeSet::new(), &[]);
            let mapped = allowed(IpAddr::V6(address.to_ipv6_mapped()), &BTreeSet::new(), &[]);
            prop_assert_eq!(plain, mapped);
        }

        #[test]
        fn what_the_standard_library_calls_private_is_refused(bits in any::<u32>()) {
            let a = Ipv4Addr::from_bits(bits);
            let special = a.is_private() || a.is_loopback() || a.is_link_local()
                || a.is_multicast() || a.is_broadcast() || a.is_unspecified();
            prop_assert!(!special || allowed(IpAddr::V4(a), &BTreeSet::new(), &[]).is_err());
        }

        #[test]
        fn any_text_is_a_network_or_an_error(text in "\\PC{0,40}") {
            let _ = text.parse::<Network>();
        }
    }
}
