//! `bennu-lab bench`: modelled time of a package's kernels.

use std::path::PathBuf;

use aie2_sim::{RunReport, Timing};
use anyhow::Result;
use npu_package::{Kernel, Package};
use serde::Serialize;
use serde_json::{Value, json};

use crate::attention::{AttentionCase, is_attention};
use crate::attention_layer::{self, LayerCase, is_layer};
use crate::case::{self, Case};
use crate::machine::{Binary, Loaded, Only, clock_hz, known};
use crate::{spread, verify};

/// DDR rates in bytes per second: the eight shim channels at 1.028 GHz, and a cautious share of two DDR5 channels.
const DDR_RATES: [(&str, f64); 2] = [("ddr_32.9", 32.9e9), ("ddr_15", 15e9)];

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package directory
    package: PathBuf,

    /// Seed of the random data
    #[arg(long, default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    only: Only,

    /// Also move every uncertain timing number through its range, one or two simulations each, and say what the cycles depend on
    #[arg(long)]
    spread: bool,
}

#[derive(Serialize)]
struct Channel {
    channel: String,
    bytes: u64,
    bytes_per_cycle: f64,
}

/// Runs the verb; false if a kernel differs from its specification.
pub fn run(args: &Args, json: bool) -> Result<bool> {
    let package = Package::open(&args.package)?;
    let mut documents = Vec::new();
    let mut equal = true;
    for kernel in package.manifest().kernels.iter().filter(|k| args.only.holds(k)) {
        let binary = Binary::read(&package, kernel)?;
        if is_attention(kernel) {
            let case = AttentionCase::random(&package, kernel, args.seed)?;
            let row = verify::verify_attention(&binary, kernel, &case)?;
            equal &= row.bit_equal;
            let (report, times) = times(&binary, &|loaded| case.write_to(loaded))?;
            let document = document(kernel, &row, &report, times)?;
            if !json {
                print!("{}{}", row.table(), table(&document));
            }
            documents.push(document);
            continue;
        }
        if is_layer(kernel) {
            let mut case = LayerCase::random(&package, kernel, args.seed)?;
            let row = attention_layer::verify(&binary, kernel, &mut case)?;
            equal &= row.bit_equal;
            let (report, times) = times(&binary, &|loaded| case.write_to(loaded))?;
            let document = document(kernel, &row, &report, times)?;
            if !json {
                print!("{}{}", row.table(), table(&document));
            }
            documents.push(document);
            continue;
        }
        known(kernel)?;
        let case = Case::random(case::shape(package.manifest(), kernel)?, args.seed)?;
        let row = verify::verify(&binary, kernel, &case, format!("random weights, seed {}", args.seed), 0)?;
        equal &= row.bit_equal;
        let (report, times) = times(&binary, &|loaded| case.write_to(loaded))?;
        let mut document = document(kernel, &row, &report, times)?;
        if !json {
            print!("{}{}", row.table(), table(&document));
        }
        if args.spread {
            let outputs = spread::outputs(kernel);
            let simulate = |timing: &Timing| spread::simulate(&binary, &outputs, &case, timing);
            let spread = spread::measure(&simulate, |part| part.took_part(&report, false), !json)?;
            equal &= spread.same_outputs;
            if !json {
                print!("{}", spread.table());
            }
            document["spread"] = serde_json::to_value(&spread)?;
        }
        documents.push(document);
    }
    if json {
        println!("{:#}", json!({ "kernels": documents }));
    }
    Ok(equal)
}

/// Milliseconds by DDR rate.
type Times = serde_json::Map<String, Value>;

