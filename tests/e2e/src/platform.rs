//! A running `berth serve`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::berth::{Berth, Outcome};
use crate::certificate::Certificate;
use crate::client::{Client, Reply};
use crate::engine::{Background, Tool};
use crate::leftovers::Footprint;
use crate::lines::Lines;
use crate::process::Process;
use crate::project::Project;
use crate::wait::{PATIENCE, eventually};
use crate::wall_clock::WallClock;
use crate::wrangler::Wrangler;

/// A first start installs the toolchain.
const START: Duration = Duration::from_secs(300);
/// Requests in flight have half a minute, and instances the grace they are given.
const STOP: Duration = Duration::from_secs(90);
/// Precedes the address of the Workers.
const READY: &str = "Ready on http://<worker>.localhost:";
/// Precedes that of the API.
const API: &str = "API and registry on ";
/// Instances end when it does.
const STOPS: [&str; 3] = [STOP_INSTANCES, "--stop-grace", "2s"];
const STOP_INSTANCES: &str = "--stop-instances";
/// Free ports for the Workers and for the API.
const ANY: [&str; 2] = ["127.0.0.1:0", "127.0.0.1:0"];
/// The token, and the lines for a project's `.env`, that the first of several on the same data has shown.
type Known = (String, Vec<(String, String)>);
/// A variable of a program's environment.
type Variable = (&'static str, OsString);
/// Precedes the token that is shown once.
const TOKEN: &str = "CLOUDFLARE_API_TOKEN=";

/// A platform on free ports of this machine. When dropped it is stopped, with its instances, also those that
/// a kill has left; its data goes with the last of its clones.
#[derive(Debug)]
pub struct Platform {
    child: Child,
    process: Process,
    lines: Lines,
    /// Its data is the home of this.
    data: Project,
    port: u16,
    api: String,
    token: String,
    environment: Vec<(String, String)>,
    /// What its clients must trust, if its API has TLS.
    certificate: Option<Certificate>,
    /// Variables that its program is started with.
    variables: Vec<Variable>,
    /// Whether its instances end when it does.
    stops: bool,
    /// Whether another one has taken over what it leaves.
    followed: bool,
}

/// A `berth serve` that is ready.
struct Launched {
    child: Child,
    lines: Lines,
    /// What it said then.
    ready: String,
}

/// Starts one; gives what it said if it does not get ready.
fn launch(
    data: &Project,
    [listen, api]: [&str; 2],
    variables: &[Variable],
    args: &[&str],
) -> Result<Launched, Lines> {
    let berth = Berth::new(data, ["serve", "--listen", listen, "--api", api]);
    let mut berth = berth.args(args).env("BERTH_LOG", "control=info");
    for (name, value) in variables {
        berth = berth.env(name, value);
    }
    let mut command = berth.into_command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start berth serve");
    let lines = Lines::default();
    lines.gather(child.stdout.take().expect("stdout is a pipe"));
    lines.gather(child.stderr.take().expect("stderr is a pipe"));
    let ready = eventually(START, || {
        let ended = child.try_wait().expect("look after berth serve").is_some();
        lines.with(READY).pop().map(Some).or(ended.then_some(None))
    });
    if let Some(Some(ready)) = ready {
        return Ok(Launched { child, lines, ready });
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(lines)
}

impl Platform {
    /// Starts one with data of its own; it stops its instances when it ends.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start() -> Self {
        Self::first(&STOPS)
    }

    /// The same, but its instances stay for the next one.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_and_leave_instances() -> Self {
        Self::first(&[])
    }

    /// Starts one whose data is the home of this.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_on(data: Project) -> Self {
        Self::run(data, ANY, (None, Vec::new()), &STOPS)
    }

    /// The same, where the clock on the wall can be set.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_by(clock: &WallClock) -> Self {
        let data = Project::empty().with_own_home();
        Self::run(data, ANY, (None, clock.environment()), &STOPS)
    }

    /// The same as [`Self::start`], with these settings as the `berth.toml` of its data.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_with_settings(text: &str) -> Self {
        let data = Project::empty().with_own_home();
        fs_err::write(data.home().join("berth.toml"), text).expect("write the settings");
        Self::start_on(data)
    }

    /// One whose API and registry have TLS, by a certificate that [`Self::wrangler`] trusts.
    ///
    /// # Panics
    /// It does not get ready; the message holds what it said.
    #[must_use]
    pub fn start_with_tls() -> Self {
        let data = Project::empty().with_own_home();
        let made = Certificate::in_folder(data.path());
        let [certificate, key] = [&made.certificate, &made.key].map(|path| path.to_string_lossy());
        let args = [&STOPS[..], &["--tls-cert", &certificate, "--tls-key", &key]].concat();
        let mut platform = Self::run(data, ANY, (None, Vec::new()), &args);
        platform.certificate = Some(made);
        platform
    }

    fn first(args: &[&str]) -> Self {
        let data = Project::empty().with_own_home();
        Self::run(data, ANY, (None, Vec::new()), args)
    }

    /// Kills it, as a crash would, and nothing it started; then starts one on the same data and
    /// addresses.
    ///
    /// # Panics
    /// It does not get ready again.
    #[must_use]
    pub fn killed_and_started_again(mut self) -> Self {
        self.child.kill().expect("kill berth serve");
        self.child.wait().expect("wait for berth serve");
        self.again(&[])
    }

    /// The next start has these variables, too.
    #[must_use]
    pub fn with_variables(mut self, variables: &[(&'static str, &str)]) -> Self {
        self.variables.extend(variables.iter().map(|(name, value)| (*name, OsString::from(value))));
        self
    }

    /// Stops it as Ctrl-C does, then starts one on the same data and addresses.
    ///
    /// # Panics
    /// It does not end well, or does not get ready again.
    #[must_use]
    pub fn stopped_and_started_again(self) -> Self {
        self.stopped_and_started_again_with(&[])
    }

    /// Stops it as Ctrl-C does, lets somebody change its data, then starts one on the same data and
    /// addresses.
    ///
    /// # Panics
    /// It does not end well, or does not get ready again.
    #[must_use]
    pub fn stopped_and_changed(mut self, change: impl FnOnce(&Project)) -> Self {
        self.end();
        change(&self.data);
        self.again(&[])
    }

    /// Stops it, lets somebody fill an empty home, and starts one on that and on the same addresses.
    ///
    /// # Panics
    /// It does not end well, or the other one does not get ready.
    #[must_use]
    pub fn moved_to_another_home(mut self, fill: impl FnOnce(&Project)) -> Self {
        self.end();
        let data = Project::empty().with_bare_home();
        fill(&data);
        self.data = data.with_shared_toolchain();
        self.again(&[])
    }

    /// The same, the next with these options too.
    ///
    /// # Panics
    /// It does not end well, or does not get ready again.
    #[must_use]
    pub fn stopped_and_started_again_with(mut self, options: &[&str]) -> Self {
        self.end();
        self.again(options)
    }

    fn again(&mut self, options: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", self.port);
        let known = (self.token.clone(), self.environment.clone());
        let next = Self::run(
            self.data.clone(),
            [&listen[..], &self.api[..]],
            (Some(known), self.variables.clone()),
            &[&STOPS, options].concat(),
        );
        self.followed = true;
        next
    }

    fn run(
        data: Project,
        addresses: [&str; 2],
        (known, variables): (Option<Known>, Vec<Variable>),
        args: &[&str],
    ) -> Self {
        let launched = launch(&data, addresses, &variables, args);
        let Launched { child, lines, ready } =
            launched.unwrap_or_else(|lines| panic!("berth serve did not get ready:\n{lines}"));
        let after = |line: &str, text: &str| {
            line.split_once(text).map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default()
        };
        let first = |text: &str| lines.with(text).first().map(|line| after(line, text));
        let address = |url: String| url.split_once("://").map(|(_, address)| address.to_owned());
        let environment = || {
            let lines = ["CLOUDFLARE_", "WRANGLER_"].into_iter().flat_map(|name| lines.with(name));
            let pair = |line: String| {
                line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            };
            lines.filter_map(pair).collect()
        };
        let (token, environment) = known.unwrap_or_else(|| {
            (first(TOKEN).expect("the first start shows a token"), environment())
        });
        Self {
            process: Process::with_pid(child.id()).expect("berth serve runs"),
            port: after(&ready, READY).parse().expect("the line ends in the port"),
            api: first(API).and_then(address).expect("it says where the API is"),
            certificate: None,
            variables,
            stops: args.contains(&STOP_INSTANCES),
            followed: false,
            child,
            lines,
            data,
            token,
            environment,
        }
    }

    /// Its data: the home of this project.
    #[must_use]
    pub fn data(&self) -> &Project {
        &self.data
    }

    /// The token that it showed at its first start.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The lines it printed for a project's `.env`.
    #[must_use]
    pub fn dot_env(&self) -> String {
        self.environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    /// Where its Workers are.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A client of a Worker: it asks for the Worker's host.
    #[must_use]
    pub fn worker(&self, name: &str) -> Client {
        self.host(&format!("{name}.localhost:{}", self.port))
    }

    /// A client of the Workers' address that asks for this host.
    #[must_use]
    pub fn host(&self, host: &str) -> Client {
        Client::new(&format!("127.0.0.1:{}", self.port)).for_host(host)
    }

    /// A client of the API and of the registry.
    #[must_use]
    pub fn api(&self) -> Client {
        Client::new(&self.api)
    }

    /// Where the API and the registry are.
    #[must_use]
    pub fn api_address(&self) -> &str {
        &self.api
    }

    /// A request to the API below `/client/v4`, with a token.
    #[must_use]
    pub fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.api().send(method, &format!("/client/v4{path}"), &headers, body)
    }

    /// `berth <args>` on its data.
    #[must_use]
    pub fn berth(&self, args: &[&str]) -> Outcome {
        Berth::new(&self.data, args).run()
    }

    /// `berth <args>` in a project that has [`Self::dot_env`] as its `.env`, as on another machine.
    #[must_use]
    pub fn client(&self, project: &Project, args: &[&str]) -> Outcome {
        project.write(".env", &self.dot_env());
        Berth::new(project, args).run()
    }

    /// `berth <args>` as of [`Self::client`], while it runs.
    #[must_use]
    pub fn watch(&self, project: &Project, args: &[&str]) -> Background {
        project.write(".env", &self.dot_env());
        Tool::from(Berth::new(project, args)).start()
    }

    /// `wrangler <args>` in a project that has [`Self::dot_env`] as its `.env`.
    #[must_use]
    pub fn wrangler(&self, wrangler: Wrangler, project: &Project, args: &[&str]) -> Tool {
        project.write(".env", &self.dot_env());
        let tool = wrangler.command(project, args);
        match &self.certificate {
            None => tool,
            Some(Certificate { certificate, .. }) => {
                tool.env("NODE_EXTRA_CA_CERTS", certificate).env("SSL_CERT_FILE", certificate)
            }
        }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Panics
    /// None comes; the message holds all lines that did.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str) -> String {
        let line = self.lines.wait(text, 1, PATIENCE);
        line.unwrap_or_else(|| panic!("{text:?} did not come within {PATIENCE:?}:\n{}", self.lines))
    }

    /// All lines so far that contain `text`.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines.with(text)
    }

    /// What it holds on this machine now.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.child.id(), &[self.data.home().join("instances")])
    }

    /// Stops it as Ctrl-C does and waits until it has ended well.
    ///
    /// # Panics
    /// It does not, or not with exit code 0.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.process.signal(Signal::INT);
        let child = &mut self.child;
        let ended = eventually(STOP, || child.try_wait().expect("look after berth serve"));
        let status = ended.unwrap_or_else(|| panic!("berth serve did not end:\n{}", self.lines));
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.lines);
    }
}

impl Platform {
    /// Whether there are records of instances that run.
    fn leaves_instances(&self) -> bool {
        let records = fs_err::read_dir(self.data.home().join("run/a/state"));
        records.is_ok_and(|mut records| records.next().is_some())
    }

    /// Starts one more on its data, which takes up its instances and ends them as it ends.
    fn stop_instances(&self) {
        let Ok(Launched { mut child, lines, .. }) = launch(&self.data, ANY, &[], &STOPS) else {
            return;
        };
        if let Some(process) = Process::with_pid(child.id()) {
            process.end(&mut child, &lines, "berth serve", STOP);
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.process.end(&mut self.child, &self.lines, "berth serve", STOP);
        // Where it was killed, or was to leave its instances, nobody else may come to end them.
        let ended = self.child.try_wait().ok().flatten();
        let stopped = self.stops && ended.is_some_and(|status| status.success());
        if !stopped && !self.followed && self.leaves_instances() {
            self.stop_instances();
        }
    }
}
