//! Instance types: the one table of vCPU, memory, disk and pids that limits, billing and docs use.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Share of CPU time in vCPUs; 0.0625 is 1/16.
    pub vcpu: f64,
    /// Memory in MiB; there is no swap.
    pub memory_mib: u64,
    /// Writable disk in MB (10^6 bytes).
    pub disk_mb: u64,
    /// Processes and threads alive at once.
    pub pids: u64,
}

impl Limits {
    /// Writable disk in bytes.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk_mb.saturating_mul(crate::limits::MB)
    }
}

/// An instance type by name, or a custom one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceType {
    /// 1/16 vCPU, 256 MiB, 2 GB. What an application gets that asks for nothing.
    #[default]
    Lite,
    /// 1/4 vCPU, 1 GiB, 4 GB.
    Basic,
    /// 1/2 vCPU, 4 GiB, 8 GB.
    #[serde(rename = "standard-1")]
    Standard1,
    /// 1 vCPU, 6 GiB, 12 GB.
    #[serde(rename = "standard-2")]
    Standard2,
    /// 2 vCPU, 8 GiB, 16 GB.
    #[serde(rename = "standard-3")]
    Standard3,
    /// 4 vCPU, 12 GiB, 20 GB.
    #[serde(rename = "standard-4")]
    Standard4,
    /// `{vcpu, memory_mib, disk_mb}`; what is unset is lite's.
    Custom {
        /// Share of CPU time in vCPUs.
        vcpu: f64,
        /// Memory in MiB.
        memory_mib: u64,
        /// Writable disk in MB.
        disk_mb: u64,
    },
}

/// A name that is no instance type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown instance type \"{name}\"; known are {}", InstanceType::NAMES.join(", "))]
pub struct InstanceTypeError {
    /// The name as given.
    pub name: String,
}

impl InstanceType {
    /// The named types, smallest first.
    pub const NAMES: [&str; 6] =
        ["lite", "basic", "standard-1", "standard-2", "standard-3", "standard-4"];

    /// The type of that name; the old names `dev` and `standard` are aliases (features BA2).
    ///
    /// # Errors
    /// The name is none of [`Self::NAMES`] and no alias.
    pub fn from_name(name: &str) -> Result<Self, InstanceTypeError> {
        Ok(match name {
            "lite" | "dev" => Self::Lite,
            "basic" => Self::Basic,
            "standard-1" | "standard" => Self::Standard1,
            "standard-2" => Self::Standard2,
            "standard-3" => Self::Standard3,
            "standard-4" => Self::Standard4,
            _ => return Err(InstanceTypeError { name: name.to_owned() }),
        })
    }

    /// What an instance of this type may use (features BA1, BA3).
    #[must_use]
    pub fn limits(self) -> Limits {
        let (vcpu, memory_mib, disk_mb) = match self {
            Self::Lite => (0.0625, 256, 2_000),
            Self::Basic => (0.25, 1_024, 4_000),
            Self::Standard1 => (0.5, 4_096, 8_000),
            Self::Standard2 => (1.0, 6_144, 12_000),
            Self::Standard3 => (2.0, 8_192, 16_000),
            Self::Standard4 => (4.0, 12_288, 20_000),
            Self::Custom { vcpu, memory_mib, disk_mb } => (vcpu, memory_mib, disk_mb),
        };
        Limits { vcpu, memory_mib, disk_mb, pids: pids(memory_mib) }
    }
}

/// Processes an instance may have: 1,024 at least, then four for each MiB. Cloudflare gives each
/// instance a VM with its kernel's limit; this keeps a fork bomb from the host's pid space.
fn pids(memory_mib: u64) -> u64 {
    (memory_mib * 4).clamp(1_024, 32_768)
}

impl fmt::Display for InstanceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lite => f.write_str("lite"),
            Self::Basic => f.write_str("basic"),
            Self::Standard1 => f.write_str("standard-1"),
            Self::Standard2 => f.write_str("standard-2"),
            Self::Standard3 => f.write_str("standard-3"),
            Self::Standard4 => f.write_str("standard-4"),
            Self::Custom { vcpu, memory_mib, disk_mb } => {
                write!(f, "{vcpu} vCPU, {memory_mib} MiB, {disk_mb} MB")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_a_type_that_prints_that_name() {
        for name in InstanceType::NAMES {
            assert_eq!(InstanceType::from_name(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn old_names_are_aliases() {
        assert_eq!(InstanceType::from_name("dev"), Ok(InstanceType::Lite));
        assert_eq!(InstanceType::from_name("standard"), Ok(InstanceType::Standard1));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = InstanceType::from_name("huge").unwrap_err().to_string();
        assert!(error.contains("\"huge\"") && error.contains("standard-4"), "{error}");
    }
}
