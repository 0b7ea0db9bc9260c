//! What a build asks for beyond its context: a server for `ADD` of URLs and an SSH agent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use fs_err as fs;

/// All files are this old.
const LAST_MODIFIED: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

/// `SSH_AGENT_IDENTITIES_ANSWER` with no key.
const NO_KEYS: [u8; 9] = [0, 0, 0, 5, 12, 0, 0, 0, 0];

/// Serves a folder's files by HTTP until the test program ends.
pub(crate) fn serve_files(folder: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen for builds");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            // A client that goes away is its own business.
            thread::spawn(move || _ = answer_with_file(&stream, &folder));
        }
    });
    address
}

/// An SSH agent that knows no key, at this path, until the test program ends.
pub(crate) fn serve_agent(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("listen for an SSH client");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // A message is its length and as many bytes; all are answered alike.
                let mut length = [0; 4];
                while stream.read_exact(&mut length).is_ok() {
                    let length = u64::from(u32::from_be_bytes(length));
                    let message = io::copy(&mut (&mut stream).take(length), &mut io::sink());
                    if message.is_err() || stream.write_all(&NO_KEYS).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn answer_with_file(stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let outside = path.split('/').any(|part| part == "..");
    let (status, body) = match fs::read(folder.join(path)) {
        Ok(body) if !outside => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\nLast-Modified: {LAST_MODIFIED}\r\n")?;
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    Ok(())
}
