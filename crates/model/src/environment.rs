//! The `CLOUDFLARE_*` variables every instance sees: the union of features M and BJ5.

use crate::{DurableObjectId, InstanceId};

/// Where a node stands, in the words of the variables it is shown by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `CLOUDFLARE_COUNTRY_A2`, two letters.
    pub country: String,
    /// `CLOUDFLARE_LOCATION`.
    pub location: String,
    /// `CLOUDFLARE_REGION`.
    pub region: String,
    /// `CLOUDFLARE_NODE_ID`.
    pub node: String,
}

/// The variables Berth sets; the caller lets the user's own values of the same name win (M7).
#[must_use]
pub fn predefined_environment(
    application: &str,
    object: &DurableObjectId,
    instance: InstanceId,
    placement: &Placement,
) -> Vec<(&'static str, String)> {
    vec![
        ("CLOUDFLARE_APPLICATION_ID", application.to_owned()),
        ("CLOUDFLARE_COUNTRY_A2", placement.country.clone()),
        ("CLOUDFLARE_DEPLOYMENT_ID", instance.to_string()),
        ("CLOUDFLARE_DURABLE_OBJECT_ID", object.to_string()),
        ("CLOUDFLARE_LOCATION", placement.location.clone()),
        ("CLOUDFLARE_NODE_ID", placement.node.clone()),
        ("CLOUDFLARE_PLACEMENT_ID", instance.to_string()),
        ("CLOUDFLARE_REGION", placement.region.clone()),
    ]
}
