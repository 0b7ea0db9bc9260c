//! The hostile program: what the suite runs inside an instance, and outside of one as a control.
//!
//! Compiled by the tests, statically, with nothing but std; not part of the workspace. It tries what
//! it is told to try and says what became of it, one line for each attempt: the attempt, a tab, and
//! `ok …` or `errno <n>`.

mod attempts;
mod bombs;
mod network;
mod processes;
mod sys;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio, exit};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    run(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

fn run(args: &[&str]) {
    match args {
        // Each argument is one attempt, in words.
        ["try", attempts @ ..] => attempts.iter().for_each(|attempt| attempts::report(attempt)),
        // The same program with all the rights of its user, in namespaces where it harms nobody.
        ["outside", rest @ ..] => {
            sys::leave_the_hosts_namespaces().expect("make namespaces");
            run(rest);
        }
        ["hold", kind, mib] => bombs::hold(kind, mib.parse().expect("a number")),
        ["fork-bomb", generation] => bombs::forks(generation.parse().expect("a number")),
        ["fill", path, mib] => bombs::fill(path, mib.parse().expect("a number")),
        ["flood", mib] => bombs::flood(mib.parse().expect("a number")),
        ["watch-processes"] => processes::watch(),
        ["dump-filter", pid] => processes::dump_filter(pid.parse().expect("a pid")),
        ["serve", address] => serve(address),
        ["say", text] => println!("{text}"),
        ["sleep"] => sleep(),
        _ => {
            eprintln!("attacker: what is {args:?}?");
            exit(64)
        }
    }
}

/// Takes attempts by HTTP, one a line of the body, and answers what became of them.
fn serve(address: &str) {
    for stream in TcpListener::bind(address).expect("listen").incoming() {
        let Ok(mut stream) = stream else { continue };
        std::thread::spawn(move || {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            let body = loop {
                let Ok(n) = stream.read(&mut buffer) else { return };
                bytes.extend(&buffer[..n]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.to_ascii_lowercase();
                    let length = length.lines().find_map(|l| l.strip_prefix("content-length: "));
                    let length = length.and_then(|l| l.trim().parse().ok()).unwrap_or(0);
                    if body.len() >= length || n == 0 {
                        break body.to_owned();
                    }
                } else if n == 0 {
                    return;
                }
            };
            // One argument a line. A process of its own: an attempt may end it.
            let args: Vec<&str> = body.lines().collect();
            let mut program = Command::new("/proc/self/exe");
            // `print`: to this program's own output, not to who asked.
            let output = match args.split_first() {
                Some((&"print", rest)) => program.args(rest).stdout(Stdio::inherit()).output(),
                _ => program.args(args).output(),
            };
            let output = output.expect("run myself");
            let body = String::from_utf8_lossy(&output.stdout).into_owned();
            let length = body.len();
            // Whoever asks again must not do so here.
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all((head + &body).as_bytes());
        });
    }
}

fn sleep() -> ! {
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
