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
