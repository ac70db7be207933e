//! What a verb prints: a human table, or the same facts as one JSON document.

use std::io::{ErrorKind, Write, stdout};

use crate::failure::Failure;

/// The result of a verb.
pub trait Report {
    /// For scripts.
    fn json(&self) -> serde_json::Value;
    /// For people. Ends with a newline.
    fn table(&self) -> String;
    /// What is to be refused in spite of the report: it is printed, then the program fails.
    fn failures(&self) -> Vec<Failure> {
        Vec::new()
    }
}

/// Writes a report to stdout.
pub fn print(report: &dyn Report, json: bool) -> Result<(), Failure> {
    let text = if json { format!("{:#}\n", report.json()) } else { report.table() };
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        // `bennu inspect ... | head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::refused(StdoutError(source))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the report to stdout")]
struct StdoutError(#[source] std::io::Error);
