//! What people are told when an instance may not start: the application, its limit, how to raise it.

use model::instance::Refusal;
use model::messages;

use crate::application::{ApplicationRuntime, StartRate};

/// It waits for a free place.
pub(super) fn waiting(settings: &ApplicationRuntime) -> String {
    let (name, most) = (&settings.application.name, settings.application.max_instances);
    format!("waits until one of the {most} running instances of \"{name}\" ends (max_instances)")
}

/// It is not started.
pub(super) fn refused(settings: &ApplicationRuntime, why: Refusal, rate: StartRate) -> String {
    let name = &settings.application.name;
    match why {
        Refusal::MaxInstances => format!(
            "{}: all {} of \"{name}\" run; stop one, or raise `max_instances` of its `containers` \
             entry in the Wrangler configuration",
            messages::MAX_INSTANCES,
            settings.application.max_instances
        ),
        Refusal::TooManyStarts => format!(
            "\"{name}\" starts more containers than {} in a second; start them more slowly, or \
             raise `berth.start_rate` in the Wrangler configuration",
            rate.per_second
        ),
    }
}
