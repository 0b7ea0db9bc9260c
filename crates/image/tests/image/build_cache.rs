//! The build cache: what runs again, and what does not.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use image::{
    BuildError, ImageStore, PruneRequest, RunRequest, RunStep, RunStepError, Silent, Stream,
};

use crate::support::builder::Project;
use crate::support::{Recorder, names};

const DOCKERFILE: &str = "FROM scratch\nCOPY rootfs /\nCOPY package.json /app/\n\
    WORKDIR /app\nRUN echo installed > /app/modules\nCOPY src /app/src\nRUN echo built > /app/out\n\
    ENV A=1\nEXPOSE 8080\nCMD [\"/bin/sh\"]\n";

fn project() -> Project {
    Project::with_shell(&[("package.json", "{}"), ("src/main", "one")])
}

#[test]
fn a_second_build_does_nothing_and_gives_the_same_image() {
    let project = project();
    let first = project.build(DOCKERFILE);
    assert_eq!(first.done().len(), 5, "{:?}", first.done());
    let second = project.build(DOCKERFILE);
    assert_eq!(second.done(), Vec::<String>::new());
    assert_eq!(second.image, first.image);
}

#[test]
fn a_changed_file_runs_what_follows_its_copy_again_and_no_more() {
    let project = project();
    project.build(DOCKERFILE);
    project.write("src/main", "two");
    let built = project.build(DOCKERFILE);
    assert_eq!(built.done(), ["COPY src /app/src", "RUN echo built > /app/out"]);
    assert_eq!(built.read("/app/src/main").as_deref(), Some("two"));
    // Back to what it was: all of that is still known.
    project.write("src/main", "one");
    assert_eq!(project.build(DOCKERFILE).done(), Vec::<String>::new());
}

#[test]
fn a_changed_time_runs_nothing_and_a_changed_mode_does() {
    use std::os::unix::fs::PermissionsExt;
    let project = project();
    project.build(DOCKERFILE);
    let file = fs_err::File::options().write(true).open(project.path("src/main")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(5)).unwrap();
    fs_err::write(project.path("elsewhere"), "not copied").unwrap();
    assert_eq!(project.build(DOCKERFILE).done(), Vec::<String>::new());
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(project.path("src/main"), mode).unwrap();
    assert_eq!(project.build(DOCKERFILE).done().len(), 2);
}

#[test]
fn a_step_that_makes_the_same_files_another_way_does_not_make_later_ones_run_again() {
    let project = Project::with_shell(&[]);
    let build = |command: &str| {
        let text = format!("FROM scratch\nCOPY rootfs /\nRUN {command}\nRUN echo y > /y\n");
        let epoch = |request: &mut image::BuildRequest| {
            request.build_args.insert("SOURCE_DATE_EPOCH".into(), "1".into());
        };
        project.try_build(&text, epoch).unwrap().done()
    };
    build("echo x > /x");
    let other = "mkdir /t && rmdir /t && echo x > /x";
    assert_eq!(build(other), [format!("RUN {other}")]);
}

#[test]
fn build_arguments_in_scope_count_and_others_do_not() {
    let project = Project::with_shell(&[]);
    let text = "FROM scratch\nCOPY rootfs /\nRUN echo before > /a\nARG V=1\nRUN echo $V > /b\n";
    project.build(text);
    let with = |name: &'static str| {
        move |request: &mut image::BuildRequest| {
            request.build_args.insert(name.into(), "2".into());
        }
    };
    let built = project.try_build(text, with("V")).unwrap();
    assert_eq!(built.done(), ["RUN echo $V > /b"]);
    assert_eq!(built.read("/b").as_deref(), Some("2\n"));
    let built = project.try_build(text, with("OTHER")).unwrap();
    assert_eq!(built.done(), Vec::<String>::new());
    assert!(built.progress.log().contains("build argument OTHER is not used"));
    let built = project.try_build(text, with("HTTP_PROXY")).unwrap();
    assert_eq!(built.done(), Vec::<String>::new());
}

#[test]
fn no_cache_runs_everything() {
    let project = project();
    project.build(DOCKERFILE);
    let built = project.try_build(DOCKERFILE, |request| request.no_cache = true).unwrap();
    assert_eq!(built.done().len(), 5);
}

#[test]
fn a_stage_that_gives_the_same_file_leaves_its_copies_alone() {
    let project = Project::with_shell(&[("version", "1")]);
    let text = "FROM scratch AS build\nCOPY rootfs /\nCOPY version /version\nRUN echo out > /out\n\
        FROM scratch\nCOPY --from=build /out /out\n";
    let first = project.build(text);
    project.write("version", "2");
    let second = project.build(text);
    assert_eq!(second.done(), ["COPY version /version", "RUN echo out > /out"]);
    // Not even the time of the new /out is in the image.
    assert_eq!(second.image.digest, first.image.digest);
}

