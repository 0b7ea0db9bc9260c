//! What an account may have.

use model::{InstanceType, Limits};
use serde_json::{Value, json};

use crate::limits::AccountLimits;

/// `GET /containers/me`: bounds of one instance are those of the largest type. What the account has in
/// all (`total_…`) is ours: Cloudflare's clients ask for nothing like it.
pub(crate) fn me(account: &str, of_account: &AccountLimits) -> Value {
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
            "total_vcpu": of_account.vcpu,
            "total_memory_mib": of_account.memory_mib,
            "total_disk_mb": of_account.disk_mb,
            "total_image_bytes": of_account.image_bytes,
        },
        "locations": [],
        "defaults": {
            "vcpus": smallest.vcpu,
            "memory_mib": smallest.memory_mib,
            "disk_mb": smallest.disk_mb,
        },
    })
}
