//! How a verb fails: a typed error with its chain of causes, a remedy, and an exit code.

use std::error::Error;
use std::fmt::Write;

use gemma::Refusal;
use npu_package::PackageError;

/// Done.
pub const EXIT_DONE: u8 = 0;
/// The input or the machine said no.
pub const EXIT_REFUSED: u8 = 1;
/// Ctrl-C ended it, and it has cleaned up: what a shell reports of SIGINT.
pub const EXIT_INTERRUPTED: u8 = 130;
// 2 means that the command line makes no sense; clap says so before a verb runs.

/// The end of a verb that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The error and its causes, outermost first.
    chain: Vec<String>,
    remedy: Option<String>,
    exit: u8,
}

impl Failure {
    /// The request was understood and refused.
    pub fn refused(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Failure { chain: chain(error.into().as_ref()), remedy: None, exit: EXIT_REFUSED }
    }

    /// An error that is also part of a report.
    pub fn of_error(error: &(dyn Error + 'static)) -> Self {
        Failure { chain: chain(error), remedy: None, exit: EXIT_REFUSED }
    }

    /// A refusal that is also part of a report.
    pub fn of(refusal: &Refusal) -> Self {
        Failure { chain: chain(refusal), remedy: Some(refusal.remedy()), exit: EXIT_REFUSED }
    }

    /// An error of a kernel package that was to be read.
    pub fn of_package(error: PackageError) -> Self {
        match Refusal::from_package(error) {
            Ok(refusal) => Failure::of(&refusal),
            Err(error) => Failure::refused(error),
        }
    }

    /// The error and its causes, outermost first.
    pub fn chain(&self) -> &[String] {
        &self.chain
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Adds what the user can do about it.
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Failure { remedy: Some(remedy.into()), ..self }
    }

    /// Exit code of the process.
    pub fn exit(&self) -> u8 {
        self.exit
    }

    /// The lines for stderr: error, causes, remedy.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (at, words) in self.chain.iter().enumerate() {
            let head = if at == 0 { "error" } else { "  caused by" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{head}: {words}");
        }
        if let Some(remedy) = &self.remedy {
            let _ = writeln!(text, "  remedy: {remedy}");
        }
        text
    }
}

fn chain(error: &dyn Error) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

impl From<gemma::Error> for Failure {
    fn from(error: gemma::Error) -> Self {
        match Refusal::from_checkpoint(error) {
            Ok(refusal) => Failure::of(&refusal),
            Err(error) => {
                let remedy = error.remedy().map(str::to_owned);
                Failure { remedy, ..Failure::refused(error) }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::of(&refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn causes_and_remedy_follow_the_error() {
        let failure = Failure::refused(Outer(std::fmt::Error)).with_remedy("try again");
        let cause = std::fmt::Error;
        assert_eq!(failure.render(), format!("error: outer\n  caused by: {cause}\n  remedy: try again\n"));
        assert_eq!(failure.exit(), EXIT_REFUSED);
    }
}
