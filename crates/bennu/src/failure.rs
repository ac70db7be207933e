//! How a verb fails: a typed error with its chain of causes, a remedy, and an exit code.

use std::error::Error;
use std::fmt::Write;

use gemma::Refusal;

/// Done.
pub const EXIT_DONE: u8 = 0;
/// The input, the machine or the user's interrupt said no.
pub const EXIT_REFUSED: u8 = 1;
// 2 means that the command line makes no sense; clap says so before a verb runs.

/// The end of a verb that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn Error + Send + Sync>,
    remedy: Option<String>,
    exit: u8,
}

impl Failure {
    /// The request was understood and refused.
    pub fn refused(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Failure { error: error.into(), remedy: None, exit: EXIT_REFUSED }
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
        let mut text = format!("error: {}\n", self.error);
        let mut cause = self.error.source();
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  caused by: {error}");
            cause = error.source();
        }
        if let Some(remedy) = &self.remedy {
            let _ = writeln!(text, "  remedy: {remedy}");
        }
        text
    }
}

impl From<gemma::Error> for Failure {
    fn from(error: gemma::Error) -> Self {
        match Refusal::from_checkpoint(error) {
            Ok(refusal) => refusal.into(),
            Err(error) => {
                let remedy = error.remedy().map(str::to_owned);
                Failure { remedy, ..Failure::refused(error) }
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let remedy = refusal.remedy();
        Failure::refused(refusal).with_remedy(remedy)
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
