//! Outbound connections of one instance: they end here, are judged, and go on to its Worker or from
//! the host.
//!
//! An instance without internet whose Worker handles nothing has none of this: no route at all.

mod dns;
mod host;
mod intercept;
mod opening;
pub(crate) mod outbound;
pub(crate) mod policy;
mod sniff;
mod tcp;
mod tls;
mod udp;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use runtime::Sandbox;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::certificate::CertificateAuthority;
use crate::event::{AgentEvent, EventSender, Subject};
use intercept::{Answer, Passed, Question};
use outbound::Outbound;
use policy::{Denied, Network, allowed};

/// The port of name servers: whatever goes there is answered by us.
const DNS_PORT: u16 = 53;
/// How long the list of the host's addresses is believed.
const ADDRESSES_FOR: Duration = Duration::from_secs(5);
/// Refused destinations of one instance that are told of, each once.
const MOST_TOLD: usize = 32;
/// How long a program waits for a Worker that is being replaced.
const RELOAD_PATIENCE: Duration = Duration::from_secs(5);

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
    outbound: watch::Receiver<Outbound>,
    /// Who signs certificates for what a Worker handles; none where nothing is handled.
    authority: Option<Arc<CertificateAuthority>>,
    passed: Passed,
    /// Who hears of refusals, and of whom they are.
    reports: Option<(Subject, EventSender)>,
    told: Mutex<BTreeSet<SocketAddr>>,
}

impl Guard {
    fn outbound(&self) -> Outbound {
        self.outbound.borrow().clone()
    }

    /// Whether the program may reach `destination` itself. Without internet, the reason is `None`.
    fn judge(&self, outbound: &Outbound, destination: SocketAddr) -> Result<(), Option<Denied>> {
        if !outbound.internet {
            return Err(None);
        }
        self.rules.judge(destination.ip()).map_err(Some)
    }

    /// Says, once, that the program wanted to reach what it may not. That it has no internet is no
    /// news, and nobody is at the address that stands for names which a Worker handles.
    fn tell(&self, destination: SocketAddr, reason: Option<Denied>) {
        let (Some((subject, events)), Some(reason)) = (&self.reports, reason) else { return };
        let mut told = self.told.lock().expect("no holder of this lock panics");
        let news = destination.ip() != IpAddr::V4(dns::PLACEHOLDER);
        if news && told.len() < MOST_TOLD && told.insert(destination) {
            let subject = subject.clone();
            events.send(AgentEvent::EgressDenied { subject, destination, reason });
        }
    }

    /// Asks the Worker, or, while it is being replaced, its successor.
    async fn ask(&self, question: Question) -> io::Result<Answer> {
        let mut outbound = self.outbound.clone();
        let deadline = tokio::time::Instant::now() + RELOAD_PATIENCE;
        loop {
            let now = outbound.borrow_and_update().clone();
            let error = match intercept::ask(question.clone(), &now, &self.passed).await {
                Ok(Answer::Passed) if !now.confirmed => {
                    io::Error::other("it was started anew and has not intercepted yet")
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(error) => error,
                answer => return answer,
            };
            match tokio::time::timeout_at(deadline, outbound.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(error),
            }
        }
    }
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
        authority: Arc<CertificateAuthority>,
        outbound: watch::Receiver<Outbound>,
        reports: (Subject, EventSender),
    ) -> io::Result<Self> {
        let (authority, reports) = (Some(authority), Some(reports));
        let (passed, told) = (Passed::default(), Mutex::default());
        Self::guarded(sandbox, Guard { rules, outbound, authority, passed, reports, told })
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
    _outbound: watch::Sender<Outbound>,
}

impl BuildEgress {
    /// Begins to take connections; `allow` are networks that may be reached in spite of the rules.
    ///
    /// # Errors
    /// The sandbox has no egress, or has ended.
    pub fn serve(sandbox: &Sandbox, allow: Vec<Network>) -> io::Result<Self> {
        let (sender, outbound) = watch::channel(Outbound::open());
        let guard = Guard {
            rules: Arc::new(Rules::new(allow)),
            outbound,
            authority: None,
            passed: Passed::default(),
            reports: None,
            told: Mutex::default(),
        };
        Ok(Self { _egress: Egress::guarded(sandbox, guard)?, _outbound: sender })
    }
}
