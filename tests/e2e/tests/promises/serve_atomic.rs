//! `berth.atomic`: a Worker's code and its containers' image switch together, also when the platform is
//! killed meanwhile, when a version comes back, and when wrangler asks for half of it.

use std::sync::atomic::{AtomicBool, Ordering};

use e2e::{NEWEST, Platform, Project, Reply, SlowWrites, until};
use serde_json::json;

/// More writes than a deploy has.
const MANY: usize = 60;

/// A project whose code says its number, and that of the image of the container that answers it.
struct Paired {
    project: Project,
    number: usize,
}

impl Paired {
    fn of(project: Project) -> Self {
        project.replace("src/index.ts", "sleepAfter = \"10s\"", "sleepAfter = \"10m\"");
        project.replace("src/index.ts", "MESSAGE: ", "UNUSED: ");
        project.replace(
            "src/index.ts",
            "return await env.MY_CONTAINER.get(id).fetch(request);",
            "const reply = await env.MY_CONTAINER.get(id).fetch(request);\n      \
             return new Response(`code-0; ${await reply.text()}`, { status: reply.status });",
        );
        project.replace("Dockerfile", "EXPOSE 8080", "EXPOSE 8080\nENV MESSAGE=image-0");
        project.configure(|config| config["berth"] = json!({"atomic": true}));
        Self { project, number: 0 }
    }

    fn new() -> Self {
        Self::of(Project::example("hello"))
    }

    /// Code and image of the next number.
    fn change(&mut self) {
        let (old, new) = (self.number, self.number + 1);
        self.project.replace("src/index.ts", &format!("code-{old};"), &format!("code-{new};"));
        self.project.replace("Dockerfile", &format!("=image-{old}"), &format!("=image-{new}"));
        self.number = new;
    }

    #[track_caller]
    fn deploy(&self, platform: &Platform) {
        platform.client(&self.project, &["deploy"]).assert_succeeds();
    }
}

/// Ends those who ask, also when a test fails.
struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The number after a word of an answer.
fn number(answer: &str, word: &str) -> Option<usize> {
    let (_, rest) = answer.split_once(word)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The numbers of code and image of an answer that has both.
fn pair(reply: &Reply) -> Option<(usize, usize)> {
    let text = reply.text();
    Some((number(&text, "code-")?, number(&text, "image-")?))
}

/// What a container answers with the code before it. A request that it works on when it is told to stop
/// may fail, so it is asked again.
fn answer(platform: &Platform, container: &str) -> (usize, usize) {
    let worker = platform.worker("hello-containers");
    until("a container answers", || worker.try_get(container).ok().as_ref().and_then(pair))
}

#[test]
fn old_code_never_meets_a_new_container_nor_new_code_an_old_one() {
    let mut paired = Paired::new();
    let platform = Platform::start();
    paired.deploy(&platform);
    let containers = ["/container/1", "/container/2", "/container/3"];
    for container in containers {
        assert_eq!(answer(&platform, container), (0, 0));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = Asking(&done);
        let asked = containers.map(|container| {
            let worker = platform.worker("hello-containers");
            let done = &done;
            scope.spawn(move || {
                let mut seen = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    seen.extend(worker.try_get(container).ok().as_ref().and_then(pair));
                }
                seen
            })
        });
        for _ in 0..3 {
            paired.change();
            paired.deploy(&platform);
            for container in containers {
                assert_eq!(answer(&platform, container), (paired.number, paired.number));
            }
        }
        drop(asking);
        for asked in asked {
            let seen = asked.join().expect("the client does not panic");
            assert!(seen.iter().all(|(code, image)| code == image), "{seen:?}");
            assert!(seen.is_sorted(), "none goes back: {seen:?}");
        }
    });
    platform.stop();
}

