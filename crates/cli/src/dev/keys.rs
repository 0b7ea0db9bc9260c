//! Single key presses while `berth dev` runs, without waiting for Enter.

use std::io::{IsTerminal, Read};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// What a key press asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `r`: rebuild the images and restart the instances.
    Rebuild,
    /// `q`: stop everything and leave.
    Quit,
}

impl Key {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte.to_ascii_lowercase() {
            b'r' => Some(Self::Rebuild),
            b'q' | 4 => Some(Self::Quit),
            _ => None,
        }
    }
}

/// Reads keys from stdin; the terminal's mode is put back when this is dropped.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: mpsc::Receiver<Key>,
    before: Option<Termios>,
}

impl Keys {
    /// Starts to read. Where stdin is no terminal, its bytes are read as keys just the same, so that
    /// scripts can press them.
    pub(crate) fn read() -> Self {
        let stdin = std::io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            // ISIG stays: Ctrl-C is still a signal.
            raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A terminal that refuses asks for Enter after each key, no more.
            let _ = tcsetattr(&stdin, OptionalActions::Now, &raw);
        }
        let (sender, keys) = mpsc::channel(8);
        // A thread, not a task: a blocking read of stdin cannot be cancelled, and must not hold the
        // runtime's end.
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                if let Some(key) = Key::from_byte(byte)
                    && sender.blocking_send(key).is_err()
                {
                    return;
                }
            }
        });
        Self { keys, before }
    }

    /// The next key; never, once stdin has ended.
    pub(crate) async fn next(&mut self) -> Key {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nothing is left to do when the terminal is gone.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_and_q_are_keys_in_either_case_and_nothing_else_is() {
        assert_eq!(Key::from_byte(b'R'), Some(Key::Rebuild));
        assert_eq!(Key::from_byte(b'q'), Some(Key::Quit));
        assert_eq!(Key::from_byte(b'x'), None);
    }
}
