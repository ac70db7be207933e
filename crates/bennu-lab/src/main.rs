//! `bennu-lab`: the tool of bennu's developers. It runs packages in the simulator and compares them with the mathematics. It is never part of
//! what ships.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bennu_lab::{bench, verify};
use clap::{Parser, Subcommand};

/// Runs NPU packages in the simulator.
#[derive(Debug, Parser)]
#[command(name = "bennu-lab", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// Print one JSON document instead of a table
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run every kernel of a package and compare it, bit for bit, with its specification
    Verify(verify::Args),
    /// Run every kernel of a package for its modelled time, with and without DDR limits
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let Cli { verb, json } = Cli::parse();
    let done = match verb {
        Verb::Verify(args) => verify::run(&args, json),
        Verb::Bench(args) => bench::run(&args, json),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
