//! What instances do, as lines: their output, their starts and ends, and why one did not start.

use std::sync::{Arc, Mutex};

use agent::{AgentEvent, Events, Stream, Subject};

use super::lines;
use super::timings::Timings;
use crate::printer::{Printer, style, styled};

/// Prints what happens to instances for as long as there is an agent.
pub(crate) fn print_events(mut events: Events, printer: Printer, timings: Arc<Mutex<Timings>>) {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            print(&printer, &event, &timings);
        }
    });
}

/// Prints what happened to an instance.
pub(crate) fn print(printer: &Printer, event: &AgentEvent, timings: &Mutex<Timings>) {
    match event {
        AgentEvent::Started { subject, took } => {
            say(printer, subject, &format!("started in {}", lines::duration(*took)));
        }
        AgentEvent::Timed { subject, timings: start } => {
            let table = timings.lock().expect("no holder of this lock panics").add(start);
            for (number, line) in table.lines().enumerate() {
                let line = if number == 0 {
                    format!("{} {line}", prefix(subject))
                } else {
                    line.to_owned()
                };
                printer.data(line);
            }
        }
        AgentEvent::Adopted { subject } => say(printer, subject, "still running"),
        AgentEvent::StartFailed { subject, reason } => {
            fail(printer, subject, &format!("failed to {reason}"), &[]);
        }
        AgentEvent::Waiting { subject, detail } => say(printer, subject, detail),
        AgentEvent::Refused { subject, detail, .. } => fail(printer, subject, detail, &[]),
        AgentEvent::Output { subject, stream, line } => {
            let style = (*stream == Stream::Stderr).then_some(style::DIM);
            lines::lines(printer, &prefix(subject), line, style);
        }
        AgentEvent::OutputSkipped { subject, lines } => {
            let text = format!("{lines} lines were not shown: too many at once");
            printer.warning(format_args!("{} {text}", prefix(subject)));
        }
        AgentEvent::NotListening { subject, port } => printer.warning(format_args!(
            "{} does not listen on port {port}; does its program, and on 0.0.0.0 or 127.0.0.1?",
            prefix(subject)
        )),
        AgentEvent::EgressDenied { subject, destination, reason } => printer
            .warning(format_args!("{} may not reach {destination}: {reason}", prefix(subject))),
        AgentEvent::Exited { subject, status, expected, last_lines } => {
            if status.out_of_memory {
                let text = "ended: out of memory (see `instance_type` for more)";
                fail(printer, subject, text, &[]);
            } else if *expected || status.code == 0 {
                say(printer, subject, &format!("stopped with exit code {}", status.code));
            } else {
                let text = format!("ended with exit code {}", status.code);
                fail(printer, subject, &text, last_lines);
            }
        }
    }
}

fn say(printer: &Printer, subject: &Subject, text: &str) {
    printer.data(format_args!("{} {}", prefix(subject), styled(style::DIM, text)));
}

/// A failure, with what the program said last.
fn fail(printer: &Printer, subject: &Subject, text: &str, last_lines: &[String]) {
    printer.data(format_args!("{} {}", prefix(subject), styled(style::ERROR, text)));
    for line in last_lines {
        printer.data(format_args!("    {}", styled(style::DIM, line)));
    }
}

fn prefix(subject: &Subject) -> String {
    lines::container_prefix(&subject.application, subject.object.short())
}
