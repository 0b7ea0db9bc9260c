//! One `berth dev` for each project: a second one says who holds it.

use e2e::{Berth, Dev, Project};

#[test]
fn a_second_dev_on_a_project_says_who_holds_it() {
    let project = Project::probe("");
    let dev = Dev::start(&project);
    let holder = format!("process {}", dev.process().pid);
    let second = Berth::new(&project, ["dev", "--port", "0"]).run();
    second.assert_fails(6, &["another `berth dev` runs on this project", &holder, "hint:"]);
    assert_eq!(dev.get("/one/who").status, 200, "the first goes on");
    dev.stop();

    // The lock goes with its holder.
    Dev::start(&project).stop();
}

#[test]
fn two_projects_run_side_by_side() {
    let (one, two) = (Dev::start(&Project::probe("")), Dev::start(&Project::probe("")));
    let id = |dev: &Dev| dev.get("/a/who").json()["instance"].clone();
    assert_ne!(id(&one), id(&two));
    one.stop();
    assert_eq!(two.get("/a/who").status, 200);
    two.stop();
}
