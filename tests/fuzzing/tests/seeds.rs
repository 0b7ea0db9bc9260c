//! Every seed, and a bounded number of changed ones, through what parses them. What is changed
//! depends on one number: `FUZZ_SEED` gives another, and a failure tells it with the bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzzing::{TARGETS, Target};

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name)
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let files = fs_err::read_dir(folder(name)).expect("a target has a folder of seeds");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("read the folder").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs_err::read(path).expect("read a seed")).collect()
}

/// A small generator (xorshift): the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("below a usize")
    }

    /// Part of `bytes`.
    fn piece<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begin = self.below(bytes.len() + 1);
        let len = self.below((bytes.len() - begin).min(64) + 1);
        &bytes[begin..begin + len]
    }
}

/// Changes that parsers stumble over: bits, numbers at their ends, pieces lost, repeated and from
/// elsewhere.
fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    const TOKENS: [&[u8]; 12] = [
        b"\0",
        b"\xff\xff\xff\xff",
        b"..",
        b"/",
        b"\"",
        b"{",
        b"[[[[",
        b"%2F",
        b"\r\n",
        b"${",
        b"-1",
        b"99999999999999999999",
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => {
                let end = at + random.below((bytes.len() - at).min(64) + 1);
                bytes.drain(at..end);
            }
            4 => {
                let token = TOKENS[random.below(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
            _ => {
                let other = &others[random.below(others.len())];
                let piece = random.piece(other).to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn hold(name: &str) {
    let target = target(name);
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has seeds");
    let number = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let number: u64 = number.unwrap_or(0x5eed_ca11_ab1e_0b5e);
    let mut random = Random(number | 1);
    for seed in &seeds {
        try_one(target, seed, number);
    }
    for _ in 0..target.tries {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        change(&mut bytes, &seeds, &mut random);
        try_one(target, &bytes, number);
    }
}

fn try_one(target: Target, bytes: &[u8], number: u64) {
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    assert!(
        result.is_ok(),
        "{} with FUZZ_SEED={number}: b\"{}\"",
        target.name,
        bytes.escape_ascii()
    );
}

/// A test for each target, and the list of them.
macro_rules! promises {
    ($($promise:ident: $target:literal;)*) => {
        const HELD: &[&str] = &[$($target),*];
        $(#[test]
        fn $promise() {
            hold($target);
        })*
    };
}

promises! {
    requests_of_the_docker_api_are_parsed_or_refused: "docker_request";
    heads_at_an_instance_s_port_are_answered_or_refused: "connect_head";
    frames_of_init_s_protocol_are_messages_or_errors: "init_protocol";
    records_of_an_end_are_some_record: "init_record";
    manifests_of_images_are_parsed_or_refused: "image_manifest";
    configs_of_images_are_parsed_or_refused: "image_config";
    layers_stay_in_their_directory: "image_layer";
    archives_of_images_are_imported_or_refused: "image_archive";
    pushed_manifests_are_kept_or_refused: "pushed_manifest";
    paths_of_the_registry_lead_nowhere_else: "registry_path";
    ranges_stay_in_their_blob: "registry_range";
    nothing_unsigned_is_a_credential: "registry_authorization";
    dockerfiles_are_parsed_or_refused: "dockerfile";
    wrangler_jsonc_is_read_or_refused: "wrangler_jsonc";
    wrangler_toml_is_read_or_refused: "wrangler_toml";
    dev_vars_are_read: "dev_vars";
    uploads_of_workers_are_read_or_refused: "worker_upload";
    container_applications_are_planned_or_refused: "container_application";
    static_files_stay_in_their_folder: "asset_manifest";
    filters_of_tails_are_kept_or_refused: "tail_filters";
    forwarded_headers_are_believed_of_trusted_proxies_alone: "forwarded_headers";
    requests_of_the_docker_engine_are_parsed_or_refused: "engine_request";
    templates_of_docker_s_formats_are_filled_in_or_refused: "go_template";
    archives_of_backups_are_read_or_refused: "backup_archive";
}

#[test]
fn every_target_has_a_program_of_the_fuzzer_and_seeds_and_a_test() {
    for target in TARGETS {
        let program = folder("../fuzz_targets").join(target.name).with_extension("rs");
        assert!(program.exists(), "{}", program.display());
        assert!(!seeds(target.name).is_empty(), "{}", target.name);
        assert!(HELD.contains(&target.name), "{} is held by no test", target.name);
    }
}
