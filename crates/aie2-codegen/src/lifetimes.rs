//! Register lifetimes of a hardware loop, drawn as a chart.
//!
//! A register is occupied from the bundle in which a result can first be read until its last read, counted around the loop. While a result is on
//! its way the register still holds the value before it, so the time between issue and landing belongs to that value.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aie2_isa::{Atom, Bypass, File};

use crate::program::Line;

/// A result: bundle from which a reader without bypass sees it.
struct Landing {
    at: i64,
    bypass: Option<Bypass>,
}

/// A read: bundle in which it happens.
struct Read {
    at: i64,
    bypass: Option<Bypass>,
}

/// One row per register that the loop writes, one column per bundle of its body: `#` occupied, `.` free.
pub(crate) fn chart(body: &[Line]) -> String {
    let ii = body.len() as i64;
    let mut landings: BTreeMap<Atom, Vec<Landing>> = BTreeMap::new();
    let mut reads: BTreeMap<Atom, Vec<Read>> = BTreeMap::new();
    for (issue, line) in body.iter().enumerate() {
        for insn in line.bundle.iter() {
            let timing = insn.timing();
            for def in timing.defs() {
                for atom in def.reg.atoms().iter().filter(|a| drawn(**a)) {
                    let at = issue as i64 + i64::from(def.cycle);
                    landings.entry(*atom).or_default().push(Landing { at, bypass: def.bypass });
                }
            }
            for usage in timing.uses() {
                for atom in usage.reg.atoms().iter().filter(|a| drawn(**a)) {
                    let at = issue as i64 + i64::from(usage.cycle) - 1;
                    reads.entry(*atom).or_default().push(Read { at, bypass: usage.bypass });
                }
            }
        }
    }
    let mut out = format!("lifetimes, one column per bundle of the {ii}\n");
    for (atom, results) in &landings {
        let mut occupied = vec![false; body.len()];
        for read in reads.get(atom).into_iter().flatten() {
            // the newest result that the reader sees, however many rounds ago it was issued
            let age = |l: &Landing| {
                let same = i64::from(l.bypass.is_some() && l.bypass == read.bypass);
                (read.at - (l.at - same)).rem_euclid(ii)
            };
            let since = results.iter().map(age).min().unwrap_or(0);
            (0..=since).for_each(|back| occupied[(read.at - back).rem_euclid(ii) as usize] = true);
        }
        let row: String = occupied.iter().map(|o| if *o { '#' } else { '.' }).collect();
        let _ = writeln!(out, "  {:6} {row}", atom.reg().name());
    }
    let held = reads.keys().filter(|atom| !landings.contains_key(atom)).map(|atom| atom.reg().name());
    let held: Vec<&str> = held.collect();
    if !held.is_empty() {
        let _ = writeln!(out, "  held throughout: {}", held.join(" "));
    }
    out
}

/// Control and status registers do not compete for anything.
fn drawn(atom: Atom) -> bool {
    !matches!(atom.file(), File::Cr | File::Sr | File::CoreId | File::Cntr | File::Lc | File::Ls | File::Le)
}

#[cfg(test)]
mod tests {
    use crate::{Asm, MemRef};

    #[test]
    fn a_loaded_value_lives_from_its_landing_to_its_last_read() {
        let mut a = Asm::new();
        let (from, to, w) = (a.p(), a.p(), a.w());
        a.imm(from, 0x70000);
        a.imm(to, 0x74000);
        a.pipelined("copy", 4, 32, |a| {
            a.vlda(MemRef::space(1).in_bank(0), w, from, 32);
            a.vst(MemRef::space(2).in_bank(1), w, to, 32);
        });
        a.done();
        let program = a.finish().expect("a copy loop compiles");
        let listing = program.listing_of_loop("copy");
        let row = listing.lines().find(|l| l.trim_start().starts_with(['w'])).expect("the vector register has a row");
        let cells = row.split_whitespace().nth(1).expect("the row has cells");
        // the store follows the landing at once: the register is busy for that bundle only, three of four times it is free
        assert_eq!(cells.len(), 4, "{listing}");
        assert_eq!(cells.matches('#').count(), 1, "{listing}");
        assert!(listing.lines().any(|l| l.trim_start().starts_with('p') && l.contains('#')), "{listing}");
    }
}
