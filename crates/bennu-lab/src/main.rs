//! `bennu-lab`: the tool of bennu's developers. It runs packages in the simulator and compares them with the mathematics. It is never part of
//! what ships.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bennu_lab::{bench, cases, foreign, layer_report, table, timeline, trace, vdev, verify};
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
    /// Copy a package and add cases, against which `bennu bringup` runs its kernels on an NPU
    Cases(cases::Args),
    /// Run the attention of one layer at the dimensions of the 27B, kernel after kernel, and compare every tensor with float64
    Layer(layer_report::Args),
    /// Compare what AMD's tools read in the files of a package with what bennu means by them (lab/amd-tools)
    Foreign(foreign::Args),
    /// Print the buffers of every kernel with a stored case, for a host that is not bennu (lab/guest/suite)
    Calls(foreign::calls::Args),
    /// Print every timing number of the simulator with its range, source and confidence
    Timing,
    /// Write what every core, DMA channel and lock did in one run as a Chrome trace (opens in ui.perfetto.dev)
    Trace(trace::Args),
    /// Draw what every tile did over the time of one run as an SVG
    Timeline(timeline::Args),
    /// Present a virtual Phoenix to QEMU over vfio-user, for the driver of a guest
    Vdev(vdev::Args),
}

fn main() -> ExitCode {
    let Cli { verb, json } = Cli::parse();
    let done = match verb {
        Verb::Verify(args) => verify::run(&args, json),
        Verb::Bench(args) => bench::run(&args, json),
        Verb::Cases(args) => cases::run(&args, json),
        Verb::Layer(args) => layer_report::run(&args, json),
        Verb::Foreign(args) => foreign::run(&args, json),
        Verb::Calls(args) => foreign::calls::run(&args).map(|()| true),
        Verb::Timing => table::run(json).map(|()| true),
        Verb::Trace(args) => trace::run(&args, json).map(|()| true),
        Verb::Timeline(args) => timeline::run(&args, json).map(|()| true),
        Verb::Vdev(args) => vdev::run(&args).map(|()| true),
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
