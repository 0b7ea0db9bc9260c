//! A container on a schedule (features R8, A14, G12).

use std::time::Duration;

use e2e::{Dev, Project, eventually};

#[test]
fn r8_the_scheduled_handler_starts_a_job_with_its_message() {
    let dev = Dev::start(&Project::example("cron"));
    let text = "This Worker runs a cron job to execute a container on a schedule.";
    assert_eq!(dev.get("/").text(), text);

    let reply = dev.get("/cdn-cgi/handler/scheduled?cron=*/2+*+*+*+*");
    assert_eq!(reply.status, 200, "{reply}");
    let line = dev.wait_for_line("Job runs. Start Time: 2");
    assert!(line.contains('T') && line.contains('Z'), "no ISO time in {line:?}");
    dev.wait_for_line("Job done.");
    dev.wait_for_line("Job ended with exit code 0");
    dev.stop();
}

#[test]
fn a14_a_cron_trigger_fires_by_itself() {
    let project = Project::example("cron");
    project.replace("wrangler.jsonc", "*/2 * * * *", "* * * * *");
    let dev = Dev::start(&project);
    let fired = eventually(Duration::from_secs(90), || dev.lines_with("Job runs.").pop());
    assert!(fired.is_some(), "the trigger did not fire within 90 s");
    dev.stop();
}
