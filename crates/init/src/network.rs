//! A sandbox's network namespace: loopback, and outbound connections that end in the agent.
//!
//! Nothing here says whether a sandbox has internet: without the route of [`route_egress`] every
//! outbound connection fails with `ENETUNREACH`, whatever else is set up.

use std::io;

use berth_init::message::{EGRESS_MARK, EGRESS_PORT, Failure};
use rustix::net::{Protocol, netlink};

use crate::failure::Step;
use crate::netlink::{APPEND, CREATE, Messages};
use crate::park::write_file;

/// NETLINK_ROUTE is protocol 0.
const ROUTE: Option<Protocol> = None;

/// `lo` is always the first interface of a namespace.
const LOOPBACK: u32 = 1;

/// Brings loopback up and lets users without privileges bind low ports and ping, as Docker does.
pub(crate) fn prepare() -> Result<(), Failure> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_UP: u32 = 1;
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&LOOPBACK.to_ne_bytes());
    header[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
    header[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    let mut messages = Messages::default();
    messages.begin(RTM_NEWLINK, 0).acknowledge().raw(&header);
    messages.send(ROUTE).step("bring loopback up")?;
    write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", b"0")
        .step("open low ports to all users")?;
    // Both ends must be groups there are: an ordinary user has fewer, or one.
    let ranges = [&b"0 2147483647"[..], b"0 65535", b"0 0"];
    let open = |range: &[u8]| write_file("/proc/sys/net/ipv4/ping_group_range", range);
    ranges[1..]
        .iter()
        .fold(open(ranges[0]), |opened, range| opened.or_else(|_| open(range)))
        .step("open ping to all users")
}

/// Routes every IPv4 address to loopback, as if it were our own.
pub(crate) fn route_egress() -> io::Result<()> {
    const RTM_NEWROUTE: u16 = 24;
    const RTA_OIF: u16 = 4;
    const RTA_PREFSRC: u16 = 7;
    // AF_INET, /0, table local, protocol boot, scope host, type local.
    let header = [2, 0, 0, 0, 255, 3, 254, 2, 0, 0, 0, 0];
    let mut messages = Messages::default();
    messages
        .begin(RTM_NEWROUTE, CREATE)
        .acknowledge()
        .raw(&header)
        .attribute(RTA_OIF, &LOOPBACK.to_ne_bytes())
        // Without it a connection's source would be its destination's address.
        .attribute(RTA_PREFSRC, &[127, 0, 0, 1]);
    messages.send(ROUTE)
}

/// Hands what is routed to loopback, other than 127.0.0.0/8, to the agent's sockets:
///
/// ```text
/// table ip berth { chain egress { type filter hook prerouting priority mangle; policy accept;
///   meta mark EGRESS_MARK accept
///   ip daddr 127.0.0.0/8 accept
///   meta l4proto tcp tproxy to :EGRESS_PORT accept
///   meta l4proto udp tproxy to :EGRESS_PORT accept
///   drop
/// } }
/// ```
///
/// While the agent is away nothing listens, the rules for TCP and UDP do not match, and packets are
/// dropped: a connection attempt waits for the agent to come back.
pub(crate) fn redirect_egress() -> io::Result<()> {
    const BATCH_BEGIN: u16 = 16;
    const BATCH_END: u16 = 17;
    let mut messages = Messages::default();
    messages.begin(BATCH_BEGIN, 0).raw(&nfgenmsg(0, SUBSYSTEM));
    table_and_chain(&mut messages);
    rule(&mut messages, |m| {
        expression(m, "meta", |m| {
            m.number(1, REGISTER).number(2, META_MARK);
        });
        compare(m, &EGRESS_MARK.to_ne_bytes());
        verdict(m, ACCEPT);
    });
    rule(&mut messages, |m| {
        // The first byte of the destination address.
        expression(m, "payload", |m| {
            m.number(1, REGISTER).number(2, 1).number(3, 16).number(4, 1);
        });
        compare(m, &[127]);
        verdict(m, ACCEPT);
    });
    for protocol in [TCP, UDP] {
        rule(&mut messages, |m| {
            expression(m, "meta", |m| {
                m.number(1, REGISTER).number(2, META_L4PROTO);
            });
            compare(m, &[protocol]);
            expression(m, "immediate", |m| {
                m.number(1, REGISTER).nested(2, |m| {
                    m.attribute(1, &EGRESS_PORT.to_be_bytes());
                });
            });
            expression(m, "tproxy", |m| {
                m.number(1, AF_INET.into()).number(3, REGISTER);
            });
            verdict(m, ACCEPT);
        });
    }
    rule(&mut messages, |m| verdict(m, DROP));
    messages.acknowledge();
    messages.begin(BATCH_END, 0).raw(&nfgenmsg(0, SUBSYSTEM));
    messages.send(Some(netlink::NETFILTER))
}

// Numbers of linux/netfilter/nfnetlink.h and nf_tables.h.
const SUBSYSTEM: u16 = 10;
const AF_INET: u8 = 2;
const REGISTER: u32 = 1;
const META_MARK: u32 = 3;
const META_L4PROTO: u32 = 16;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const TABLE: &str = "berth";
const CHAIN: &str = "egress";

/// The header of every netfilter message: family, version 0, resource in network byte order.
fn nfgenmsg(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn table_and_chain(messages: &mut Messages) {
    const NEW_TABLE: u16 = SUBSYSTEM << 8;
    const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
    const PREROUTING: u32 = 0;
    const PRIORITY_MANGLE: i32 = -150;
    messages.begin(NEW_TABLE, CREATE).raw(&nfgenmsg(AF_INET, 0)).text(1, TABLE);
    messages
        .begin(NEW_CHAIN, CREATE)
        .raw(&nfgenmsg(AF_INET, 0))
        .text(1, TABLE)
        .text(3, CHAIN)
        .nested(4, |m| {
            m.number(1, PREROUTING).attribute(2, &PRIORITY_MANGLE.to_be_bytes());
        })
        .number(5, ACCEPT)
        .text(7, "filter");
}

fn rule(messages: &mut Messages, fill: impl FnOnce(&mut Messages)) {
    const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
    messages
        .begin(NEW_RULE, CREATE | APPEND)
        .raw(&nfgenmsg(AF_INET, 0))
        .text(1, TABLE)
        .text(2, CHAIN)
        .nested(4, fill);
}

fn expression(messages: &mut Messages, name: &str, fill: impl FnOnce(&mut Messages)) {
    messages.nested(1, |m| {
        m.text(1, name).nested(2, fill);
    });
}

/// Goes on with the rule only if the register begins with `value`.
fn compare(messages: &mut Messages, value: &[u8]) {
    const EQUAL: u32 = 0;
    expression(messages, "cmp", |m| {
        m.number(1, REGISTER).number(2, EQUAL).nested(3, |m| {
            m.attribute(1, value);
        });
    });
}

fn verdict(messages: &mut Messages, code: u32) {
    const REGISTER_VERDICT: u32 = 0;
    expression(messages, "immediate", |m| {
        m.number(1, REGISTER_VERDICT).nested(2, |m| {
            m.nested(2, |m| {
                m.number(1, code);
            });
        });
    });
}
