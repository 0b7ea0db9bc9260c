//! What `berth doctor` and `berth serve --check` say: one finding a line, with what to do about it.

use serde::Serialize;

use crate::error::CliError;
use crate::printer::{Printer, style, styled};

/// Who is about to need the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A Worker without containers.
    Worker,
    /// A Worker with containers.
    WorkerAndContainers,
    /// Containers without a Worker.
    Containers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    Warning,
    /// The machine lacks it.
    Missing,
    /// What somebody has said about it cannot be.
    Wrong,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
    /// Whether a Worker without containers needs it.
    #[serde(skip)]
    pub(super) worker: bool,
    /// Whether containers without a Worker need it.
    #[serde(skip)]
    pub(super) containers: bool,
}

/// What is there, or a verdict with what is not and what to do.
pub(super) type Found = Result<String, (Verdict, String, String)>;

impl Finding {
    pub(super) fn new(name: &'static str, found: Found) -> Self {
        let (verdict, detail, fix) = match found {
            Ok(detail) => (Verdict::Ok, detail, None),
            Err((verdict, detail, fix)) => (verdict, detail, Some(fix)),
        };
        Self { name, verdict, detail, fix, worker: false, containers: true }
    }

    /// Of something that was tried.
    pub(crate) fn of(name: &'static str, tried: &Result<String, CliError>) -> Self {
        match tried {
            Ok(detail) => Self::new(name, Ok(detail.clone())),
            Err(error) => Self {
                verdict: Verdict::Wrong,
                fix: error.parts().2.map(str::to_owned),
                ..Self::new(name, Ok(error.to_string()))
            },
        }
    }

    pub(super) fn is_for(&self, needs: Needs) -> bool {
        match needs {
            Needs::Worker => self.worker,
            Needs::WorkerAndContainers => true,
            Needs::Containers => self.containers,
        }
    }
}

pub(crate) fn print(findings: &[Finding], printer: &Printer) {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Ok => styled(style::SUCCESS, "✓ ok     "),
            Verdict::Warning => styled(style::WARNING, "! warning"),
            Verdict::Missing => styled(style::ERROR, "✗ missing"),
            Verdict::Wrong => styled(style::ERROR, "✗ wrong  "),
        };
        printer.data(format_args!("{mark}  {:width$}  {}", finding.name, finding.detail));
        if let Some(fix) = &finding.fix {
            printer.data(format_args!(
                "{:width$}             {} {fix}",
                "",
                styled(style::HINT, "→")
            ));
        }
    }
}
