//! `berth dev` by an ordinary user: no root, no help but what every distribution gives its users.
//! All other promises are kept for a user with delegated cgroups too, `BERTH_TEST_USER=ordinary`; CI
//! tries some of them so.

use std::os::unix::fs::MetadataExt;

use e2e::user::{AS_ORDINARY, FIRST_SUBORDINATE, ORDINARY, with_subordinate_ids};
use e2e::{Berth, Dev, Process, Project};
use fs_err as fs;

/// A project that the user can write to, with a home that holds nothing yet.
fn project() -> Project {
    let project = Project::probe("").with_bare_home();
    // Berth installs them: the tests' own may lie where others cannot look.
    fs::remove_file(project.path().join("node_modules")).expect("remove the link");
    project
}

fn start(project: &Project, wrapper: &[&str]) -> Dev {
    project.open_to_all();
    let command = Berth::wrapped(project, wrapper, &["dev", "--port", "0"]);
    Dev::start_command(command.env("HOME", project.home()), project)
}

fn owner(process: &Process) -> u32 {
    fs::metadata(format!("/proc/{}", process.pid)).expect("the process runs").uid()
}

fn process_of(dev: &Dev) -> Process {
    let who = dev.get("/one/who");
    assert_eq!(who.status, 200, "{who}");
    let id = who.json()["instance"].as_str().expect("an ID").to_owned();
    Process::of_instance(&id).pop().expect("its process")
}

#[test]
fn a_user_with_one_id_runs_containers_and_nothing_stays_behind() {
    let project = project();
    let dev = start(&project, &AS_ORDINARY);
    assert_eq!(owner(&process_of(&dev)), ORDINARY, "root inside is the user outside");
    let missing =
        ["users other than root", "limit of `memory`", "limit of `pids`", "limit of disk"];
    for missing in missing {
        assert_eq!(dev.lines_with(missing).len(), 1, "it is said once: {missing}");
    }
    let footprint = dev.footprint();
    let (networks, _) = footprint.namespaces_and_cgroups();
    assert!(networks >= 1, "the test looks at a sandbox");
    dev.stop();
    footprint.assert_gone();
}

#[test]
fn a_user_with_subordinate_ids_runs_images_that_have_users_of_their_own() {
    let project = project();
    project.write(
        "Dockerfile",
        "FROM python:3-slim\n\
         COPY server.py /server.py\n\
         RUN mkdir /own && chown 33:33 /own && chmod 700 /own\n\
         USER 33:33\n\
         CMD [\"python3\", \"/server.py\"]\n",
    );
    let wrapper = with_subordinate_ids(project.path());
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let dev = start(&project, &wrapper);
    let inside = FIRST_SUBORDINATE + 33 - 1;
    assert_eq!(owner(&process_of(&dev)), inside, "user 33 inside is the range's");
    let written = dev.get("/one/write?path=/own/file&text=x");
    assert_eq!(written.status, 200, "the user's own folder: {written}");
    assert_eq!(dev.get("/one/write?path=/root-only&text=x").status, 500);
    assert_eq!(dev.lines_with("images' users other than root"), Vec::<String>::new());
    dev.stop();
}

#[test]
fn those_who_start_at_once_share_one_user_namespace() {
    let start = || {
        let project = project();
        let dev = start(&project, &AS_ORDINARY);
        let namespace = fs::read_link(format!("/proc/{}/ns/user", dev.process().pid));
        (dev, namespace.expect("it runs"))
    };
    let started = std::thread::scope(|scope| {
        [scope.spawn(start), scope.spawn(start), scope.spawn(start)]
            .map(|thread| thread.join().expect("it gets ready"))
    });
    assert!(started.iter().all(|(_, own)| *own == started[0].1), "{started:?}");
    for (dev, _) in started {
        dev.stop();
    }
}
