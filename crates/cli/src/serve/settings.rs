//! The settings of `berth serve`: an option counts before a variable of the environment, that before a
//! line of `berth.toml`, and that before the default.
//!
//! All of it follows from what [`PlatformArgs`] declares. The file's lines are made options of a second
//! command line, so a value is read and judged in one way, wherever it was written.

use std::any::TypeId;
use std::borrow::Cow;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, Parser as _};
use project::config::{Setting, SettingKind, SettingValue, read_settings};

use crate::args::PlatformArgs;
use crate::dev::project::config_error;
use crate::error::{CliError, Kind};

/// The file's name in the data directory.
const FILE: &str = "berth.toml";
/// Options that are no settings, but ask for something.
const QUESTIONS: [&str; 3] = ["config", "print_config", "check"];
/// How long a line of the printed file's comments is at most.
const WIDTH: usize = 98;
const HEADER: &str = "\
# Settings of `berth serve`, for berth.toml in its data directory or wherever --config says.
#
# An option counts before its variable of the environment, the variable before this file, and this
# file before the default; lists are replaced, not joined. Each setting stands here with its
# default, or with what it would look like: take the # before it away to change it. Paths are
# relative to the file's folder. No secret belongs here.
";

/// What counts, and where it was said.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) args: PlatformArgs,
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Options of the settings that are not their defaults, in order of precedence.
    said: [(Origin, Vec<String>); 3],
}

/// Where a setting was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Option,
    Environment,
    File,
    Default,
}

/// A setting, as the command line declares it.
#[derive(Debug)]
struct Declared<'a> {
    setting: Setting,
    arg: &'a Arg,
    is_path: bool,
}

impl Settings {
    /// Puts together what the command line `args` (parsed as `given`), the environment and the file
    /// say.
    pub(crate) fn gather(args: PlatformArgs, given: &ArgMatches) -> Result<Self, CliError> {
        let file = file(&args)?;
        let command = PlatformArgs::command();
        let declared = declared(&command);
        let values = match &file {
            Some(file) => {
                let known: Vec<Setting> = declared.iter().map(|d| d.setting.clone()).collect();
                read_settings(file, &known, accepts).map_err(config_error)?
            }
            None => Vec::new(),
        };
        let said = [Origin::Option, Origin::Environment, Origin::File].map(|origin| {
            let said = declared.iter().filter(|declared| declared.origin(given, &values) == origin);
            (origin, said.map(|declared| declared.setting.key.clone()).collect())
        });
        let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let options = declared.iter().flat_map(|d| d.options(given, &values, folder));
        let line = std::iter::once(OsString::from("berth serve")).chain(options);
        let args = PlatformArgs::try_parse_from(line)
            .map_err(|error| CliError::new(Kind::Usage, error.to_string()))?;
        Ok(Self { args, file, said })
    }

    /// Which settings were said, and where.
    pub(crate) fn describe(&self) -> String {
        let mut parts = Vec::new();
        for (origin, keys) in &self.said {
            let place = match (origin, &self.file) {
                (Origin::Option, _) => "options".to_owned(),
                (Origin::Environment, _) => "environment".to_owned(),
                (_, Some(file)) => file.display().to_string(),
                (_, None) => continue,
            };
            if !keys.is_empty() {
                parts.push(format!("{place}: {}", keys.join(", ")));
            } else if *origin == Origin::File {
                parts.push(format!("{place}: nothing"));
            }
        }
        if parts.is_empty() { "defaults".to_owned() } else { parts.join("; ") }
    }
}

/// A file with every setting, its documentation and its default.
pub(crate) fn default_file() -> String {
    let command = PlatformArgs::command();
    declared(&command)
        .iter()
        .fold(HEADER.to_owned(), |text, setting| text + "\n" + &setting.lines())
}

/// The file that counts: the one that was named, or that of the data directory.
fn file(args: &PlatformArgs) -> Result<Option<PathBuf>, CliError> {
    if let Some(named) = &args.config {
        let file = std::path::absolute(named);
        return file.map(Some).map_err(|error| CliError::failure("find the settings", error));
    }
    let file = args.place.data()?.join(FILE);
    // What cannot be looked at is an error when it is read.
    Ok(file.try_exists().unwrap_or(true).then_some(file))
}

