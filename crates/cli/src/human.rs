//! Output that people read: tables, sizes, ages, and questions.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::error::{CliError, Kind};
use crate::printer::Printer;

/// Longest secret that is read from standard input.
const SECRET_BYTES: u64 = 4 * 1024 * 1024;

/// Columns as wide as their widest cell, under their names.
pub(crate) fn table<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let header = columns.map(str::to_owned);
    let all: Vec<&[String; N]> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &&[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// Bytes as `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// The inverse of [`size`], more freely: `10MB`, `1.5 GiB`, `4096`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let error = || format!("`{text}` is no size such as `500MB`, `2GiB` or `4096`");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| error())?;
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1_u64,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        "t" | "tb" => 1_000_000_000_000,
        "tib" => 1 << 40,
        _ => return Err(error()),
    };
    let bytes = number * unit as f64;
    if bytes.is_finite() && bytes < 9e18 { Ok(bytes as u64) } else { Err(error()) }
}

/// A moment, in seconds since 1970.
pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

/// A moment as `2020-09-13 12:26`.
pub(crate) fn day(seconds: i64) -> String {
    time(seconds).to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()
}

/// How long ago something was, in Docker's words.
pub(crate) fn ago(now: i64, then: i64) -> String {
    let seconds = now.saturating_sub(then).max(0);
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let several =
        |count: i64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
    match seconds {
        0 => "Less than a second ago".to_owned(),
        1..60 => several(seconds, "second"),
        _ if minutes == 1 => "About a minute ago".to_owned(),
        _ if minutes < 60 => several(minutes, "minute"),
        _ if hours == 1 => "About an hour ago".to_owned(),
        _ if hours < 48 => several(hours, "hour"),
        _ if hours < 24 * 7 * 2 => several(hours / 24, "day"),
        _ if hours < 24 * 30 * 2 => several(hours / 24 / 7, "week"),
        _ if hours < 24 * 365 * 2 => several(hours / 24 / 30, "month"),
        _ => several(hours / 24 / 365, "year"),
    }
}

/// Prints a value as JSON, to stdout.
pub(crate) fn print_json(value: &impl Serialize, printer: &Printer) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::failure("print the result as JSON", error))?;
    printer.data(text);
    Ok(())
}

/// Asks whether to go on; what is asked is said in full. Nobody answers where there is no terminal.
pub(crate) fn confirm(question: &str, printer: &Printer) -> Result<bool, CliError> {
    confirm_or(question, "--force", printer)
}

/// The same of a command whose option `yes` answers yes.
pub(crate) fn confirm_or(question: &str, yes: &str, printer: &Printer) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        let text = "this wants to be confirmed, and there is no terminal to ask at";
        return Err(CliError::new(Kind::Usage, text).hint(format!("`{yes}` answers yes")));
    }
    let answer = ask(&format!("{question} [y/N] "), printer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether somebody reads what is printed, and can answer.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether somebody wants the next part of a list.
pub(crate) fn wants_more(shown: usize, printer: &Printer) -> Result<bool, CliError> {
    let answer = ask(&format!("{shown} are shown: Enter shows more, q and Enter ends "), printer)?;
    // The end of the input is no line, not even an empty one.
    Ok(!answer.is_empty() && answer.trim().is_empty())
}

/// A line that answers a question.
fn ask(question: &str, printer: &Printer) -> Result<String, CliError> {
    printer.bars().suspend(|| {
        // To stderr, where everything goes that is not the result.
        _ = write!(anstream::stderr(), "{question}");
        _ = anstream::stderr().flush();
    });
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| CliError::failure("read the answer", error))?;
    Ok(answer)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn new() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.0);
        // The line feed that was typed was not shown either.
        _ = writeln!(anstream::stderr());
    }
}

/// Asks at the terminal for something that nobody is to see.
pub(crate) fn ask_secret(question: &str, printer: &Printer) -> io::Result<String> {
    printer.bars().suspend(|| {
        _ = write!(anstream::stderr(), "{question}: ");
        _ = anstream::stderr().flush();
    });
    let _silent = Silent::new()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

/// A secret, asked for at the terminal or read from standard input where that is none. A line feed at
/// its end is no part of it.
pub(crate) fn read_secret(question: &str, printer: &Printer) -> Result<String, CliError> {
    let failed = |error| CliError::failure("read the secret", error);
    let mut text = String::new();
    if io::stdin().is_terminal() {
        text = ask_secret(question, printer).map_err(failed)?;
    } else {
        io::stdin().lock().take(SECRET_BYTES).read_to_string(&mut text).map_err(failed)?;
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (1_234_567, "1.2 MB"),
            (999_999, "999.9 KB"),
            (5_000_000_000_000, "5.0 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        for (text, bytes) in [
            ("4096", 4096),
            ("10MB", 10_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("2k", 2000),
            ("1 B", 1),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MB", "-1", "1XB", "1e3", "99999999999TB", "1.2.3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ages_are_told_in_dockers_words() {
        for (seconds, text) in [
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (61, "About a minute ago"),
            (600, "10 minutes ago"),
            (3700, "About an hour ago"),
            (36_000, "10 hours ago"),
            (86_400 * 3, "3 days ago"),
            (86_400 * 21, "3 weeks ago"),
            (86_400 * 90, "3 months ago"),
            (86_400 * 800, "2 years ago"),
            (-5, "Less than a second ago"),
        ] {
            assert_eq!(ago(1_000_000_000, 1_000_000_000 - seconds), text);
        }
    }
}
