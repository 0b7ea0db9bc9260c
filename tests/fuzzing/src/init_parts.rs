//! The protocol between runtime and init, and the record of a sandbox's end.

use std::io::Write;
use std::os::unix::net::UnixStream;

use init::message::{Answer, Event, Request};
use init::record::Record;
use init::wire::{MESSAGE_BYTES_MAX, Receiver};
use serde::de::DeserializeOwned;

/// A stream of frames, taken by each side that receives some.
pub(crate) fn protocol(bytes: &[u8]) {
    // More than a socket holds would need a second thread, and shows nothing new.
    let bytes = &bytes[..bytes.len().min(64 * 1024)];
    receive::<Request>(bytes);
    receive::<Event>(bytes);
    receive::<Answer>(bytes);
}

fn receive<T: DeserializeOwned>(bytes: &[u8]) {
    let (mut sender, receiver) = UnixStream::pair().expect("make a socket pair");
    sender.write_all(bytes).expect("a socket holds that much");
    drop(sender);
    let mut frames = Receiver::default();
    let mut messages = 0;
    while let Ok(Some((_, descriptors))) = frames.receive::<T>(&receiver) {
        assert!(descriptors.is_empty(), "none was sent");
        messages += 1;
        assert!(messages <= bytes.len() / 4 + 1, "every message takes bytes");
    }
    const { assert!(MESSAGE_BYTES_MAX < u32::MAX as usize) };
}

/// The file that says how a sandbox ended.
pub(crate) fn record(bytes: &[u8]) {
    if let Record::Exited { stdout, stderr, .. } = Record::decode(bytes) {
        assert!(stdout.len() + stderr.len() <= bytes.len(), "output is what the file holds");
    }
}
