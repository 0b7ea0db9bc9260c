//! Stands in for the sidecar image that workerd puts beside each container of Docker Engine.
//!
//! It speaks the part of the port protocol that the bench's Worker needs: `CONNECT` to a port of the
//! container, `PUT /egress` (accepted, not enforced) and `GET /ca`. Like the original it answers 400
//! at once when nothing listens. It isn't a proxy for outgoing connections.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

const ADDRESS_OPTION: &str = "--http-ingress-address";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

fn main() -> io::Result<()> {
    let mut args = env::args().skip_while(|arg| arg != ADDRESS_OPTION);
    let address = args.nth(1).unwrap_or_else(|| "0.0.0.0:39001".to_owned());
    for stream in TcpListener::bind(address)?.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            // A client that goes away is no reason to stop.
            let _ = serve(stream);
        });
    }
    Ok(())
}

/// The head of a request.
struct Head {
    method: String,
    target: String,
    content_length: u64,
}

/// Answers requests until one turns the connection into a tunnel or its client closes it.
fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(head) = read_head(&mut reader)? {
        io::copy(&mut (&mut reader).take(head.content_length), &mut io::sink())?;
        match (head.method.as_str(), head.target.as_str()) {
            ("CONNECT", target) => return tunnel(&stream, reader, target),
            ("GET", "/ca") => answer(&stream, "200 OK", CERTIFICATE)?,
            ("PUT", "/egress") => answer(&stream, "200 OK", "{}")?,
            _ => answer(&stream, "404 Not Found", "")?,
        }
    }
    Ok(())
}

/// The next head, or `None` when the client is done.
fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut head = Head {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        content_length: 0,
    };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Some(head));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            head.content_length = value.trim().parse().unwrap_or(0);
        }
    }
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    stream.write_all(
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
    )
}

/// Connects to `target` and carries bytes both ways until both sides are done.
fn tunnel(stream: &TcpStream, reader: BufReader<TcpStream>, target: &str) -> io::Result<()> {
    let Ok(upstream) = TcpStream::connect(target) else {
        return answer(stream, "400 Bad Request", "");
    };
    upstream.set_nodelay(true)?;
    (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    (&mut &upstream).write_all(reader.buffer())?;
    let (from_upstream, to_client) = (upstream.try_clone()?, stream.try_clone()?);
    let back = thread::spawn(move || pump(from_upstream, to_client));
    pump(stream.try_clone()?, upstream);
    let _ = back.join();
    Ok(())
}

/// Copies until `from` ends, then says so to `to`.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
