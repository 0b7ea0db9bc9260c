//! What Berth parses of the bytes of others, as functions of bytes: the same for the fuzzer
//! (`fuzz/`) and for the plain test that runs in CI.
//!
//! A function panics if a promise is broken; that bytes are refused breaks none.

mod image_parts;
mod init_parts;
mod project_parts;
mod registry_parts;

/// One kind of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the fuzzer's target, and of the folder with its seeds.
    pub name: &'static str,
    /// Parses.
    pub run: fn(&[u8]),
    /// How many changed seeds CI tries: fewer where each touches a disk.
    pub tries: u32,
}

/// All of them.
pub const TARGETS: [Target; 24] = [
    Target { name: "docker_request", run: agent::fuzz::docker_request, tries: 40_000 },
    Target { name: "engine_request", run: agent::fuzz::engine_request, tries: 20_000 },
    Target { name: "go_template", run: agent::fuzz::go_template, tries: 20_000 },
    Target { name: "connect_head", run: agent::fuzz::connect_head, tries: 20_000 },
    Target { name: "init_protocol", run: init_parts::protocol, tries: 40_000 },
    Target { name: "init_record", run: init_parts::record, tries: 40_000 },
    Target { name: "image_manifest", run: image_parts::manifest, tries: 40_000 },
    Target { name: "image_config", run: image_parts::config, tries: 40_000 },
    Target { name: "image_layer", run: image_parts::layer, tries: 3_000 },
    Target { name: "image_archive", run: image_parts::archive, tries: 1_500 },
    Target { name: "pushed_manifest", run: image_parts::pushed_manifest, tries: 40_000 },
    Target { name: "registry_path", run: registry_parts::path, tries: 40_000 },
    Target { name: "registry_range", run: registry_parts::range, tries: 40_000 },
    Target { name: "registry_authorization", run: registry_parts::authorization, tries: 40_000 },
    Target { name: "dockerfile", run: image_parts::dockerfile, tries: 20_000 },
    Target { name: "wrangler_jsonc", run: project_parts::jsonc, tries: 4_000 },
    Target { name: "wrangler_toml", run: project_parts::toml, tries: 4_000 },
    Target { name: "dev_vars", run: project_parts::dev_vars, tries: 4_000 },
    Target { name: "worker_upload", run: control::fuzz::upload, tries: 20_000 },
    Target { name: "container_application", run: control::fuzz::application, tries: 20_000 },
    Target { name: "asset_manifest", run: control::fuzz::asset_manifest, tries: 40_000 },
    Target { name: "tail_filters", run: control::fuzz::tail_filters, tries: 40_000 },
    Target { name: "forwarded_headers", run: edge::fuzz::forwarded, tries: 40_000 },
    Target { name: "backup_archive", run: backup::fuzz, tries: 20_000 },
];

/// Runs the target of that name: what the fuzzer calls.
///
/// # Panics
/// There is none, or a promise is broken.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of that name").run)(bytes);
}
