//! Stages: which are built, that they are built at once, and how a failure ends the others.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use image::{
    BuildError, BuildRequest, NamedContext, Outcome, RunRequest, RunStep, RunStepError, Silent,
    Stream, TaskKind,
};

use crate::support::builder::Project;

/// Commands wait until as many run at once as are said to; `fail` fails, others then wait to be
/// cancelled.
struct Together {
    wanted: usize,
    running: AtomicUsize,
    cancelled: AtomicUsize,
}

impl RunStep for Together {
    fn run(
        &self,
        request: &RunRequest<'_>,
        _: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        self.running.fetch_add(1, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) < self.wanted {
            assert!(Instant::now() < deadline, "they do not run at once");
            std::thread::yield_now();
        }
        if request.args.iter().any(|arg| arg == "fail") {
            return Ok(3);
        }
        if request.args.iter().any(|arg| arg == "wait") {
            while !(request.cancelled)() {
                assert!(Instant::now() < deadline, "it is not cancelled");
                std::thread::yield_now();
            }
            self.cancelled.fetch_add(1, Ordering::SeqCst);
            return Err("cancelled".into());
        }
        Ok(0)
    }
}

fn together(wanted: usize) -> Together {
    Together { wanted, running: AtomicUsize::new(0), cancelled: AtomicUsize::new(0) }
}

const THREE: &str = "FROM scratch AS a\nRUN a\nFROM scratch AS b\nRUN b\nFROM scratch\n\
    COPY --from=a / /a\nCOPY --from=b / /b\n";

#[test]
fn stages_that_do_not_need_each_other_are_built_at_once() {
    let project = Project::new(&[]);
    project.write("Dockerfile", THREE);
    project.store.build(&project.request(), &together(2), &Silent).unwrap();
    // One after the other gives the same image.
    let request = BuildRequest { parallel: 1, no_cache: true, ..project.request() };
    project.store.build(&request, &together(1), &Silent).unwrap();
}

#[test]
fn a_stage_that_fails_ends_the_others_and_is_the_error() {
    let project = Project::new(&[]);
    project.write(
        "Dockerfile",
        &THREE.replace("RUN a", "RUN wait").replace("RUN b", "RUN [\"fail\"]"),
    );
    let text = fs_err::read_to_string(project.path("Dockerfile")).unwrap();
    project.write("Dockerfile", &text.replace("RUN wait", "RUN [\"wait\"]"));
    let runner = together(2);
    let result = project.store.build(&project.request(), &runner, &Silent);
    let Err(BuildError::Step(error)) = result else { panic!("{result:?}") };
    assert_eq!((error.line, runner.cancelled.load(Ordering::SeqCst)), (4, 1), "{error}");
    project.assert_is_clean();
}

#[test]
fn steps_are_numbered_within_their_stage() {
    let project = Project::new(&[("f", "f")]);
    let text = "FROM scratch AS one\nCOPY f /f\nFROM scratch\nENV A=1\nCOPY --from=one /f /f\n";
    let built = project.build(text);
    let numbers = |label: &str| {
        let tasks = built.progress.tasks.lock().unwrap();
        let task = tasks.iter().find(|(task, _)| task.label == label).unwrap();
        task.0.kind.clone()
    };
    let step = |stage: &str, number| TaskKind::Step { stage: stage.into(), number, of: 2 };
    assert_eq!(numbers("COPY f /f"), step("one", 2));
    assert_eq!(numbers("COPY --from=one /f /f"), step("stage-1", 2));
    let single = project.build("FROM scratch\nCOPY f /g\n");
    let tasks = single.progress.tasks.lock().unwrap();
    let unnamed = TaskKind::Step { stage: String::new(), number: 1, of: 2 };
    assert!(tasks.iter().any(|(task, _)| task.kind == unnamed));
}

#[test]
fn named_contexts_stand_for_directories_and_images() {
    let project = Project::new(&[("f", "main")]);
    let other = tempfile::tempdir().unwrap();
    fs_err::write(other.path().join("f"), "other").unwrap();
    fs_err::write(other.path().join("hidden"), "x").unwrap();
    fs_err::write(other.path().join(".dockerignore"), "hidden\n").unwrap();
    let tag = |request: &mut BuildRequest| request.tags = vec!["local/base:1".parse().unwrap()];
    project.try_build("FROM scratch\nENV FROM_BASE=1\nCOPY f /base\n", tag).unwrap();
    let contexts = |request: &mut BuildRequest| {
        let directory = NamedContext::Directory(other.path().to_owned());
        request.contexts.insert("other".into(), directory);
        let image = NamedContext::Image("local/base:1".parse().unwrap());
        request.contexts.insert("alpine".into(), image);
    };
    let built = project.try_build("FROM alpine\nCOPY --from=other . /o/\nCOPY f /m\n", contexts);
    let built = built.unwrap();
    assert_eq!(built.read("/o/f").as_deref(), Some("other"));
    assert_eq!(built.read("/m").as_deref(), Some("main"));
    assert!(built.find("/o/hidden").is_none());
    assert_eq!(built.env(), ["FROM_BASE=1"]);
}

#[test]
fn a_link_copy_does_not_depend_on_what_is_below() {
    let project = Project::new(&[("f", "f"), ("x", "x")]);
    let linked = "COPY --link f /bin/f\n";
    project.build(&format!("FROM scratch\n{linked}"));
    fs_err::create_dir_all(project.path("root/usr/bin")).unwrap();
    std::os::unix::fs::symlink("usr/bin", project.path("root/bin")).unwrap();
    let built = project.build(&format!("FROM scratch\nCOPY root /\n{linked}"));
    assert_eq!(built.progress.steps(Outcome::Cached).last().unwrap(), linked.trim_end());
    // The link of the image below is replaced, not followed.
    assert!(fs_err::symlink_metadata(built.find("/bin").unwrap()).unwrap().is_dir());
    assert!(built.find("/usr/bin/f").is_none());
}

