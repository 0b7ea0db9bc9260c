//! Code that runs when a container's status changes (features R11, B10–B12, D13, D14).

use e2e::{Dev, Project};

#[test]
fn r11_b10_b11_start_and_a_graceful_stop_are_told() {
    let dev = Dev::start(&Project::example("status-hooks"));
    assert_eq!(dev.get("/run/one").text(), "running\n");
    dev.wait_for_line("Container successfully started");
    assert_eq!(dev.get("/stop/one").text(), "Asked to stop");
    dev.wait_for_line("Container stopped gracefully");
    dev.wait_for_line("Container stop reason: exit");
    dev.stop();
}

#[test]
fn d14_the_exit_code_of_a_program_that_ends_itself_is_told() {
    let dev = Dev::start(&Project::example("status-hooks"));
    assert_eq!(dev.get("/run/two/exit/7").status, 200);
    dev.wait_for_line("Container stopped with exit code: 7");
    // It was no end of the instance: the next request starts it again.
    assert_eq!(dev.get("/run/two").text(), "running\n");
    dev.wait_for_lines("Container successfully started", 2);
    dev.stop();
}

#[test]
fn b12_a_program_that_ends_before_it_listens_is_an_error_with_its_last_words() {
    let dev = Dev::start(&Project::example("status-hooks"));
    assert_eq!(dev.get("/broken/three").status, 500);
    dev.wait_for_line("Container error:");
    dev.wait_for_line("The configuration is missing");
    dev.stop();
}
