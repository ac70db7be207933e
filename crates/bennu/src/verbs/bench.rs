//! `bennu bench`: latency, clock, bandwidth and kernels, measured on the NPU.

use std::path::PathBuf;

use aie2_kernels::probe::{self, Via};
use amdxdna::kernel::Kernel;
use amdxdna::{Device, Options};
use npu_package::layout::LayoutError;
use npu_package::{ModelDims, Package};
use serde::Serialize;
use serde_json::{Value, json};

use super::bringup;
use super::compile::TILES;
use crate::failure::Failure;
use crate::format::{Columns, grouped};
use crate::npu;
use crate::onboard::fill::{self, FillError};
use crate::onboard::identity::Identity;
use crate::onboard::measure::{self, ArrayClock, Bandwidth, Effort, MeasureError, Timed, Times, Way, digest};
use crate::onboard::run::{Host, Loaded, stopwatch};
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

    /// Does not lock buffers in memory, where the limit of locked memory is low
    #[arg(long)]
    no_lock: bool,

    /// For a virtual NPU, whose times mean nothing: every program runs a few times, with time enough for each
    #[arg(long, conflicts_with_all = ["repeat", "mib"])]
    untimed: bool,
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
    let effort = match args.untimed {
        true => Effort::untimed(),
        false => Effort::real(args.repeat.into(), u32::from(args.mib) << 20),
    };
    let host = Host { clock: &stopwatch(), interrupt: progress.interrupted(), timeout: effort.timeout() };
    let (bytes, options) = (bringup::host_bytes(effort, package.as_ref()), Options { lock_pages: !args.no_lock });
    let device = npu::open(&npu::host(), "measuring", bytes, options)?;
    let done = bench(&device, package.as_ref(), effort, host).map_err(refused)?;
    Ok(Box::new(done))
}

fn refused(error: BenchError) -> Failure {
    let remedy = error.remedy().to_owned();
    Failure::refused(error).with_remedy(remedy)
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("the package's manifest cannot be read")]
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

/// All measurements.
#[derive(Debug, Serialize)]
struct Done {
    bennu: &'static str,
    identity: Identity,
    package: Option<PackageDigest>,
    effort: Effort,
    /// A stream of one write.
    dispatch: Timed,
    /// A stream that moves 4 bytes through each channel and waits for eight tokens.
    round_trip: Timed,
    array_clock: ArrayClock,
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
    /// Clock of the array in MHz that the driver reports while the kernel is loaded.
    array_mhz: u32,
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
    effort: Effort,
    host: Host<'_>,
) -> Result<Done, BenchError> {
    let identity = Identity::of(device)?;
    let compiled = |probe: Result<_, aie2_kernels::KernelError>| probe.map_err(MeasureError::from);
    let dispatch = measure::time(device, &compiled(probe::nop())?, effort.repeat, host)?;
    let round_trip = measure::time(device, &compiled(probe::loopback(Via::Switch, 4))?, effort.repeat, host)?;
    let array_clock = measure::clock(device, effort, host)?;
    let mut bandwidth = Vec::new();
    for way in Way::ALL {
        let alone = probe::CHANNELS.iter().map(std::slice::from_ref);
        for channels in alone.chain([&probe::CHANNELS[..4], &probe::CHANNELS[..]]) {
            bandwidth.push(measure::bandwidth(device, way, channels, effort, host)?);
        }
    }
    let mut kernels = Vec::new();
    for kernel in package.iter().flat_map(|package| &package.manifest().kernels) {
        if let Some(package) = package {
            kernels.push(measured(device, package, kernel, effort.repeat, host)?);
        }
    }
    let package = package.map(bringup::identify).transpose()?;
    let package = package.map(|id| PackageDigest { path: id.path, manifest_sha256: id.manifest_sha256 });
    Ok(Done {
        bennu: env!("CARGO_PKG_VERSION"),
        identity,
        package,
        effort,
        dispatch,
        round_trip,
        array_clock,
        bandwidth,
        kernels,
    })
}

