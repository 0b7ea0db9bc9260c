//! Cron triggers of the platform (features G12, R8): what was missed while nobody ran it is made up for.

use std::path::PathBuf;

use e2e::{NEWEST, Platform, until};
use fs_err as fs;

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
