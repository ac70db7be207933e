//! What happened, for an issue.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::steps::{Step, StepError};
use crate::format::Columns;
use crate::onboard::identity::Identity;

/// The package whose kernels ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PackageId {
    /// Where it lies.
    pub path: String,
    /// SHA-256 of its manifest, which holds those of all its files.
    pub manifest_sha256: String,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As modelled.
    Passed,
    /// Not as modelled, or not at all.
    Failed,
    /// Not done, and why is said.
    Skipped,
}

/// What a step has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// How it ended.
    pub status: Status,
    /// In words.
    pub says: String,
    /// Times of its calls in microseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls_us: Vec<f64>,
    /// Numbers with their units in their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// SHA-256 of the configuration and of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binaries_sha256: Option<[String; 2]>,
}

impl Evidence {
    /// A step that passed.
    pub fn passed(says: impl Into<String>) -> Self {
        let (calls_us, numbers, binaries_sha256) = Default::default();
        Self { status: Status::Passed, says: says.into(), calls_us, numbers, binaries_sha256 }
    }

    /// A step that was not done.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::passed(why) }
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: impl Into<String>, value: f64) -> Self {
        self.numbers.insert(name.into(), value);
        self
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    step: &'static str,
    asks: &'static str,
    facts: Vec<u8>,
    #[serde(flatten)]
    evidence: Evidence,
}

/// Why bring-up ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Failed {
    step: &'static str,
    error: String,
    causes: Vec<String>,
    remedy: String,
    /// What the driver tells of its last asynchronous error.
    #[serde(skip_serializing_if = "Option::is_none")]
    asynchronous_error: Option<String>,
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    bennu: &'static str,
    /// Device, driver, firmware, clocks; none if the device could not be opened.
    pub identity: Option<Identity>,
    /// The package, if one was given.
    pub package: Option<PackageId>,
    steps: Vec<Line>,
    failed: Option<Failed>,
}

impl Record {
    /// Nothing yet.
    pub fn new() -> Self {
        let (identity, package, steps, failed) = Default::default();
        Self { bennu: env!("CARGO_PKG_VERSION"), identity, package, steps, failed }
    }

    /// Adds a step.
    pub fn push(&mut self, step: &Step, evidence: Evidence) {
        self.steps.push(Line { step: step.name, asks: step.asks, facts: step.facts.to_vec(), evidence });
    }

    /// Adds the step that failed.
    pub fn fail(&mut self, step: &Step, error: &StepError, asynchronous_error: Option<String>) {
        let says = Evidence { status: Status::Failed, ..Evidence::passed(error.to_string()) };
        self.push(step, says);
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let remedy = error.remedy();
        self.failed = Some(Failed { step: step.name, error: error.to_string(), causes, remedy, asynchronous_error });
    }

    /// Steps that ended in a way.
    pub fn count(&self, status: Status) -> usize {
        self.steps.iter().filter(|line| line.evidence.status == status).count()
    }

    /// What a step has shown.
    #[cfg(test)]
    pub fn evidence(&self, step: &str) -> Option<&Evidence> {
        self.steps.iter().find(|line| line.step == step).map(|line| &line.evidence)
    }

    /// A number that a step has shown.
    pub fn number(&self, step: &str, name: &str) -> Option<f64> {
        let line = self.steps.iter().find(|line| line.step == step)?;
        line.evidence.numbers.get(name).copied()
    }

    /// As one document.
    pub fn json(&self) -> Value {
        json!(self)
    }

    /// As text.
    pub fn table(&self) -> String {
        let mut text = format!("bennu {} bring-up\n", self.bennu);
        let mut head = Columns::new("ll");
        match &self.identity {
            Some(identity) => identity.lines().into_iter().for_each(|line| head.row(line)),
            None => head.row(["device".into(), "none".into()]),
        }
        if let Some(package) = &self.package {
            head.row(["package".into(), format!("{}, manifest {}", package.path, package.manifest_sha256)]);
        }
        text.push_str(&head.render());
        let mut lines = Columns::new("lll");
        for Line { step, evidence, .. } in &self.steps {
            let status = match evidence.status {
                Status::Passed => "passed",
                Status::Failed => "FAILED",
                Status::Skipped => "skipped",
            };
            let mut says = evidence.says.clone();
            if let Some(least) = evidence.calls_us.iter().copied().reduce(f64::min) {
                says.push_str(&format!("; {least:.0} us"));
            }
            for (name, value) in &evidence.numbers {
                says.push_str(&format!("; {name} {value:.3}"));
            }
            lines.row([(*step).into(), status.into(), says]);
        }
        text.push('\n');
        text.push_str(&lines.render());
        if let Some(Failed { step, error, causes, remedy, asynchronous_error }) = &self.failed {
            text.push_str(&format!("\nstopped at {step}: {error}\n"));
            causes.iter().for_each(|cause| text.push_str(&format!("  caused by: {cause}\n")));
            text.push_str(&format!("  remedy: {remedy}\n"));
            if let Some(error) = asynchronous_error {
                text.push_str(&format!("  last asynchronous error of the driver: {error}\n"));
            }
        }
        text
    }
}
