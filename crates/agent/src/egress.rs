//! Outbound connections of one instance: they end here, are judged, and go on from the host.
//!
//! Nothing of this exists for an instance without internet: it has no route at all. What a Worker
//! intercepts is not handled yet.

mod dns;
mod host;
pub(crate) mod policy;
mod tcp;
mod udp;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runtime::Sandbox;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::event::{AgentEvent, EventSender, Subject};
use policy::{Denied, Network, allowed};

/// The port of name servers: whatever goes there is answered by the host's resolvers.
const DNS_PORT: u16 = 53;
/// How long the list of the host's addresses is believed.
const ADDRESSES_FOR: Duration = Duration::from_secs(5);
/// Refused destinations of one instance that are told of, each once.
const MOST_TOLD: usize = 32;

/// What holds for every instance of the agent.
#[derive(Debug)]
pub(crate) struct Rules {
    exceptions: Vec<Network>,
    resolvers: Vec<SocketAddr>,
    addresses: Mutex<(Instant, BTreeSet<IpAddr>)>,
}

impl Rules {
    /// The host's resolvers and addresses, and blocks that are allowed in spite of them.
    pub(crate) fn new(exceptions: Vec<Network>) -> Self {
        let addresses = Mutex::new((Instant::now(), host::addresses()));
        Self { exceptions, resolvers: host::resolvers(), addresses }
    }

    fn judge(&self, destination: IpAddr) -> Result<(), Denied> {
        let mut addresses = self.addresses.lock().expect("no holder of this lock panics");
        if addresses.0.elapsed() > ADDRESSES_FOR {
            *addresses = (Instant::now(), host::addresses());
        }
        allowed(destination, &addresses.1, &self.exceptions)
    }
}

/// What one instance's connections have in common.
#[derive(Debug)]
struct Guard {
    rules: Arc<Rules>,
    internet: watch::Receiver<bool>,
    /// Who hears of refusals, and of whom they are.
    reports: Option<(Subject, EventSender)>,
    told: Mutex<BTreeSet<SocketAddr>>,
}

impl Guard {
    /// Where a connection to `destination` is to be dialled; `None` when it may not be.
    fn route(&self, destination: SocketAddr) -> Option<Route> {
        if !*self.internet.borrow() {
            return None;
        }
        if destination.port() == DNS_PORT {
            return Some(Route::Resolver);
        }
        match self.rules.judge(destination.ip()) {
            Ok(()) => Some(Route::Direct(destination)),
            Err(reason) => {
                self.tell(destination, reason);
                None
            }
        }
    }

    fn tell(&self, destination: SocketAddr, reason: Denied) {
        let Some((subject, events)) = &self.reports else { return };
        let mut told = self.told.lock().expect("no holder of this lock panics");
        if told.len() < MOST_TOLD && told.insert(destination) {
            let subject = subject.clone();
            events.send(AgentEvent::EgressDenied { subject, destination, reason });
        }
    }
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Where it was meant to.
    Direct(SocketAddr),
    /// To the host's resolvers.
    Resolver,
}

/// The outbound connections of one instance. Dropping it closes them all.
#[derive(Debug)]
pub(crate) struct Egress {
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Egress {
    /// Begins to take connections.
    ///
    /// # Errors
    /// The sandbox has no egress, or has ended.
    pub(crate) fn start(
        sandbox: &Sandbox,
        rules: Arc<Rules>,
        internet: watch::Receiver<bool>,
        subject: Subject,
        events: EventSender,
    ) -> io::Result<Self> {
        Self::guarded(
            sandbox,
            Guard { rules, internet, reports: Some((subject, events)), told: Mutex::default() },
        )
    }

    fn guarded(sandbox: &Sandbox, guard: Guard) -> io::Result<Self> {
        let (tcp, udp) = (sandbox.egress_tcp()?, sandbox.egress_udp()?);
        let guard = Arc::new(guard);
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(tcp::relay(tcp, Arc::clone(&guard)))),
            AbortOnDropHandle::new(tokio::spawn(udp::relay(udp, guard))),
        ];
        Ok(Self { _tasks: tasks })
    }
}

/// The outbound connections of a sandbox that is no instance: a `RUN` step of an image. The same
/// rules hold. Dropping it closes them all.
#[derive(Debug)]
pub struct BuildEgress {
    _egress: Egress,
    _internet: watch::Sender<bool>,
}

impl BuildEgress {
    /// Begins to take connections; `allow` are networks that may be reached in spite of the rules.
    ///
    /// # Errors
    /// The sandbox has no egress, or has ended.
    pub fn serve(sandbox: &Sandbox, allow: Vec<Network>) -> io::Result<Self> {
        let (internet, receiver) = watch::channel(true);
        let guard = Guard {
            rules: Arc::new(Rules::new(allow)),
            internet: receiver,
            reports: None,
            told: Mutex::default(),
        };
        Ok(Self { _egress: Egress::guarded(sandbox, guard)?, _internet: internet })
    }
}
