//! What an account may have.

use model::{InstanceType, Limits};
use serde_json::{Value, json};

/// `GET /containers/me`: bounds of one instance are those of the largest type.
pub(crate) fn me(account: &str) -> Value {
    let Limits { vcpu, memory_mib, disk_mb, .. } = InstanceType::Standard4.limits();
    let smallest = InstanceType::default().limits();
    json!({
        "external_account_id": account,
        "legacy_identity": account,
        "limits": {
            "account_id": account,
            "vcpu_per_deployment": vcpu,
            "memory_mib_per_deployment": memory_mib,
            "memory_per_deployment": format!("{memory_mib}MiB"),
            "disk_mb_per_deployment": disk_mb,
            "disk_per_deployment": format!("{}GB", disk_mb / 1000),
            "network_modes": ["public"],
        },
        "locations": [],
        "defaults": {
            "vcpus": smallest.vcpu,
            "memory_mib": smallest.memory_mib,
            "disk_mb": smallest.disk_mb,
        },
    })
}
