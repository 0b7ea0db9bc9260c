//! HTTP/1.1 as far as the benchmarks need it: one request, one answer, on one kept connection.
//!
//! It isn't a client library: what is measured is the time between the last byte written and the
//! last byte read, so there is nothing in between, neither a pool nor a retry nor a redirect.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer; above every deadline of the npm class.
const DEADLINE: Duration = Duration::from_secs(120);

/// A connection that takes one request after the other.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: BufReader<S>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// The head of a request or an answer.
#[derive(Debug)]
pub(crate) struct Head {
    /// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) start_line: String,
    body: Body,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Unsaid,
    Length(u64),
    Chunked,
}

/// The bytes of a request.
pub(crate) fn request(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    let entity = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let entity = if method == "GET" { "" } else { &entity };
    [head.as_bytes(), entity.as_bytes(), b"\r\n", body].concat()
}

/// `GET target` on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> io::Result<Reply> {
    get_within(DEADLINE, address, target)
}

/// The same, with no longer wait than that for each part of the answer.
pub(crate) fn get_within(
    deadline: Duration,
    address: SocketAddr,
    target: &str,
) -> io::Result<Reply> {
    Connection::open_within(deadline, address)?.call(&request("GET", target, b""))
}

/// `POST target` with nothing in it.
pub(crate) fn post_within(
    deadline: Duration,
    address: SocketAddr,
    target: &str,
) -> io::Result<Reply> {
    Connection::open_within(deadline, address)?.call(&request("POST", target, b""))
}

impl Connection<TcpStream> {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_within(DEADLINE, address)
    }

    fn open_within(deadline: Duration, address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, deadline)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(deadline))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl Connection<UnixStream> {
    pub(crate) fn open_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl<S: Read + Write> Connection<S> {
    /// Sends the bytes of a [`request`] and reads the answer to its end.
    pub(crate) fn call(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.get_mut().write_all(request)?;
        let head = read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.start_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(|| malformed(&head.start_line))?;
        let body = match head.body {
            _ if matches!(status, 204 | 304) => Vec::new(),
            Body::Unsaid => {
                let mut body = Vec::new();
                self.stream.read_to_end(&mut body)?;
                body
            }
            _ => read_body(&mut self.stream, &head)?,
        };
        Ok(Reply { status, body })
    }
}

/// The next head; `None` where the peer has closed.
pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut head = Head { start_line: line.trim_end().to_owned(), body: Body::Unsaid };
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return if line.trim_end().is_empty() { Ok(Some(head)) } else { Err(malformed(&line)) };
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = Body::Length(value.parse().map_err(|_| malformed(&line))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Body::Chunked;
        }
    }
}

/// The body that `head` announced; none where it said nothing.
pub(crate) fn read_body(stream: &mut impl BufRead, head: &Head) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match head.body {
        Body::Unsaid => {}
        Body::Length(length) => read_exactly(stream, length, &mut body)?,
        Body::Chunked => {
            while let length @ 1.. = read_chunk_length(stream)? {
                read_exactly(stream, length, &mut body)?;
                stream.read_line(&mut String::new())?;
            }
            // No one here sends trailers: the line after the last chunk is empty.
            stream.read_line(&mut String::new())?;
        }
    }
    Ok(body)
}

fn read_chunk_length(stream: &mut impl BufRead) -> io::Result<u64> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    u64::from_str_radix(line.trim(), 16).map_err(|_| malformed(&line))
}

fn read_exactly(stream: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let read = stream.take(length).read_to_end(body)?;
    if u64::try_from(read).is_ok_and(|read| read == length) {
        return Ok(());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> io::Result<(String, String)> {
        let mut stream = bytes.as_bytes();
        let head = read_head(&mut stream)?.expect("there is a head");
        let body = read_body(&mut stream, &head)?;
        assert!(stream.is_empty(), "the next message would start at {stream:?}");
        Ok((head.start_line, String::from_utf8(body).expect("text")))
    }

    #[test]
    fn a_body_with_a_length_is_read_to_its_end() {
        let (line, body) = read("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
        assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "hi"));
    }

    #[test]
    fn chunks_are_joined() {
        let text = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(read(text).unwrap().1, "abc0123456789");
    }

    #[test]
    fn a_cut_body_is_an_error() {
        assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi").is_err());
    }
}
