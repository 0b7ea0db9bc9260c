//! What an account may have.

use model::{InstanceType, Limits};

use crate::limits::AccountLimits;
use crate::wire::{ContainersAccount, ContainersDefaults, ContainersLimits};

/// `GET /containers/me`: bounds of one instance are those of the largest type. What the account has in
/// all (`total_…`) is ours: Cloudflare's clients ask for nothing like it.
pub(crate) fn me(account: &str, of_account: &AccountLimits) -> ContainersAccount {
    let Limits { vcpu, memory_mib, disk_mb, .. } = InstanceType::Standard4.limits();
    let smallest = InstanceType::default().limits();
    ContainersAccount {
        external_account_id: account.to_owned(),
        legacy_identity: account.to_owned(),
        limits: ContainersLimits {
            account_id: account.to_owned(),
            vcpu_per_deployment: vcpu,
            memory_mib_per_deployment: memory_mib,
            memory_per_deployment: format!("{memory_mib}MiB"),
            disk_mb_per_deployment: disk_mb,
            disk_per_deployment: format!("{}GB", disk_mb / 1000),
            network_modes: vec!["public"],
            total_vcpu: of_account.vcpu,
            total_memory_mib: of_account.memory_mib,
            total_disk_mb: of_account.disk_mb,
            total_image_bytes: of_account.image_bytes,
        },
        locations: Vec::new(),
        defaults: ContainersDefaults {
            vcpus: smallest.vcpu,
            memory_mib: smallest.memory_mib,
            disk_mb: smallest.disk_mb,
        },
    }
}
