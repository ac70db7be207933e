//! The result of a compilation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aie2_isa::{Bundle, Slot};

use crate::check::Certificate;

/// What a software-pipelined loop reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopReport {
    /// Name given by the author.
    pub name: String,
    /// Declared initiation interval in bundles, if any.
    pub ii_declared: Option<u32>,
    /// Initiation interval of the emitted loop.
    pub ii_reached: u32,
    /// Multiply instructions (`vmac*`, `vmul*`, `vmsc*`) issued per interval.
    pub vmac_per_ii: u32,
    /// Bound by slots, ports and banks (0 for raw code, where it is not computed).
    pub res_mii: u32,
    /// Bound by recurrences (0 for raw code).
    pub rec_mii: u32,
    /// Stages (0 for raw code).
    pub stages: u32,
    /// Address of the first bundle of the steady body, if it is a hardware loop.
    pub pc: Option<u32>,
}

/// One emitted bundle.
#[derive(Debug, Clone)]
pub struct Line {
    /// Address in program memory.
    pub pc: u32,
    /// Length in bytes.
    pub bytes: u8,
    /// The instructions.
    pub bundle: Bundle,
    /// Region and place in it, e.g. `k steady 3`.
    pub place: String,
    /// Registers landing when this bundle issues: results of earlier bundles that become readable now.
    pub lands: Vec<String>,
}

impl Line {
    /// Whether the bundle belongs to the loop of this name: its prologue, steady part, epilogue, or the wait in front of it.
    #[must_use]
    pub fn is_of_loop(&self, name: &str) -> bool {
        self.place.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

/// A compiled and checked program of one core.
#[derive(Debug, Clone)]
pub struct Program {
    /// Program memory image, starting at address 0.
    pub bytes: Vec<u8>,
    /// Address of the first bundle to execute.
    pub entry: u32,
    /// Labels with their addresses; a name that is bound again has a number behind it.
    pub symbols: BTreeMap<String, u32>,
    /// Pipelined loops.
    pub loops: Vec<LoopReport>,
    /// Bundles that read an old register value, as intended, while a newer write is in flight.
    pub early_reads: Vec<u32>,
    /// Bundles with a lock instruction that orders only the accesses it guards; others may be close to it.
    pub partial_locks: Vec<u32>,
    /// Bundles in address order.
    pub lines: Vec<Line>,
    /// What the checker verified.
    pub certificate: Certificate,
}

impl Program {
    /// The schedule as a table: address, place, one column per slot, and the results that land.
    #[must_use]
    pub fn listing(&self) -> String {
        self.table(|_| true, |_| true)
    }

    /// The same of one loop, or of all that share the name, with the lifetimes of the registers it writes. Without such a loop, the head of
    /// the table.
    #[must_use]
    pub fn listing_of_loop(&self, name: &str) -> String {
        let mut out = self.table(|line| line.is_of_loop(name), |report| report.name == name);
        for report in self.loops.iter().filter(|report| report.name == name) {
            let Some(first) = report.pc.and_then(|pc| self.lines.iter().position(|line| line.pc == pc)) else {
                continue;
            };
            let body = self.lines.get(first..first + report.ii_reached as usize).unwrap_or_default();
            out.push_str(&crate::lifetimes::chart(body));
        }
        out
    }

    fn table(&self, shows_line: impl Fn(&Line) -> bool, shows_loop: impl Fn(&LoopReport) -> bool) -> String {
        const SLOTS: [Slot; 6] = [Slot::Lda, Slot::Ldb, Slot::St, Slot::Alu, Slot::Mv, Slot::Vec];
        let head = |slot: Slot| if slot == Slot::Alu { "alu/lng".to_owned() } else { slot.to_string() };
        let text = |line: &Line, slot: Slot| -> String {
            let insn =
                line.bundle.get(slot).or_else(|| if slot == Slot::Alu { line.bundle.get(Slot::Lng) } else { None });
            insn.map_or_else(String::new, ToString::to_string)
        };
        let lines: Vec<&Line> = self.lines.iter().filter(|line| shows_line(line)).collect();
        let width = |slot: Slot| lines.iter().map(|l| text(l, slot).len()).max().unwrap_or(0).max(head(slot).len());
        let widths: Vec<usize> = SLOTS.iter().map(|s| width(*s)).collect();
        let places = lines.iter().map(|l| l.place.len()).max().unwrap_or(0).max(5);
        let mut labels: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for (name, pc) in &self.symbols {
            labels.entry(*pc).or_default().push(name);
        }
        let mut out = String::new();
        let _ = write!(out, "{:>5}  {:places$}", "pc", "place");
        for (slot, w) in SLOTS.iter().zip(&widths) {
            let _ = write!(out, " | {:w$}", head(*slot));
        }
        out.push_str(" | lands\n");
        for line in lines {
            for name in labels.get(&line.pc).into_iter().flatten() {
                let _ = writeln!(out, "{name}:");
            }
            let early = if self.early_reads.contains(&line.pc) { '*' } else { ' ' };
            let _ = write!(out, "{:5x}{early} {:places$}", line.pc, line.place);
            for (slot, w) in SLOTS.iter().zip(&widths) {
                let _ = write!(out, " | {:w$}", text(line, *slot));
            }
            let _ = writeln!(out, " | {}", line.lands.join(" "));
        }
        for l in self.loops.iter().filter(|report| shows_loop(report)) {
            let declared = l.ii_declared.map_or_else(|| "-".to_owned(), |d| d.to_string());
            let _ = writeln!(
                out,
                "loop {}: ii {} (declared {declared}, res_mii {}, rec_mii {}), {} stages, {} multiplies per ii",
                l.name, l.ii_reached, l.res_mii, l.rec_mii, l.stages, l.vmac_per_ii
            );
        }
        out
    }
}
