//! `containers ssh`: who has one of the application's keys gets a shell or a command in an instance, by
//! the system's `ssh` and by the unmodified wrangler, and nobody else gets anything.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{
    Berth, Hello, NEWEST, Outcome, Platform, Project, Tool, berth_binary, instance_id,
    readable_files_with,
};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Error, HandshakeError};

const NAME: &str = Hello::NAME;
/// What `ssh` ends with when it is not let in.
const NOT_LET_IN: i32 = 255;

struct Fixture {
    platform: Platform,
    project: Project,
    keys: tempfile::TempDir,
}

impl Fixture {
    /// `hello` with a shell in its image and keys in its configuration, deployed.
    fn deployed(settings: impl FnOnce(&Fixture) -> Value) -> Self {
        let Hello { platform, project } = Hello::start();
        // Keys are those of the configuration at once: no instance has to be replaced for them.
        project.configure(|config| config["containers"][0]["rollout_kind"] = json!("none"));
        let keys = tempfile::tempdir().expect("make a folder");
        let fixture = Self { platform, project, keys };
        let settings = settings(&fixture);
        fixture.deploy(&settings);
        fixture
    }

    /// Deploys it with these fields of the container, and no other about SSH.
    fn deploy(&self, settings: &Value) {
        self.project.configure(|config| {
            let container = config["containers"][0].as_object_mut().expect("it has a container");
            for field in ["ssh", "authorized_keys", "trusted_user_ca_keys"] {
                container.remove(field);
            }
            container.extend(settings.as_object().expect("settings").clone());
        });
        self.platform.client(&self.project, &["deploy"]).assert_succeeds();
    }

    /// The private key of this name, which is made at the first call.
    fn key(&self, name: &str) -> PathBuf {
        let path = self.keys.path().join(name);
        if !path.exists() {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", text(&path)]);
        }
        path
    }

    fn public_key(&self, name: &str) -> String {
        let path = self.key(name).with_extension("pub");
        fs_err::read_to_string(path).expect("read the public key").trim().to_owned()
    }

    fn authorized(&self, name: &str) -> Value {
        json!({"ssh": {"enabled": true},
            "authorized_keys": [{"name": name, "public_key": self.public_key(name)}]})
    }

    /// The instance of an object, which is started if it is not there.
    fn instance(&self) -> String {
        instance_id(&self.platform.worker(NAME).get("/container/1"))
    }

    /// `berth containers ssh -i <key> <options> <instance> -- <script>`.
    fn ssh(&self, key: &Path, options: &[&str], script: &str, input: &str) -> Outcome {
        let instance = self.instance();
        let first = ["containers", "ssh", "-i", text(key)];
        let args = [&first[..], options, &[instance.as_str(), "--", script]].concat();
        let berth = Berth::new(&self.project, args).env("SSH_AUTH_SOCK", "/nonexistent");
        berth.input(input).run()
    }

