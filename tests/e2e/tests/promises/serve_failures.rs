//! What goes wrong in the middle of a deploy leaves the old state or the new one, and it is said which.

use std::time::Duration;

use e2e::{
    Numbered, PATIENCE, Platform, Process, Project, eventually, instance_id, processes, until,
};
use serde_json::json;

/// Old code that does not end by itself is ended after its requests' half a minute.
const DRAIN: Duration = Duration::from_secs(120);

#[test]
fn code_that_hangs_is_replaced_nevertheless() {
    let project = Project::empty().with_own_home();
    let config = json!({"name": "small", "main": "index.js", "compatibility_date": "2026-08-01"});
    project.write("wrangler.json", &config.to_string());
    project.write("index.js", "export default { fetch: () => new Response('old') };");
    let platform = Platform::start();
    platform.client(&project, &["deploy"]).assert_succeeds();
    let small = platform.worker("small");
    assert_eq!(small.get("/").text(), "old");
    let below = |process: &Process| process.parent == platform.process().pid;
    let hanging = processes().into_iter().find(|p| below(p) && p.name.contains("workerd"));
    let hanging = hanging.expect("a workerd serves it");
    hanging.pause();

    project.write("index.js", "export default { fetch: () => new Response('new') };");
    platform.client(&project, &["deploy"]).assert_succeeds();
    assert_eq!(small.get("/").text(), "new");
    let gone = eventually(DRAIN, || (!hanging.is_alive()).then_some(()));
    assert!(gone.is_some(), "it is ended by force");
    platform.stop();
}

/// A platform that has little room for one of its folders.
fn on_a_full_disk(folder: &str, says: &str) {
    let data = Project::empty().with_own_home();
    let disk = data.small_disk_for(folder);
    let project = Project::empty();
    let config = json!({"name": "small", "main": "index.js", "compatibility_date": "2026-08-01"});
    project.write("wrangler.json", &config.to_string());
    project.write("index.js", "export default { fetch: () => new Response('old') };");
    let platform = Platform::start_on(data.clone());
    platform.client(&project, &["deploy"]).assert_succeeds();
    let small = platform.worker("small");
    disk.fill();
    project.write("index.js", "export default { fetch: () => new Response('new') };");
    let refused = platform.client(&project, &["deploy"]);
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.stderr.contains(says), "{refused}");
    assert_eq!(small.get("/").text(), "old");
    disk.empty();
    platform.client(&project, &["deploy"]).assert_succeeds();
    assert_eq!(small.get("/").text(), "new");
    platform.stop();
}

#[test]
fn where_records_have_no_room_a_deploy_says_so_and_the_old_code_serves_on() {
    on_a_full_disk("db", "disk is full");
}

#[test]
fn where_code_has_no_room_a_deploy_says_so_and_the_old_code_serves_on() {
    on_a_full_disk("workers", "No space left on device");
}

#[test]
fn a_client_that_is_killed_half_way_leaves_the_old_state_and_the_next_deploy_succeeds() {
    let mut numbered = Numbered::new();
    let platform = Platform::start();
    numbered.deploy(&platform);
    let first = instance_id(&Numbered::worker(&platform).get("/container/1"));
    numbered.change();
    // Its image is being pushed.
    let deploy = platform.watch(&numbered.project, &["deploy"]);
    until("the second push", || {
        (platform.lines_with("/credentials\" status").len() > 1).then_some(())
    });
    drop(deploy);
    assert_eq!(Numbered::code(&platform), 0);
    assert_eq!(instance_id(&Numbered::worker(&platform).get("/container/1")), first);
    numbered.deploy(&platform);
    assert_eq!(Numbered::code(&platform), 1);
    platform.stop();
}

#[test]
fn two_deploys_at_once_end_in_one_of_them() {
    let platform = Platform::start();
    let projects: Vec<Project> = (1..=2)
        .map(|number| {
            let project = Project::empty();
            let config = json!({"name": "small", "main": "index.js",
                "compatibility_date": "2026-08-01", "vars": {"NUMBER": number.to_string()}});
            project.write("wrangler.json", &config.to_string());
            let code = format!(
                "export default {{ fetch: (_, env) => new Response('{number} ' + env.NUMBER) }};"
            );
            project.write("index.js", &code);
            project
        })
        .collect();
    platform.client(&projects[0], &["deploy"]).assert_succeeds();
    let both = projects.iter().map(|project| platform.watch(project, &["deploy"]));
    let mut both: Vec<_> = both.collect();
    for deploy in &mut both {
        let status = eventually(PATIENCE, || deploy.ended()).expect("it ends");
        // Who came second is told so, or was let in after the first.
        let said = deploy.said();
        assert!(status == 0 || said.contains("again"), "{status}: {said}");
    }
    let answer = platform.worker("small").get("/").text();
    assert!(answer == "1 1" || answer == "2 2", "{answer}");
    platform.stop();
}
