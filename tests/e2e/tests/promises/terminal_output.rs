//! What `berth dev` prints (feature F11): requests, and lines of the Worker, its objects and the
//! containers, told apart.

use e2e::{Dev, Project};

#[test]
fn requests_are_shown_with_method_path_and_status() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/_get?secret=1").status, 200);
    let line = dev.wait_for_line("GET /one/_get");
    assert!(line.contains("200") && line.contains("ms"), "{line:?}");
    dev.stop();
}

#[test]
fn f11_p_container_lines_are_told_apart_from_the_workers() {
    let dev = Dev::start(&Project::probe(""));
    assert_eq!(dev.get("/one/say?text=from-the-container").status, 200);
    let container = dev.wait_for_line("from-the-container");
    let worker = dev.wait_for_line("onStart one");
    let prefix = |line: &str| line.split_whitespace().next().map(str::to_owned);
    assert_ne!(prefix(&container), prefix(&worker), "{container:?} / {worker:?}");
    dev.stop();
}

#[test]
fn an_uncaught_exception_is_shown_at_its_place_in_the_source() {
    let project = Project::example("hello");
    project.replace(
        "src/index.ts",
        "    const { pathname }",
        "    if (request.url.endsWith(\"/boom\")) throw new Error(\"it went off\");\n    const { pathname }",
    );
    let line = 1 + project
        .read("src/index.ts")
        .lines()
        .position(|line| line.contains("it went off"))
        .expect("the line is there");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/boom").status, 500);
    dev.wait_for_line("it went off");
    dev.wait_for_line(&format!("src/index.ts:{line}:"));
    dev.stop();
}

#[test]
fn lines_of_a_container_keep_their_order() {
    let dev = Dev::start(&Project::probe(""));
    for number in 0..50 {
        assert_eq!(dev.get(&format!("/one/say?text=number-{number:02}")).status, 200);
    }
    dev.wait_for_line("number-49");
    let lines = dev.lines_with("number-");
    let numbers: Vec<_> = lines.iter().filter(|line| !line.contains("GET")).cloned().collect();
    assert!(numbers.len() == 50 && numbers.is_sorted(), "{numbers:?}");
    dev.stop();
}
