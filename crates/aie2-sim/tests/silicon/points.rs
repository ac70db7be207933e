//! One instruction per point: inputs, program, stored bytes.

use crate::rig::{INPUT, Memory, OUTPUT, core, hex, lines, reg, run};
use std::collections::BTreeMap;

struct Outcome {
    equal: usize,
    refused: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

fn play(table: &str, expected_refusals: &BTreeMap<&str, &str>) -> Outcome {
    let mut out = Outcome { equal: 0, refused: BTreeMap::new(), wrong: Vec::new() };
    for line in lines(table) {
        let f: Vec<&str> = line.split('|').collect();
        let [id, name, offset, expected, inputs, program] = f[..] else { panic!("fields of {line}") };
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
                *out.refused.entry(name.to_owned()).or_default() += 1;
                if !expected_refusals.contains_key(name) {
                    out.wrong.push(format!("{id} {name}: refused: {why}"));
                }
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
    let refused: usize = out.refused.values().sum();
    println!("{name}: {} points run, {} equal, {refused} refused", out.equal + out.wrong.len() + refused, out.equal);
    for (instruction, n) in &out.refused {
        println!("  refused {instruction}: {n}");
    }
}

#[test]
fn isa_points() {
    let out = play(include_str!("../data/isa_points.txt"), &BTreeMap::new());
    report("isa_points", &out);
    assert!(out.wrong.is_empty(), "{} differ:\n{}", out.wrong.len(), out.wrong.join("\n"));
    assert!(out.equal > 4000);
}
