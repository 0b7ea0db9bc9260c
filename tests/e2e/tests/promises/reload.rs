//! Hot reload (features J7, H10): Worker code on save, images by `r`.

use e2e::{Dev, Project, until};

fn instance(dev: &Dev) -> String {
    dev.get("/one/who").json()["instance"].as_str().expect("an ID").to_owned()
}

#[test]
fn j7_saved_worker_code_is_live_and_containers_stay() {
    let project = Project::probe("");
    let dev = Dev::start(&project);
    let before = instance(&dev);
    assert_eq!(dev.get("/one/_get").text(), "a stub is no container");

    project.replace("src/index.js", "a stub is no container", "a stub is a promise");
    until("the new code answers", || {
        (dev.get("/one/_get").text() == "a stub is a promise").then_some(())
    });
    assert_eq!(instance(&dev), before);
    dev.stop();
}

#[test]
fn j7_code_that_does_not_build_is_shown_and_the_last_one_goes_on() {
    let project = Project::probe("");
    let dev = Dev::start(&project);
    project.replace("src/index.js", "export default {", "export default {{");
    dev.wait_for_line("src/index.js:");
    assert_eq!(dev.get("/one/who").status, 200);

    project.replace("src/index.js", "export default {{", "export default {");
    project.replace("src/index.js", "a stub is no container", "mended");
    until("the mended code answers", || (dev.get("/one/_get").text() == "mended").then_some(()));
    dev.stop();
}

#[test]
fn j7_h10_r_rebuilds_images_and_restarts_instances() {
    let project = Project::probe("");
    let mut dev = Dev::start_in_terminal(&project);
    let before = instance(&dev);
    project.replace("server.py", "\"pid\": os.getpid()", "\"rebuilt\": True");
    dev.press("r");
    until("the new image answers", || {
        let reply = dev.get("/one/who");
        (reply.status == 200 && reply.json()["rebuilt"] == true).then_some(())
    });
    assert_ne!(instance(&dev), before);
    dev.stop();
}

#[test]
fn q_stops_it() {
    let project = Project::probe("").with_own_home();
    let mut dev = Dev::start_in_terminal(&project);
    assert_eq!(dev.get("/one/who").status, 200);
    let footprint = dev.footprint();
    dev.press("q");
    dev.ends_with(0);
    footprint.assert_gone();
}
