//! `ctx.container.exec()` through the unmodified workerd (features BB2, BB3; §3.4).

use e2e::{Dev, Process, Project, until};
use serde_json::{Value, json};

/// What Berth's own memory may grow by while streams of 64 MiB run through it.
const MOST_GROWTH: u64 = 16 * 1024 * 1024;

fn start() -> Dev {
    Dev::start(&Project::machine("FROM busybox\nCMD [\"sleep\", \"1000000\"]\n"))
}

#[track_caller]
fn run(dev: &Dev, scenario: &str) -> Value {
    let reply = dev.get(&format!("/one/{scenario}"));
    assert_eq!(reply.status, 200, "{scenario}: {reply}");
    reply.json()
}

fn peak(dev: &Dev) -> u64 {
    dev.process().peak_memory().expect("berth runs")
}

/// The processes of the machine, as the host sees them.
fn processes(dev: &Dev) -> Vec<Process> {
    let instance = run(dev, "instance");
    Process::of_instance(instance["stdout"].as_str().expect("an ID"))
}

#[test]
fn bb2_bb3_output_errors_and_exit_code_come_apart_with_directory_user_and_environment() {
    let dev = start();
    let answer = run(&dev, "options");
    assert!(answer["pid"].as_i64().is_some_and(|pid| pid > 1), "{answer}");
    assert_eq!(answer["stdout"], "out\n/tmp\n33\nhello mine\n", "BB3: it inherits");
    assert_eq!(answer["stderr"], "err\n");
    assert_eq!(answer["exitCode"], 3);
    let twice = run(&dev, "outputTwice");
    assert_eq!(twice, "TypeError: output() can only be called once.");
    dev.stop();
}

#[test]
fn bb2_errors_can_be_combined_with_the_output_and_streams_can_be_ignored() {
    let dev = start();
    let combined = run(&dev, "combined");
    assert_eq!((&combined["separate"], &combined["stderr"]), (&json!(null), &json!("")));
    // Two pipes end in one stream: each keeps its order, between them there is none.
    let lines: Vec<&str> = combined["stdout"].as_str().expect("output").lines().collect();
    for wanted in [["1", "3"], ["2", "4"]] {
        let own: Vec<_> = lines.iter().filter(|line| wanted.contains(line)).collect();
        assert_eq!(own, [&wanted[0], &wanted[1]], "{lines:?}");
    }
    assert_eq!(run(&dev, "ignored"), json!({ "stdout": null, "stderr": null, "exitCode": 4 }));
    dev.stop();
}

#[test]
fn bb2_input_is_nothing_a_stream_or_a_pipe_whose_end_leaves_the_output_open() {
    let dev = start();
    let said = |stdout: &str| json!({ "stdout": stdout, "stderr": "", "exitCode": 0 });
    assert_eq!(run(&dev, "withoutInput"), said(""));
    assert_eq!(run(&dev, "inputFromStream"), said("from a stream"));
    assert_eq!(run(&dev, "halfClose"), said("first\nsecond\nafter the end\n"));
    dev.stop();
}

#[test]
fn bb2_64_mib_each_way_pass_without_growing_berths_memory() {
    let dev = start();
    run(&dev, "others");
    let before = peak(&dev);
    assert_eq!(run(&dev, "out64"), json!({ "bytes": 67_108_864, "exitCode": 0 }));
    let counted = json!({ "stdout": "67108864\n", "stderr": "", "exitCode": 0 });
    assert_eq!(run(&dev, "in64"), counted);
    assert_eq!(run(&dev, "both64"), json!({ "bytes": 67_108_864, "exitCode": 0 }));
    // The kernel counts on each processor and adds up when it finds time, so there may be less.
    let growth = peak(&dev).saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth} bytes more");
    dev.stop();
}

#[test]
fn bb2_output_that_nobody_reads_stops_its_program_and_no_other() {
    let dev = start();
    run(&dev, "others");
    let before = peak(&dev);
    run(&dev, "flood");
    let head = |process: &Process| process.command().first().is_some_and(|word| word == "head");
    let flood = until("the flood runs", || processes(&dev).into_iter().find(head));
    for _ in 0..5 {
        assert_eq!(run(&dev, "others"), 20);
    }
    assert!(flood.is_alive(), "64 MiB fit nowhere between it and a reader that does not read");
    // The kernel counts on each processor and adds up when it finds time, so there may be less.
    let growth = peak(&dev).saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth} bytes more");
    assert_eq!(run(&dev, "readFlood"), json!({ "bytes": 67_108_864, "exitCode": 0 }));
    dev.stop();
}

#[test]
fn bb2_a_flood_on_one_stream_does_not_keep_back_the_other() {
    let dev = start();
    let answer = run(&dev, "twoFloods");
    assert!(answer["out"].as_i64() >= Some(4 << 20), "{answer}");
    assert!(answer["error"].as_i64() >= Some(4 << 20), "{answer}");
    dev.stop();
}

