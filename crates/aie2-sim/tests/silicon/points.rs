//! One instruction per point: inputs, program, stored bytes.

use crate::rig::{INPUT, Memory, OUTPUT, core, hex, lines, reg, run};
use std::collections::BTreeMap;

struct Outcome {
    run: usize,
    equal: usize,
    refused: BTreeMap<String, String>,
    wrong: Vec<String>,
}

fn play(table: &str) -> Outcome {
    let mut out = Outcome { run: 0, equal: 0, refused: BTreeMap::new(), wrong: Vec::new() };
    for line in lines(table) {
        let f: Vec<&str> = line.split('|').collect();
        let [id, name, offset, expected, inputs, program] = f[..] else { panic!("fields of {line}") };
        out.run += 1;
        let (mut core, mut memory) = (core(), Memory::new());
        for (what, value) in inputs.split(' ').filter_map(|i| i.split_once('=')) {
            match what.strip_prefix('m').filter(|r| r.bytes().all(|b| b.is_ascii_digit()) && value.len() != 8) {
                Some(at) => memory.set(INPUT + at.parse::<u32>().expect("offset"), &hex(value)),
                None if what.starts_with('m') && what[1..].parse::<u32>().is_ok() => {
                    memory.set(INPUT + what[1..].parse::<u32>().expect("offset"), &hex(value));
                }
                None => core.set_register(reg(what), &hex(value)),
            }
        }
        let mut text = String::new();
        for part in program.split(';') {
            match part.strip_prefix('~') {
                Some(n) => text.push_str(&"nop\n".repeat(n.parse().expect("count"))),
                None => {
                    text.push_str(part);
                    text.push('\n');
                }
            }
        }
        let want = hex(expected);
        match run(&mut core, &mut memory, &text) {
            Err(why) => {
                out.refused.insert(id.to_owned(), why);
            }
            Ok(()) => {
                let got = memory.get(OUTPUT + offset.parse::<u32>().expect("offset"), want.len());
                if got.iter().zip(&want).all(|(g, w)| *g == Some(*w)) {
                    out.equal += 1;
                } else {
                    let text: String = got.iter().map(|b| b.map_or("..".to_owned(), |b| format!("{b:02x}"))).collect();
                    out.wrong.push(format!("{id} {name}: stored {text}, silicon {expected}"));
                }
            }
        }
    }
    out
}

fn report(name: &str, out: &Outcome) {
    println!("{name}: {} points run, {} equal, {} refused", out.run, out.equal, out.refused.len());
}

#[test]
fn isa_points() {
    let out = play(include_str!("../data/isa_points.txt"));
    report("isa_points", &out);
    assert!(out.wrong.is_empty(), "{} differ:\n{}", out.wrong.len(), out.wrong.join("\n"));
    let listed: Vec<&str> =
        lines(include_str!("../data/refused_points.txt")).filter_map(|l| l.split('|').next()).collect();
    for (id, why) in &out.refused {
        assert!(listed.contains(&id.as_str()), "{id} is refused and not listed: {why}");
    }
    assert_eq!((out.run, out.equal, out.refused.len()), (4230, 4220, listed.len()));
}

/// Configuration words out of random data: nearly all select modes no document describes. Whatever the model does not
/// refuse must be what the chip stored.
#[test]
fn isa_points_random_config() {
    let out = play(include_str!("../data/isa_points_random_config.txt"));
    report("isa_points_random_config", &out);
    assert!(out.wrong.is_empty(), "{} differ:\n{}", out.wrong.len(), out.wrong.join("\n"));
    assert_eq!(out.run, 352);
}

/// Fused load and store conversions.
#[test]
fn compiled_conversions() {
    let (mut run_points, mut equal) = (0, 0);
    for line in lines(include_str!("../data/compiled_conversions.txt")) {
        let f: Vec<&str> = line.split('|').collect();
        let (op, input, want) = (f[0], hex(f[1]), hex(f[2]));
        let parts: Vec<&str> = op.split('.').collect();
        let width = |t: &str| t[1..].parse::<u32>().expect("lane width");
        // A 1024-bit accumulator holds the 256-bit vector when it is four times as wide.
        let acc_of = |acc: &str, vec: &str| if width(acc) == 4 * width(vec) { "cm0" } else { "bml0" };
        let text = match parts[..] {
            ["vlda", "ups", acc, vec] => {
                let a = acc_of(acc, vec);
                let wait = "nop\n".repeat(9);
                format!("mov s0, #0\n{op} {a}, s0, [p0, #0]\n{wait}vst.srs.s{}.{acc} {a}, s0, [p1, #0]", width(vec))
            }
            ["vst", "srs", vec, acc] => {
                let a = acc_of(acc, vec);
                let wait = "nop\n".repeat(9);
                format!("mov s0, #0\nvlda.ups.{acc}.s{} {a}, s0, [p0, #0]\n{wait}{op} {a}, s0, [p1, #0]", width(vec))
            }
            ["vldb", "unpack", ..] => {
                format!("mov m0, #0\n{op} x1, [p0], m0\n{}vst wl1, [p1, #0]\nvst wh1, [p1, #32]", "nop\n".repeat(7))
            }
            ["vst", "pack", ..] => {
                format!("vlda wl1, [p0, #0]\nvlda wh1, [p0, #32]\n{}{op} x1, [p1], #0", "nop\n".repeat(7))
            }
            _ => format!("vlda.conv.fp32.bf16 bml0, [p0, #0]\n{}vst.conv.bf16.fp32 bml0, [p1, #0]", "nop\n".repeat(7)),
        };
        let (mut core, mut memory) = (core(), Memory::new());
        memory.set(INPUT, &input);
        run(&mut core, &mut memory, &text).unwrap_or_else(|e| panic!("{op}: {e}"));
        run_points += 1;
        if memory.stored(OUTPUT, want.len()) == want {
            equal += 1;
        } else {
            println!("{op} differs");
        }
    }
    println!("compiled_conversions: {run_points} points run, {equal} equal, 0 refused");
    assert_eq!((run_points, equal), (26, 26));
}
