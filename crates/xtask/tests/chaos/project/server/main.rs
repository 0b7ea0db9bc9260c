//! The program in the chaos test's instances: says who it is, prints and ends when asked.
//!
//! `GET /who`, `/say?text=T`, `/exit?code=N&after=MS`. With `IGNORE_SIGTERM` it does that.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const SIGTERM: i32 = 15;
const SIG_IGN: usize = 1;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

fn main() -> io::Result<()> {
    if std::env::var_os("IGNORE_SIGTERM").is_some() {
        // SAFETY: SIG_IGN is no function that could do anything wrong.
        unsafe { signal(SIGTERM, SIG_IGN) };
    }
    let listener = TcpListener::bind("0.0.0.0:8080")?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            // A client that goes away is no reason to stop.
            let _ = serve(&stream);
        });
    }
    Ok(())
}

/// Answers the requests of one connection until its client closes it. Requests have no body.
fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut target, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if target.is_empty() {
            target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        } else if line.trim().is_empty() {
            let body = answer(&target);
            target.clear();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            let length = body.len();
            (&*stream).write_all(
                format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes(),
            )?;
        }
    }
}

fn answer(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let argument = |name: &str| {
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
    };
    let number = |name: &str| -> i32 {
        argument(name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    };
    match path {
        "/say" => println!("{}", argument("text").map_or("", |(_, text)| text)),
        "/exit" => {
            let (code, after) = (number("code"), number("after"));
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(after.unsigned_abs().into()));
                println!("ends with {code}");
                std::process::exit(code);
            });
        }
        _ => {}
    }
    let variable = |name| std::env::var(name).unwrap_or_default();
    let instance = variable("CLOUDFLARE_DEPLOYMENT_ID");
    let object = variable("CLOUDFLARE_DURABLE_OBJECT_ID");
    format!("{{\"instance\":\"{instance}\",\"object\":\"{object}\"}}")
}
