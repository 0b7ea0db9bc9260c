//! A web server of a few files, which counts how often it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Answers by path: headers and content; 304 if the `ETag` among them is known.
pub(crate) struct Files {
    address: SocketAddr,
    /// `GET /path 200`
    log: Arc<Mutex<Vec<String>>>,
}

impl Files {
    pub(crate) fn serve(files: &[(&str, &str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, log) = (listener.local_addr().unwrap(), Arc::default());
        let files: Vec<(String, String, Vec<u8>)> = files
            .iter()
            .map(|(path, headers, body)| (path.to_string(), headers.to_string(), body.to_vec()))
            .collect();
        let told = Arc::clone(&log);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &files, &told);
            }
        });
        Self { address, log }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, files: &[(String, String, Vec<u8>)], log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let mut known = String::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(etag) = line.to_ascii_lowercase().strip_prefix("if-none-match: ") {
            known = etag.to_owned();
        }
    }
    let found = files.iter().find(|(known, _, _)| *known == path);
    let (status, headers, body) = match found {
        Some((_, headers, _)) if !known.is_empty() && headers.contains(&known) => {
            ("304", headers.as_str(), &[][..])
        }
        Some((_, headers, body)) => ("200", headers.as_str(), &body[..]),
        None => ("404", "", &[][..]),
    };
    log.lock().unwrap().push(format!("GET {path} {status}"));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    // Who does not want the answer has gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
