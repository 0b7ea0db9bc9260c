//! What Dockerfiles parse to, and what is refused at which line.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Dockerfile {
    parse(Path::new("Dockerfile"), text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> StepError {
    match parse(Path::new("Dockerfile"), text) {
        Err(BuildError::Step(error)) => *error,
        other => panic!("{other:?}"),
    }
}

fn last(text: &str) -> Instruction {
    let file = parsed(&format!("FROM scratch\n{text}"));
    file.stages.last().unwrap().steps.last().unwrap().instruction.clone()
}

#[test]
fn stages_globals_and_lines() {
    let file = parsed(
        "# syntax=docker/dockerfile:1\nARG V=1\n\nFROM --platform=linux/amd64 alpine:$V AS Build\n\
         RUN a\n\nFROM scratch\nCOPY --from=build /a /b\n",
    );
    assert_eq!(file.globals.len(), 1);
    let [build, last] = &file.stages[..] else { panic!("{file:?}") };
    assert_eq!(build.name.as_deref(), Some("build"));
    assert_eq!(build.platform.as_deref(), Some("linux/amd64"));
    assert_eq!((build.image.as_str(), build.from.place.line), ("alpine:$V", 4));
    assert_eq!((last.from.place.line, last.steps[0].place.line), (7, 8));
    assert_eq!(last.steps[0].summary, "COPY --from=build /a /b");
}

#[test]
fn a_command_over_many_lines_loses_continuations_and_comments() {
    let file = parsed(
        "FROM a\nRUN apt-get update \\\n  # why\n\n  && apt-get install -y \\  \n    curl\nCMD x",
    );
    let [run, cmd] = &file.stages[0].steps[..] else { panic!("{file:?}") };
    assert_eq!(run.summary, "RUN apt-get update && apt-get install -y curl");
    assert_eq!((cmd.place.line, cmd.place.column), (7, 1));
    let Instruction::Run(run) = &run.instruction else { panic!() };
    let joined = "apt-get update   && apt-get install -y     curl";
    assert_eq!(run.command, Command::Shell(joined.into()));
}

#[test]
fn exec_and_shell_forms_are_told_apart() {
    assert_eq!(
        last(r#"CMD ["a", "b c"]"#),
        Instruction::Cmd(Command::Exec(vec!["a".into(), "b c".into()]))
    );
    assert_eq!(last("CMD a  b"), Instruction::Cmd(Command::Shell("a  b".into())));
    // No valid JSON: a shell command, as Docker takes it.
    assert_eq!(last("ENTRYPOINT ['a']"), Instruction::Entrypoint(Command::Shell("['a']".into())));
    assert_eq!(last("CMD []"), Instruction::Cmd(Command::Exec(vec![])));
}

#[test]
fn here_documents_of_run_and_copy() {
    let Instruction::Run(run) = last("RUN <<EOF\nset -e\necho $HOME\nEOF\n") else { panic!() };
    assert_eq!(run.documents[0].content, "set -e\necho $HOME\n");
    assert_eq!(run.command, Command::Shell("<<EOF".into()));
    let Instruction::Run(run) = last("RUN --network=none cat <<A && cat \\\n <<B\na\nA\nb\nB\n")
    else {
        panic!()
    };
    assert_eq!(run.command, Command::Shell("cat <<A && cat  <<B".into()));
    let names: Vec<_> = run.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!((names, run.network), (vec!["A", "B"], Some(RunNetwork::None)));
    let Instruction::Copy(copy) =
        last("COPY <<\"a.txt\" <<-b.txt /dir/\nx $Y\na.txt\n\tz\nb.txt\n")
    else {
        panic!()
    };
    let inline = |name: &str, content: &str, expand| Source::Inline {
        name: name.into(),
        content: content.into(),
        expand,
    };
    assert_eq!(copy.sources, [inline("a.txt", "x $Y\n", false), inline("b.txt", "z\n", true)]);
    assert_eq!(copy.destination, "/dir/");
}

#[test]
fn flags_of_copy() {
    let Instruction::Copy(copy) =
        last(r#"COPY --link --from=0 --chown=1:2 --chmod=755 ["a b", "/c d/"]"#)
    else {
        panic!()
    };
    assert_eq!(copy.sources, [Source::Path("a b".into())]);
    assert_eq!((copy.from.as_deref(), copy.chown.as_deref()), (Some("0"), Some("1:2")));
    assert_eq!((copy.chmod.as_deref(), copy.destination.as_str()), (Some("755"), "/c d/"));
    assert!(copy.add.is_none() && copy.link && !copy.parents);
    let Instruction::Copy(copy) = last("COPY --parents --exclude=*.o --exclude=b a /c/") else {
        panic!()
    };
    assert!(copy.parents && !copy.link);
    assert_eq!(copy.exclude, ["*.o", "b"]);
    let text = "ADD --keep-git-dir=true --checksum=x --unpack=false https://e.com/x /x";
    let Instruction::Copy(copy) = last(text) else { panic!() };
    let add = Add { checksum: Some("x".into()), keep_git_dir: true, unpack: Some(false) };
    assert_eq!(copy.add, Some(add));
}

#[test]
fn a_healthcheck_has_its_times() {
    let text = "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD curl -f localhost";
    let Instruction::Healthcheck(check) = last(text) else { panic!() };
    assert_eq!(check.test, Some(Command::Shell("curl -f localhost".into())));
    assert_eq!(check.times, [("Interval", 90_000_000_000), ("Timeout", 500_000_000)]);
    assert_eq!(check.retries, Some(2));
    assert_eq!(last("HEALTHCHECK NONE"), Instruction::Healthcheck(Healthcheck::default()));
}

#[test]
fn onbuild_keeps_its_instruction_with_its_here_documents() {
    let on_build = |text: &str| Instruction::OnBuild(text.to_owned());
    assert_eq!(last("onbuild  RUN a \\\n  b"), on_build("RUN a   b"));
    let text = "ONBUILD COPY <<A /a\n$X\nA\n";
    assert_eq!(last(text), on_build("COPY <<A /a\n$X\nA"));
    assert_eq!(last("ONBUILD RUN cat <<A\nx\nA\n"), on_build("RUN cat <<A\nx\nA"));
    let from = &parsed("FROM base").stages[0].from;
    let step = parse_trigger(Path::new("D"), from, "RUN cat <<A\nx\nA").unwrap();
    assert!(matches!(&step.instruction, Instruction::Run(run) if run.documents.len() == 1));
    assert_eq!(step.place, from.place);
    for bad in ["RUN a\nRUN b", "", "FROM x", "NONSENSE"] {
        assert!(parse_trigger(Path::new("D"), from, bad).is_err(), "{bad}");
    }
}

#[test]
fn the_escape_directive_changes_continuations() {
    let file = parsed("# escape=`\nFROM scratch\nRUN a `\n b\\\nRUN c\n");
    assert_eq!(file.escape, '`');
    let steps = &file.stages[0].steps;
    assert_eq!(steps.len(), 2);
    let Instruction::Run(run) = &steps[0].instruction else { panic!() };
    assert_eq!(run.command, Command::Shell("a  b\\".into()));
}

#[test]
fn what_is_not_supported_is_refused_with_its_line_and_text() {
    for (text, line, reason) in [
        ("FROM a\nRUN --foo x", 2, "RUN --foo is not supported"),
        ("FROM a\nADD --from=b x /y", 2, "ADD --from=b"),
        ("FROM a\nCOPY --keep-git-dir x /y", 2, "COPY --keep-git-dir"),
        ("FROM --foo=x a", 1, "FROM --foo"),
        ("FROM a\nRUN --security=insecure x", 2, "RUN --security=insecure"),
        ("FROM a\nRUN --network=moon x", 2, "RUN --network=moon"),
    ] {
        let error = refused(text);
        assert_eq!(error.line, line, "{text}: {error}");
        let shown = error.to_string();
        assert!(shown.contains(reason), "{text}: {shown}");
        assert!(shown.contains(text.lines().nth(line - 1).unwrap()), "{shown}");
    }
}

#[test]
fn an_error_has_the_column_of_the_flag() {
    let error = refused("FROM a\n  RUN --network=none --foo x");
    assert_eq!((error.line, error.column), (2, 22));
    assert!(error.to_string().starts_with("Dockerfile:2:22: RUN --foo"), "{error}");
}

#[test]
fn two_stages_may_have_one_name() {
    assert_eq!(parsed("FROM a AS x\nFROM b AS x").stages.len(), 2);
}

#[test]
fn wrong_syntax_is_refused_with_its_line() {
    for (text, line, reason) in [
        ("FROM a\nRUNN x", 2, "unknown instruction 'RUNN'"),
        ("RUN x", 1, "expected FROM"),
        ("FROM a\nCOPY x", 2, "at least two arguments"),
        ("FROM", 1, "at least one argument"),
        ("", 1, "at least one FROM"),
        ("FROM a\nRUN", 2, "RUN needs a command"),
        ("FROM a\nRUN --mount=type=cache x", 2, "needs a target"),
        ("FROM a\nHEALTHCHECK --interval=5 CMD x", 2, "no time"),
        ("FROM a\nHEALTHCHECK --retries=0 CMD x", 2, "1 or more"),
        ("FROM a\nONBUILD FROM x", 2, "ONBUILD takes neither"),
        ("FROM a\nCOPY --link=maybe x /y", 2, "neither true nor false"),
        ("FROM a\nSHELL x", 2, "expected JSON array"),
        ("FROM a\nCOPY <<EOF /x\nnever ends", 2, "not ended"),
        ("FROM a\nRUN <<EOF\nnever ends", 2, "not ended"),
    ] {
        let error = refused(text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert!(error.to_string().starts_with("Dockerfile:"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_parsed_without_panic(
        lines in prop::collection::vec(
            "(FROM|RUN|RUN --mount=|COPY|ADD|ENV|ARG|CMD|SHELL|VOLUME|HEALTHCHECK|ONBUILD|# escape=`|EOF|from|)[ \t]?[-<a-zA-Z\\\\\"'`\\[\\],$={}:/ \r\u{e9}]{0,14}",
            0..8,
        )
    ) {
        let _ = parse(Path::new("Dockerfile"), &lines.join("\n"));
    }
}