fn declared(command: &Command) -> Vec<Declared<'_>> {
    let settings =
        command.get_arguments().filter(|arg| !QUESTIONS.contains(&arg.get_id().as_str()));
    let declared = settings.filter_map(|arg| {
        let kind = match arg.get_action() {
            ArgAction::Append => SettingKind::List,
            _ if arg.get_value_parser().type_id() == TypeId::of::<bool>() => SettingKind::Switch,
            _ => SettingKind::Text,
        };
        let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        let key = arg.get_long()?.replace('-', "_");
        Some(Declared { setting: Setting { key, kind }, arg, is_path })
    });
    declared.collect()
}

/// Whether an option takes this value.
fn accepts(key: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let line = ["berth serve".to_owned(), format!("--{}={text}", key.replace('_', "-"))];
    match PlatformArgs::command().try_get_matches_from(line) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.source().map_or_else(
            || error.to_string().lines().next().unwrap_or_default().to_owned(),
            ToString::to_string,
        )),
    }
}

impl Declared<'_> {
    fn origin(&self, given: &ArgMatches, values: &[SettingValue]) -> Origin {
        let id = self.arg.get_id().as_str();
        let is_empty = || given.get_raw(id).is_none_or(|mut raw| raw.all(OsStr::is_empty));
        match given.value_source(id) {
            Some(ValueSource::CommandLine) => Origin::Option,
            Some(ValueSource::EnvVariable) if !is_empty() => Origin::Environment,
            _ if values.iter().any(|value| value.key == self.setting.key) => Origin::File,
            _ => Origin::Default,
        }
    }

    /// The setting as options of the command line; what the environment says is read from there again.
    fn options(&self, given: &ArgMatches, values: &[SettingValue], folder: &Path) -> Vec<OsString> {
        let option = |value: &OsStr| {
            let mut option = OsString::from(format!("--{}=", self.setting.key.replace('_', "-")));
            option.push(value);
            option
        };
        match self.origin(given, values) {
            Origin::Option => {
                let raw = given.get_raw(self.arg.get_id().as_str());
                raw.into_iter().flatten().map(option).collect()
            }
            Origin::Environment | Origin::Default => Vec::new(),
            Origin::File => {
                let value = values.iter().filter(|value| value.key == self.setting.key);
                let texts = value.flat_map(|value| &value.texts);
                let path = |text: &String| option(folder.join(text).as_os_str());
                if self.is_path {
                    texts.map(path).collect()
                } else {
                    texts.map(|text| option(text.as_ref())).collect()
                }
            }
        }
    }

    /// The setting in the printed file.
    fn lines(&self) -> String {
        let help = self.arg.get_help().map(ToString::to_string).unwrap_or_default();
        let name = self.arg.get_value_names().and_then(|names| names.first());
        let name = name.map_or("VALUE", |name| name.as_str());
        let option = self.setting.key.replace('_', "-");
        let option = match self.setting.kind {
            SettingKind::Switch => format!("--{option}[={name}]"),
            SettingKind::Text | SettingKind::List => format!("--{option} {name}"),
        };
        let variable = self.arg.get_env().map(|name| format!(", {}", name.to_string_lossy()));
        let commas = match self.setting.kind {
            SettingKind::List => ", separated by commas",
            SettingKind::Text | SettingKind::Switch => "",
        };
        let default = self.arg.get_default_values().first().map(|value| value.to_string_lossy());
        let (value, unset) = match (self.setting.kind, default) {
            (SettingKind::Text, Some(text)) => (serde_json::Value::from(text).to_string(), ""),
            (SettingKind::Text, None) => {
                (serde_json::Value::from(name).to_string(), " Not set by default.")
            }
            (SettingKind::Switch, default) => {
                (default.map_or_else(|| "false".to_owned(), Cow::into_owned), "")
            }
            (SettingKind::List, _) => ("[]".to_owned(), ""),
        };
        let comment = format!("{help}.{unset} ({option}{}{commas})", variable.unwrap_or_default());
        format!("{}#{} = {value}\n", wrapped(&comment), self.setting.key)
    }
}

