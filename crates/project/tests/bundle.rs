//! Bundling with the real esbuild binary and real npm packages.
//!
//! The only tests of this crate that need npm: they install pinned packages once, into a cache in
//! the target directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use project::bundle::{BuildCommandError, run_build_command};
use project::{Bundle, BundleError, BundleOptions, Config, ModuleKind, bundle};

/// The npm package that holds the native binary for this machine.
fn esbuild_package() -> &'static str {
    if cfg!(target_arch = "aarch64") { "@esbuild/linux-arm64" } else { "@esbuild/linux-x64" }
}

/// The folder of the installed packages.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
        if !dir.join("installed").is_file() {
            fs_err::create_dir_all(&dir).unwrap();
            fs_err::write(dir.join("package.json"), "{\"private\":true}").unwrap();
            let status = Command::new("npm")
                .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
                .arg(format!("{}@0.28.2", esbuild_package()))
                .arg("@cloudflare/containers@0.3.7")
                .current_dir(&dir)
                .status()
                .unwrap();
            assert!(status.success(), "npm install failed");
            fs_err::write(dir.join("installed"), "").unwrap();
        }
        dir
    })
}

/// A project in a folder of its own, with the packages beside it.
struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// `files` are paths and contents; `wrangler.jsonc` gets name, main and a date by itself.
    fn new(config: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "{{ \"name\": \"app\", \"main\": \"src/index.ts\", \"compatibility_date\": \"2026-09-01\", {config} }}"
        );
        let project = Self { dir };
        project.write("wrangler.jsonc", config.as_bytes());
        for (path, contents) in files {
            project.write(path, contents.as_bytes());
        }
        project
    }

    fn with_packages(self) -> Self {
        let link = self.dir.path().join("node_modules");
        fs_err::os::unix::fs::symlink(packages().join("node_modules"), link).unwrap();
        self
    }

    fn write(&self, path: &str, contents: &[u8]) {
        let path = self.dir.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, contents).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn config(&self) -> Config {
        match Config::load(&self.dir.path().canonicalize().unwrap(), None) {
            Ok((config, _)) => config,
            Err(error) => panic!("{error}"),
        }
    }

    async fn bundle(&self) -> Result<Bundle, BundleError> {
        let esbuild = packages().join("node_modules").join(esbuild_package()).join("bin/esbuild");
        let options = BundleOptions { esbuild: &esbuild, node_env: "development" };
        let config = self.config();
        let bundle = bundle(&config, &options);
        tokio::time::timeout(Duration::from_secs(60), bundle).await.expect("esbuild hangs")
    }

    async fn main(&self) -> String {
        match self.bundle().await {
            Ok(bundle) => String::from_utf8(bundle.modules[0].contents.clone()).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }

    async fn error(&self) -> String {
        match self.bundle().await {
            Ok(bundle) => panic!("was bundled: {bundle:?}"),
            Err(error) => error.to_string(),
        }
    }
}

const HANDLER: &str = "export default { fetch() { return new Response(\"hi\"); } };\n";

const DURABLE: &str = r#""durable_objects": { "bindings": [{ "name": "C", "class_name": "MyContainer" }] },
    "migrations": [{ "tag": "v1", "new_sqlite_classes": ["MyContainer"] }]"#;

