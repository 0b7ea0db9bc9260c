//! Modules of Node.js: which names they have, and what a Worker's compatibility says about them.

/// Names that Node.js modules are imported by, without `node:`.
pub(super) const BUILTINS: &[&str] = &[
    "_http_agent",
    "_http_client",
    "_http_common",
    "_http_incoming",
    "_http_outgoing",
    "_http_server",
    "_stream_duplex",
    "_stream_passthrough",
    "_stream_readable",
    "_stream_transform",
    "_stream_wrap",
    "_stream_writable",
    "_tls_common",
    "_tls_wrap",
    "assert",
    "assert/strict",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "dns/promises",
    "domain",
    "events",
    "fs",
    "fs/promises",
    "http",
    "http2",
    "https",
    "inspector",
    "inspector/promises",
    "module",
    "net",
    "os",
    "path",
    "path/posix",
    "path/win32",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "readline/promises",
    "repl",
    "stream",
    "stream/consumers",
    "stream/promises",
    "stream/web",
    "string_decoder",
    "sys",
    "timers",
    "timers/promises",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "util/types",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// How a Worker may use Node.js modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compat {
    /// Not at all.
    Off,
    /// Only `node:async_hooks` (`nodejs_als`).
    AsyncLocalStorage,
    /// By names with `node:`.
    Prefixed,
    /// By any name.
    Full,
}

/// From this date Node.js modules are on unless switched off.
const DEFAULT_ON: &str = "2026-08-04";

/// From this date names need no `node:`.
const FULL: &str = "2024-09-23";

impl Compat {
    /// The mode that a date and flags give; no date stands for the newest one.
    pub(super) fn new(date: Option<&str>, flags: &[String]) -> Self {
        let has = |flag: &str| flags.iter().any(|other| other == flag);
        let since = |start: &str| date.is_none_or(|date| date >= start);
        let on = has("nodejs_compat") || since(DEFAULT_ON) && !has("no_nodejs_compat");
        let full = has("nodejs_compat_v2")
            || !has("no_nodejs_compat_v2") && (since(DEFAULT_ON) || on && since(FULL));
        if full {
            Self::Full
        } else if on {
            Self::Prefixed
        } else if has("nodejs_als") {
            Self::AsyncLocalStorage
        } else {
            Self::Off
        }
    }

    /// What to do about an import of a module that is built into Node.js and was not found.
    pub(super) fn hint(self, name: &str) -> Option<String> {
        let bare = name.strip_prefix("node:").unwrap_or(name);
        if !BUILTINS.contains(&bare) {
            return None;
        }
        let todo = match self {
            Self::Off | Self::AsyncLocalStorage => {
                "- Add the \"nodejs_compat\" compatibility flag to your project.\n"
            }
            Self::Prefixed if !name.starts_with("node:") => {
                "- Make sure to prefix the module name with \"node:\" or update your compatibility_date to 2024-09-23 or later.\n"
            }
            Self::Prefixed | Self::Full => "",
        };
        Some(format!(
            "The package \"{name}\" wasn't found on the file system but is built into node.\n{todo}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_flags_give_wranglers_mode() {
        let mode = |date, flags: &[&str]| {
            let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            Compat::new(date, &flags)
        };
        assert_eq!(mode(Some("2024-01-01"), &[]), Compat::Off);
        assert_eq!(mode(Some("2024-01-01"), &["nodejs_als"]), Compat::AsyncLocalStorage);
        assert_eq!(mode(Some("2024-01-01"), &["nodejs_compat"]), Compat::Prefixed);
        assert_eq!(mode(Some("2024-09-23"), &["nodejs_compat"]), Compat::Full);
        assert_eq!(
            mode(Some("2024-09-23"), &["nodejs_compat", "no_nodejs_compat_v2"]),
            Compat::Prefixed
        );
        assert_eq!(mode(Some("2026-08-03"), &[]), Compat::Off);
        assert_eq!(mode(Some("2026-08-04"), &[]), Compat::Full);
        assert_eq!(mode(None, &[]), Compat::Full);
    }
}
