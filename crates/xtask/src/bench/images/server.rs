//! The two registries, each with storage of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::eventually;
use fs_err as fs;

use crate::bench::Inside;
use crate::http;
use crate::programs::Program;

const START: Duration = Duration::from_secs(30);
/// Nothing else listens in the run's network.
const BERTH: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);
const DEBIAN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5002);

/// Whose registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Berth,
    Debian,
}

/// A registry that answers; it ends when dropped.
#[derive(Debug)]
pub(super) struct Server {
    program: Program,
    address: SocketAddr,
}

impl Kind {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Berth => "Berth",
            Self::Debian => "docker-registry",
        }
    }
}

impl Server {
    /// Starts it with its data in `data`.
    pub(super) fn start(inside: &Inside, kind: Kind, data: &Path) -> Result<Self> {
        fs::create_dir_all(data)?;
        let (mut command, address) = match kind {
            Kind::Berth => {
                let mut command = Command::new(inside.workshop.berth());
                command.args(["registry", "serve", "--anonymous", "--listen"]);
                command.arg(BERTH.to_string()).arg("--data").arg(data);
                (command, BERTH)
            }
            Kind::Debian => {
                let config = inside.dir.join("registry.yml");
                let text = format!(
                    "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: \
                     {{rootdirectory: {}}}}}\nhttp: {{addr: \"{DEBIAN}\"}}\n",
                    data.display()
                );
                fs::write(&config, text)?;
                let mut command = Command::new("docker-registry");
                command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
                (command, DEBIAN)
            }
        };
        let log = inside.dir.join("registry.log");
        let mut program = Program::start(&mut command, &log)?;
        let answered = eventually(START, || match program.ended() {
            Ok(None) => TcpStream::connect(address).ok().and_then(|_| {
                let reply = http::get(address, "/v2/").ok()?;
                [200, 401].contains(&reply.status).then_some(true)
            }),
            _ => Some(false),
        });
        if answered != Some(true) {
            let said = fs::read_to_string(log).unwrap_or_default();
            bail!("{} did not start; it said:\n{said}", kind.label());
        }
        Ok(Self { program, address })
    }

    /// The name in it of the image that is pushed.
    pub(super) fn image(&self) -> String {
        // `local` is the account that Berth's has when none is named.
        format!("{}/local/large:1", self.address)
    }

    /// The most memory it ever had resident.
    pub(super) fn peak(&self) -> Result<u64> {
        let process = self.program.process().context("the registry has ended")?;
        process.peak_memory().context("the registry has ended")
    }
}
