//! What comes between the steps of a rollout: another deploy, or a clock that is set. It ends in one state all
//! the same, and its record says in which.

use e2e::{Numbered, Platform, Reply, WallClock, instance_id, until};
use serde_json::{Value, json};

const CONTAINERS: [usize; 4] = [1, 2, 3, 4];
const DAY: i64 = 86_400;

/// Begins the next step of a rollout.
fn next(platform: &Platform, rollout: &Value) -> Reply {
    let id = rollout["id"].as_str().expect("an id");
    let path = format!("{}/{id}", Numbered::path_of_rollouts(platform));
    platform.ask(platform.token(), "POST", &path, &json!({"action": "next"}).to_string())
}

fn is_completed(platform: &Platform) -> bool {
    Numbered::newest_rollout(platform)["status"] == "completed"
}

/// The images that all containers run.
fn images(platform: &Platform) -> Vec<usize> {
    CONTAINERS.map(|number| Numbered::image(platform, number)).to_vec()
}

/// Begins the next step of the newest rollout and asks all containers until it is done.
fn step(platform: &Platform, number: usize) {
    let begun = next(platform, &Numbered::newest_rollout(platform));
    assert_eq!(begun.status, 200, "{begun}");
    let worker = Numbered::worker(platform);
    until("the step is done", || {
        for container in CONTAINERS {
            let _ = worker.try_get(&format!("/container/{container}"));
        }
        let rollout = Numbered::newest_rollout(platform);
        (rollout["steps"][number]["status"] == "completed").then_some(())
    });
}

#[test]
fn a_deploy_during_a_rollout_ends_in_the_second_and_the_first_is_told_so() {
    let mut numbered = Numbered::new();
    numbered.project.configure(|config| {
        config["containers"][0]["rollout_kind"] = json!("full_manual");
        config["containers"][0]["rollout_step_percentage"] = json!([50, 100]);
    });
    let platform = Platform::start();
    numbered.deploy(&platform);
    assert_eq!(images(&platform), [0; 4]);
    numbered.change();
    numbered.deploy(&platform);
    step(&platform, 0);
    let halfway = images(&platform);
    assert!(halfway.contains(&0) && halfway.contains(&1), "{halfway:?}");

    numbered.change();
    numbered.deploy(&platform);
    assert_eq!(Numbered::code(&platform), 2);
    let all = Numbered::rollouts(&platform);
    assert_eq!((&all[0]["status"], &all[1]["status"]), (&json!("pending"), &json!("replaced")));
    assert_eq!(all[1]["reason"], "another rollout came before it was done", "{all}");
    let refused = next(&platform, &all[1]);
    assert_eq!(refused.status, 400, "{refused}");
    assert!(refused.text().contains("this rollout is over"), "{refused}");
    let between = images(&platform);
    assert!(!between.contains(&2), "nothing of the second has begun: {between:?}");

    step(&platform, 0);
    step(&platform, 1);
    until("it is done", || is_completed(&platform).then_some(()));
    assert_eq!(images(&platform), [2; 4]);
    let all = Numbered::rollouts(&platform);
    assert_eq!((all.as_array().map(Vec::len), &all[1]["status"]), (Some(2), &json!("replaced")));
    platform.stop();
}

#[test]
fn a_rollout_ends_in_time_where_the_clock_is_set_in_the_middle_of_it() {
    let mut numbered = Numbered::new();
    let clock = WallClock::of(&numbered.project);
    let platform = Platform::start_by(&clock);
    let worker = Numbered::worker(&platform);
    numbered.deploy(&platform);
    assert_eq!(Numbered::image(&platform, 1), 0);
    numbered.change();
    numbered.deploy(&platform);
    // Nobody asks for the new container, so the step waits a while for somebody who does.
    platform.wait_for_line("decision=Replaced");
    clock.move_by(-DAY);
    until("it is done", || is_completed(&platform).then_some(()));
    assert_eq!(Numbered::image(&platform, 1), 1);
    let instance = instance_id(&worker.get("/container/1"));
    clock.move_by(DAY);
    assert_eq!(instance_id(&worker.get("/container/1")), instance, "it runs on");
    platform.stop();
}
