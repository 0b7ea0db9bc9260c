//! What an account's containers may use, and whether an application stays within it. Pure.

use http::StatusCode;
use model::{InstanceType, Limits};

use crate::envelope::Failure;

/// What all instances of an account may use at once. Its containers may be asked for as many as their
/// applications' `max_instances` say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccountLimits {
    /// Processors.
    pub vcpu: f64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disks in MB.
    pub disk_mb: u64,
    /// Images in the registry in bytes.
    pub image_bytes: u64,
}

impl Default for AccountLimits {
    /// Cloudflare's for an account: 1500 vCPU, 6 TiB of memory, 30 TB of disks, 50 GB of images.
    fn default() -> Self {
        Self {
            vcpu: 1500.0,
            memory_mib: 6 * 1024 * 1024,
            disk_mb: 30_000_000,
            image_bytes: 50_000_000_000,
        }
    }
}

/// What an application's instances may use when all of them run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) instance_type: InstanceType,
    pub(crate) max_instances: u64,
}

/// Whether an instance is no larger than the largest type, and all applications together stay within
/// the account's limits.
///
/// # Errors
/// One is exceeded; the answer says which, by how much, and by what.
pub(crate) fn check(wanted: &Use, others: &[Use], limits: &AccountLimits) -> Result<(), Failure> {
    let (one, largest) = (wanted.instance_type.limits(), InstanceType::Standard4.limits());
    let base = [
        ("vcpu", one.vcpu, largest.vcpu),
        ("memory_mib", count(one.memory_mib), count(largest.memory_mib)),
        ("disk.size_mb", count(one.disk_mb), count(largest.disk_mb)),
    ];
    if let Some((what, wanted, most)) = base.into_iter().find(|(_, wanted, most)| wanted > most) {
        return Err(surpassed(format!(
            "SURPASSED_BASE_LIMITS: {what} is {wanted}, and an instance has at most {most}"
        )));
    }
    let total = |of: fn(&Limits) -> f64| -> f64 {
        let all = others.iter().chain([wanted]);
        all.map(|one| of(&one.instance_type.limits()) * count(one.max_instances)).sum()
    };
    let totals = [
        ("vCPU", total(|limits| limits.vcpu), limits.vcpu),
        ("MiB of memory", total(|limits| count(limits.memory_mib)), count(limits.memory_mib)),
        ("MB of disk", total(|limits| count(limits.disk_mb)), count(limits.disk_mb)),
    ];
    match totals.into_iter().find(|(_, used, most)| used > most) {
        None => Ok(()),
        Some((what, used, most)) => Err(surpassed(format!(
            "SURPASSED_TOTAL_LIMITS: with {} instances of \"{}\" the account's containers may use {used} \
             {what}, and it has {most}: lower max_instances or take a smaller instance type",
            wanted.max_instances, wanted.name
        ))),
    }
}

fn surpassed(message: String) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, 1000, message)
}

/// A number of units that a `f64` holds exactly.
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, instance_type: InstanceType, max_instances: u64) -> Use {
        Use { name: name.into(), instance_type, max_instances }
    }

    #[test]
    fn an_instance_is_no_larger_than_the_largest_type() {
        let custom = |vcpu, memory_mib, disk_mb| InstanceType::Custom { vcpu, memory_mib, disk_mb };
        let limits = AccountLimits::default();
        for (large, what) in [
            (custom(4.5, 1024, 2000), "vcpu is 4.5"),
            (custom(1.0, 12_289, 2000), "memory_mib is 12289"),
            (custom(1.0, 1024, 20_001), "disk.size_mb is 20001"),
        ] {
            let failure = check(&of("a", large, 1), &[], &limits).unwrap_err();
            assert!(failure.message().starts_with("SURPASSED_BASE_LIMITS"), "{failure:?}");
            assert!(failure.message().contains(what), "{failure:?}");
        }
        assert_eq!(check(&of("a", custom(4.0, 12_288, 20_000), 1), &[], &limits), Ok(()));
    }

    #[test]
    fn all_applications_share_the_accounts_limits() {
        let limits = AccountLimits { memory_mib: 3 * 4096, ..AccountLimits::default() };
        let other = of("b", InstanceType::Standard1, 2);
        let one = |count| {
            check(&of("a", InstanceType::Standard1, count), std::slice::from_ref(&other), &limits)
        };
        assert_eq!(one(1), Ok(()));
        let failure = one(2).unwrap_err();
        assert!(failure.message().starts_with("SURPASSED_TOTAL_LIMITS"), "{failure:?}");
        assert!(failure.message().contains("16384 MiB of memory, and it has 12288"), "{failure:?}");
    }
}
