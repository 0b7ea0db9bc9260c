//! Certificates from an ACME server (RFC 8555), proved through our own address with TLS (TLS-ALPN-01,
//! RFC 8737), and renewed when two thirds of their time are over.
//!
//! A failure takes nothing away: what serves goes on serving, and the next try comes later each time.

mod client;
mod folder;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
    RetryPolicy,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::tls::Certificates;
use folder::{Folder, Issued};

/// The protocol by which an ACME server asks for a proof.
pub(crate) const PROTOCOL: &str = "acme-tls/1";
/// An order may take this long to be looked into, and as long to be carried out.
const ORDER: Duration = Duration::from_secs(60);
/// After the first failure for a name, twice that after the second and so on: Let's Encrypt allows
/// five an hour.
const FIRST_RETRY: Duration = Duration::from_secs(5 * 60);
/// At most this long after a failure.
const LAST_RETRY: Duration = Duration::from_secs(12 * 3600);
/// The longest sleep: whoever sets the clock is noticed.
const LOOK: Duration = Duration::from_secs(3600);

/// Where certificates come from.
#[derive(Debug, Clone)]
pub struct Acme {
    /// The server's directory, an `https` URL.
    pub directory: String,
    /// Where the server writes to about certificates, if it does.
    pub email: Option<String>,
    /// Whom to trust to be the server (PEM); `None` for the authorities of the web.
    pub authority: Option<PathBuf>,
    /// Where the account's key and the certificates are kept, readable by their owner alone.
    pub folder: PathBuf,
}

/// Why there is no certificate, or no account.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The server cannot be reached as it is configured.
    #[error("use the ACME server {directory}: {reason}")]
    Configuration {
        /// Its directory.
        directory: String,
        /// What is wrong.
        reason: String,
    },
    /// The server was not reached, or refused.
    #[error("{attempt}")]
    Server {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        source: instant_acme::Error,
    },
    /// The server offers no proof by TLS.
    #[error("the ACME server offers no TLS-ALPN-01 challenge")]
    NoChallenge,
    /// The server did not accept the proof.
    #[error("the ACME server could not verify the name: {0}")]
    NotVerified(String),
    /// A certificate or key cannot be made or used.
    #[error("use a certificate: {0}")]
    Certificate(String),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

fn server(attempt: &'static str) -> impl Fn(instant_acme::Error) -> AcmeError {
    move |source| AcmeError::Server { attempt, source }
}

impl Acme {
    /// Keeps certificates for `names` until what this returns is dropped; `told` learns how each try
    /// for a name ended.
    ///
    /// # Errors
    /// The server cannot be trusted by what was given, or the folder cannot be made.
    pub fn keep(
        self,
        certificates: &Certificates,
        names: watch::Receiver<BTreeSet<String>>,
        told: impl Fn(&str, Result<(), AcmeError>) + Send + 'static,
    ) -> Result<AbortOnDropHandle<()>, AcmeError> {
        let folder = Folder::open(&self)?;
        let http = client::Http::new(&self)?;
        let certificates = certificates.clone();
        let keeper = Keeper { acme: self, folder, http, certificates, account: None };
        Ok(AbortOnDropHandle::new(tokio::spawn(keeper.run(names, told))))
    }
}

/// One name's certificate, and how its renewal goes.
#[derive(Debug, Default)]
struct State {
    /// When it began and ends to be valid, in seconds of Unix time.
    valid: Option<(i64, i64)>,
    failures: u32,
    /// Not before that moment, because it failed.
    not_before: Option<Instant>,
}

impl State {
    /// How long until the next try, at `now` in seconds of Unix time.
    fn wait(&self, now: i64, clock: Instant) -> Duration {
        let until_due = match self.valid {
            None => 0,
            Some((from, to)) => (from + (to - from) / 3 * 2 - now).max(0),
        };
        let until_due = Duration::from_secs(until_due.unsigned_abs());
        let until_retry = self.not_before.map(|moment| moment.duration_since(clock));
        until_due.max(until_retry.unwrap_or_default())
    }

    fn failed(&mut self, clock: Instant) {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(LAST_RETRY);
        self.failures += 1;
        self.not_before = Some(clock + wait);
    }
}

struct Keeper {
    acme: Acme,
    folder: Folder,
    http: client::Http,
    certificates: Certificates,
    account: Option<Account>,
}