#[tokio::test]
async fn a_typescript_worker_with_the_containers_package_becomes_one_module() {
    let code = r#"
        import { Container, getContainer } from "@cloudflare/containers";
        interface Env { C: DurableObjectNamespace<MyContainer> }
        export class MyContainer extends Container<Env> { defaultPort = 8080; }
        export default {
            async fetch(request: Request, env: Env): Promise<Response> {
                return getContainer(env.C, "x" as string).fetch(request);
            },
        };
    "#;
    let project = Project::new(DURABLE, &[("src/index.ts", code)]).with_packages();
    let bundle = project.bundle().await.unwrap();
    assert_eq!(bundle.main, "index.js");
    assert_eq!(bundle.modules.len(), 1, "{:?}", bundle.modules);
    assert_eq!(bundle.exports, ["MyContainer", "default"]);
    assert_eq!(bundle.warnings, []);
    let text = String::from_utf8(bundle.modules[0].contents.clone()).unwrap();
    assert!(text.contains("from \"cloudflare:workers\""), "cloudflare: imports stay");
    assert!(!text.contains("interface Env"), "types are gone");
    let map: serde_json::Value = serde_json::from_slice(&bundle.source_map.unwrap()).unwrap();
    let sources = map["sources"].as_array().unwrap();
    assert!(sources.contains(&"src/index.ts".into()), "{sources:?}");
    assert!(bundle.inputs.contains(&project.path("src/index.ts")));
    assert!(bundle.inputs.iter().all(|input| input.is_absolute()));
    assert!(bundle.inputs.iter().any(|input| input.ends_with("containers/dist/lib/container.js")));
}

#[tokio::test]
async fn text_data_and_wasm_files_become_modules_named_by_their_content() {
    let code = format!(
        "import wasm from './add.wasm?module'; import again from '../src/add.wasm'; import page from './page.html'; import data from './x.bin';\nconsole.log(wasm, again, page, data);\n{HANDLER}"
    );
    let project = Project::new("\"minify\": false", &[("src/index.ts", &code)]);
    project.write("src/add.wasm", b"\0asm\x01\0\0\0");
    project.write("src/page.html", b"<p>");
    project.write("src/x.bin", &[1, 2, 3]);
    let bundle = project.bundle().await.unwrap();
    let main = String::from_utf8(bundle.modules[0].contents.clone()).unwrap();
    let kinds: Vec<_> = bundle.modules.iter().map(|module| module.kind).collect();
    assert_eq!(bundle.modules.len(), 4, "{:?}", bundle.modules);
    for (kind, end) in [
        (ModuleKind::Wasm, "-add.wasm"),
        (ModuleKind::Text, "-page.html"),
        (ModuleKind::Data, "-x.bin"),
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
        let module = bundle.modules.iter().find(|module| module.kind == kind).unwrap();
        assert!(module.name.ends_with(end) && module.name.len() == end.len() + 40, "{module:?}");
        assert!(main.contains(&format!("from \"./{}\"", module.name)), "{main}");
    }
    assert!(bundle.inputs.contains(&project.path("src/add.wasm")));
}

#[tokio::test]
async fn own_rules_say_what_else_is_a_module() {
    let rules = r#""rules": [{ "type": "Text", "globs": ["**/docs/*.md"], "fallthrough": true }, { "type": "Data", "globs": ["**/*.dat"] }]"#;
    let code = format!(
        "import a from './docs/a.md'; import b from './b.dat'; import c from './c.txt'; console.log(a, b, c);\n{HANDLER}"
    );
    let files = [
        ("src/index.ts", &*code),
        ("src/docs/a.md", "# a"),
        ("src/b.dat", "b"),
        ("src/c.txt", "c"),
    ];
    let bundle = Project::new(rules, &files).bundle().await.unwrap();
    assert_eq!(bundle.modules.len(), 4, "{:?}", bundle.modules);
    assert!(bundle.warnings[0].text.contains("does not have a fallback"), "{:?}", bundle.warnings);

    let code = format!("import b from './b.bin'; console.log(b);\n{HANDLER}");
    let project = Project::new(rules, &[("src/index.ts", &code), ("src/b.bin", "b")]);
    let error = project.error().await;
    assert!(error.contains("./b.bin matched a module rule in your configuration"), "{error}");
}

#[tokio::test]
async fn a_module_of_a_package_is_found() {
    let code = format!("import text from 'lib/x.txt'; console.log(text);\n{HANDLER}");
    let files = [("src/index.ts", &*code), ("node_modules/lib/x.txt", "from the package")];
    let bundle = Project::new("\"minify\": true", &files).bundle().await.unwrap();
    assert_eq!(bundle.modules[1].contents, b"from the package");
}

