//! Stateless instances (features R5, E1, E2, E5): three interchangeable ones behind one address.

use std::collections::BTreeSet;

use e2e::{Dev, Process, Project, instance_id};

#[test]
fn r5_e5_requests_spread_over_three_instances_that_stay() {
    let dev = Dev::start(&Project::example("stateless"));
    let ids: BTreeSet<_> = (0..30).map(|_| instance_id(&dev.get("/"))).collect();
    assert!((2..=3).contains(&ids.len()), "{ids:?}");
    // None was replaced in the meantime.
    for id in &ids {
        assert_eq!(Process::of_instance(id).len(), 1, "{id}");
    }
    dev.stop();
}
