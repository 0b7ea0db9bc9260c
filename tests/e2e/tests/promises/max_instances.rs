//! `max_instances` (features E6, BA8): no more run at once, and who asks for more is told.

use e2e::{Dev, Project, until};

#[test]
fn e6_ba8_one_more_than_the_maximum_gets_503_until_one_stops() {
    let project =
        Project::probe("").configured(|config| config["containers"][0]["max_instances"] = 1.into());
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/who").status, 200);

    let reply = dev.get("/two/who");
    assert_eq!(reply.status, 503, "{reply}");
    assert!(
        reply.text().contains("There is no Container instance available at this time"),
        "{reply}"
    );
    dev.wait_for_line("Maximum number of running container instances exceeded");
    assert_eq!(dev.get("/one/who").status, 200, "the first is not disturbed");

    assert_eq!(dev.get("/one/_destroy").text(), "destroyed");
    until("there is room", || Some(dev.get("/two/who")).filter(|reply| reply.status == 200));
    dev.stop();
}
