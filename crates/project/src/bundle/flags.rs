//! The options of esbuild for a Worker: those that wrangler sets.

use std::path::Path;

use super::BundleOptions;
use crate::config::Config;

/// From this date `navigator` is defined unless switched off.
const NAVIGATOR: &str = "2022-03-21";

/// Options that hold for any build of a Worker's code.
const COMMON: &[&str] = &[
    "--color=false",
    "--log-level=silent",
    "--log-limit=0",
    "--target=es2024",
    // Newer than es2024, and run by workerd as written.
    "--supported:import-source=true",
    "--supported:using=true",
    "--loader:.js=jsx",
    "--loader:.mjs=jsx",
    "--loader:.cjs=jsx",
    "--metafile",
];

/// Options that bundle `entry` into one ECMAScript module.
pub(super) fn bundle(config: &Config, options: &BundleOptions<'_>, entry: &Path) -> Vec<String> {
    let bundling = &config.bundling;
    let mut flags: Vec<String> = COMMON.iter().map(|flag| (*flag).to_owned()).collect();
    flags.extend(
        [
            "--bundle",
            "--format=esm",
            "--conditions=workerd,worker,browser",
            "--external:__STATIC_CONTENT_MANIFEST",
            "--sourcemap=external",
            // Nothing is written; the output's path only decides how sources are named in the map.
            "--allow-overwrite",
        ]
        .map(str::to_owned),
    );
    flags.push(format!("--outdir={}", config.root.display()));
    let stem = entry.file_stem().unwrap_or_default().to_string_lossy();
    flags.push(format!("--entry-names={stem}"));
    let factory = bundling.jsx_factory.as_deref().unwrap_or("React.createElement");
    let fragment = bundling.jsx_fragment.as_deref().unwrap_or("React.Fragment");
    flags.push(format!("--jsx-factory={factory}"));
    flags.push(format!("--jsx-fragment={fragment}"));
    if bundling.minify {
        flags.push("--minify".to_owned());
    }
    if bundling.keep_names {
        flags.push("--keep-names".to_owned());
    }
    flags.extend(bundling.tsconfig.iter().map(|file| format!("--tsconfig={}", file.display())));
    flags.extend(defines(config, options.node_env));
    flags
}

/// Options that only look at `entry`.
pub(super) fn inspect(config: &Config) -> Vec<String> {
    let mut flags: Vec<String> = COMMON.iter().map(|flag| (*flag).to_owned()).collect();
    flags.push("--allow-overwrite".to_owned());
    flags.push(format!("--outdir={}", config.root.display()));
    flags
}

fn defines(config: &Config, node_env: &str) -> Vec<String> {
    let node_env = crate::tree::quoted(node_env);
    let mut defines = vec![
        ("process.env.NODE_ENV", node_env.as_str()),
        ("global.process.env.NODE_ENV", &node_env),
        ("globalThis.process.env.NODE_ENV", &node_env),
    ];
    if has_navigator(config) {
        defines.push(("navigator.userAgent", "\"Cloudflare-Workers\""));
    }
    let own = &config.bundling.define;
    let defines = defines.into_iter().filter(|(name, _)| !own.contains_key(*name));
    let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    defines.chain(own).map(|(name, value)| format!("--define:{name}={value}")).collect()
}

fn has_navigator(config: &Config) -> bool {
    let has = |flag: &str| config.compatibility_flags.iter().any(|other| other == flag);
    if has("global_navigator") || has("no_global_navigator") {
        return has("global_navigator");
    }
    config.compatibility_date.as_deref().is_none_or(|date| date >= NAVIGATOR)
}
