//! What goes wrong in the middle of a deploy leaves the old state or the new one, and it is said which.

use std::time::Duration;

use e2e::{
    Client, PATIENCE, Platform, Process, Project, SlowWrites, eventually, instance_id, processes,
    until,
};
use serde_json::{Value, json};

/// More writes than a deploy has.
const MANY: usize = 60;
/// Old code that does not end by itself is ended after its requests' half a minute.
const DRAIN: Duration = Duration::from_secs(120);

/// A project whose code and image say their number.
struct Numbered {
    project: Project,
    number: usize,
}

impl Numbered {
    fn new() -> Self {
        let project = Project::example("hello");
        project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
        project.replace("src/index.ts", "Available endpoints:", "code 0;");
        project.replace("src/index.ts", "MESSAGE: ", "UNUSED: ");
        project.replace("Dockerfile", "EXPOSE 8080", "EXPOSE 8080\nENV MESSAGE=image-0");
        project.configure(|config| {
            config["containers"][0]["rollout_step_percentage"] = json!(100);
            config["containers"][0]["rollout_active_grace_period"] = json!(0);
        });
        Self { project, number: 0 }
    }

    /// Code and image of the next number.
    fn change(&mut self) {
        let (old, new) = (self.number, self.number + 1);
        self.project.replace("src/index.ts", &format!("code {old};"), &format!("code {new};"));
        self.project.replace("Dockerfile", &format!("=image-{old}"), &format!("=image-{new}"));
        self.number = new;
    }

    fn deploy(&self, platform: &Platform) {
        let message = format!("code {};", self.number);
        let deployed = platform.client(&self.project, &["deploy", "--message", &message]);
        deployed.assert_succeeds();
    }
}

/// The number after a word of an answer.
#[track_caller]
fn number(answer: &str, word: &str) -> usize {
    let rest = answer.split_once(word).map(|(_, rest)| rest).unwrap_or_default();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{word}: {answer}"))
}

fn worker(platform: &Platform) -> Client {
    platform.worker("hello-containers")
}

/// The number of the code that answers; the platform must say the same.
#[track_caller]
fn code(platform: &Platform) -> usize {
    let answers = number(&worker(platform).get("/").text(), "code ");
    let ask = |path: &str| {
        let path = format!("/accounts/local/workers/scripts/hello-containers/{path}");
        platform.ask(platform.token(), "GET", &path, "").json()["result"].clone()
    };
    let deployments: Value = ask("deployments");
    let id = &deployments["deployments"][0]["versions"][0]["version_id"];
    let version = ask(&format!("versions/{}", id.as_str().expect("an id")));
    let message = &version["annotations"]["workers/message"];
    assert_eq!(message.as_str(), Some(&format!("code {answers};")[..]), "{version}");
    answers
}

/// The number of the image that answers. A request that a container works on when it is told to stop may
/// fail, so it is asked again.
fn image_of(platform: &Platform) -> usize {
    until("a container answers", || {
        let answer = worker(platform).get("/container/1").text();
        answer.contains("image-").then(|| number(&answer, "image-"))
    })
}

#[test]
fn a_deploy_that_is_killed_after_any_write_ends_in_the_old_state_or_the_new_one() {
    let mut numbered = Numbered::new();
    let mut platform = Platform::start_and_leave_instances();
    numbered.deploy(&platform);
    let container = worker(&platform).get("/container/1").text();
    assert_eq!((code(&platform), number(&container, "image-")), (0, 0));
    let (mut before, mut image) = (0, 0);
    for kill_after in 1..MANY {
        numbered.change();
        let writes = SlowWrites::of(platform.process(), &numbered.project);
        let message = format!("code {};", numbered.number);
        let args = ["deploy", "--message", &message];
        let mut deploy = platform.watch(&numbered.project, &args);
        let ended = until("a write, or the end of the deploy", || {
            deploy.ended().map(Some).or((writes.count() >= kill_after).then_some(None))
        });
        if let Some(status) = ended {
            assert_eq!(status, 0, "{}", deploy.said());
            assert!(kill_after > 2, "a deploy has more writes than {kill_after}");
            assert_eq!(code(&platform), numbered.number);
            platform = platform.stopped_and_started_again();
            until("the new image answers", || {
                (image_of(&platform) == numbered.number).then_some(())
            });
            platform.stop();
            return;
        }
        platform.process().kill();
        // Or it would go on with the next one.
        drop((deploy, writes));
        platform = platform.killed_and_started_again();
        let now = code(&platform);
        assert!(now == before || now == numbered.number, "{before}, {now}, {}", numbered.number);
        // The code is there before its image: what was cut off between the two has the old image.
        let image_now = image_of(&platform);
        assert!(image_now >= image && image_now <= now, "{image_now} with {now}");
        (before, image) = (now, image_now);
    }
    panic!("a deploy has {MANY} writes and more");
}

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
    let first = instance_id(&worker(&platform).get("/container/1"));
    numbered.change();
    // Its image is being pushed.
    let deploy = platform.watch(&numbered.project, &["deploy"]);
    until("the second push", || {
        (platform.lines_with("/credentials\" status").len() > 1).then_some(())
    });
    drop(deploy);
    assert_eq!(code(&platform), 0);
    assert_eq!(instance_id(&worker(&platform).get("/container/1")), first);
    numbered.deploy(&platform);
    assert_eq!(code(&platform), 1);
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