fn measured<K: Kernel>(
    device: &Device<K>,
    package: &Package,
    kernel: &npu_package::Kernel,
    repeat: usize,
    host: Host<'_>,
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
    let first_us = loaded.run(host)?.as_secs_f64() * 1e6;
    let times = (0..repeat).map(|_| loaded.run(host)).collect::<Result<Vec<_>, _>>()?;
    let times = Times::of(times);
    let work = work(model, kernel).map_err(FillError::from)?;
    let macs: u64 = work.iter().map(|w| w.macs).sum();
    let made: f64 = work.iter().map(|w| (w.macs * w.limbs) as f64 / (w.macs_per_cycle * TILES) as f64).sum();
    let array_mhz = device.clocks()?.h.mhz;
    let cycles = times.min_s() * f64::from(array_mhz) * 1e6;
    Ok(Measured {
        kernel: kernel.kernel.clone(),
        seq: kernel.seq,
        numerics: kernel.numerics.clone(),
        context: kernel.context,
        first_us,
        array_mhz,
        operations: (macs > 0).then_some(2 * macs),
        tops: (macs > 0).then(|| 2.0 * macs as f64 / times.min_s() / 1e12),
        share_of_peak: (macs > 0).then(|| made / cycles),
        share_of_bound: kernel.report.bound.cycles as f64 / cycles,
        bound: kernel.report.bound.clone(),
        files_sha256: [digest(&pdi), digest(&txn)],
        times,
    })
}

/// Products of a kernel, or of a part of it.
#[derive(Debug, PartialEq)]
struct Products {
    /// Multiply-accumulates of the mathematics.
    macs: u64,
    /// How many the vector unit makes of each.
    limbs: u64,
    /// What a tile makes per cycle.
    macs_per_cycle: u64,
}

/// What the manifest says a kernel computes: each projection whose weights it reads, and attention if it has a plan of it.
fn work(model: &ModelDims, kernel: &npu_package::Kernel) -> Result<Vec<Products>, LayoutError> {
    let limbs = if kernel.numerics == "w8a8" { 1 } else { 2 };
    let projection = |(_, kind)| {
        let panels = model.panels(kind)?;
        let macs = (kernel.seq * panels.n() * panels.inputs()) as u64;
        Ok(Products { macs, limbs, macs_per_cycle: INT8_MACS })
    };
    let mut all = fill::projections(kernel).into_iter().map(projection).collect::<Result<Vec<_>, LayoutError>>()?;
    if let (Some(context), Some(_)) = (kernel.context, kernel.operand("plan")) {
        let seen = |s: usize| (context.history + s + 1).min(context.window.unwrap_or(usize::MAX)) as u64;
        let pairs: u64 = (0..kernel.seq).map(seen).sum();
        let macs = 2 * pairs * (model.heads * model.head_dim) as u64;
        all.push(Products { macs, limbs: 1, macs_per_cycle: BF16_MACS });
    }
    Ok(all)
}

impl Report for Done {
    fn json(&self) -> Value {
        json!(self)
    }

    fn table(&self) -> String {
        let mut head = Columns::new("ll");
        self.identity.lines().into_iter().for_each(|line| head.row(line));
        let ArrayClock { measured_mhz, reported_mhz } = self.array_clock;
        let clocks = format!("{reported_mhz} MHz reported, {measured_mhz:.0} MHz measured");
        head.row(["array clock under load".into(), clocks]);
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
            let per_cycle = b.bytes_per_s / f64::from(b.slope.array_mhz) / 1e6;
            let cells = [format!("{:.2}", b.bytes_per_s / 1e9), format!("{per_cycle:.2}")];
            let [gigabytes, per_cycle] = cells;
            rates.row([b.way.name().into(), channels, gigabytes, per_cycle]);
        }
        let mut text = String::new();
        if self.effort.untimed {
            text.push_str(
                "UNTIMED: every program ran, but the times below are those of a virtual NPU and mean nothing\n\n",
            );
        }
        text.push_str(&format!("{}\n{}\n{}", head.render(), latency.render(), rates.render()));
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

#[cfg(test)]
mod tests {
    use amdxdna::{Errno, Ioctl, Options};
    use npu_package::layout::names;

    use super::*;
    use crate::onboard::board::{self, EFFORT};

    fn measure(fake: &amdxdna_fake::FakeKernel, package: Option<&Package>) -> Result<Done, BenchError> {
        let device = fake.open(Options::default())?;
        board::with_host(fake, |host| bench(&device, package, EFFORT, host))
    }

