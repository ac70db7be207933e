//! The trace and the picture of a run say what the run's figures say, in forms their readers accept.

#[allow(dead_code)]
mod tiny;

use npu_package::layout::Activations;
use std::collections::{BTreeMap, BTreeSet};

use bennu_lab::case::Case;
use bennu_lab::look::Look;
use bennu_lab::machine::Binary;
use bennu_lab::{timeline, trace};
use serde_json::Value;

fn look(window: std::ops::Range<u64>) -> Look {
    let (projection, compiled) = tiny::projection(Activations::Int8, 20);
    let case = Case::random(*projection.shape(), 1).expect("a random case");
    let labels = compiled.cores.iter().map(|(&(col, row), core)| {
        let mut labels: Vec<_> = core.symbols.iter().map(|(name, at)| (*at, name.clone())).collect();
        labels.sort();
        ([col, row], labels)
    });
    let labels = labels.collect();
    let write = |loaded: &mut bennu_lab::machine::Loaded| case.write_to(loaded);
    let kernel = ("w8a8_qkv_projection", case.shape.seq());
    Look::run(&Binary::from(&compiled), &write, kernel, labels, window).expect("the kernel runs")
}

/// Thousandths of a time stamp: cycles.
fn cycles(value: &Value) -> u64 {
    let us = value.as_f64().expect("a time is a number");
    assert!(us >= 0.0);
    (us * 1000.0).round() as u64
}

type Track = (u64, u64);
struct Slice {
    from: u64,
    to: u64,
    name: String,
    cat: String,
}

struct Trace {
    slices: BTreeMap<Track, Vec<Slice>>,
    counters: BTreeMap<(u64, String), Vec<(u64, u64)>>,
    processes: BTreeMap<u64, String>,
    threads: BTreeMap<Track, String>,
    sorted: BTreeSet<Track>,
    other: Value,
}

/// Reads a trace by the rules of the Trace Event Format: required fields of each phase, nothing else.
fn parse(text: &str) -> Trace {
    let document: Value = serde_json::from_str(text).expect("a trace is JSON");
    let mut t = Trace {
        slices: BTreeMap::new(),
        counters: BTreeMap::new(),
        processes: BTreeMap::new(),
        threads: BTreeMap::new(),
        sorted: BTreeSet::new(),
        other: document["otherData"].clone(),
    };
    assert_eq!(document["displayTimeUnit"], "ns");
    for e in document["traceEvents"].as_array().expect("events are an array") {
        let int = |key: &str| e[key].as_u64().unwrap_or_else(|| panic!("{key} of {e}"));
        let name = e["name"].as_str().unwrap_or_else(|| panic!("name of {e}")).to_owned();
        let pid = int("pid");
        match e["ph"].as_str() {
            Some("X") => {
                let (from, dur) = (cycles(&e["ts"]), cycles(&e["dur"]));
                assert!(dur > 0, "{e}");
                let cat = e["cat"].as_str().unwrap_or_else(|| panic!("category of {e}")).to_owned();
                t.slices.entry((pid, int("tid"))).or_default().push(Slice { from, to: from + dur, name, cat });
            }
            Some("C") => {
                let value = e["args"]["value"].as_u64().unwrap_or_else(|| panic!("value of {e}"));
                t.counters.entry((pid, name)).or_default().push((cycles(&e["ts"]), value));
            }
            Some("M") => {
                let text = e["args"]["name"].as_str().unwrap_or_default().to_owned();
                match name.as_str() {
                    "process_name" => drop(t.processes.insert(pid, text)),
                    "thread_name" => drop(t.threads.insert((pid, int("tid")), text)),
                    "thread_sort_index" => drop(t.sorted.insert((pid, int("tid")))),
                    "process_sort_index" => assert!(e["args"]["sort_index"].is_u64(), "{e}"),
                    _ => panic!("unknown metadata {e}"),
                }
            }
            _ => panic!("unknown phase {e}"),
        }
    }
    t
}

/// Slices of the outermost level; panics if two overlap without one lying inside the other.
fn outermost(slices: &mut [Slice]) -> Vec<&Slice> {
    slices.sort_by_key(|s| (s.from, std::cmp::Reverse(s.to)));
    let mut open: Vec<u64> = Vec::new();
    let mut out = Vec::new();
    for s in slices.iter() {
        while open.last().is_some_and(|to| *to <= s.from) {
            open.pop();
        }
        if let Some(to) = open.last() {
            assert!(s.to <= *to, "{} {}..{} leaves the slice it lies in, which ends at {to}", s.name, s.from, s.to);
        } else {
            out.push(s);
        }
        open.push(s.to);
    }
    out
}

