//! `RUN --mount=type=ssh`: a socket of the step's own, whose connections are passed to the agent.
//!
//! The agent itself would refuse a stranger: it asks the kernel who connects, and a step's root is
//! not the host's.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A socket that leads to an agent until it is dropped.
pub(super) struct Relay {
    socket: PathBuf,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens at `socket` for connections to `agent`.
    pub(super) fn start(socket: &Path, agent: &Path) -> io::Result<Self> {
        // An agent that is not there is known before the step runs.
        drop(UnixStream::connect(agent)?);
        let listener = UnixListener::bind(socket)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (agent, stop) = (agent.to_owned(), Arc::clone(&stopped));
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if let (Ok(client), Ok(agent)) = (client, UnixStream::connect(&agent)) {
                    // They end with their connection, at the latest with the step.
                    let _ = pass(client, agent);
                }
            }
        });
        Ok(Self { socket: socket.to_owned(), stopped, accepting: Some(accepting) })
    }
}

/// Passes bytes both ways, each by a thread of its own.
fn pass(client: UnixStream, agent: UnixStream) -> io::Result<()> {
    let (client_too, agent_too) = (client.try_clone()?, agent.try_clone()?);
    for (mut from, mut to) in [(client, agent_too), (agent, client_too)] {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let woken = UnixStream::connect(&self.socket).is_ok();
        if let Some(accepting) = self.accepting.take().filter(|_| woken) {
            let _ = accepting.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn connections_reach_the_agent_until_the_step_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, socket) = (dir.path().join("agent"), dir.path().join("socket"));
        let listener = UnixListener::bind(&agent).unwrap();
        let echo = std::thread::spawn(move || {
            // The first connection only asked whether it is there.
            drop(listener.accept().unwrap());
            let (mut client, _) = listener.accept().unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            client.write_all(text.to_uppercase().as_bytes()).unwrap();
        });
        let relay = Relay::start(&socket, &agent).unwrap();
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(b"sign this").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "SIGN THIS");
        echo.join().unwrap();
        drop(relay);
        assert!(UnixStream::connect(&socket).is_err());
    }

    #[test]
    fn an_agent_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Relay::start(&dir.path().join("socket"), &dir.path().join("none")).is_err());
    }
}