/// A run without DDR limits, and the time at every rate.
fn times(binary: &Binary, write: &dyn Fn(&mut Loaded) -> Result<()>) -> Result<(RunReport, Times)> {
    let time = |rate| {
        let mut loaded = Loaded::new(binary, rate)?;
        write(&mut loaded)?;
        Ok::<_, anyhow::Error>(loaded.run()?.report)
    };
    let mut times = Times::new();
    let milliseconds = |report: &RunReport| json!(report.cycles as f64 / clock_hz() * 1e3);
    let unlimited = time(None)?;
    times.insert("ddr_unlimited".into(), milliseconds(&unlimited));
    for (name, rate) in DDR_RATES {
        times.insert(name.into(), milliseconds(&time(Some(rate))?));
    }
    Ok((unlimited, times))
}

fn document(kernel: &Kernel, row: &impl Serialize, report: &RunReport, times: Times) -> Result<Value> {
    let mut document = serde_json::to_value(row)?;
    let cycles = report.cycles as f64;
    let channels: Vec<Channel> = report
        .shim_channels
        .iter()
        .map(|c| Channel { channel: c.channel.to_string(), bytes: c.bytes, bytes_per_cycle: c.bytes as f64 / cycles })
        .collect();
    let (bundles, lock): (u64, u64) =
        report.cores.iter().fold((0, 0), |(b, l), core| (b + core.bundles, l + core.stalls.lock));
    let waiting = lock as f64 / (bundles + lock).max(1) as f64;
    let vmacs: u64 = report.cores.iter().map(|c| c.vmacs).sum();
    let busiest = channels.iter().map(|c| c.bytes_per_cycle).fold(0.0, f64::max);
    // SOURCE: AM020 ch. 2: a stream carries 4 bytes per cycle.
    let bound = if busiest > 4.0 * vmacs as f64 / (cycles * report.cores.len().max(1) as f64) {
        "DMA: the fullest shim channel is busier than the vector units"
    } else {
        "compute: the vector units are busier than any shim channel"
    };
    let fields = document.as_object_mut().expect("a row is an object");
    fields.insert("bound".into(), json!(bound));
    fields.insert("time_ms".into(), Value::Object(times));
    fields.insert("modelled".into(), json!(true));
    let traffic: Vec<Value> = report
        .arguments
        .iter()
        .zip(&kernel.args)
        .map(|(t, arg)| json!({ "name": arg.name, "bytes": arg.bytes, "read": t.read_bytes, "written": t.written_bytes }))
        .collect();
    fields.insert("ddr_by_argument".into(), Value::Array(traffic));
    fields.insert("shim_channels".into(), serde_json::to_value(&channels)?);
    fields.insert("cores_waiting_for_locks".into(), json!(waiting));
    fields.insert("vmac_per_core_cycle".into(), json!(vmacs as f64 / (cycles * report.cores.len().max(1) as f64)));
    fields.insert("loops".into(), serde_json::to_value(&kernel.report.loops)?);
    Ok(document)
}

fn table(document: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<47} {value}\n"));
    for (name, ms) in document["time_ms"].as_object().into_iter().flatten() {
        line(&format!("time at 1.028 GHz, modelled, {name}"), format!("{:.3} ms", ms.as_f64().unwrap_or(f64::NAN)));
    }
    line("bound", document["bound"].as_str().unwrap_or_default().to_owned());
    let percent = |key: &str| format!("{:.1} %", document[key].as_f64().unwrap_or(f64::NAN) * 1e2);
    line("core cycles with a vmac", percent("vmac_per_core_cycle"));
    line("core cycles waiting for locks", percent("cores_waiting_for_locks"));
    for arg in document["ddr_by_argument"].as_array().into_iter().flatten() {
        let name = format!("DDR traffic of {}, {} bytes", arg["name"].as_str().unwrap_or_default(), arg["bytes"]);
        line(&name, format!("{} read, {} written", arg["read"], arg["written"]));
    }
    for channel in document["shim_channels"].as_array().into_iter().flatten() {
        let rate = channel["bytes_per_cycle"].as_f64().unwrap_or(f64::NAN);
        line(
            channel["channel"].as_str().unwrap_or_default(),
            format!("{} bytes, {rate:.2} per cycle", channel["bytes"]),
        );
    }
    text
}
