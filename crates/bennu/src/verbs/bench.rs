//! `bennu bench`: latency, clock, bandwidth and kernels, measured on the NPU.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use aie2_kernels::probe::{self, Via};
use aie2_kernels::{attention, attention_decode};
use amdxdna::Device;
use amdxdna::kernel::Kernel;
use npu_package::{ModelDims, Package};
use serde::Serialize;
use serde_json::{Value, json};

use super::bringup;
use super::compile::TILES;
use crate::failure::Failure;
use crate::format::{Columns, grouped};
use crate::npu::fill::{self, FillError};
use crate::npu::identity::Identity;
use crate::npu::measure::{self, Bandwidth, MeasureError, Timed, Times, Way, digest};
use crate::npu::run::Loaded;
use crate::progress::Progress;
use crate::report::Report;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Package whose kernels are measured
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,

    /// Timed calls of each program, after a first one
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,

    /// MiB that a channel moves in the larger of two bandwidth measurements
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=128))]
    mib: u16,
}

const EXAMPLES: &str = "\
Examples:
  bennu bench
  bennu bench --package gemma3-27b-npu --json > bench.json

Times are the host's, from before the submission to the end of the wait. Rates come from the difference of two sizes, so that a
dispatch does not count. The JSON document holds what a figure needs to be reproduced: driver, firmware, clocks, digests of
the package, of configurations and streams. Needs an NPU; nothing is emulated.";

/// int8 and bf16 multiply-accumulates of a compute tile per cycle.
// SOURCE: AM020 ch. 4: 256 8-bit, 128 bfloat16 multiplications per cycle.
const INT8_MACS: u64 = 256;
const BF16_MACS: u64 = 128;

/// Runs the verb.
pub fn run(args: &Args) -> Result<Box<dyn Report>, Failure> {
    let progress = Progress::with_interrupt()?;
    let package = args.package.as_deref().map(bringup::open).transpose()?;
    progress.spin("measuring");
    let how = How { repeat: args.repeat.into(), bytes: u32::from(args.mib) << 20 };
    let device = Device::open().map_err(|error| refused(BenchError::Measure(error.into())))?;
    let done = bench(&device, package.as_ref(), &how, progress.interrupt()).map_err(refused)?;
    Ok(Box::new(done))
}

