//! `berth serve` that is killed between any two of its writes ends, once it is started again, in the old state
//! or the new one, and says which.

use std::thread;

use e2e::{Numbered, PATIENCE, Platform, SlowWrites, eventually, until};
use serde_json::{Value, json};

/// More writes than a deploy or a rollout has.
const MANY: usize = 60;
const CONTAINERS: [usize; 2] = [1, 2];

#[test]
fn a_deploy_that_is_killed_after_any_write_ends_in_the_old_state_or_the_new_one() {
    let mut numbered = Numbered::new();
    let mut platform = Platform::start();
    numbered.deploy(&platform);
    assert_eq!((Numbered::code(&platform), Numbered::image(&platform, 1)), (0, 0));
    let (mut before, mut image) = (0, 0);
    for kill_after in 1..MANY {
        numbered.change();
        let writes = SlowWrites::of(platform.process(), &numbered.project);
        let message = numbered.message();
        let mut deploy = platform.watch(&numbered.project, &["deploy", "--message", &message]);
        let ended = until("a write, or the end of the deploy", || {
            deploy.ended().map(Some).or((writes.count() >= kill_after).then_some(None))
        });
        if let Some(status) = ended {
            assert_eq!(status, 0, "{}", deploy.said());
            assert!(kill_after > 2, "a deploy has more writes than {kill_after}");
            assert_eq!(Numbered::code(&platform), numbered.number());
            platform = platform.stopped_and_started_again();
            until("the new image answers", || {
                (Numbered::image(&platform, 1) == numbered.number()).then_some(())
            });
            platform.stop();
            return;
        }
        platform.process().kill();
        // Or it would go on with the next one.
        drop((deploy, writes));
        platform = platform.killed_and_started_again();
        let (now, new) = (Numbered::code(&platform), numbered.number());
        assert!(now == before || now == new, "{before}, {now}, {new}");
        // The code is there before its image: what was cut off between the two has the old image.
        let image_now = Numbered::image(&platform, 1);
        assert!(image_now >= image && image_now <= now, "{image_now} with {now}");
        (before, image) = (now, image_now);
    }
    panic!("a deploy has {MANY} writes and more");
}

/// What all containers are to run from now on, at once.
fn roll_out(platform: &Platform, image: &Value) {
    let wanted = json!({"kind": "full_auto", "strategy": "rolling", "step_percentage": 100,
        "target_configuration": {"image": image}});
    let path = Numbered::path_of_rollouts(platform);
    let reply = platform.ask(platform.token(), "POST", &path, &wanted.to_string());
    assert_eq!(reply.status, 200, "{reply}");
}

/// Asks for the containers until the platform is gone: a rollout waits for requests to what it starts.
fn ask_on(platform: &Platform) -> thread::JoinHandle<()> {
    let worker = Numbered::worker(platform);
    let is_gone = move || {
        let asked = CONTAINERS.map(|number| worker.try_get(&format!("/container/{number}")));
        asked.iter().any(Result::is_err).then_some(())
    };
    thread::spawn(move || {
        let _ = eventually(PATIENCE, is_gone);
    })
}

fn images(platform: &Platform) -> [usize; 2] {
    CONTAINERS.map(|number| Numbered::image(platform, number))
}

#[test]
fn a_rollout_that_is_killed_after_any_write_goes_on_and_says_so() {
    let mut numbered = Numbered::new();
    let mut platform = Platform::start();
    numbered.deploy(&platform);
    assert_eq!(images(&platform), [0, 0]);
    let mut known = vec![Numbered::application(&platform)["configuration"]["image"].clone()];
    numbered.change();
    numbered.deploy(&platform);
    known.push(Numbered::application(&platform)["configuration"]["image"].clone());
    until("the second image is everywhere", || {
        let is_over = Numbered::newest_rollout(&platform)["status"] == "completed";
        (images(&platform) == [1, 1] && is_over).then_some(())
    });
    for kill_after in 1..MANY {
        let target = (kill_after + 1) % 2;
        let writes = SlowWrites::of(platform.process(), &numbered.project);
        roll_out(&platform, &known[target]);
        let begun = writes.count();
        let asking = ask_on(&platform);
        let is_over = until("a write, or the end of the rollout", || {
            let over = Numbered::newest_rollout(&platform)["status"] == "completed";
            let killed = writes.count() >= begun + kill_after;
            if over { Some(true) } else { killed.then_some(false) }
        });
        if is_over {
            assert!(kill_after > 3, "a rollout has more writes than {kill_after}");
            assert_eq!(images(&platform), [target; 2]);
            drop(writes);
            platform.stop();
            asking.join().expect("it ends with the platform");
            return;
        }
        platform.process().kill();
        drop(writes);
        asking.join().expect("it ends with the platform");
        platform = platform.killed_and_started_again();
        // Until the next kill.
        let _asking = ask_on(&platform);
        let over = until("it goes on", || {
            let newest = Numbered::newest_rollout(&platform);
            (newest["status"] != "progressing").then_some(newest)
        });
        assert_eq!(over["status"], "completed", "killed after {kill_after}: {over}");
        assert_eq!(over["reason"], "every instance runs the target", "{over}");
        assert_eq!(images(&platform), [target; 2], "killed after {kill_after}");
    }
    panic!("a rollout has {MANY} writes and more");
}
