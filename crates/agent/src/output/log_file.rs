//! The log files of one instance in the format of Kubernetes' CRI: time, stream, `F` or `P`, text.
//!
//! `log` is the newest; at its size limit it becomes `log.1`, and so on.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use model::limits::{LOG_FILE_BYTES, LOG_FILES};

use super::lines::Line;
use crate::event::Stream;

/// A log file could not be made or written. Texts complete "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("write the log file: {0}")]
pub(super) struct LogFileError(#[from] std::io::Error);

/// An open log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: fs_err::File,
    written: u64,
    limit: u64,
}

impl LogFile {
    /// Opens `<directory>/log` to append.
    pub(super) fn open(directory: &Path) -> Result<Self, LogFileError> {
        fs_err::create_dir_all(directory)?;
        Self::open_with(directory.join("log"), LOG_FILE_BYTES)
    }

    fn open_with(path: PathBuf, limit: u64) -> Result<Self, LogFileError> {
        let file = append(&path)?;
        let written = file.metadata()?.len();
        Ok(Self { path, file, written, limit })
    }

    /// Appends lines, with the time of now.
    pub(super) fn write(&mut self, stream: Stream, lines: &[Line]) -> Result<(), LogFileError> {
        let time = jiff::Timestamp::now();
        let mut text = String::new();
        for line in lines {
            let tag = if line.partial { 'P' } else { 'F' };
            text.push_str(&format!("{time:.9} {stream} {tag} {}\n", line.text));
        }
        if self.written > 0 && self.written + text.len() as u64 > self.limit {
            self.rotate()?;
        }
        self.file.write_all(text.as_bytes())?;
        self.written += text.len() as u64;
        Ok(())
    }

    /// `log.1` becomes `log.2` and so on; the oldest goes.
    fn rotate(&mut self) -> Result<(), LogFileError> {
        let numbered = |number: u32| match number {
            0 => self.path.clone(),
            number => self.path.with_extension(number.to_string()),
        };
        for number in (1..LOG_FILES).rev() {
            let from = numbered(number - 1);
            if from.exists() {
                fs_err::rename(&from, numbered(number))?;
            }
        }
        self.file = append(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// Only the owner may read what programs print: it may hold secrets.
fn append(path: &Path) -> std::io::Result<fs_err::File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    fs_err::OpenOptions::from_options(options).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { text: text.to_owned(), partial: false }
    }

    #[test]
    fn lines_carry_time_stream_and_kind() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(directory.path()).unwrap();
        log.write(Stream::Stderr, &[line("oh"), Line { partial: true, ..line("no") }]).unwrap();
        let text = fs_err::read_to_string(directory.path().join("log")).unwrap();
        let words: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
        assert_eq!(words[0][1..], ["stderr", "F", "oh"]);
        assert_eq!(words[1][1..], ["stderr", "P", "no"]);
        assert!(words[0][0].parse::<jiff::Timestamp>().is_ok(), "{text}");
    }

    #[test]
    fn the_log_is_rotated_and_only_the_last_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::open_with(path, 100).unwrap();
        for number in 0..20 {
            log.write(Stream::Stdout, &[line(&format!("line {number} of a flood"))]).unwrap();
        }
        let mut names: Vec<_> = fs_err::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        let newest = fs_err::read_to_string(directory.path().join("log")).unwrap();
        assert!(newest.contains("line 19"), "{newest}");
    }
}
