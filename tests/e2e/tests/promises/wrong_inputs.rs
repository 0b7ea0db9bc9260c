//! Wrong inputs: each is answered with what is wrong, where, and what to do, and an exit code that
//! scripts can tell apart (`docs/cli.md`).

use e2e::{Berth, Dev, Outcome, Project, until};
use serde_json::json;

const CONFIG: i32 = 3;
const BUILD: i32 = 4;
const HOST: i32 = 5;

fn dev(project: &Project) -> Outcome {
    Berth::new(project, ["dev", "--port", "0"]).run()
}

#[test]
fn no_configuration() {
    dev(&Project::empty()).assert_fails(CONFIG, &["wrangler.jsonc", "hint:", "berth init"]);
}

#[test]
fn no_such_folder() {
    let outcome = Berth::new(&Project::empty(), ["dev", "nowhere"]).run();
    assert!([2, CONFIG].contains(&outcome.code), "{outcome}");
    assert!(outcome.stderr.contains("nowhere"), "{outcome}");
}

#[test]
fn bad_json_shows_the_place() {
    let project = Project::example("hello");
    project.replace("wrangler.jsonc", "\"main\": ", "\"main\" ");
    dev(&project).assert_fails(CONFIG, &["wrangler.jsonc:3", "\"main\" \"src/index.ts\""]);
}

#[test]
fn an_unknown_instance_type_lists_the_known_ones() {
    let project = Project::example("hello");
    project.replace("wrangler.jsonc", "\"max_instances\": 10", "\"instance_type\": \"huge\"");
    dev(&project).assert_fails(CONFIG, &["wrangler.jsonc:", "huge", "standard-4"]);
}

#[test]
fn a_class_name_that_matches_no_durable_object() {
    let project = Project::example("hello")
        .configured(|config| config["containers"][0]["class_name"] = json!("Nobody"));
    let text = "does not match any durable object class_name defined in your Wrangler config file";
    dev(&project).assert_fails(CONFIG, &["Nobody", text]);
}

#[test]
fn a_class_the_worker_does_not_export() {
    let project = Project::example("hello");
    project.replace("src/index.ts", "export class MyContainer", "class MyContainer");
    let outcome = dev(&project);
    assert!([CONFIG, BUILD].contains(&outcome.code), "{outcome}");
    assert!(outcome.stderr.contains("MyContainer"), "{outcome}");
}

#[test]
fn a_syntax_error_in_the_worker_shows_the_place() {
    let project = Project::example("hello");
    project.replace("src/index.ts", "export default {", "export default {{");
    dev(&project).assert_fails(BUILD, &["src/index.ts:", "export default {{"]);
}

#[test]
fn a_package_that_is_not_there() {
    let project = Project::example("hello");
    project.replace("src/index.ts", "@cloudflare/containers\"", "@nobody/nothing\"");
    dev(&project).assert_fails(BUILD, &["@nobody/nothing", "src/index.ts:"]);
}

#[test]
fn a_failing_build_command_shows_what_it_said() {
    let project = Project::example("hello");
    project.write("container/main.rs", "fn main() { nonsense }");
    dev(&project).assert_fails(BUILD, &["nonsense", "container/build.sh"]);
}

#[test]
fn a_dockerfile_syntax_error_shows_its_line() {
    let project = Project::example("hello");
    project.write("Dockerfile", "FROM scratch\nCOPPY a b\n");
    dev(&project).assert_fails(BUILD, &["Dockerfile:2", "COPPY"]);
}

#[test]
fn a_failing_run_shows_what_it_said() {
    let project = Project::probe("");
    project.write("Dockerfile", "FROM busybox\nRUN echo last words >&2; exit 9\n");
    dev(&project).assert_fails(BUILD, &["Dockerfile:2", "last words", "9"]);
}

#[test]
fn a_missing_file_to_copy_is_named() {
    let project = Project::probe("");
    project.write("Dockerfile", "FROM busybox\nCOPY not-here /\n");
    dev(&project).assert_fails(BUILD, &["Dockerfile:2", "not-here"]);
}

