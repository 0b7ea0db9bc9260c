//! Asking workerd whether a Worker handles a connection.
//!
//! workerd's answer to a `CONNECT` is 200 when a handler takes it, HTTP/1.1 in plain text following,
//! and 202 when none does. It would then dial the destination itself, with the host's network and no
//! policy: that tunnel is closed unused, and an answer of 202 is remembered, so that it is asked for
//! once.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::outbound::Outbound;
use super::sniff::Sniffed;

/// How long workerd may take to answer; a handler is not run for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of its answer.
const MOST_ANSWER_BYTES: usize = 4096;
/// Connections of one instance that are remembered as handled by nobody.
const MOST_PASSED: usize = 4096;

/// What workerd is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// Where the program connected to.
    pub(super) destination: SocketAddr,
    /// What it said there first.
    pub(super) hint: Hint,
}

/// Whom a program wants to speak to by its own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Hint {
    /// HTTP for that host.
    Http(String),
    /// TLS with that server.
    Tls(String),
    /// Something else.
    None,
}

/// workerd's answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// A handler speaks on this tunnel.
    Handled(TcpStream),
    /// There is none.
    Passed,
}

impl Question {
    /// The question for a connection, if any handler may match. `dials` says whether workerd, asked
    /// in vain, would reach a destination that is denied to the program.
    pub(super) fn about(
        destination: SocketAddr,
        sniffed: Sniffed,
        outbound: &Outbound,
        denied: bool,
    ) -> Option<Self> {
        // Who names no host means the address.
        let address = || destination.ip().to_string();
        let hint = match sniffed {
            Sniffed::Http(host) => Hint::Http(host.unwrap_or_else(address)),
            Sniffed::Tls(name) => Hint::Tls(name.unwrap_or_else(address)),
            Sniffed::Other | Sniffed::Incomplete => Hint::None,
        };
        let may_match = match &hint {
            Hint::Http(host) | Hint::Tls(host) => outbound.hosts.contains(host),
            // Only a handler for an address could take it, and only to say that it is no HTTP. To
            // ask about every other protocol would have workerd dial each such destination once.
            Hint::None => {
                outbound.hosts.any()
                    && (!outbound.internet || (!denied && is_web(destination.port())))
            }
        };
        may_match.then_some(Self { destination, hint })
    }
}

/// Whether programs speak HTTP or TLS there, and so speak first.
pub(super) fn is_web(port: u16) -> bool {
    matches!(port, 80 | 443)
}

/// Which questions were answered with no. Any change of the settings may change the answers.
#[derive(Debug, Default)]
pub(super) struct Passed(Mutex<(u64, HashSet<Question>)>);

impl Passed {
    fn contains(&self, question: &Question, generation: u64) -> bool {
        let passed = self.0.lock().expect("no holder of this lock panics");
        passed.0 == generation && passed.1.contains(question)
    }

    /// An answer that was under way while the settings changed is no news.
    fn insert(&self, question: Question, generation: u64) {
        let mut passed = self.0.lock().expect("no holder of this lock panics");
        if passed.0 < generation || passed.1.len() >= MOST_PASSED {
            *passed = (generation.max(passed.0), HashSet::new());
        }
        if passed.0 == generation {
            passed.1.insert(question);
        }
    }
}

/// Asks, unless the answer is known.
///
/// # Errors
/// workerd cannot be asked: nobody may pass then.
pub(super) async fn ask(
    question: Question,
    outbound: &Outbound,
    passed: &Passed,
) -> io::Result<Answer> {
    if passed.contains(&question, outbound.generation) {
        return Ok(Answer::Passed);
    }
    let port = outbound.port.ok_or(io::ErrorKind::NotConnected)?;
    let answer = tokio::time::timeout(PATIENCE, connect(port, &question)).await??;
    if matches!(answer, Answer::Passed) {
        passed.insert(question, outbound.generation);
    }
    Ok(answer)
}

async fn connect(port: u16, question: &Question) -> io::Result<Answer> {
    let mut tunnel = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    tunnel.set_nodelay(true)?;
    tunnel.write_all(head(question).as_bytes()).await?;
    match read_status(&mut tunnel).await? {
        200 => Ok(Answer::Handled(tunnel)),
        202 => Ok(Answer::Passed),
        status => Err(io::Error::other(format!("workerd answers {status} to CONNECT"))),
    }
}