    #[test]
    fn the_simulated_array_is_measured() {
        let dir = tempfile::tempdir().expect("a directory");
        let package = bringup::tests::package(&dir.path().join("p"), names::ROW_MAJOR, None);
        let done = measure(&board::machine(), Some(&package)).expect("measured");
        assert!((done.array_clock.measured_mhz / 1028.0 - 1.0).abs() < 1e-3, "{:?}", done.array_clock);
        assert!(done.dispatch.times.min_us < done.round_trip.times.min_us);
        assert_eq!(done.bandwidth.len(), 2 * (8 + 2));
        let rate = |way, channels: usize| {
            let found = done.bandwidth.iter().find(|b| b.way == way && b.channels.len() == channels);
            found.expect("measured").bytes_per_s / done.array_clock.measured_mhz / 1e6
        };
        assert!((3.7..4.0).contains(&rate(Way::Read, 1)) && (29.5..32.0).contains(&rate(Way::Read, 8)));
        assert!((3.9..4.1).contains(&rate(Way::Write, 1)) && (31.0..32.5).contains(&rate(Way::Write, 8)));
        let json = done.json();
        for key in ["driver", "driver_version", "firmware", "array_mhz"] {
            assert!(!json["identity"][key].is_null(), "{key}");
        }
        assert_eq!(json["package"]["manifest_sha256"].as_str().map(str::len), Some(64));
        let kernel = &json["kernels"][0];
        assert_eq!((kernel["kernel"].as_str(), kernel["tops"].is_null()), (Some("one_tile"), true));
        assert!(kernel["times"]["min_us"].as_f64().is_some_and(|us| us > 1.0));
        let table = done.table();
        assert!(table.contains("dispatch") && table.contains("one_tile") && table.contains("0.0 1.0"), "{table}");
    }

    #[test]
    fn times_without_meaning_are_marked_and_never_refused() {
        let fake = board::machine();
        let device = fake.open(Options::default()).expect("opens");
        let (stopped, interrupt) = (|| std::time::Duration::ZERO, std::sync::atomic::AtomicBool::new(false));
        let effort = Effort { untimed: true, ..EFFORT };
        let host = Host { clock: &stopped, interrupt: &interrupt, timeout: effort.timeout() };
        let done = bench(&device, None, effort, host).expect("outputs are right");
        assert!(done.table().starts_with("UNTIMED: "), "{}", done.table());
        assert_eq!(done.json()["effort"]["untimed"], true);
        let timed = Host { timeout: EFFORT.timeout(), ..host };
        let error = bench(&device, None, EFFORT, timed).expect_err("no time passes");
        assert!(error.to_string().contains("more work took less time"), "{error}");
    }

    #[test]
    fn an_argument_that_cannot_be_filled_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let package = bringup::tests::package(&dir.path().join("p"), names::OPAQUE, None);
        let error = measure(&board::machine(), Some(&package)).expect_err("opaque contents");
        let expected = "argument \"in\" of one_tile has layout \"opaque\" and no contents in the package";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_driver_s_refusal_is_the_error() {
        let fake = board::machine();
        fake.fail(Ioctl::CreateHwctx, 0, Errno::EBUSY);
        let error = measure(&fake, None).expect_err("no context");
        assert!(error.to_string().contains("EBUSY") && !error.remedy().is_empty(), "{error}");
    }

    #[test]
    fn products_follow_from_the_manifest() {
        let model = ModelDims {
            name: "gemma3-27b".into(),
            hidden: 5376,
            intermediate: 21504,
            layers: 62,
            heads: 32,
            kv_heads: 16,
            head_dim: 128,
            vocab: 262_208,
        };
        let dir = tempfile::tempdir().expect("a directory");
        let package = bringup::tests::package(&dir.path().join("p"), names::ROW_MAJOR, None);
        let mut kernel = package.manifest().kernels[0].clone();
        assert_eq!(work(&model, &kernel), Ok(Vec::new()));
        let argument = kernel.args[0].clone();
        kernel.args =
            ["x", "weights", "qkv"].map(|name| npu_package::Argument { name: name.into(), ..argument.clone() }).into();
        kernel.seq = 512;
        let qkv = Products { macs: 512 * 5376 * 8192, limbs: 2, macs_per_cycle: 256 };
        assert_eq!(work(&model, &kernel), Ok(vec![qkv]));
        kernel.args.truncate(1);
        kernel.args[0].name = "plan".into();
        let layer = npu_package::Layer::Local;
        kernel.context = Some(npu_package::Context { layer, history: 0, slots: 2048, window: Some(100) });
        let pairs = 100 * 101 / 2 + 412 * 100;
        let attention = || Products { macs: 2 * pairs * 32 * 128, limbs: 1, macs_per_cycle: 128 };
        assert_eq!(work(&model, &kernel), Ok(vec![attention()]));
        kernel.numerics = "w8a8".into();
        kernel.args.push(npu_package::Argument { name: "o_weights".into(), ..argument });
        let o = Products { macs: 512 * 4096 * 5376, limbs: 1, macs_per_cycle: 256 };
        assert_eq!(work(&model, &kernel), Ok(vec![o, attention()]));
    }
}