impl Keeper {
    async fn run(
        mut self,
        mut names: watch::Receiver<BTreeSet<String>>,
        told: impl Fn(&str, Result<(), AcmeError>) + Send,
    ) {
        let mut states: HashMap<String, State> = HashMap::new();
        loop {
            let wanted: BTreeSet<String> = names.borrow_and_update().iter().cloned().collect();
            states.retain(|name, _| wanted.contains(name));
            for name in wanted.iter().filter(|name| !self.certificates.are_given_for(name)) {
                if !states.contains_key(name) {
                    states.insert(name.clone(), self.begin(name).await);
                }
            }
            let clock = Instant::now();
            let due = states.iter().map(|(name, state)| (state.wait(now(), clock), name.clone()));
            match due.min() {
                Some((Duration::ZERO, name)) => {
                    let outcome = self.renew(&name).await;
                    let state = states.entry(name.clone()).or_default();
                    match &outcome {
                        Ok(valid) => *state = State { valid: Some(*valid), ..State::default() },
                        Err(_) => state.failed(Instant::now()),
                    }
                    told(&name, outcome.map(drop));
                }
                next => {
                    let sleep = next.map_or(LOOK, |(wait, _)| wait.min(LOOK));
                    tokio::select! {
                        () = tokio::time::sleep(sleep) => {}
                        changed = names.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// Takes up what was issued before.
    async fn begin(&self, name: &str) -> State {
        let (folder, of) = (self.folder.clone(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || folder.certificate(&of)).await;
        let Some(issued) = read.ok().flatten() else { return State::default() };
        let valid = Some(issued.valid);
        self.certificates.issued(name, issued.key);
        State { valid, ..State::default() }
    }

    async fn renew(&mut self, name: &str) -> Result<(i64, i64), AcmeError> {
        let account = self.account().await?;
        let issued = issue(&account, &self.certificates, name).await;
        self.certificates.proved(name);
        let pem = issued?;
        let (folder, of) = (self.folder.clone(), name.to_owned());
        let kept = tokio::task::spawn_blocking(move || folder.keep(&of, &pem)).await;
        let Issued { key, valid } =
            kept.map_err(|error| AcmeError::Certificate(error.to_string()))??;
        self.certificates.issued(name, key);
        Ok(valid)
    }

    async fn account(&mut self) -> Result<Account, AcmeError> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let account = match self.folder.account()? {
            Some(known) => {
                let account = builder.from_credentials(known).await;
                account.map_err(server("take up the account at the ACME server"))?
            }
            None => {
                let contact = self.acme.email.as_ref().map(|email| format!("mailto:{email}"));
                let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let made = builder.create(&new, self.acme.directory.clone(), None).await;
                let (account, credentials) =
                    made.map_err(server("make an account at the ACME server"))?;
                self.folder.keep_account(&credentials)?;
                account
            }
        };
        Ok(self.account.insert(account).clone())
    }
}

/// Orders a certificate; returns its key and chain as PEM.
async fn issue(
    account: &Account,
    certificates: &Certificates,
    name: &str,
) -> Result<String, AcmeError> {
    let identifiers = [Identifier::Dns(name.to_owned())];
    let ordered = account.new_order(&NewOrder::new(&identifiers)).await;
    let mut order = ordered.map_err(server("order a certificate"))?;
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(server("ask what to prove"))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or(AcmeError::NoChallenge)?;
        let proof = challenge.key_authorization().digest();
        certificates.prove(name, proof.as_ref()).map_err(AcmeError::Certificate)?;
        challenge.set_ready().await.map_err(server("offer the proof"))?;
    }
    let patience = RetryPolicy::new().timeout(ORDER);
    let status = order.poll_ready(&patience).await.map_err(server("wait for the proof"))?;
    if !matches!(status, OrderStatus::Ready | OrderStatus::Valid) {
        return Err(AcmeError::NotVerified(why(&mut order).await));
    }
    let key = order.finalize().await.map_err(server("ask for the certificate"))?;
    let chain = order.poll_certificate(&patience).await;
    Ok(key + &chain.map_err(server("get the certificate"))?)
}

/// What the server says about an order that failed.
async fn why(order: &mut instant_acme::Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let Ok(authorization) = next else { break };
        let mut errors = authorization.challenges.iter().filter_map(|one| one.error.as_ref());
        if let Some(error) = errors.next() {
            return error.to_string();
        }
    }
    "it says no more".to_owned()
}

/// Seconds of Unix time.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_time_are_over() {
        let clock = Instant::now();
        let state = State { valid: Some((0, 90 * DAY)), ..State::default() };
        let day = |days: u64| Duration::from_secs(days * 24 * 3600);
        assert_eq!(state.wait(0, clock), day(60));
        assert_eq!(state.wait(59 * DAY, clock), day(1));
        assert_eq!(state.wait(61 * DAY, clock), Duration::ZERO);
        assert_eq!(State::default().wait(0, clock), Duration::ZERO);
    }

    #[test]
    fn failures_are_tried_again_ever_later_but_twice_a_day_at_least() {
        let clock = Instant::now();
        let mut state = State::default();
        let waits = (0..10).map(|_| {
            state.failed(clock);
            state.wait(0, clock)
        });
        let waits: Vec<_> = waits.collect();
        assert_eq!(waits[..3], [FIRST_RETRY, FIRST_RETRY * 2, FIRST_RETRY * 4]);
        assert_eq!(waits[9], LAST_RETRY);
    }
}