#[test]
fn the_cache_survives_a_restart_and_a_prune_of_what_is_in_use() {
    let project = project();
    let tag = |request: &mut image::BuildRequest| request.tags = vec!["app".parse().unwrap()];
    let first = project.try_build(DOCKERFILE, tag).unwrap();
    project.store.prune(&PruneRequest::default(), &Silent).unwrap();
    let Project { dir, store } = project;
    drop(store);
    let store = ImageStore::open(dir.path().join("store")).unwrap();
    let project = Project { dir, store };
    assert_eq!(project.build(DOCKERFILE).done(), Vec::<String>::new());
    assert_eq!(project.store.image(&"app".parse().unwrap()).unwrap(), Some(first.image));
    // Without a name the layers are the cache's; without it nothing needs them, and the next build
    // starts over.
    assert!(project.store.untag(&"app".parse().unwrap()).unwrap());
    assert_eq!(project.store.prune(&PruneRequest::default(), &Silent).unwrap().snapshots, 0);
    assert_eq!(project.store.prune_build_cache(Some(0), None).unwrap().steps, 5);
    assert_ne!(project.store.prune(&PruneRequest::default(), &Silent).unwrap().snapshots, 0);
    assert!(names(project.store.dir().join("content/sha256")).is_empty());
    assert_eq!(project.build(DOCKERFILE).done().len(), 5);
}

#[test]
fn two_builds_at_once_give_the_same_image() {
    let project = project();
    project.write("Dockerfile", DOCKERFILE);
    let request = project.request();
    let other = ImageStore::open(project.store.dir()).unwrap();
    let runner = crate::support::builder::Chroot;
    let digests = std::thread::scope(|scope| {
        let build = |store: ImageStore| {
            let request = &request;
            let runner = &runner;
            scope.spawn(move || store.build(request, runner, &Silent).unwrap().config)
        };
        let builds = [build(project.store.clone()), build(other)];
        builds.map(|build| build.join().unwrap())
    });
    assert_eq!(digests[0], digests[1]);
    project.assert_is_clean();
}

#[test]
fn with_a_source_date_epoch_two_machines_build_the_same_image() {
    let build = || {
        let project = project();
        let epoch = |request: &mut image::BuildRequest| {
            request.build_args.insert("SOURCE_DATE_EPOCH".into(), "1000000000".into());
        };
        project.try_build(DOCKERFILE, epoch).unwrap().image.digest
    };
    assert_eq!(build(), build());
}

/// Runs nothing until it is cancelled.
struct Waits<'a>(&'a Recorder);

impl RunStep for Waits<'_> {
    fn run(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        output(Stream::Stdout, b"started\n");
        self.0.cancel.store(true, Ordering::Relaxed);
        assert!((request.cancelled)());
        Err("killed".into())
    }
}

#[test]
fn a_cancelled_build_says_so_and_leaves_nothing() {
    let project = project();
    project.write("Dockerfile", DOCKERFILE);
    let progress = Recorder::default();
    let result = project.store.build(&project.request(), &Waits(&progress), &progress);
    assert!(matches!(result, Err(BuildError::Cancelled)), "{result:?}");
    project.assert_is_clean();
}

#[test]
fn a_file_saved_while_it_is_copied_is_not_remembered_as_what_it_was() {
    /// Saves the file again as soon as it was hashed.
    struct Saves<'a>(&'a Project);
    impl image::Progress for Saves<'_> {
        fn begin(&self, _: &image::Task) {}

        fn finish(&self, _: image::TaskId, _: image::Outcome) {
            self.0.write("f", "second");
        }
    }
    let project = Project::new(&[("f", "first"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
    let runner = crate::support::builder::Chroot;
    project.store.build(&project.request(), &runner, &Saves(&project)).unwrap();
    project.write("f", "first");
    assert_eq!(project.build("FROM scratch\nCOPY f /\n").read("/f").as_deref(), Some("first"));
}

#[test]
fn the_cache_is_pruned_by_age_and_size_and_images_stay() {
    let project = project();
    let tag = |request: &mut image::BuildRequest| {
        request.tags = vec!["app".parse().unwrap()];
    };
    let text =
        DOCKERFILE.replace("RUN echo installed", "RUN --mount=type=cache,target=/c echo installed");
    let built = project.try_build(&text, tag).unwrap();
    let prune = |keep, older| project.store.prune_build_cache(keep, older).unwrap();
    assert_eq!(prune(Some(u64::MAX), Some(Duration::from_secs(3600))), Default::default());
    let all = prune(Some(0), None);
    assert_eq!((all.steps >= 5, all.mounts), (true, 1), "{all:?}");
    assert_eq!(project.store.image(&"app".parse().unwrap()).unwrap(), Some(built.image));
    assert_eq!(project.try_build(&text, tag).unwrap().done().len(), 5);
}