fn refused(error: BenchError) -> Failure {
    let remedy = error.remedy().to_owned();
    Failure::refused(error).with_remedy(remedy)
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("{0}")]
    Measure(#[from] MeasureError),
    #[error("{0}")]
    Fill(#[from] FillError),
    #[error("the package's manifest: {0}")]
    Manifest(#[from] std::io::Error),
}

impl From<amdxdna::Error> for BenchError {
    fn from(error: amdxdna::Error) -> Self {
        BenchError::Measure(error.into())
    }
}

impl BenchError {
    fn remedy(&self) -> &str {
        match self {
            BenchError::Measure(error) => error.remedy(),
            BenchError::Fill(_) | BenchError::Manifest(_) => "compile the package anew with this bennu",
        }
    }
}

/// How much is measured.
struct How {
    repeat: usize,
    bytes: u32,
}

/// All measurements.
#[derive(Debug, Serialize)]
struct Done {
    bennu: &'static str,
    identity: Identity,
    package: Option<PackageDigest>,
    repeat: usize,
    /// A stream of one write.
    dispatch: Timed,
    /// A stream that moves 4 bytes through each channel and waits for eight tokens.
    round_trip: Timed,
    /// From a loop of known length.
    array_mhz_measured: f64,
    bandwidth: Vec<Bandwidth>,
    kernels: Vec<Measured>,
}

#[derive(Debug, Serialize)]
struct PackageDigest {
    path: String,
    manifest_sha256: String,
}

/// A kernel's time.
#[derive(Debug, Serialize)]
struct Measured {
    kernel: String,
    seq: usize,
    numerics: String,
    context: Option<npu_package::Context>,
    first_us: f64,
    times: Times,
    /// Useful operations of the mathematics, two for a multiply-accumulate; none of a kernel without products.
    operations: Option<u64>,
    /// Of them per second, by the least time.
    tops: Option<f64>,
    /// Of the vector units' products at the clock the driver reports: those the kernel makes, limbs counted.
    share_of_peak: Option<f64>,
    /// Of the resource that bounds the kernel, by the manifest's calculation, at the clock the driver reports.
    share_of_bound: f64,
    bound: npu_package::Bound,
    files_sha256: [String; 2],
}

fn bench<K: Kernel>(
    device: &Device<K>,
    package: Option<&Package>,
    how: &How,
    interrupt: &AtomicBool,
) -> Result<Done, BenchError> {
    let identity = Identity::of(device)?;
    let compiled = |probe: Result<_, aie2_kernels::KernelError>| probe.map_err(MeasureError::from);
    let dispatch = measure::time(device, &compiled(probe::nop())?, how.repeat, interrupt)?;
    let round_trip = measure::time(device, &compiled(probe::loopback(Via::Switch, 4))?, how.repeat, interrupt)?;
    let array_mhz_measured = measure::clock_mhz(device, how.repeat, interrupt)?;
    let mut bandwidth = Vec::new();
    for way in Way::ALL {
        let alone = probe::CHANNELS.iter().map(std::slice::from_ref);
        for channels in alone.chain([&probe::CHANNELS[..4], &probe::CHANNELS[..]]) {
            bandwidth.push(measure::bandwidth(device, way, channels, how.bytes, how.repeat, interrupt)?);
        }
    }
    let mut kernels = Vec::new();
    for kernel in package.iter().flat_map(|package| &package.manifest().kernels) {
        if let Some(package) = package {
            kernels.push(measured(device, package, kernel, &identity, how.repeat, interrupt)?);
        }
    }
    let package = package.map(bringup::identify).transpose()?;
    let package = package.map(|id| PackageDigest { path: id.path, manifest_sha256: id.manifest_sha256 });
    Ok(Done {
        bennu: env!("CARGO_PKG_VERSION"),
        identity,
        package,
        repeat: how.repeat,
        dispatch,
        round_trip,
        array_mhz_measured,
        bandwidth,
        kernels,
    })
}

fn measured<K: Kernel>(
    device: &Device<K>,
    package: &Package,
    kernel: &npu_package::Kernel,
    identity: &Identity,
    repeat: usize,
    interrupt: &AtomicBool,
) -> Result<Measured, BenchError> {
    let model = &package.manifest().model;
    let file = |name: &str| package.read_file(name).map_err(FillError::from);
    let (pdi, txn) = (file(&kernel.files.pdi)?, file(&kernel.files.txn)?);
    let sizes: Vec<usize> = kernel.args.iter().map(|argument| argument.bytes as usize).collect();
    let mut loaded = Loaded::new(device, kernel.columns as u32, &pdi, &txn, &sizes)?;
    for (index, argument) in kernel.args.iter().enumerate() {
        if let Some(contents) = fill::contents(package, model, kernel, argument)? {
            loaded.write(index, &contents)?;
        }
    }
    let first_us = loaded.run(interrupt)?.as_secs_f64() * 1e6;
    let times = (0..repeat).map(|_| loaded.run(interrupt)).collect::<Result<Vec<_>, _>>()?;
    let times = Times::of(times);
    let work = work(model, kernel);
    let cycles = times.min_s() * identity.array_hz();
    Ok(Measured {
        kernel: kernel.kernel.clone(),
        seq: kernel.seq,
        numerics: kernel.numerics.clone(),
        context: kernel.context,
        first_us,
        operations: work.as_ref().map(|w| 2 * w.macs),
        tops: work.as_ref().map(|w| 2.0 * w.macs as f64 / times.min_s() / 1e12),
        share_of_peak: work.map(|w| (w.macs * w.limbs) as f64 / (w.macs_per_cycle * TILES) as f64 / cycles),
        share_of_bound: kernel.report.bound.cycles as f64 / cycles,
        bound: kernel.report.bound.clone(),
        files_sha256: [digest(&pdi), digest(&txn)],
        times,
    })
}

/// Products of a kernel.
#[derive(Debug, PartialEq)]
struct Products {
    /// Multiply-accumulates of the mathematics.
    macs: u64,
    /// How many the vector unit makes of each.
    limbs: u64,
    /// What a tile makes per cycle.
    macs_per_cycle: u64,
}

/// What the manifest says a kernel computes.
fn work(model: &ModelDims, kernel: &npu_package::Kernel) -> Option<Products> {
    if let Some(kind) = fill::projection(kernel) {
        let panels = model.panels(kind).ok()?;
        let macs = (kernel.seq * panels.n() * panels.inputs()) as u64;
        let limbs = if kernel.numerics == "w8a16" { 2 } else { 1 };
        return Some(Products { macs, limbs, macs_per_cycle: INT8_MACS });
    }
    let context = kernel.context?;
    if ![attention::scaled::NAME, attention_decode::NAME].contains(&kernel.kernel.as_str()) {
        return None;
    }
    let seen = |s: usize| (context.history + s + 1).min(context.window.unwrap_or(usize::MAX)) as u64;
    let pairs: u64 = (0..kernel.seq).map(seen).sum();
    let macs = 2 * pairs * (model.heads * model.head_dim) as u64;
    Some(Products { macs, limbs: 1, macs_per_cycle: BF16_MACS })
}

impl Report for Done {
    fn json(&self) -> Value {
        json!(self)
    }

    fn table(&self) -> String {
        let mut head = Columns::new("ll");
        self.identity.lines().into_iter().for_each(|line| head.row(line));
        head.row(["array clock measured".into(), format!("{:.0} MHz", self.array_mhz_measured)]);
        if let Some(package) = &self.package {
            head.row(["package".into(), format!("{}, manifest {}", package.path, package.manifest_sha256)]);
        }
        let mut latency = Columns::new("lrrr");
        latency.row(["latency, us".into(), "first".into(), "least".into(), "median".into()]);
        for (name, timed) in [("dispatch", &self.dispatch), ("8 × 4 bytes and back", &self.round_trip)] {
            let us = |value: f64| format!("{value:.1}");
            latency.row([name.into(), us(timed.first_us), us(timed.times.min_us), us(timed.times.median_us)]);
        }
        let mut rates = Columns::new("llrr");
        rates.row(["bandwidth".into(), "column.channel".into(), "GB/s".into(), "B/cycle".into()]);
        for b in &self.bandwidth {
            let channels = b.channels.iter().map(|(col, k)| format!("{col}.{k}")).collect::<Vec<_>>().join(" ");
            let per_cycle = b.bytes_per_s / self.identity.array_hz();
            let cells = [format!("{:.2}", b.bytes_per_s / 1e9), format!("{per_cycle:.2}")];
            let [gigabytes, per_cycle] = cells;
            rates.row([b.way.name().into(), channels, gigabytes, per_cycle]);
        }
        let mut text = format!("{}\n{}\n{}", head.render(), latency.render(), rates.render());
        if !self.kernels.is_empty() {
            let mut kernels = Columns::new("lrrrrrr");
            let title = ["kernel", "S", "least us", "median us", "TOPS", "of peak", "of bound"];
            kernels.row(title.map(str::to_owned));
            for k in &self.kernels {
                let layer = k.context.map_or_else(String::new, |context| format!(", {}", context.layer.name()));
                let percent = |share: f64| format!("{:.1} %", 100.0 * share);
                kernels.row([
                    format!("{}{layer}", k.kernel),
                    grouped(k.seq as u64),
                    format!("{:.1}", k.times.min_us),
                    format!("{:.1}", k.times.median_us),
                    k.tops.map_or_else(|| "-".to_owned(), |tops| format!("{tops:.3}")),
                    k.share_of_peak.map_or_else(|| "-".to_owned(), percent),
                    percent(k.share_of_bound),
                ]);
            }
            text.push_str(&format!("\n{}", kernels.render()));
        }
        text
    }
}