fn head(question: &Question) -> String {
    let destination = question.destination;
    let hint = match &question.hint {
        Hint::Http(host) => format!("X-Hostname: {host}\r\n"),
        Hint::Tls(name) => format!("X-Tls-Sni: {name}\r\n"),
        Hint::None => String::new(),
    };
    format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n{hint}\r\n")
}

/// Reads one answer's head and not a byte more: what follows belongs to the program.
async fn read_status(tunnel: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::with_capacity(128);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MOST_ANSWER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a head without end"));
        }
        // Both ends are on loopback, and the head is short.
        head.push(tunnel.read_u8().await?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(&head).map_err(io::Error::other)?;
    response.code.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(body: &str) -> Outbound {
        let mut outbound = Outbound::default();
        outbound.apply(serde_json::from_str(body).unwrap());
        outbound
    }

    fn hosts(list: &str, internet: bool) -> Outbound {
        outbound(&format!(
            r#"{{"port":1,"dns":{{"allowHostnames":{list}}},"internet":{{"enabled":{internet}}}}}"#
        ))
    }

    fn asked(to: &str, sniffed: Sniffed, outbound: &Outbound, denied: bool) -> Option<Hint> {
        Question::about(to.parse().unwrap(), sniffed, outbound, denied).map(|q| q.hint)
    }

    #[test]
    fn only_what_a_handler_may_match_is_asked_about() {
        let some = hosts(r#"["api.example.com"]"#, true);
        let host = |name: &str| Sniffed::Http(Some(name.to_owned()));
        assert_eq!(
            asked("9.9.9.9:80", host("api.example.com"), &some, false),
            Some(Hint::Http("api.example.com".to_owned()))
        );
        assert_eq!(asked("9.9.9.9:80", host("example.org"), &some, false), None);
        assert_eq!(asked("9.9.9.9:80", Sniffed::Other, &some, false), None);
        assert_eq!(asked("9.9.9.9:443", Sniffed::Tls(None), &some, false), None);
    }

    #[test]
    fn who_names_no_host_means_the_address() {
        let all = hosts(r#"["*"]"#, true);
        assert_eq!(
            asked("9.9.9.9:443", Sniffed::Tls(None), &all, false),
            Some(Hint::Tls("9.9.9.9".to_owned()))
        );
        assert_eq!(
            asked("10.0.0.1:80", Sniffed::Http(None), &all, true),
            Some(Hint::Http("10.0.0.1".to_owned()))
        );
    }

    #[test]
    fn other_protocols_are_asked_about_where_workerd_would_dial_nobody_denied() {
        let (on, off) = (hosts(r#"["*"]"#, true), hosts(r#"["*"]"#, false));
        assert_eq!(asked("9.9.9.9:80", Sniffed::Other, &on, false), Some(Hint::None));
        assert_eq!(asked("10.0.0.1:80", Sniffed::Other, &on, true), None);
        assert_eq!(asked("9.9.9.9:5432", Sniffed::Other, &on, false), None);
        assert_eq!(asked("10.0.0.1:5432", Sniffed::Other, &off, true), Some(Hint::None));
    }

    #[test]
    fn an_answer_is_forgotten_when_the_settings_change() {
        let question = Question { destination: "9.9.9.9:80".parse().unwrap(), hint: Hint::None };
        let passed = Passed::default();
        passed.insert(question.clone(), 1);
        assert!(passed.contains(&question, 1) && !passed.contains(&question, 2));
        passed.insert(question.clone(), 2);
        passed.insert(question.clone(), 1);
        assert!(passed.contains(&question, 2) && !passed.contains(&question, 1));
    }

    #[test]
    fn a_question_is_the_head_that_workerd_reads() {
        let destination = "1.2.3.4:80".parse().unwrap();
        let question = Question { destination, hint: Hint::Http("a.b".to_owned()) };
        let text = "CONNECT 1.2.3.4:80 HTTP/1.1\r\nHost: 1.2.3.4:80\r\nX-Hostname: a.b\r\n\r\n";
        assert_eq!(head(&question), text);
    }
}
