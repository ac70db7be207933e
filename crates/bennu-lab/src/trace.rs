//! `bennu-lab trace`: one run as a Chrome trace, which ui.perfetto.dev and chrome://tracing show.
//!
//! ```text
//! process = tile        thread = core:     gemm │ waits for lock 1 │ gemm        (slices, modelled stalls inside)
//!                       thread = channel:  BD 3, inside it: waits for lock │ (moves) │ starved │ (moves)
//!                       counter = lock n
//! process = controller  thread: operations of the runtime stream
//! ```
//! The unit of the format is the microsecond; here **one nanosecond is one array cycle**, so that cycles can be read off exactly.
// SOURCE: "Trace Event Format", Google, 2016: complete events (X), counters (C), metadata (M), JSON object form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use aie2_sim::TileLoc;
use aie2_sim::port::BlockReason;
use aie2_sim::record::{ChannelActivity, CoreActivity, lock_of_core};
use anyhow::{Context, Result, ensure};
use npu_package::Package;
use serde_json::{Value, json};

use crate::look::Look;
use crate::machine::{clock_hz, pick};

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package directory
    package: PathBuf,

    /// Kernel; may be left out if the package holds one
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,

    /// Sequence length of the kernel; may be left out if there is one
    #[arg(long, value_name = "N")]
    seq: Option<usize>,

    /// Kind of the layer, `local` or `global`, of a kernel of attention
    #[arg(long, value_name = "KIND")]
    layer: Option<String>,

    /// File to write; standard output if left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// First cycle of the trace
    #[arg(long, value_name = "CYCLE", default_value_t = 0)]
    from: u64,

    /// Cycle at which the trace ends; the whole run if left out
    #[arg(long, value_name = "CYCLE")]
    to: Option<u64>,

    /// Show every stretch a core lost to a bank that a DMA took; otherwise they are only counted, in the slice they fall in
    #[arg(long)]
    bank_stalls: bool,

    /// Seed of the random data
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the verb.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let to = args.to.unwrap_or(u64::MAX);
    ensure!(args.from < to, "--from {} is not before --to {to}", args.from);
    let package = Package::open(&args.package)?;
    let kernel = pick(package.manifest(), args.kernel.as_deref(), args.seq, args.layer.as_deref())?;
    let look = Look::at(&package, kernel, args.seed, args.from..to)?;
    let cycles = look.record.cycles;
    ensure!(args.from < cycles, "--from {} is behind the end of the run, {cycles} cycles", args.from);
    let text = document(&look, args.bank_stalls);
    let Some(out) = &args.out else { return Ok(std::io::stdout().write_all(text.as_bytes())?) };
    std::fs::write(out, &text).with_context(|| format!("writing {}", out.display()))?;
    let window = &look.record.window;
    let facts = json!({ "out": out, "bytes": text.len(), "from": window.start, "to": window.end, "cycles": cycles });
    if json {
        println!("{facts:#}");
    } else {
        let (mb, Look { kernel, seq, .. }) = (text.len() as f64 / 1e6, &look);
        println!(
            "{}: {kernel}, S = {seq}, cycles {}..{} of {cycles}, {mb:.1} MB",
            out.display(),
            window.start,
            window.end
        );
        println!(
            "open it in https://ui.perfetto.dev (it stays in the browser) or chrome://tracing; 1 ns is one array cycle"
        );
    }
    Ok(())
}

/// Process of the controller; tiles follow.
const CONTROLLER: u32 = 1;
/// Thread of a core; its channels follow.
const CORE: u32 = 1;

fn process(tile: TileLoc) -> u32 {
    // Shim, mem tile and cores of a column together, as data flows.
    CONTROLLER + 1 + u32::from(tile.col) * 10 + u32::from(tile.row)
}

/// Events as text, one a line.
#[derive(Default)]
struct Events {
    text: String,
    /// Names of processes and of their threads.
    processes: BTreeMap<u32, String>,
    threads: BTreeMap<(u32, u32), String>,
}

/// A time of the format: cycles as thousandths.
fn stamp(cycles: u64) -> String {
    format!("{}.{:03}", cycles / 1000, cycles % 1000)
}

impl Events {
    fn track(&mut self, pid: u32, process: &str, tid: u32, thread: &str) {
        self.processes.entry(pid).or_insert_with(|| process.to_owned());
        self.threads.entry((pid, tid)).or_insert_with(|| thread.to_owned());
    }

    fn line(&mut self, event: &str) {
        if !self.text.is_empty() {
            self.text.push_str(",\n");
        }
        self.text.push_str(event);
    }