/// A text as lines of a comment.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let more = word.chars().count() + 1;
        if length == 0 || length + more > WIDTH {
            lines += if length == 0 { "#" } else { "\n#" };
            length = 1;
        }
        lines += " ";
        lines += word;
        length += more;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    /// The settings that a command line and a file give.
    fn gather(line: &[&str], file: &str) -> Result<Settings, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        fs_err::write(&path, file).unwrap();
        let before = ["berth serve", "--config", path.to_str().unwrap()];
        let given = PlatformArgs::command().get_matches_from(before.iter().chain(line));
        Settings::gather(PlatformArgs::from_arg_matches(&given).unwrap(), &given)
    }

    /// Settings with their values, as they would be printed for a person.
    fn shown(args: &PlatformArgs) -> String {
        format!("{args:?}")
    }

    fn defaults() -> PlatformArgs {
        PlatformArgs::parse_from(["berth serve"])
    }

    #[test]
    fn every_setting_can_be_said_in_three_ways_and_is_documented() {
        let command = PlatformArgs::command();
        let file = default_file();
        for declared in declared(&command) {
            let key = &declared.setting.key;
            assert!(declared.arg.get_env().is_some(), "{key} has no variable");
            assert!(declared.arg.get_help().is_some(), "{key} has no documentation");
            assert!(file.contains(&format!("\n#{key} = ")), "{key} is not printed");
        }
        assert!(file.lines().all(|line| line.chars().count() <= 100), "{file}");
    }

    #[test]
    fn the_printed_file_says_the_defaults() {
        assert_eq!(shown(&gather(&[], &default_file()).unwrap().args), shown(&defaults()));
        // The same with every default in effect; what has none would be an example.
        let command = PlatformArgs::command();
        let mut file = default_file();
        for declared in declared(&command) {
            let key = &declared.setting.key;
            let has_none = declared.setting.kind == SettingKind::Text
                && declared.arg.get_default_values().is_empty();
            if !has_none {
                file = file.replace(&format!("\n#{key} = "), &format!("\n{key} = "));
            }
        }
        let settings = gather(&[], &file).unwrap();
        assert_eq!(shown(&settings.args), shown(&defaults()));
        assert!(
            settings.describe().contains("listen, redirect_to_tls, trusted_proxies, api, host, "),
            "{}",
            settings.describe()
        );
    }

    #[test]
    fn an_option_counts_before_the_file_and_the_file_before_the_default() {
        let file = "domain = \"file.test\"\nhost = [\"a\", \"b\"]\nstop_instances = true\n\
                    stop_grace = \"3s\"\nplain_http = true\n";
        let line = ["--domain", "option.test", "--host=c", "--stop-instances=false"];
        let settings = gather(&line, file).unwrap();
        let args = &settings.args;
        assert_eq!(
            (args.domain.as_str(), args.hosts.as_slice()),
            ("option.test", &["c".into()][..])
        );
        assert_eq!((args.stop_instances, args.stop_grace.as_secs()), (false, 3));
        assert!(args.tls.check("192.0.2.1".parse().unwrap()).is_ok());
        assert_eq!(args.listen, defaults().listen);
        let said = settings.describe();
        assert!(said.starts_with("options: host, domain, stop_instances; "), "{said}");
        assert!(said.ends_with("my.toml: plain_http, stop_grace"), "{said}");
        assert!(gather(&["--stop-instances"], "").unwrap().args.stop_instances);
    }

    #[test]
    fn paths_of_the_file_are_relative_to_it() {
        let settings = gather(&[], "tls_cert = [\"c.pem\"]\ntls_key = [\"/k.pem\"]\n").unwrap();
        let folder = settings.file.as_deref().and_then(Path::parent).unwrap();
        assert_eq!(settings.args.tls.files(), [folder.join("c.pem")]);
    }

    #[test]
    fn a_value_that_an_option_refuses_is_refused_in_the_file() {
        for (file, said) in [
            (
                "listen = \"8787\"",
                "The value of \"listen\" is wrong: invalid socket address syntax.",
            ),
            ("stop_grace = \"soon\"", "`soon` is no duration"),
            (
                "egress_allow = [\"x\"]",
                "The value of \"egress_allow.[0]\" is wrong: `x` is no network",
            ),
            ("account = \"A/B\"", "my.toml:1:11"),
            ("tls_cert = [\"\"]", "The value of \"tls_cert.[0]\" is wrong: it is empty."),
            ("plain_http = \"yes\"", "to be of type boolean"),
            ("check = true", "There is no setting \"check\"."),
            ("token = \"x\"", "There is no setting \"token\"."),
        ] {
            let error = gather(&[], file).unwrap_err();
            assert_eq!(error.kind, Kind::Config, "{file}");
            assert!(error.to_string().contains(said), "{file}: {error}");
        }
    }
}