#[test]
fn a_missing_base_image_is_named() {
    let project = Project::probe("");
    project.write("Dockerfile", "FROM nobody/nothing:1.2.3\n");
    dev(&project).assert_fails(BUILD, &["nobody/nothing:1.2.3", "Dockerfile:1"]);
}

#[test]
fn an_image_whose_registry_is_out_of_reach() {
    let project = Project::probe("");
    project.write("Dockerfile", "FROM registry.invalid/team/app:1\n");
    dev(&project).assert_fails(BUILD, &["registry.invalid"]);
}

#[test]
fn an_image_that_exits_at_once_shows_its_last_lines() {
    let project = Project::probe("");
    project.write(
        "Dockerfile",
        "FROM busybox\nCMD [\"sh\", \"-c\", \"echo I lack a flag >&2; exit 42\"]\n",
    );
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/who").status, 500);
    dev.wait_for_line("I lack a flag");
    let reason = dev.wait_for_line("42");
    assert!(!reason.is_empty());
    dev.stop();
}

#[test]
fn an_image_whose_program_is_missing_says_so() {
    let project = Project::probe("");
    project.write("Dockerfile", "FROM busybox\nCMD [\"/no/such/program\"]\n");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/who").status, 500);
    dev.wait_for_line("/no/such/program");
    dev.stop();
}

#[test]
fn a_port_that_is_never_listened_on_says_which() {
    let project = Project::probe("defaultPort = 4321;");
    let dev = Dev::start(&project);
    let reply = dev.get("/one/who");
    assert_eq!(reply.status, 500, "{reply}");
    dev.wait_for_line("4321");
    dev.stop();
}

#[test]
fn without_npm_the_hint_says_what_to_install() {
    let project = Project::probe("").with_bare_home();
    let outcome = Berth::new(&project, ["dev", "--port", "0"]).env("PATH", "/nonexistent").run();
    outcome.assert_fails(HOST, &["npm", "hint:"]);
}

#[test]
fn without_root_and_user_namespaces_the_hint_says_so() {
    let project = Project::probe("").with_bare_home();
    project.open_to_all();
    // An ordinary user in a user namespace whose own limit of namespaces is zero. The rights that
    // setting it takes are dropped before berth runs.
    let limit = "echo 0 > /proc/sys/user/max_user_namespaces && \
                 exec setpriv --ambient-caps=-all --inh-caps=-all \"$@\"";
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let namespace = ["unshare", "--user", "--map-current-user", "--keep-caps"];
    let wrapper = [&user[..], &namespace, &["sh", "-c", limit, "sh"]].concat();
    let outcome = Berth::wrapped(&project, &wrapper, &["dev", "--port", "0"]).run();
    outcome.assert_fails(HOST, &["root", "hint:"]);
}

#[test]
fn a_full_disk_while_unpacking_is_named() {
    let project = Project::probe("").with_own_home();
    let disk = project.small_disk_for("images");
    let outcome = dev(&project);
    assert!([1, BUILD].contains(&outcome.code), "{outcome}");
    assert!(outcome.stderr.contains("No space left on device"), "{outcome}");
    drop(disk);
}

#[test]
fn a_binding_that_does_not_run_yet_is_refused_by_name() {
    let project = Project::example("hello").configured(|config| {
        config["d1_databases"] = json!([{ "binding": "DB", "database_id": "x" }])
    });
    dev(&project).assert_fails(CONFIG, &["d1_databases"]);
}

#[test]
fn an_unknown_key_is_only_a_warning() {
    let project = Project::example("hello").configured(|config| config["colour"] = json!("blue"));
    let dev = Dev::start(&project);
    until("the warning", || dev.lines_with("colour").pop());
    dev.stop();
}

#[test]
fn an_unknown_environment_is_only_a_warning_as_with_wrangler() {
    let dev = Dev::start_with(&Project::example("hello"), &["--env", "nowhere"]);
    dev.wait_for_line("No environment found in configuration with name \"nowhere\"");
    dev.stop();
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    Berth::new(&Project::empty(), ["dev", "--nonsense"]).run().assert_fails(2, &["--nonsense"]);
}
