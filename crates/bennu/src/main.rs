//! `bennu`: the command line. One enum of verbs, one file per verb; data on stdout, diagnosis on stderr.
#![forbid(unsafe_code)]

mod disasm;
mod failure;
mod format;
mod model;
mod npu;
mod onboard;
mod progress;
mod report;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::{EXIT_DONE, EXIT_INTERRUPTED, Failure};
use crate::report::print;
use crate::verbs::Verb;

/// Gemma 3 on the NPU of AMD Phoenix: checkpoints, kernels and their binaries.
#[derive(Debug, Parser)]
#[command(name = "bennu", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// Print one JSON document instead of tables
    #[arg(long, global = true)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 refused, 2 wrong usage, 130 interrupted. Data goes to stdout, everything else to stderr.
`bennu VERB --help` shows examples.";

fn main() -> ExitCode {
    let Cli { verb, json } = Cli::parse();
    let done = verb.run(json).and_then(|report| print(report.as_ref(), json).map(|()| report.failures()));
    let failures = done.unwrap_or_else(|failure| vec![failure]);
    for failure in &failures {
        eprint!("{}", failure.render());
    }
    ExitCode::from(match failures.iter().map(Failure::exit).max() {
        None => EXIT_DONE,
        Some(_) if progress::interrupted() => EXIT_INTERRUPTED,
        Some(exit) => exit,
    })
}
