//! What the host's network is: its own addresses and its resolvers.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The host's resolvers from `/etc/resolv.conf`; without any, its loopback, as the C library does.
pub(crate) fn resolvers() -> Vec<SocketAddr> {
    let text = fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let found = parse_resolvers(&text);
    if found.is_empty() { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))] } else { found }
}

/// The `nameserver` lines, at most three as in the C library. Scoped addresses are left out.
fn parse_resolvers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .take(3)
        .collect()
}

/// Every address of every interface of the host, as the kernel's tables show them.
pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    let v4 = fs_err::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = if Path::new("/proc/net/if_inet6").exists() {
        fs_err::read_to_string("/proc/net/if_inet6").unwrap_or_default()
    } else {
        String::new()
    };
    parse_fib_trie(&v4).map(IpAddr::V4).chain(parse_if_inet6(&v6).map(IpAddr::V6)).collect()
}

/// The addresses of `/proc/net/fib_trie` with a `/32 host LOCAL` leaf below them.
fn parse_fib_trie(text: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let mut last = None;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.trim().parse().ok();
            return None;
        }
        line.contains("host LOCAL").then_some(last).flatten()
    })
}

/// The first column of `/proc/net/if_inet6`.
fn parse_if_inet6(text: &str) -> impl Iterator<Item = Ipv6Addr> + '_ {
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .filter(|hex| hex.len() == 32)
        .filter_map(|hex| u128::from_str_radix(hex, 16).ok())
        .map(Ipv6Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hosts_loopback_is_among_its_addresses() {
        assert!(addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{:?}", addresses());
    }

    #[test]
    fn local_leaves_are_addresses_and_networks_are_not() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /16 link UNICAST\n     \
                    |-- 10.1.0.7\n        /32 host LOCAL\n";
        let found: Vec<_> = parse_fib_trie(trie).collect();
        assert_eq!(found, [Ipv4Addr::new(10, 1, 0, 7)]);
    }

    #[test]
    fn ipv6_addresses_are_read() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(parse_if_inet6(text).collect::<Vec<_>>(), [Ipv6Addr::LOCALHOST]);
    }

    #[test]
    fn resolvers_are_read_and_noise_is_not() {
        let text =
            "# x\nsearch a.b\nnameserver 9.9.9.9\nnameserver fe80::1%eth0\nnameserver ::1 #y\n";
        let found = parse_resolvers(text);
        assert_eq!(found, ["9.9.9.9:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(text in "[\\PC\n]{0,200}") {
            let _ = parse_fib_trie(&text).count() + parse_if_inet6(&text).count();
            let _ = parse_resolvers(&text);
        }
    }
}