#[test]
fn parents_are_kept_and_excluded_files_are_not_copied() {
    let project = Project::new(&[
        ("a/b/one.txt", "1"),
        ("a/b/two.md", "2"),
        ("a/c/three.txt", "3"),
        ("d/four.txt", "4"),
    ]);
    let built = project.build(
        "FROM scratch\nCOPY --parents a/b/one.txt d /kept/\nCOPY --parents a/./c/three.txt /cut/\n\
         COPY --parents **/*.txt /deep/\nCOPY --exclude=**/*.md --exclude=c a /some/\n\
         COPY --exclude=one* a/b/* /files/\n",
    );
    for (path, content) in [
        ("/kept/a/b/one.txt", "1"),
        ("/kept/d/four.txt", "4"),
        ("/cut/c/three.txt", "3"),
        ("/deep/a/c/three.txt", "3"),
        ("/deep/d/four.txt", "4"),
        ("/some/b/one.txt", "1"),
        ("/files/two.md", "2"),
    ] {
        assert_eq!(built.read(path).as_deref(), Some(content), "{path}");
    }
    for path in ["/deep/a/b/two.md", "/some/b/two.md", "/some/c", "/files/one.txt"] {
        assert!(built.find(path).is_none(), "{path}");
    }
    // What is excluded does not count for the cache.
    project.write("a/b/two.md", "changed");
    let text = "FROM scratch\nCOPY --exclude=**/*.md a /some/\n";
    project.build(text);
    project.write("a/b/two.md", "changed again");
    assert_eq!(project.build(text).done(), Vec::<String>::new());
}

#[test]
fn an_inline_cache_spares_another_machine_the_work() {
    use crate::support::TestImage;
    use crate::support::registry::{Behaviour, Registry};
    let registry = Registry::start(Behaviour::default());
    let text = "FROM scratch\nCOPY f /f\nRUN one\n";
    let first = Project::new(&[("f", "f"), ("Dockerfile", text)]);
    let request = BuildRequest { inline_cache: true, ..first.request() };
    let image = first.store.build(&request, &together(1), &Silent).unwrap();
    let blob = |digest: &str| {
        let content = first.store.dir().join("content/sha256");
        fs_err::read(content.join(digest.strip_prefix("sha256:").unwrap())).unwrap()
    };
    let bytes = blob(image.digest.as_str());
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
    let blobs = layers.map(|descriptor| blob(descriptor["digest"].as_str().unwrap())).collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.push("1", &TestImage { manifest: bytes, media_type, blobs });
    let second = Project::new(&[("f", "f")]);
    let from = |request: &mut BuildRequest| request.cache_from = vec![registry.name("a/b:1")];
    let built = second.try_build(text, from).unwrap();
    assert_eq!(built.done(), Vec::<String>::new());
    let none = |request: &mut BuildRequest| request.cache_from = vec![registry.name("a/b:none")];
    let log = Mutex::new(second.try_build(text, none).unwrap().progress.log());
    assert!(log.into_inner().unwrap().contains("no cache is taken from"));
}

#[test]
fn a_cache_in_a_registry_spares_another_machine_the_work_of_every_stage() {
    use image::CacheExport;

    use crate::support::registry::{Behaviour, Registry};
    let registry = Registry::start(Behaviour::default());
    let text = "FROM scratch AS one\nCOPY f /f\nRUN one\nFROM scratch\nCOPY --from=one /f /g\n";
    let export = |all_stages| {
        let reference = registry.name(if all_stages { "a/b:max" } else { "a/b:min" });
        move |request: &mut BuildRequest| {
            request.pull.docker_config = None;
            request.cache_to = vec![CacheExport { reference: reference.clone(), all_stages }];
        }
    };
    let first = Project::new(&[("f", "f"), ("Dockerfile", text)]);
    for all_stages in [true, false] {
        let mut request = first.request();
        export(all_stages)(&mut request);
        first.store.build(&request, &together(1), &Silent).unwrap();
    }
    for (tag, left) in [("max", 0), ("min", 2)] {
        let second = Project::new(&[("f", "f"), ("Dockerfile", text)]);
        let name = registry.name(&format!("a/b:{tag}"));
        let mut request = BuildRequest { cache_from: vec![name], ..second.request() };
        request.pull.docker_config = None;
        let progress = crate::support::Recorder::default();
        second.store.build(&request, &together(1), &progress).unwrap();
        let done = progress.steps(Outcome::Done).into_iter();
        let done: Vec<String> = done.filter(|step| !step.starts_with("FROM")).collect();
        assert_eq!(done.len(), left, "{tag}: {done:?}");
    }
    // The image is there although its cache could not be pushed.
    let mut request = first.request();
    let nowhere = "127.0.0.1:1/a/b:1".parse().unwrap();
    request.cache_to = vec![CacheExport { reference: nowhere, all_stages: true }];
    request.tags = vec!["built:1".parse().unwrap()];
    let error = first.store.build(&request, &together(1), &Silent).unwrap_err();
    assert!(matches!(error, BuildError::CacheExport(_)), "{error}");
    assert!(first.store.image(&request.tags[0]).unwrap().is_some());
}