#[test]
fn bb2_kill_sends_any_signal_and_sigterm_when_none_is_named() {
    let dev = start();
    // 34 is the first real-time signal.
    assert_eq!(run(&dev, "kill"), json!([143, 137, 130, 162]));
    assert_eq!(run(&dev, "killHandled"), json!({ "stdout": "caught\n", "exitCode": 7 }));
    let range = "RangeError: Invalid signal number.";
    assert_eq!(run(&dev, "killNothing"), json!([range, range]));
    assert_eq!(run(&dev, "killEnded"), json!({ "exitCode": 0, "again": 0 }));
    dev.stop();
}

#[test]
fn bb2_an_abort_kills_with_137_and_one_before_the_start_starts_nothing() {
    let dev = start();
    assert_eq!(run(&dev, "abort"), 137);
    assert_eq!(run(&dev, "abortedBefore"), "AbortError: The operation was aborted");
    dev.stop();
}

#[test]
fn bb2_a_terminal_has_80_columns_and_24_rows_or_what_is_asked_for() {
    let dev = start();
    let answer = run(&dev, "terminal");
    let lines = "24 80\r\n/dev/pts/0\r\nall three\r\nerr\r\n";
    assert_eq!(
        answer,
        json!({ "isPty": true, "separate": null, "stdout": lines, "stderr": "", "exitCode": 0 })
    );
    assert_eq!(run(&dev, "terminalSize")["stdout"], "30 100\r\n");
    dev.stop();
}

#[test]
fn bb2_a_terminal_is_resized_while_its_program_runs() {
    let dev = start();
    let answer = run(&dev, "terminalResize");
    assert!(answer["before"].as_str().unwrap_or_default().starts_with("30 100\r\n"), "{answer}");
    let after = answer["after"].as_str().unwrap_or_default();
    assert!(after.contains("resized\r\n"), "the program is told: {answer}");
    assert!(after.contains("50 120\r\n") && after.ends_with("got typed\r\n"), "{answer}");
    assert_eq!(answer["exitCode"], 0);
    assert_eq!(
        run(&dev, "resizeErrors"),
        json!([
            "RangeError: PTY cols must be between 1 and 65535.",
            "RangeError: PTY rows must be between 1 and 65535.",
            "TypeError: resize() can only be called on a process that was started with a PTY.",
        ])
    );
    dev.stop();
}

#[test]
fn bb2_keys_and_the_end_of_input_work_in_a_terminal() {
    let dev = start();
    assert_eq!(run(&dev, "terminalKeys"), 130, "Ctrl-C");
    let ends = run(&dev, "terminalEnd");
    assert_eq!(ends[0]["stdout"], "a line\r\na line\r\n", "the echo, then the program's own");
    assert_eq!(ends[1]["stdout"], "no lineno line");
    assert_eq!((&ends[0]["exitCode"], &ends[1]["exitCode"]), (&json!(0), &json!(0)));
    dev.stop();
}

#[test]
fn bb2_a_hundred_at_once_each_have_their_own_streams_and_exit_code() {
    let dev = start();
    assert_eq!(run(&dev, "hundred"), 100);
    dev.stop();
}

#[test]
fn bb2_a_program_that_cannot_be_run_says_why() {
    let dev = start();
    let answer = run(&dev, "missingProgram");
    assert_eq!(answer["exitCode"], 127, "as of a shell");
    assert_eq!(answer["stderr"], "failed to execute `no-such-program`: not found\n");
    let answer = run(&dev, "missingUser");
    assert_eq!(answer["exitCode"], 126);
    let text = answer["stderr"].as_str().unwrap_or_default();
    assert!(text.contains("`nobody-here`"), "{answer}");
    let answer = run(&dev, "missingDirectory");
    assert_eq!(answer["exitCode"], 126);
    assert!(answer["stderr"].as_str().is_some_and(|text| text.contains("`/nowhere`")), "{answer}");
    assert_eq!(run(&dev, "noCommand"), "TypeError: exec() requires a non-empty command array.");
    dev.stop();
}

#[test]
fn bb2_a_background_process_does_not_keep_its_caller_and_dies_with_the_instance() {
    let dev = start();
    let started = json!({ "stdout": "started\n", "stderr": "", "exitCode": 0 });
    assert_eq!(run(&dev, "background"), started);
    run(&dev, "flood");
    let running = processes(&dev);
    let words: Vec<_> = running.iter().filter_map(|p| p.command().first().cloned()).collect();
    assert_eq!(words.iter().filter(|word| *word == "sleep").count(), 2, "{words:?}");
    assert!(words.contains(&"head".to_owned()), "{words:?}");

    assert_eq!(run(&dev, "term")["exitCode"], 143);
    for process in running {
        until("it died too", || (!process.is_alive()).then_some(()));
    }
    dev.stop();
}

#[test]
fn orphans_inside_are_reaped() {
    let dev = start();
    assert_eq!(run(&dev, "orphans")["stdout"], "done\n");
    until("no zombie is left", || {
        let states = run(&dev, "states");
        let states = states["stdout"].as_str().expect("states").to_owned();
        assert!(states.contains("State:"), "{states}");
        (!states.contains("zombie")).then_some(())
    });
    dev.stop();
}
