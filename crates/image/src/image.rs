//! An image as callers see it: its config and its unpacked layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// An image whose layers are unpacked and ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// What the image says about the process to run.
    pub config: ImageConfig,
    /// Unpacked layers, read-only, TOPMOST FIRST: as overlayfs takes its `lowerdir`s. Whiteouts are
    /// character devices 0:0, opaque directories have `trusted.overlay.opaque=y` (`user.` in a user
    /// namespace). Never empty: an image without layers has one empty directory.
    pub layers: Vec<PathBuf>,
    /// Bytes of the image's layers and config as stored and transferred (compressed).
    pub size: u64,
}

/// What an image says about the process to run, as in the OCI image config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// What is run, in front of [`Self::cmd`]; empty when unset.
    pub entrypoint: Vec<String>,
    /// Arguments of the entrypoint, or the whole command line without one.
    pub cmd: Vec<String>,
    /// Environment as `NAME=value`, in the image's order.
    pub env: Vec<String>,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// `""`, `name`, `uid`, `name:group` or `uid:gid`; resolved inside when a process starts.
    pub user: String,
    /// Ports of `EXPOSE`.
    pub exposed_ports: BTreeSet<ExposedPort>,
    /// Signal that asks the process to stop, as written (`SIGTERM`, `15`); `None` means SIGTERM.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Paths of `VOLUME`.
    pub volumes: BTreeSet<String>,
}

/// A port of `EXPOSE`; in text `8080/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExposedPort {
    /// The port's number.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// Protocols a port can be exposed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a port (8080, 8080/tcp, 8080/udp)")]
pub struct ExposedPortError {
    /// The text as given.
    pub text: String,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for ExposedPort {
    type Err = ExposedPortError;

    fn from_str(text: &str) -> Result<Self, ExposedPortError> {
        let error = || ExposedPortError { text: text.to_owned() };
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(error()),
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(error)?;
        Ok(Self { port, protocol })
    }
}

impl TryFrom<String> for ExposedPort {
    type Error = ExposedPortError;

    fn try_from(text: String) -> Result<Self, ExposedPortError> {
        text.parse()
    }
}

impl From<ExposedPort> for String {
    fn from(port: ExposedPort) -> Self {
        port.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_parse_with_and_without_protocol() {
        assert_eq!("8080".parse::<ExposedPort>().unwrap().to_string(), "8080/tcp");
        assert_eq!("53/UDP".parse::<ExposedPort>().unwrap().to_string(), "53/udp");
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["", "0", "65536", "+80", "80/http", "80/", "/tcp", "a", "8000-8010"] {
            assert!(text.parse::<ExposedPort>().is_err(), "{text}");
        }
    }
}
