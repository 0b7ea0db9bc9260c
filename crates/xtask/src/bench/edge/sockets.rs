//! WebSockets that nothing is said on: what each costs a proxy.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::servers::{Proxy, Stage};
use crate::bench::report::{Figure, Row, Table};
use crate::http::read_head;

/// How many, where the machine lets a program have as many files open.
const SOCKETS: usize = 10_000;
/// A handshake may take this long.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Opens them through each proxy, one after the other.
pub(super) fn measure(stage: &Stage, proxies: &[Proxy; 2]) -> Result<Table> {
    let count = stage.tunnels(SOCKETS);
    let mut table = Table::new("edge_sockets", format!("{count} idle WebSockets"));
    for proxy in proxies {
        let before = proxy.memory();
        let start = Instant::now();
        let open = (0..count).map(|_| open(proxy.plain)).collect::<Result<Vec<_>>>()?;
        let elapsed = start.elapsed();
        let after = proxy.memory();
        drop(open);
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let each = (after - before) / count as f64;
        table.push(
            Row::new(proxy.label)
                .with("opened in", Figure::Time(elapsed))
                .with("memory before", Figure::Kibibytes(before))
                .with("with all", Figure::Kibibytes(after))
                .with("each", Figure::Kibibytes(each)),
        );
    }
    table.add_ratios("each : edge", "each");
    table.note("Proportional set sizes; what the kernel keeps for a socket is not in them.");
    Ok(table)
}

fn open(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let head = read_head(&mut BufReader::with_capacity(512, &stream))?.context("an answer")?;
    ensure!(head.start_line.contains(" 101"), "no WebSocket: {}", head.start_line);
    Ok(stream)
}
