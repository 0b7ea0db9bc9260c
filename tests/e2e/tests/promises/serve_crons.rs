//! Cron triggers of the platform (features G12, R8): what was missed while nobody ran it is made up for.

use std::path::PathBuf;

use e2e::{NEWEST, Platform, Project, WallClock, until};
use fs_err as fs;
use serde_json::json;

/// Once a year, so that no run of its own comes between.
const YEARLY: &str = "0 0 1 1 *";

/// Where the platform keeps when the triggers of its one Worker last ran.
fn runs(platform: &Platform) -> Option<PathBuf> {
    let workers = fs::read_dir(platform.data().home().join("workers/crons")).ok()?;
    let mut files = workers.filter_map(|worker| Some(worker.ok()?.path().join("runs.json")));
    files.find(|file| file.is_file())
}

#[test]
fn g12_a_run_that_was_missed_is_made_up_for_once_and_written_down() {
    let platform = Platform::start();
    let project = NEWEST.example("cron");
    project.replace("wrangler.jsonc", "*/2 * * * *", YEARLY);
    platform.wrangler(NEWEST, &project, &["deploy"]).run().assert_succeeds();
    let file = until("it is written down since when the trigger is there", || runs(&platform));
    let first = fs::read_to_string(&file).expect("read when it ran");
    assert!(first.starts_with(&format!("{{\"{YEARLY}\":\"20")), "{first}");

    // As if the machine had been off since then.
    fs::write(&file, format!("{{\"{YEARLY}\":\"2024-06-01T00:00:00Z\"}}")).expect("write it");
    let platform = platform.killed_and_started_again();
    let line = platform.wait_for_line(&format!("cron {YEARLY} ok, missed at "));
    assert!(line.trim_end().ends_with("-01-01 00:00"), "{line}");
    platform.wait_for_line("Job runs. Start Time: 2");
    let made_up = fs::read_to_string(&file).expect("read when it ran");
    assert!(made_up.contains("-01-01T00:00:00Z") && !made_up.contains("2024"), "{made_up}");

    platform.wrangler(NEWEST, &project, &["delete", "--force"]).run().assert_succeeds();
    assert!(!file.exists(), "nothing is left of a Worker that was deleted");
    platform.stop();
}

#[test]
fn crons_follow_a_clock_that_is_set_and_none_runs_twice() {
    const HOUR: i64 = 3600;
    // 10 March 2027, 10:00.
    const START: i64 = 1_804_672_800;
    const CRONS: [&str; 3] = ["0 9 10 3 *", "30 11 10 3 *", "5 12 10 3 *"];
    let project = Project::empty().with_own_home();
    let config = json!({"name": "small", "main": "index.js", "compatibility_date": "2026-08-01",
        "triggers": {"crons": CRONS}});
    project.write("wrangler.json", &config.to_string());
    let code = "export default { fetch: () => new Response('here'), scheduled() {} };";
    project.write("index.js", code);
    let clock = WallClock::of(&project);
    clock.set(START);
    let platform = Platform::start_by(&clock);
    platform.client(&project, &["deploy"]).assert_succeeds();
    until("it is written down since when the triggers are there", || runs(&platform));

    // Noon: the one at half past eleven was missed.
    clock.set(START + 2 * HOUR);
    let line = platform.wait_for_line(&format!("cron {} ok, missed at ", CRONS[1]));
    assert!(line.trim_end().ends_with("2027-03-10 11:30"), "{line}");
    // Back to a moment before nine: it runs at nine, not when the clock says noon again.
    clock.set(START - HOUR - 10);
    platform.wait_for_line(&format!("cron {} ok", CRONS[0]));
    // Half past eleven has been, by the clock that was wrong.
    clock.set(START + 2 * HOUR + 5 * 60 - 3);
    platform.wait_for_line(&format!("cron {} ok", CRONS[2]));
    for cron in CRONS {
        let lines = platform.lines_with(&format!("cron {cron} "));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    assert_eq!(platform.worker("small").get("/").text(), "here");
    platform.stop();
}
