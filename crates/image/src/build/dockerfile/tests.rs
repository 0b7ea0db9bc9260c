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
    assert_eq!((build.image.as_str(), build.from.line), ("alpine:$V", 4));
    assert_eq!((last.from.line, last.steps[0].line), (7, 8));
    assert_eq!(last.steps[0].summary, "COPY --from=build /a /b");
}

#[test]
fn a_command_over_many_lines_loses_continuations_and_comments() {
    let file = parsed(
        "FROM a\nRUN apt-get update \\\n  # why\n\n  && apt-get install -y \\  \n    curl\nCMD x",
    );
    let [run, cmd] = &file.stages[0].steps[..] else { panic!("{file:?}") };
    assert_eq!(run.summary, "RUN apt-get update && apt-get install -y curl");
    assert_eq!(cmd.line, 7);
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
    assert_eq!(run.script.as_deref(), Some("set -e\necho $HOME\n"));
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
    assert!(!copy.extract);
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
        (
            "FROM a\nRUN --mount=type=cache,target=/x y",
            2,
            "RUN --mount=type=cache,target=/x is not supported",
        ),
        ("FROM a\n\nONBUILD RUN x", 3, "ONBUILD is not supported"),
        ("FROM a\nADD https://e.com/x /x", 2, "ADD of https://e.com/x"),
        ("FROM a\nADD git@github.com:a/b.git /x", 2, "ADD of git@"),
        ("FROM a\nADD --checksum=x y /z", 2, "ADD --checksum"),
        ("FROM a\nCOPY --parents x /y", 2, "COPY --parents"),
        ("FROM a\nCOPY --exclude=x . /y", 2, "COPY --exclude"),
        ("FROM --foo=x a", 1, "FROM --foo"),
        ("FROM a\nRUN --network=host x", 2, "RUN --network=host"),
        ("FROM a\nRUN cat <<EOF > /x\nhello world\nEOF\n", 2, "here-document"),
    ] {
        let error = refused(text);
        assert_eq!(error.line, line, "{text}: {error}");
        let shown = error.to_string();
        assert!(shown.contains(reason), "{text}: {shown}");
        assert!(shown.contains(text.lines().nth(line - 1).unwrap()), "{shown}");
    }
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
        ("FROM a AS x\nFROM b AS x", 2, "duplicate stage name"),
        ("FROM a\nSHELL x", 2, "expected JSON array"),
        ("FROM a\nCOPY <<EOF /x\nnever ends", 3, "here-document"),
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
            "(FROM|RUN|COPY|ADD|ENV|ARG|CMD|SHELL|VOLUME|HEALTHCHECK|ONBUILD|# escape=`|EOF|from|)[ \t]?[-<a-zA-Z\\\\\"'`\\[\\],$={}:/ \r\u{e9}]{0,14}",
            0..8,
        )
    ) {
        let _ = parse(Path::new("Dockerfile"), &lines.join("\n"));
    }
}