#[test]
fn every_core_channel_and_lock_in_use_has_a_named_track() {
    let look = look(0..u64::MAX);
    let trace = parse(&trace::document(&look, true));
    for track in trace.slices.keys() {
        assert!(trace.threads.contains_key(track) && trace.sorted.contains(track), "{track:?} has no name");
        assert!(trace.processes.contains_key(&track.0), "{track:?} has no process");
    }
    let named = |process: &str, thread: &str| {
        let has = |(pid, tid): &Track| trace.processes[pid] == process && trace.threads[&(*pid, *tid)] == thread;
        trace.slices.keys().any(has)
    };
    assert_eq!(look.report.cores.len(), 16);
    for core in &look.report.cores {
        assert!(named(&core.tile.to_string(), "core"), "{}", core.tile);
    }
    for shim in &look.report.shim_channels {
        let name = shim.channel.to_string();
        let (process, thread) = name.split_at(name.find(") ").expect("tile, then channel") + 1);
        assert!(named(process, thread.trim()), "{name}");
    }
    for row in 1..6 {
        for col in 0..4 {
            let process = format!("{} ({col}, {row})", if row == 1 { "mem" } else { "core" });
            for channel in ["S2MM 0", "S2MM 1", "MM2S 0"] {
                assert!(named(&process, channel), "{process} {channel}");
            }
        }
    }
    assert!(named("controller", "runtime stream"));
    // Whatever somebody waits for is shown.
    let waits: BTreeSet<_> = (trace.slices.iter())
        .flat_map(|((pid, _), slices)| slices.iter().map(move |s| (*pid, &s.name)))
        .filter_map(|(pid, name)| name.strip_prefix("waits for lock ").map(|rest| (pid, rest)))
        .collect();
    assert!(waits.len() > 16, "{waits:?}");
    for (pid, rest) in waits {
        let (lock, process) = rest.split_once(" of ").unwrap_or((rest, &trace.processes[&pid]));
        let has = |(p, name): &(u64, String)| trace.processes[p] == process && *name == format!("lock {lock}");
        assert!(trace.counters.keys().any(has), "lock {rest}");
    }
}

#[test]
fn slices_nest_and_those_of_a_core_add_up_to_the_run() {
    let look = look(0..u64::MAX);
    let mut trace = parse(&trace::document(&look, true));
    let (processes, threads) = (&trace.processes, &trace.threads);
    for (track, slices) in &mut trace.slices {
        let name = format!("{} {}", processes[&track.0], threads[track]);
        let (first, last) = (slices.iter().map(|s| s.from).min(), slices.iter().map(|s| s.to).max());
        let top = outermost(slices);
        let total: u64 = top.iter().map(|s| s.to - s.from).sum();
        assert!(last <= Some(look.record.cycles), "{name}");
        let Some(core) = look.report.cores.iter().find(|c| format!("{} core", c.tile) == name) else { continue };
        // The cores start in the first cycle and never stop.
        assert_eq!((first, last), (Some(1), Some(look.record.cycles)), "{name}");
        assert_eq!(total, look.record.cycles - 1, "{name}");
        let of = |cat: &str| top.iter().filter(|s| s.cat == cat).map(|s| s.to - s.from).sum::<u64>();
        assert_eq!((of("lock"), of("stream"), of("cascade")), (core.stalls.lock, 0, 0), "{name}");
        assert_eq!(of("run"), total - core.stalls.lock, "{name}");
        assert!(top.iter().any(|s| s.name == "gemm") && top.iter().any(|s| s.cat == "lock"), "{name}");
        let banks: u64 = slices.iter().filter(|s| s.cat == "memory").map(|s| s.to - s.from).sum();
        assert_eq!(banks, core.stalls.dma_bank, "{name}");
    }
    assert_eq!(trace.other["cycles"], look.report.cycles);
    assert_eq!(trace.other["modelled"], true);
}

#[test]
fn a_window_of_the_trace_holds_nothing_else() {
    let window = 10_000..14_000;
    let look = look(window.clone());
    let trace = parse(&trace::document(&look, false));
    assert_eq!((&trace.other["from"], &trace.other["to"]), (&Value::from(10_000), &Value::from(14_000)));
    let slices = trace.slices.values().flatten();
    assert!(slices.clone().count() > 100);
    assert!(slices.clone().all(|s| s.from >= window.start && s.to <= window.end));
    assert!(slices.into_iter().all(|s| s.cat != "memory"), "stalls are shown on request only");
    assert!(trace.counters.values().flatten().all(|(at, _)| window.contains(at)));
}

/// Names of elements in order, checked for balance.
fn elements(svg: &str) -> Vec<&str> {
    let mut open = Vec::new();
    let mut all = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("a tag does not end: {tag}"));
        let name = tag.split([' ', '/']).find(|n| !n.is_empty()).expect("a tag has a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
            continue;
        }
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        all.push(name);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    all
}

#[test]
fn the_picture_has_a_row_per_tile_and_the_shares_of_the_report() {
    let look = look(0..u64::MAX);
    let svg = timeline::draw(&look);
    let elements = elements(&svg);
    assert_eq!(elements[0], "svg");
    assert_eq!(elements.iter().filter(|e| **e == "title").count(), 16);
    for row in 2..6 {
        for col in 0..4 {
            assert!(svg.contains(&format!(">core ({col}, {row})</text>")), "({col}, {row})");
        }
    }
    assert!(svg.contains("w8a8_qkv_projection, S = 20") && svg.contains("modelled"));
    let shares = timeline::total(&look);
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    let capacity = (16 * look.report.cycles) as f64;
    let sum = |of: fn(&aie2_sim::report::CoreReport) -> u64| look.report.cores.iter().map(of).sum::<u64>() as f64;
    let close = |a: f64, b: f64| (a - b).abs() < 1e-3;
    assert!(close(shares[0], sum(|c| c.vmacs) / capacity), "{shares:?}");
    assert!(close(shares[2], sum(|c| c.stalls.own + c.stalls.dma_bank) / capacity), "{shares:?}");
    assert!(close(shares[4], sum(|c| c.stalls.lock) / capacity), "{shares:?}");
}