#[tokio::test]
async fn define_alias_and_node_env_replace_code() {
    let config = r#""define": { "VERSION": "\"1.2\"" }, "alias": { "missing": "./src/stub.ts" }"#;
    let code = format!(
        "import stub from 'missing'; console.log(stub, VERSION, process.env.NODE_ENV, navigator.userAgent);\n{HANDLER}"
    );
    let files = [("src/index.ts", &*code), ("src/stub.ts", "export default 'stubbed';")];
    let main = Project::new(config, &files).main().await;
    for text in ["\"stubbed\"", "\"1.2\"", "\"development\"", "\"Cloudflare-Workers\""] {
        assert!(main.contains(text), "{text} in {main}");
    }
}

#[tokio::test]
async fn jsx_in_js_files_and_json_imports_work() {
    let config = r#""main": "src/index.js", "jsx_factory": "h""#;
    let code = "import { a } from './a.json';\nconst h = (...x) => x;\nexport default { fetch() { return <b>{a}</b>; } };";
    let files = [("src/index.js", code), ("src/a.json", "{\"a\": 7}")];
    let main = Project::new(config, &files).main().await;
    assert!(main.contains("h(\"b\", null, a)"), "{main}");
}

#[tokio::test]
async fn node_modules_keep_their_names_and_required_ones_work() {
    let code = format!(
        "import fs from 'fs'; import {{ join }} from 'node:path'; import old from './old.cjs'; console.log(fs, join, old);\n{HANDLER}"
    );
    let files = [
        ("src/index.ts", &*code),
        ("src/old.cjs", "module.exports = require('events').EventEmitter;"),
    ];
    let main = Project::new("\"minify\": false", &files).main().await;
    assert!(main.contains("from \"node:fs\""), "{main}");
    assert!(main.contains("from \"node:path\""), "{main}");
    assert!(main.contains("from \"node:events\""), "{main}");
    assert!(!main.contains("Dynamic require"), "{main}");
}

#[tokio::test]
async fn without_nodejs_compat_node_modules_are_refused_or_warned_of() {
    let config = "\"compatibility_date\": \"2024-01-01\"";
    let code = format!("import fs from 'fs'; console.log(fs);\n{HANDLER}");
    let error = Project::new(config, &[("src/index.ts", &code)]).error().await;
    assert!(
        error
            .contains("The package \"fs\" wasn't found on the file system but is built into node."),
        "{error}"
    );
    assert!(error.contains("Add the \"nodejs_compat\" compatibility flag"), "{error}");
    let code = format!("import fs from 'node:fs'; console.log(fs);\n{HANDLER}");
    let bundle = Project::new(config, &[("src/index.ts", &code)]).bundle().await.unwrap();
    assert!(
        bundle.warnings[0].text.ends_with("Imported from:\n - src/index.ts"),
        "{:?}",
        bundle.warnings
    );
}

#[tokio::test]
async fn errors_show_file_line_column_and_code() {
    let code = "export default {\n  fetch() { retrun 1; },\n};\n";
    let project = Project::new("\"minify\": false", &[("src/index.ts", code)]);
    let Err(BundleError::Code { errors, .. }) = project.bundle().await else { panic!() };
    let location = errors[0].location.clone().unwrap();
    assert_eq!(
        (location.file.to_str().unwrap(), location.line, location.column),
        ("src/index.ts", 2, 20)
    );
    let shown = project.error().await;
    assert!(shown.contains("[ERROR] Expected \";\" but found \"1\""), "{shown}");
    assert!(shown.contains("src/index.ts:2:19:"), "{shown}");
    assert!(shown.contains("fetch() { retrun 1; },"), "{shown}");
}

#[tokio::test]
async fn a_missing_package_says_npm_install() {
    let code = format!("import {{ Hono }} from 'hono/tiny'; console.log(Hono);\n{HANDLER}");
    let project = Project::new("\"minify\": false", &[("src/index.ts", &code)]);
    let error = project.error().await;
    assert!(error.contains("Could not resolve \"hono/tiny\""), "{error}");
    assert!(error.contains("run `npm install hono`"), "{error}");
    assert!(!error.contains("as external"), "{error}");
    project.write("package.json", b"{\"dependencies\": {\"hono\": \"4\"}}");
    let error = project.error().await;
    assert!(error.contains("in package.json but not installed: run `npm install`."), "{error}");
}

