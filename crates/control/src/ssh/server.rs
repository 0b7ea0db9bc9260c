//! One connection of an SSH client: who it is, and which programs it asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use russh::keys::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
    run_stream,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Pty};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::keys::Allowed;
use super::program::{self, Terminal};
use super::{Entrance, SshHostKey, USER, fingerprint};

/// Programs that one connection may run at once, as sshd's `MaxSessions`.
const MOST_PROGRAMS: usize = 10;
/// A client that is asked whether it is there is asked so often before it is taken for gone.
const MOST_SILENCE: usize = 3;
/// A client that says nothing for so long is asked.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a wrong key takes. Public keys are no secrets, and an agent may hold many.
const REJECTION: Duration = Duration::from_millis(100);

/// Serves a client until it goes; `known` is told once it has proved who it is.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    entrance: Entrance,
    known: oneshot::Sender<()>,
) {
    let config = Arc::new(config(&entrance.host_key));
    let client = Client {
        entrance,
        known: Some(known),
        allowed: Allowed { terminal: true },
        places: Arc::new(Semaphore::new(MOST_PROGRAMS)),
        waiting: HashMap::new(),
    };
    let served = match run_stream(config, stream, client).await {
        Ok(session) => session.await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an SSH client");
    }
}

fn config(host_key: &SshHostKey) -> Config {
    Config {
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key.private().clone()],
        // A shell may be quiet for a day.
        inactivity_timeout: None,
        keepalive_interval: Some(SILENCE),
        keepalive_max: MOST_SILENCE,
        ..Config::default()
    }
}

/// A client, as far as it is known.
struct Client {
    entrance: Entrance,
    known: Option<oneshot::Sender<()>>,
    allowed: Allowed,
    places: Arc<Semaphore>,
    /// Channels of which nobody has said yet what they are for.
    waiting: HashMap<ChannelId, Waiting>,
}

/// A channel before its program.
struct Waiting {
    channel: Channel<Msg>,
    terminal: Option<Terminal>,
    place: OwnedSemaphorePermit,
}

impl Client {
    fn refused(&self, why: &str) -> Auth {
        tracing::debug!(instance = self.entrance.instance, why, "an SSH client is not let in");
        Auth::reject()
    }

    /// Begins what a channel is for: a command, or a shell.
    async fn begin(
        &mut self,
        id: ChannelId,
        command: Option<&[u8]>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(Waiting { channel, terminal, place }) = self.waiting.remove(&id) else {
            return session.channel_failure(id);
        };
        let Entrance { platform, instance, .. } = &self.entrance;
        let started = program::start(platform.as_ref(), instance, command, terminal.as_ref()).await;
        session.channel_success(id)?;
        tokio::spawn(async move {
            match started {
                Ok(started) => program::serve(channel, started, terminal.is_some()).await,
                Err(error) => program::refuse(&channel, &error).await,
            }
            drop(place);
        });
        Ok(())
    }
}

impl Handler for Client {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let key = offer.public_key;
        let keys = &self.entrance.keys;
        // Of a certificate only the key is shown here.
        match user == USER && (keys.know(key) || keys.have_authorities()) {
            true => Ok(Auth::Accept),
            false => Ok(self.refused("the user or the key is unknown")),
        }
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let key = key.public_key;
        if user != USER || !self.entrance.keys.know(key) {
            return Ok(self.refused("the user or the key is unknown"));
        }
        let instance = &self.entrance.instance;
        tracing::info!(instance, key = fingerprint(key), "an SSH client is let in");
        self.allowed = Allowed { terminal: true };
        Ok(Auth::Accept)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        if user != USER {
            return Ok(self.refused("the user is unknown"));
        }
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        match self.entrance.keys.admit(certificate, user, now) {
            Ok(allowed) => {
                let (instance, certificate) = (&self.entrance.instance, certificate.key_id());
                tracing::info!(instance, %certificate, "an SSH client is let in");
                self.allowed = allowed;
                Ok(Auth::Accept)
            }
            Err(why) => Ok(self.refused(&format!("the certificate: {why}"))),
        }
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(known) = self.known.take() {
            let _ = known.send(());
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // A reply that is dropped says no.
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.waiting.insert(channel.id(), Waiting { channel, terminal: None, place });
            reply.accept().await;
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.waiting.remove(&id);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.waiting.get_mut(&id).filter(|_| self.allowed.terminal) {
            Some(waiting) => {
                waiting.terminal = Some(Terminal::new(term, rows, columns));
                session.channel_success(id)
            }
            None => session.channel_failure(id),
        }
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // A program's variables are its application's business.
        session.channel_failure(id)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.begin(id, None, session).await
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.begin(id, Some(command), session).await
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }
}
