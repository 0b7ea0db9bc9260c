//! Schedules of the `Container` class: `schedule`, `listSchedules`, `getSchedule`, `deleteSchedules`,
//! `scheduleNextAlarm`.

use e2e::{Dev, Project, Reply, until};
use serde_json::{Value, json};

const BODY: &str = "tick(payload, schedule) { console.log(\"tick\", JSON.stringify(payload), schedule.type); }\n\
    atDate(inMs, payload) { return this.schedule(new Date(Date.now() + inMs), \"tick\", payload); }\n\
    alarmIn() { return this.ctx.storage.getAlarm().then((at) => at - Date.now()); }";

fn call(dev: &Dev, method: &str, arguments: Value) -> Reply {
    dev.post(&format!("/one/_call/{method}"), arguments.to_string())
}

#[test]
fn a_task_runs_once_after_its_delay_or_at_its_time() {
    let dev = Dev::start(&Project::probe(BODY));
    let task = call(&dev, "schedule", json!([1, "tick", { "n": 1 }])).json();
    assert_eq!((&task["callback"], &task["type"]), (&json!("tick"), &json!("delayed")));
    assert_eq!((&task["payload"], &task["delayInSeconds"]), (&json!({ "n": 1 }), &json!(1)));
    dev.wait_for_line("tick {\"n\":1} delayed");
    assert_eq!(call(&dev, "atDate", json!([1000, "at its time"])).json()["type"], "scheduled");
    dev.wait_for_line("tick \"at its time\" scheduled");
    until("both are done", || {
        (call(&dev, "listSchedules", json!(["tick"])).json() == json!([])).then_some(())
    });
    assert_eq!(dev.lines_with("tick {").len(), 1);
    dev.stop();
}

#[test]
fn tasks_can_be_listed_found_and_deleted() {
    let dev = Dev::start(&Project::probe(BODY));
    let task = call(&dev, "schedule", json!([3600, "tick", "later"])).json();
    let id = task["taskId"].as_str().expect("a task has an id");
    assert_eq!(call(&dev, "getSchedule", json!([id])).json(), task);
    assert_eq!(call(&dev, "listSchedules", json!(["tick"])).json(), json!([task]));
    assert_eq!(call(&dev, "listSchedules", json!(["other"])).json(), json!([]));
    call(&dev, "deleteSchedules", json!(["tick"]));
    assert_eq!(call(&dev, "getSchedule", json!([id])).json(), Value::Null);
    dev.stop();
}

#[test]
fn a_task_needs_a_method_of_the_class() {
    let dev = Dev::start(&Project::probe(BODY));
    assert_eq!(call(&dev, "schedule", json!([1, "nothing"])).status, 500);
    dev.wait_for_line("this.nothing is not a function");
    assert_eq!(call(&dev, "schedule", json!(["soon", "tick"])).status, 500);
    dev.wait_for_line("Invalid schedule type");
    dev.stop();
}

#[test]
fn the_next_alarm_can_be_put_off() {
    let dev = Dev::start(&Project::probe(BODY));
    call(&dev, "scheduleNextAlarm", json!([600_000]));
    let alarm = call(&dev, "alarmIn", json!([])).json();
    assert!(alarm.as_i64().is_some_and(|ms| ms > 300_000), "{alarm}");
    dev.stop();
}