#[test]
fn a_version_that_comes_back_brings_its_image_and_the_same_image_goes_on() {
    let mut paired = Paired::new();
    let platform = Platform::start();
    paired.deploy(&platform);
    paired.change();
    paired.deploy(&platform);
    assert_eq!(answer(&platform, "/container/1"), (1, 1));
    let instance = || {
        let reply = platform.worker("hello-containers").get("/container/1");
        e2e::instance_id(&reply)
    };
    let before = instance();
    paired.project.replace("src/index.ts", "Available endpoints:", "Endpoints:");
    paired.deploy(&platform);
    assert_eq!(instance(), before, "its image is the same");
    platform.client(&paired.project, &["rollback", "--force"]).assert_succeeds();
    assert_eq!(instance(), before, "that of the version before, too");

    let listed = platform.client(&paired.project, &["versions", "list", "--json"]);
    let versions = listed.json();
    let first = versions.as_array().expect("a list").iter().find(|one| one["number"] == 1);
    let first = first.and_then(|one| one["id"].as_str()).expect("the first version");
    platform.client(&paired.project, &["rollback", first, "--force"]).assert_succeeds();
    assert_eq!(answer(&platform, "/container/1"), (0, 0));
    platform.stop();
}

#[test]
fn a_deploy_that_is_killed_after_any_write_leaves_code_and_image_of_one_number() {
    let mut paired = Paired::new();
    let mut platform = Platform::start_and_leave_instances();
    paired.deploy(&platform);
    let mut before = answer(&platform, "/container/1");
    assert_eq!(before, (0, 0));
    for kill_after in 1..MANY {
        paired.change();
        let writes = SlowWrites::of(platform.process(), &paired.project);
        let mut deploy = platform.watch(&paired.project, &["deploy"]);
        let ended = until("a write, or the end of the deploy", || {
            deploy.ended().map(Some).or((writes.count() >= kill_after).then_some(None))
        });
        if let Some(status) = ended {
            assert_eq!(status, 0, "{}", deploy.said());
            assert_eq!(answer(&platform, "/container/1"), (paired.number, paired.number));
            drop((deploy, writes));
            platform.stopped_and_started_again().stop();
            return;
        }
        platform.process().kill();
        // Or it would go on with the next one.
        drop((deploy, writes));
        platform = platform.killed_and_started_again();
        let now = answer(&platform, "/container/1");
        let new = (paired.number, paired.number);
        assert!(now == before || now == new, "{before:?}, {now:?}, {new:?}");
        before = now;
    }
    panic!("a deploy has {MANY} writes and more");
}

#[test]
fn wrangler_which_brings_code_alone_is_refused_and_says_what_to_do() {
    let mut paired = Paired::of(NEWEST.example("hello"));
    let platform = Platform::start();
    paired.deploy(&platform);
    paired.change();
    let refused = platform.wrangler(NEWEST, &paired.project, &["deploy"]).run();
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.to_string().contains("`berth deploy`"), "{refused}");
    assert_eq!(answer(&platform, "/container/1"), (0, 0));

    paired.project.configure(|config| config["berth"] = json!({"atomic": false}));
    paired.deploy(&platform);
    platform.wrangler(NEWEST, &paired.project, &["deploy"]).run().assert_succeeds();
    let conflict = ["deploy", "--containers-rollout", "none"];
    paired.project.configure(|config| config["berth"] = json!({"atomic": true}));
    platform.client(&paired.project, &conflict).assert_fails(3, &["berth.atomic", "hint: "]);
    platform.stop();
}

#[test]
fn wrangler_that_passes_the_wish_on_is_refused_before_the_first_deploy_too() {
    let paired = Paired::of(NEWEST.example("hello"));
    let wish = json!({"metadata": {"berth": {"atomic": true}}});
    paired.project.configure(|config| config["unsafe"] = wish);
    let platform = Platform::start();
    let refused = platform.wrangler(NEWEST, &paired.project, &["deploy"]).run();
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.to_string().contains("`berth deploy`"), "{refused}");
    paired.deploy(&platform);
    assert_eq!(answer(&platform, "/container/1"), (0, 0));
    platform.stop();
}