#[tokio::test]
async fn a_missing_file_that_a_rule_matches_is_shown_where_it_is_imported() {
    let code = format!("import x from './none.wasm'; console.log(x);\n{HANDLER}");
    let error = Project::new("\"minify\": false", &[("src/index.ts", &code)]).error().await;
    assert!(error.contains("Could not resolve \"./none.wasm\""), "{error}");
    assert!(error.contains("src/index.ts:1:14"), "{error}");
}

#[tokio::test]
async fn a_durable_object_that_is_not_exported_is_named() {
    let project = Project::new(DURABLE, &[("src/index.ts", HANDLER)]);
    assert_eq!(
        project.error().await,
        "Your Worker depends on the following Durable Objects, which are not exported in your entrypoint file: MyContainer.\nYou should export these objects from your entrypoint, src/index.ts."
    );
}

#[tokio::test]
async fn a_service_worker_is_refused() {
    let code = "addEventListener('fetch', (event) => event.respondWith(new Response('old')));";
    let error = Project::new("\"minify\": false", &[("src/index.ts", code)]).error().await;
    assert!(error.contains("The entry-point src/index.ts has no default export"), "{error}");
    assert!(error.contains("try adding `export default { ... }`"), "{error}");
}

#[tokio::test]
async fn a_missing_entry_point_is_named() {
    let error = Project::new("\"minify\": false", &[]).error().await;
    assert!(
        error.starts_with("The entry-point file at \"src/index.ts\" was not found."),
        "{error}"
    );
    let error = Project::new("\"build\": { \"command\": \"true\" }", &[]).error().await;
    assert!(error.contains("was not found after running custom build: true."), "{error}");
    let error = Project::new("\"main\": \"src\"", &[("src/x", "")]).error().await;
    assert!(error.contains("points to a directory"), "{error}");
}

#[tokio::test]
async fn without_a_bundle_files_are_modules_as_they_are() {
    let config = r#""main": "src/index.js", "no_bundle": true, "rules": [{ "type": "ESModule", "globs": ["**/*.js"] }]"#;
    let code = "import { x } from './lib/x.js';\nimport t from './t.txt';\nexport default { fetch() { return x + t; } };";
    let files = [
        ("src/index.js", code),
        ("src/lib/x.js", "export const x = 1;"),
        ("src/t.txt", "t"),
        ("src/README", ""),
    ];
    let bundle = Project::new(config, &files).bundle().await.unwrap();
    let modules: Vec<_> = bundle.modules.iter().map(|m| (m.name.as_str(), m.kind)).collect();
    assert_eq!(
        modules,
        [
            ("index.js", ModuleKind::EsModule),
            ("lib/x.js", ModuleKind::EsModule),
            ("t.txt", ModuleKind::Text)
        ]
    );
    assert_eq!(bundle.modules[0].contents, code.as_bytes());
}

#[tokio::test]
async fn found_modules_stay_outside_of_the_bundle() {
    let config = r#""find_additional_modules": true, "rules": [{ "type": "ESModule", "globs": ["lang/*.js", "**/lang/*.js"] }]"#;
    let code = "export default { async fetch(r: Request) { return (await import(`./lang/${r.url}.js`)).default; } };\nimport './lang/de.js';";
    let files = [("src/index.ts", code), ("src/lang/de.js", "export default 'hallo';")];
    let bundle = Project::new(config, &files).bundle().await.unwrap();
    let main = String::from_utf8(bundle.modules[0].contents.clone()).unwrap();
    assert!(main.contains("import \"./lang/de.js\""), "{main}");
    assert_eq!(bundle.modules[1].name, "lang/de.js");
}

#[tokio::test]
async fn the_same_input_gives_the_same_bundle() {
    let code = format!("import t from './t.txt'; console.log(t);\n{HANDLER}");
    let project = Project::new("\"minify\": true", &[("src/index.ts", &code), ("src/t.txt", "t")]);
    assert_eq!(project.bundle().await.unwrap(), project.bundle().await.unwrap());
}

