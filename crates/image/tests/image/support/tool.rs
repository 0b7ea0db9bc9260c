//! The only program in the images these tests build: a shell of a few words, compiled statically.
//! As `/bin/sh -c TEXT` it runs commands separated by `&&`, `;` or line feeds; any other name runs
//! one command.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::{env, fs, process};

fn main() {
    // chroot(1) cannot change into a directory inside.
    env::set_current_dir(env::var("TEST_CWD").expect("a directory")).expect("to change into it");
    let args: Vec<String> = env::args().collect();
    let name = args[0].rsplit('/').next().unwrap_or_default();
    match (name, &args[1..]) {
        ("sh", [flag, text]) if flag == "-c" => {
            for line in text.split(['\n', ';']).flat_map(|line| line.split("&&")) {
                let words: Vec<String> = line.split_whitespace().map(expand).collect();
                run(&words);
            }
        }
        // As the interpreter of a script.
        ("sh", [script]) => {
            let text = fs::read_to_string(script).expect("the script");
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                run(&line.split_whitespace().map(expand).collect::<Vec<_>>());
            }
        }
        (_, words) => run(words),
    }
}

/// `$NAME` becomes its value.
fn expand(word: &str) -> String {
    match word.strip_prefix('$') {
        Some(name) => env::var(name).unwrap_or_else(|_| format!("<{name} unset>")),
        None => word.to_owned(),
    }
}

fn run(words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => return,
        ["echo", ref rest @ .., ">", path] => fs::write(path, rest.join(" ") + "\n"),
        ["echo", ref rest @ ..] => {
            println!("{}", rest.join(" "));
            Ok(())
        }
        ["warn", ref rest @ ..] => {
            eprintln!("{}", rest.join(" "));
            Ok(())
        }
        ["cat", path] => fs::read(path).map(|bytes| std::io::stdout().write_all(&bytes).unwrap()),
        ["ls", path] => fs::read_dir(path).map(|entries| {
            let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name()).collect();
            names.sort();
            names.iter().for_each(|name| println!("{}", name.to_string_lossy()));
        }),
        ["mode", path] => fs::metadata(path).map(|m| println!("{:o}", m.mode() & 0o7777)),
        // What the socket sends once it was greeted.
        ["greet", path] => std::os::unix::net::UnixStream::connect(path).and_then(|mut stream| {
            stream.write_all(b"hello\n")?;
            stream.shutdown(std::net::Shutdown::Write)?;
            std::io::copy(&mut stream, &mut std::io::stdout()).map(drop)
        }),
        ["rm", path] => fs::remove_file(path),
        ["rmdir", path] => fs::remove_dir_all(path),
        ["mkdir", path] => fs::create_dir(path),
        ["mv", from, to] => fs::rename(from, to),
        ["ln", from, to] => fs::hard_link(from, to),
        ["symlink", target, path] => std::os::unix::fs::symlink(target, path),
        ["chmod", mode, path] => {
            let mode = u32::from_str_radix(mode, 8).expect("a mode");
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
        ["chown", uid, path] => {
            let uid = uid.parse().expect("a uid");
            std::os::unix::fs::chown(path, Some(uid), Some(uid))
        }
        ["pwd"] => {
            println!("{}", env::current_dir().expect("a directory").display());
            Ok(())
        }
        ["stat", path] => fs::metadata(path).map(|m| println!("{}:{}", m.uid(), m.gid())),
        ["env"] => {
            let all = env::vars().filter(|(name, _)| name != "TEST_CWD");
            all.for_each(|(name, value)| println!("{name}={value}"));
            Ok(())
        }
        ["exit", code] => process::exit(code.parse().expect("a code")),
        _ => {
            eprintln!("unknown command {words:?}");
            process::exit(127);
        }
    };
    if let Err(error) = done {
        eprintln!("{words:?}: {error}");
        process::exit(1);
    }
}
