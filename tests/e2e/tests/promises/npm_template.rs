//! A project in the shape that `npm create cloudflare` makes from the containers template: it is
//! run as it is, on a machine where nothing was installed for it.

use e2e::{Dev, Project, instance_id};

#[test]
fn a_project_from_the_containers_template_runs_unchanged() {
    let project = Project::containers_template();
    let dev = Dev::start(&project);
    assert!(dev.get("/").text().starts_with("Available endpoints"));
    let first = instance_id(&dev.get("/container/1"));
    assert_eq!(instance_id(&dev.get("/container/1")), first);
    assert_ne!(instance_id(&dev.get("/container/2")), first);
    assert_eq!(dev.get("/lb").status, 200);
    assert_eq!(dev.get("/singleton").status, 200);
    dev.wait_for_line("Container successfully started");
    dev.stop();
}

#[test]
fn an_example_of_a_fresh_clone_gets_its_locked_packages() {
    let project = Project::example_without_packages("hello");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/container/1").status, 200);
    let package = project.read("node_modules/@cloudflare/containers/package.json");
    assert!(package.contains("\"version\": \"0.3.7\""), "{package}");
    dev.stop();
}
