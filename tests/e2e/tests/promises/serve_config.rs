//! The settings of `berth serve`: `berth.toml`, variables of the environment and options, and whether
//! it would start with them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use e2e::{Berth, Outcome, Platform, Project};

/// Nobody else has these addresses: a port of each is free.
const LISTEN: [&str; 4] = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"];
const CONFIG: i32 = 3;
const HELD: i32 = 6;

/// Data with a `berth.toml`.
fn data(settings: &str) -> Project {
    let project = Project::empty().with_own_home();
    fs_err::write(project.home().join("berth.toml"), settings).expect("write the settings");
    project
}

/// `berth serve --check` on free ports, unless the arguments or the file say otherwise.
fn check(project: &Project, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
    let berth = Berth::new(project, ["serve", "--check"]).args(args);
    variables.iter().fold(berth, |berth, (name, value)| berth.env(name, value)).run()
}

/// What a check says about `name`.
#[track_caller]
fn said(outcome: &Outcome, name: &str) -> String {
    let line = outcome.stdout.lines().find_map(|line| line.split_once(&format!("  {name} ")));
    let (mark, rest) = line.unwrap_or_else(|| panic!("nothing about {name}: {outcome}"));
    format!("{mark} {}", rest.trim())
}

/// Everything below a folder, by its path.
fn contents(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(folder).expect("read the folder") {
        let entry = entry.expect("read an entry");
        paths.push(entry.path());
        if entry.file_type().expect("know its type").is_dir() {
            paths.extend(contents(&entry.path()));
        }
    }
    paths.sort();
    paths
}

#[test]
fn an_option_counts_before_a_variable_and_a_variable_before_the_file() {
    let [api, file, variable, option] = LISTEN;
    let project = data(&format!("listen = \"{file}\"\napi = \"{api}\"\n"));
    let outcome = check(&project, &[], &[]);
    outcome.assert_succeeds();
    assert!(said(&outcome, "Workers").ends_with("a free port of 127.0.0.2"), "{outcome}");
    assert!(said(&outcome, "settings").ends_with("berth.toml: listen, api"), "{outcome}");

    let outcome = check(&project, &[("BERTH_LISTEN", variable)], &[]);
    assert!(said(&outcome, "Workers").ends_with("a free port of 127.0.0.3"), "{outcome}");
    assert!(said(&outcome, "settings").contains("environment: data, listen, "), "{outcome}");
    let outcome = check(&project, &[("BERTH_LISTEN", variable)], &["--listen", option]);
    assert!(said(&outcome, "Workers").ends_with("a free port of 127.0.0.4"), "{outcome}");
    assert!(said(&outcome, "settings").contains("options: listen; "), "{outcome}");
    assert!(said(&outcome, "API").ends_with("a free port of 127.0.0.1"), "{outcome}");

    // A file of another place, and its paths.
    project.write("other/my.toml", &format!("listen = \"{variable}\"\ndata = \"own\"\n"));
    let outcome = check(&project, &[("BERTH_HOME", "")], &["--config", "other/my.toml"]);
    assert!(said(&outcome, "Workers").ends_with("a free port of 127.0.0.3"), "{outcome}");
    assert!(said(&outcome, "data directory").ends_with("other/own will be made"), "{outcome}");
}

#[test]
fn what_is_wrong_in_the_file_is_shown_in_its_line() {
    let project = data(
        "lisen = \"127.0.0.1:0\"\nstop_instances = \"yes\"\nstop_grace = \"soon\"\n\
         egress_allow = [\"10.0.0.0/8\", \"x\"]\n",
    );
    for question in [&["--check"][..], &[]] {
        let outcome = Berth::new(&project, ["serve"]).args(question).run();
        outcome.assert_fails(
            CONFIG,
            &[
                "There is no setting \"lisen\".",
                "berth.toml:1:1",
                "1 | lisen = \"127.0.0.1:0\"",
                "did you mean \"listen\"?",
                "Expected \"stop_instances\" to be of type boolean but got \"yes\".",
                "berth.toml:2:18",
                "`soon` is no duration",
                "berth.toml:3:14",
                "`x` is no network",
                "berth.toml:4:31",
            ],
        );
    }
    check(&project, &[], &["--config", "gone.toml"]).assert_fails(CONFIG, &["gone.toml"]);
}

#[test]
fn a_check_with_the_printed_settings_starts_nothing_and_leaves_nothing() {
    let printed = Berth::new(&Project::empty(), ["serve", "--print-config"]).run();
    printed.assert_succeeds();
    let documented = "\n# Address of the Workers. (--listen ADDRESS, BERTH_LISTEN)\n\
                      #listen = \"127.0.0.1:8787\"\n";
    assert!(printed.stdout.contains(documented), "{printed}");
    let [listen, api, ..] = LISTEN;
    let project = data(&printed.stdout);
    let before = contents(project.home());
    let outcome = check(&project, &[], &["--listen", listen, "--api", api]);
    outcome.assert_succeeds();
    for name in ["settings", "certificate", "data directory", "Workers", "API", "overlayfs"] {
        assert!(said(&outcome, name).contains("ok"), "{outcome}");
    }
    assert_eq!(contents(project.home()), before);
}

#[test]
fn a_check_says_what_is_in_the_way() {
    let [listen, api, ..] = LISTEN;
    let holder = TcpListener::bind("127.0.0.1:0").expect("listen");
    let taken = holder.local_addr().expect("it has an address").to_string();
    let project = data("tls_cert = [\"gone.pem\"]\ntls_key = [\"gone.pem\"]\n");
    let outcome = check(&project, &[], &["--listen", &taken, "--api", api]);
    outcome.assert_fails(CONFIG, &["2 things in the way"]);
    assert!(said(&outcome, "certificate").contains(".home/gone.pem"), "{outcome}");
    assert!(said(&outcome, "Workers").contains("already in use"), "{outcome}");
    assert!(outcome.stdout.contains("choose another address with --listen"), "{outcome}");
    assert!(said(&outcome, "API").contains("ok"), "{outcome}");

    let outcome = check(&data(""), &[], &["--listen", listen, "--api", "0.0.0.0:0"]);
    outcome.assert_fails(2, &["1 thing in the way"]);
    assert!(said(&outcome, "certificate").contains("there is no TLS"), "{outcome}");
}

#[test]
fn a_platform_starts_as_its_file_says() {
    let platform = Platform::start_with_settings("account = \"team\"\nlisten = \"127.0.0.9:1\"\n");
    assert!(platform.dot_env().contains("CLOUDFLARE_ACCOUNT_ID=team\n"), "{}", platform.dot_env());
    platform.wait_for_line("berth.toml");
    // Its own directory is taken.
    let outcome =
        platform.berth(&["serve", "--check", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    outcome.assert_fails(HELD, &[]);
    assert!(said(&outcome, "data directory").contains("another `berth serve` runs"), "{outcome}");
    platform.stop();
}