#[tokio::test]
async fn a_binary_that_is_no_esbuild_is_an_error() {
    let project = Project::new("\"minify\": true", &[("src/index.ts", HANDLER)]);
    for binary in ["/bin/true", "/bin/cat", "/nonexistent"] {
        let options = BundleOptions { esbuild: Path::new(binary), node_env: "development" };
        let config = project.config();
        let result = tokio::time::timeout(Duration::from_secs(10), bundle(&config, &options));
        assert!(matches!(result.await, Ok(Err(BundleError::Esbuild(_)))), "{binary}");
    }
}

#[tokio::test]
async fn the_custom_build_runs_in_its_folder_and_its_lines_are_passed_on() {
    let config = r#""build": { "command": "pwd; echo to stderr >&2; echo 'export default {}' > made.js", "cwd": "tools" }, "main": "tools/made.js""#;
    let project = Project::new(config, &[("tools/x", "")]);
    let mut lines = Vec::new();
    run_build_command(&project.config().build, &mut |line| lines.push(line.to_owned()))
        .await
        .unwrap();
    lines.sort();
    assert_eq!(lines, [project.path("tools").display().to_string(), "to stderr".to_owned()]);
    assert_eq!(project.bundle().await.unwrap().exports, ["default"]);
}

#[tokio::test]
async fn a_failing_custom_build_shows_its_last_lines() {
    let config = r#""build": { "command": "seq 1 100; echo broken >&2; exit 3" }"#;
    let project = Project::new(config, &[]);
    let result = run_build_command(&project.config().build, &mut |_| {}).await;
    let Err(error @ BuildCommandError::Failed { .. }) = result else { panic!("{result:?}") };
    let text = error.to_string();
    assert!(text.contains("failed (exit status: 3)"), "{text}");
    assert!(
        text.contains("\n  broken") && text.contains("\n  100") && !text.contains("\n  10\n"),
        "{text}"
    );
}

#[tokio::test]
async fn dropping_a_custom_build_ends_everything_it_started() {
    let config = r#""build": { "command": "echo $$; sleep 1000 & echo $!; wait" }"#;
    let project = Project::new(config, &[]);
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let build = project.config().build;
    let task = tokio::spawn(async move {
        run_build_command(&build, &mut |line| sender.send(line.to_owned()).unwrap()).await
    });
    let mut processes = Vec::new();
    for _ in 0..2 {
        let line =
            tokio::time::timeout(Duration::from_secs(10), lines.recv()).await.unwrap().unwrap();
        processes.push(PathBuf::from("/proc").join(line));
    }
    task.abort();
    let _ = task.await;
    ended(&processes).await;
}

/// Waits until none of these folders of `/proc` belongs to a running process.
async fn ended(processes: &[PathBuf]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let alive = |path: &PathBuf| {
        fs_err::read_to_string(path.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    while processes.iter().any(alive) {
        assert!(tokio::time::Instant::now() < deadline, "still running: {processes:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dropping_a_bundle_ends_esbuild() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new("\"minify\": true", &[("src/index.ts", HANDLER)]);
    // Says its version, then hangs as a service that never greets.
    project.write("fake", b"#!/bin/sh\n[ $1 = --version ] && { echo 1; exit; }\necho $$ > \"$0.pid\"\nexec sleep 1000\n");
    let esbuild = project.path("fake");
    fs_err::set_permissions(&esbuild, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = project.config();
    let task = tokio::spawn(async move {
        let options = BundleOptions { esbuild: &esbuild, node_env: "development" };
        bundle(&config, &options).await.map(|_| ())
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let pid = loop {
        let pid = fs_err::read_to_string(project.path("fake.pid")).unwrap_or_default();
        if pid.ends_with('\n') {
            break pid.trim().to_owned();
        }
        assert!(tokio::time::Instant::now() < deadline, "esbuild was not started");
        tokio::task::yield_now().await;
    };
    task.abort();
    let _ = task.await;
    ended(&[PathBuf::from("/proc").join(pid)]).await;
}
