//! The container of the hello example: a web server on port 8080 from the standard library alone.
//!
//! `/ws` echoes WebSocket messages, `/error` crashes the program, all else says who answers.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process;
use std::thread;

mod websocket;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:8080")?;
    println!("Server listening on :8080");
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            // A client that goes away is no reason to stop.
            let _ = serve(stream);
        });
    }
    Ok(())
}

/// What we need of a request's head.
struct Request {
    path: String,
    websocket_key: Option<String>,
    content_length: usize,
}

/// Answers the requests of one connection until its client closes it.
fn serve(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(key) = &request.websocket_key {
            return websocket::echo(reader, &stream, key);
        }
        if path == "/error" {
            eprintln!("This is a panic");
            process::exit(1);
        }
        let message = env::var("MESSAGE").unwrap_or_default();
        let instance = env::var("CLOUDFLARE_DEPLOYMENT_ID").unwrap_or_default();
        let body = format!(
            "Hi, I'm a container and this is my message: \"{message}\", my instance ID is: {instance}"
        );
        respond(&stream, &body)?;
    }
    Ok(())
}

/// The next request, its body read and dropped; `None` when the client is done.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut request = Request { path, websocket_key: None, content_length: 0 };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "sec-websocket-key" => request.websocket_key = Some(value.trim().to_owned()),
            "content-length" => request.content_length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    io::copy(&mut io::Read::take(reader, request.content_length as u64), &mut io::sink())?;
    Ok(Some(request))
}

fn respond(mut stream: &TcpStream, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8";
    stream.write_all(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
}
