//! A different environment for each instance (features R10, N4, A21).

use e2e::{Dev, Project};

#[test]
fn r10_each_instance_gets_its_own_variables() {
    let project = Project::example("per-instance-env");
    project.write(".dev.vars", &project.read(".dev.vars.example"));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/launch-instances").text(), "Container instances launched");

    let (foo, bar) = (dev.get("/instances/foo").json(), dev.get("/instances/bar").json());
    assert_eq!(foo["ACCOUNT_NAME"], "my-account-1");
    assert_eq!(bar["ACCOUNT_NAME"], "my-account-2");
    assert_eq!(foo["ACCOUNT_API_KEY"], "the first secret of the store");
    assert_eq!(bar["ACCOUNT_API_KEY"], "the second secret of the store");
    assert_eq!(foo["CONTAINER_SECRET_KEY"], "the first secret of the Worker");
    assert_eq!(bar["CONTAINER_SECRET_KEY"], "the second secret of the Worker");
    assert_ne!(foo["CLOUDFLARE_DEPLOYMENT_ID"], bar["CLOUDFLARE_DEPLOYMENT_ID"]);
    dev.stop();
}