    fn slice(&mut self, (pid, tid): (u32, u32), (from, to): (u64, u64), cat: &str, name: &str, args: &Value) {
        let (name, ts, dur) = (json!(name), stamp(from), stamp(to - from));
        let mut event =
            format!(r#"{{"ph":"X","pid":{pid},"tid":{tid},"ts":{ts},"dur":{dur},"cat":"{cat}","name":{name}"#);
        if !args.is_null() {
            // Writing to a string cannot fail.
            let _ = write!(event, r#","args":{args}"#);
        }
        event.push('}');
        self.line(&event);
    }

    fn counter(&mut self, pid: u32, at: u64, name: &str, value: u8) {
        let ts = stamp(at);
        self.line(&format!(r#"{{"ph":"C","pid":{pid},"ts":{ts},"name":"{name}","args":{{"value":{value}}}}}"#));
    }

    fn finish(mut self, other: &Value) -> String {
        for (pid, name) in std::mem::take(&mut self.processes) {
            self.line(&json!({ "ph": "M", "pid": pid, "name": "process_name", "args": { "name": name } }).to_string());
            let sort = json!({ "ph": "M", "pid": pid, "name": "process_sort_index", "args": { "sort_index": pid } });
            self.line(&sort.to_string());
        }
        for ((pid, tid), name) in std::mem::take(&mut self.threads) {
            let meta =
                |what: &str, args: Value| json!({ "ph": "M", "pid": pid, "tid": tid, "name": what, "args": args });
            self.line(&meta("thread_name", json!({ "name": name })).to_string());
            self.line(&meta("thread_sort_index", json!({ "sort_index": tid })).to_string());
        }
        format!("{{\"displayTimeUnit\":\"ns\",\"otherData\":{other},\"traceEvents\":[\n{}\n]}}\n", self.text)
    }
}

/// The trace of a run.
pub fn document(look: &Look, bank_stalls: bool) -> String {
    let record = &look.record;
    let mut events = Events::default();
    for op in &record.controller {
        events.track(CONTROLLER, "controller", CORE, "runtime stream");
        events.slice((CONTROLLER, CORE), (op.from, op.to), "op", &op.what, &json!({ "op": op.op }));
    }
    for core in &record.cores {
        let at = (process(core.tile), CORE);
        events.track(at.0, &core.tile.to_string(), CORE, "core");
        let shown = if bank_stalls { &core.dma_stalls[..] } else { &[] };
        let mut stalls = shown.iter().peekable();
        for s in &core.slices {
            let place = [core.tile.col, core.tile.row];
            match s.activity {
                CoreActivity::Run(work) => {
                    let args = json!({
                        "bundles": work.bundles,
                        "vmac": work.vmacs,
                        "own_stalls": work.own_stalls,
                        "dma_stalls": work.dma_stalls,
                    });
                    events.slice(at, (s.from, s.to), "run", look.label(place, s.pc).unwrap_or("running"), &args);
                    // Inside the slice of the code that lost them.
                    while let Some((from, n)) = stalls.next_if(|(from, _)| *from < s.to) {
                        let (from, to) = ((*from).max(s.from), (from + n).min(s.to));
                        if from < to {
                            events.slice(at, (from, to), "memory", "bank taken by DMA", &Value::Null);
                        }
                    }
                }
                CoreActivity::Wait(reason) => {
                    events.slice(
                        at,
                        (s.from, s.to),
                        category(reason),
                        &wait(core.tile, reason),
                        &json!({ "pc": s.pc }),
                    );
                }
            }
        }
    }
    for track in &record.channels {
        let id = track.channel;
        let direction = if id.dir == aie2_sim::Direction::S2mm { ("S2MM", 2) } else { ("MM2S", 10) };
        let at = (process(id.tile), direction.1 + u32::from(id.index));
        events.track(at.0, &id.tile.to_string(), at.1, &format!("{} {}", direction.0, id.index));
        for s in &track.bds {
            if let Some(bd) = s.bd {
                events.slice(at, (s.from, s.to), "bd", &format!("BD {bd}"), &json!({ "bytes": s.bytes }));
            }
        }
        // Inside the BD; where nothing lies inside, it moves words.
        for a in track.activities.iter().filter(|a| a.activity != ChannelActivity::Moving) {
            events.slice(at, (a.from, a.to), "dma", &activity(a.activity), &Value::Null);
        }
    }
    for lock in &record.locks {
        let pid = process(lock.tile);
        events.processes.entry(pid).or_insert_with(|| lock.tile.to_string());
        // A value taken in the cycle it was given shows as no change.
        let mut shown = None;
        for (at, value) in &lock.values {
            if shown.replace(*value) != Some(*value) {
                events.counter(pid, *at, &format!("lock {}", lock.lock), *value);
            }
        }
    }
    events.finish(&json!({
        "producer": "bennu-lab",
        "kernel": look.kernel,
        "seq": look.seq,
        "modelled": true,
        "unit": "1 ns of the trace is one array cycle",
        "array_clock_mhz": clock_hz() / 1e6,
        "cycles": record.cycles,
        "from": record.window.start,
        "to": record.window.end,
        "least_wait_of_a_channel": aie2_sim::record::LEAST_WAIT,
    }))
}

fn category(reason: BlockReason) -> &'static str {
    match reason {
        BlockReason::Lock { .. } => "lock",
        BlockReason::StreamRead | BlockReason::StreamWrite => "stream",
        BlockReason::CascadeRead | BlockReason::CascadeWrite => "cascade",
    }
}

fn wait(tile: TileLoc, reason: BlockReason) -> String {
    match reason {
        BlockReason::Lock { id, .. } => match lock_of_core(tile, id) {
            Some((at, lock)) if at == tile => format!("waits for lock {lock}"),
            Some((at, lock)) => format!("waits for lock {lock} of {at}"),
            None => format!("waits for lock {id} (no such neighbour)"),
        },
        BlockReason::StreamRead | BlockReason::StreamWrite | BlockReason::CascadeRead | BlockReason::CascadeWrite => {
            format!("waits: {reason}")
        }
    }
}

fn activity(activity: ChannelActivity) -> String {
    match activity {
        ChannelActivity::Starting => "starting".into(),
        ChannelActivity::Lock(tile, lock) => format!("waits for lock {lock} of {tile}"),
        ChannelActivity::Moving => "moves".into(),
        ChannelActivity::Starved => "starved".into(),
        ChannelActivity::Held => "held by another receiver".into(),
        ChannelActivity::BackPressured => "back-pressured".into(),
        ChannelActivity::Ending => "ending".into(),
    }
}