    /// The system's `ssh` with that for its `ProxyCommand`, as people put it into their `ssh_config`.
    fn system_ssh(&self, key: &Path, args: &[&str]) -> Outcome {
        let proxy =
            format!("'{}' containers ssh --stdio {}", berth_binary().display(), self.instance());
        let options = [
            "ProxyCommand=".to_owned() + &proxy,
            format!("IdentityFile={}", text(key)),
            "IdentitiesOnly=yes".to_owned(),
            "StrictHostKeyChecking=no".to_owned(),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        let options = options.iter().flat_map(|option| ["-o", option.as_str()]);
        let words: Vec<&str> = ["-F", "/dev/null"].into_iter().chain(options).collect();
        Tool::program(Path::new("ssh"), &self.project, [&words[..], args].concat()).run()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn keygen(args: &[&str]) {
    let made = Command::new("ssh-keygen").args(args).output().expect("run ssh-keygen");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn bi3_who_has_a_key_runs_commands_in_an_instance_and_nobody_else_does() {
    let fixture = Fixture::deployed(|fixture| fixture.authorized("mine"));
    let mine = fixture.key("mine");
    a_command_has_its_callers_streams_and_gives_back_its_exit_code(&fixture, &mine);
    a_terminal_is_given_where_it_is_asked_for(&fixture, &mine);
    another_key_and_another_user_are_refused(&fixture, &mine);
    nothing_is_forwarded(&fixture, &mine);
    wrangler_enters_too(&fixture, &mine);
    a_ticket_leads_in_once_and_a_token_that_may_only_look_gets_none(&fixture);
    the_host_key_is_its_owners(&fixture);
    a_key_that_is_taken_away_lets_nobody_in(&fixture, &mine);
    fixture.platform.stop();
}

fn a_command_has_its_callers_streams_and_gives_back_its_exit_code(fixture: &Fixture, key: &Path) {
    let script = "read line; echo \"out $line $MESSAGE\"; echo err >&2; exit 7";
    let outcome = fixture.ssh(key, &[], script, "typed\nand more");
    assert_eq!(outcome.code, 7, "{outcome}");
    let message = "I was passed in via the container class!";
    assert_eq!(outcome.stdout, format!("out typed {message}\n"), "{outcome}");
    assert_eq!(outcome.stderr, "err\n");

    // Both directions at once, more than any buffer holds.
    let much = "0123456789abcdef".repeat(512 * 1024);
    let outcome = fixture.ssh(key, &[], "cat", &much);
    outcome.assert_succeeds();
    assert!(outcome.stdout == much, "{} bytes came back", outcome.stdout.len());
}

fn a_terminal_is_given_where_it_is_asked_for(fixture: &Fixture, key: &Path) {
    let script = "[ -t 0 ] && echo err >&2 && stty size";
    let terminal = fixture.ssh(key, &["-t"], script, "");
    terminal.assert_succeeds();
    assert_eq!(terminal.stdout, "err\r\n24 80\r\n", "one stream, as of a terminal");
    let without = fixture.ssh(key, &[], "[ -t 0 ]", "");
    assert_eq!(without.code, 1, "{without}");
    // Without a command there is a shell, which reads what is typed.
    let destination = ["cloudchamber@instance", "-T"];
    let shell = fixture.system_ssh(key, &destination);
    shell.assert_succeeds();
}

fn another_key_and_another_user_are_refused(fixture: &Fixture, mine: &Path) {
    let other = fixture.key("other");
    let refused = fixture.ssh(&other, &[], "true", "");
    refused.assert_fails(NOT_LET_IN, &["Permission denied (publickey)"]);
    let root = fixture.system_ssh(mine, &["root@instance", "true"]);
    root.assert_fails(NOT_LET_IN, &["Permission denied (publickey)"]);
    let unknown = fixture.platform.client(&fixture.project, &["containers", "ssh", "nobody"]);
    unknown.assert_fails(1, &["there is no instance nobody", "hint: "]);
}

fn nothing_is_forwarded(fixture: &Fixture, key: &Path) {
    let forwarded = fixture.system_ssh(key, &["-W", "127.0.0.1:8080", "cloudchamber@instance"]);
    assert_eq!(forwarded.code, NOT_LET_IN, "{forwarded}");
    let listening = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
    let args = [&listening[..], &["cloudchamber@instance", "true"]].concat();
    let listened = fixture.system_ssh(key, &args);
    assert_eq!(listened.code, NOT_LET_IN, "{listened}");
    let files = fixture.system_ssh(key, &["-s", "cloudchamber@instance", "sftp"]);
    assert_ne!(files.code, 0, "{files}");
}

fn wrangler_enters_too(fixture: &Fixture, key: &Path) {
    let instance = fixture.instance();
    let first = ["containers", "ssh", instance.as_str(), "--tty", "-i", text(key)];
    let args = [&first[..], &["--", "echo from $MESSAGE"]].concat();
    let entered = fixture.platform.wrangler(NEWEST, &fixture.project, &args);
    let entered = entered.env("SSH_AUTH_SOCK", "/nonexistent").run();
    entered.assert_succeeds();
    assert!(entered.stdout.contains("from I was passed in"), "{entered}");
    let unknown = ["containers", "ssh", "nobody"];
    let unknown = fixture.platform.wrangler(NEWEST, &fixture.project, &unknown).run();
    assert!(unknown.code != 0 && unknown.stderr.contains("Instance nobody not found"), "{unknown}");
}

fn a_ticket_leads_in_once_and_a_token_that_may_only_look_gets_none(fixture: &Fixture) {
    let path = format!("/accounts/local/containers/instances/{}/ssh", fixture.instance());
    let asked = fixture.platform.ask(fixture.platform.token(), "GET", &path, "").json();
    let url = asked["result"]["url"].as_str().expect("an address").to_owned();
    let ticket = asked["result"]["token"].as_str().expect("a ticket").to_owned();
    let (_, below) = url.split_once("/client/v4").expect("it is the API's");
    assert_eq!(fixture.platform.ask(&ticket, "GET", below, "").status, 426, "it is a WebSocket");
    assert_eq!(handshake(&url, "no ticket"), Err(403));
    assert_eq!(handshake(&url, fixture.platform.token()), Err(403), "a token is no ticket");
    let said = handshake(&url, &ticket).expect("it is a ticket");
    assert!(said.starts_with(b"SSH-2.0-"), "{said:?}");
    assert_eq!(handshake(&url, &ticket), Err(403), "only once");

    let created = fixture.platform.berth(&["token", "create", "looks", "--scope", "read"]);
    created.assert_succeeds();
    let refused = fixture.platform.ask(created.stdout.trim(), "GET", &path, "");
    assert_eq!(refused.status, 403, "{refused}");
    let log = "/accounts/local/logs/audit";
    let log = fixture.platform.ask(fixture.platform.token(), "GET", log, "");
    assert!(log.text().contains(&path), "who asked for a ticket is in the audit log");
}

/// The first bytes of a WebSocket, or the status in its place.
fn handshake(url: &str, token: &str) -> Result<Vec<u8>, u16> {
    let mut request = url.into_client_request().expect("an address");
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let address = url.split('/').nth(2).expect("a host");
    let stream = TcpStream::connect(address).expect("connect to the API");
    match tungstenite::client(request, stream) {
        Ok((mut socket, _)) => {
            let first = socket.read().expect("the server says something");
            Ok(first.into_data().to_vec())
        }
        Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("{url}: {error}"),
    }
}

fn the_host_key_is_its_owners(fixture: &Fixture) {
    let home = fixture.platform.data().home().to_owned();
    let key = fs_err::metadata(home.join("db/ssh_host_key")).expect("there is a host key");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let open = readable_files_with(&home, "BEGIN OPENSSH PRIVATE KEY");
    assert_eq!(open, Vec::<PathBuf>::new(), "others can read it");
}

fn a_key_that_is_taken_away_lets_nobody_in(fixture: &Fixture, mine: &Path) {
    fixture.deploy(&fixture.authorized("other"));
    fixture.ssh(mine, &[], "true", "").assert_fails(NOT_LET_IN, &["Permission denied"]);
    fixture.ssh(&fixture.key("other"), &[], "true", "").assert_succeeds();
    fixture.deploy(&json!({}));
    fixture.ssh(mine, &[], "true", "").assert_fails(1, &["SSH_NOT_ENABLED"]);
    fixture.deploy(&json!({"ssh": {"enabled": true}}));
    fixture.ssh(mine, &[], "true", "").assert_fails(1, &["SSH_NO_KEYS"]);
}

#[test]
fn bi3_a_certificate_of_a_trusted_authority_lets_its_principals_in() {
    let fixture = Fixture::deployed(
        |fixture| json!({"trusted_user_ca_keys": [{"public_key": fixture.public_key("authority")}]}),
    );
    let authority = fixture.key("authority");
    let certified = |name: &str, principal: &str, more: &[&str]| {
        let key = fixture.key(name);
        let public = key.with_extension("pub");
        let first = ["-q", "-s", text(&authority), "-I", name, "-n", principal];
        keygen(&[&first[..], more, &[text(&public)]].concat());
        key
    };
    let enters = |key: &Path, options: &[&str]| fixture.ssh(key, options, "echo inside", "");
    let good = enters(&certified("good", "cloudchamber", &[]), &[]);
    good.assert_succeeds();
    assert_eq!(good.stdout, "inside\n");
    let refused = ["Permission denied (publickey)"];
    enters(&certified("others", "root", &[]), &[]).assert_fails(NOT_LET_IN, &refused);
    let past = ["-V", "20200101:20200102"];
    enters(&certified("past", "cloudchamber", &past), &[]).assert_fails(NOT_LET_IN, &refused);
    let forced = ["-O", "force-command=true"];
    enters(&certified("forced", "cloudchamber", &forced), &[]).assert_fails(NOT_LET_IN, &refused);
    enters(&fixture.key("plain"), &[]).assert_fails(NOT_LET_IN, &refused);
    fixture.platform.stop();
}
