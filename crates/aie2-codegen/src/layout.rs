//! Addresses: alignment by wider encodings, loop distances, labels, bytes, listing.
//!
//! Bundles between two aligned places are widened so that their sizes add up to a multiple of 16; a widened bundle costs bytes, never a
//! cycle. Sizes are chosen by dynamic programming over the sum modulo 16.

use std::collections::BTreeMap;

use aie2_isa::{Bundle, EncodedBundle, File, Flags, Insn, OperandKind, Value};

use crate::asm::Asm;
use crate::check::{self, BundleNote, Certificate, OpNote};
use crate::emit::{Emitted, OutLine};
use crate::error::{CodegenError, PROGRAM_BYTES};
use crate::flow::Flow;
use crate::info::Info;
use crate::operand::{Guards, Label};
use crate::place::Placed;
use crate::program::{Line, LoopReport, Program};

/// Bytes between the last write of lc, ls, le and the last bundle of the loop.
// SOURCE: Xilinx/llvm-aie AIEMachineAlignment.cpp, hardware-loop lowering: 7 full fetch words.
const ZOL_DISTANCE_BYTES: usize = 112;

/// Fetch word, and the alignment of branch targets and loop ends.
// SOURCE: Xilinx/llvm-aie AIEMachineAlignment.cpp.
const FETCH_BYTES: usize = 16;

struct Loop {
    name: String,
    region: usize,
    first: usize,
    last: usize,
    /// Bundles may be inserted in front of the region.
    open: bool,
}

/// What came of a layout.
pub(crate) enum Outcome {
    /// The program.
    Done(Box<Program>),
    /// A loop needs this many more bundles in front of its region. They change distances, so the regions are emitted again.
    Pad { region: usize, bundles: i32 },
}

pub(crate) fn finish(
    asm: &Asm,
    flow: &Flow,
    regions: Vec<Emitted>,
    mut certificate: Certificate,
    mut loops: Vec<LoopReport>,
) -> Result<Outcome, CodegenError> {
    let mut lines: Vec<OutLine> = Vec::new();
    let mut zols: Vec<Loop> = Vec::new();
    let mut dangling: Vec<Label> = Vec::new();
    for (r, e) in regions.into_iter().enumerate() {
        if let Some((a, b)) = e.zol {
            let open = !(e.raw
                && r > 0
                && flow.regions[r - 1].falls
                && matches!(flow.regions[r - 1].kind, crate::flow::Kind::Raw(_)));
            zols.push(Loop { name: e.name.clone(), region: r, first: lines.len() + a, last: lines.len() + b, open });
        }
        // Labels of regions without bundles name the next bundle.
        if e.lines.is_empty() {
            dangling.extend(flow.regions[r].labels.iter().copied());
        }
        let mut new = e.lines;
        if let (Some(first), false) = (new.first_mut(), dangling.is_empty()) {
            first.labels.append(&mut dangling);
            first.align = true;
        }
        lines.extend(new);
    }
    if !dangling.is_empty() || lines.is_empty() {
        // A label at the very end: give it a bundle.
        lines.push(OutLine { labels: dangling, align: true, place: "end".to_owned(), ..OutLine::default() });
    }
    if asm.wide {
        lines.iter_mut().for_each(|l| l.full = true);
    }
    let mut sizes;
    loop {
        sizes = layout(&lines);
        let address = addresses(&sizes);
        let mut widened = false;
        for z in &zols {
            match stretch(&mut lines, z, &address, &sizes)? {
                Stretch::Fits => {}
                Stretch::Widened => {
                    widened = true;
                    break;
                }
                Stretch::Pad(bundles) => return Ok(Outcome::Pad { region: z.region, bundles }),
            }
        }
        if !widened {
            break;
        }
    }
    let address = addresses(&sizes);
    let total = address.last().copied().unwrap_or(0);
    if total > PROGRAM_BYTES {
        return Err(CodegenError::TooLarge { bytes: total, limit: PROGRAM_BYTES });
    }
    let mut at: BTreeMap<Label, u32> = BTreeMap::new();
    for (line, pc) in lines.iter().zip(&address) {
        at.extend(line.labels.iter().map(|l| (*l, *pc as u32)));
    }
    let mut bytes = Vec::with_capacity(total);
    let mut out = Vec::with_capacity(lines.len());
    for (k, line) in lines.iter().enumerate() {
        let (encoded, bundle) = encode(asm, line, sizes[k], &at)?;
        debug_assert_eq!(encoded.len(), sizes[k]);
        bytes.extend_from_slice(&encoded);
        let pc = address[k] as u32;
        certificate.bundles.insert(pc, note(line));
        out.push(Line { pc, bytes: sizes[k] as u8, bundle, place: line.place.clone(), lands: Vec::new() });
    }
    lands(&lines, &mut out);
    let verdict = check::check(&bytes, 0, &certificate)?;
    for l in &mut loops {
        l.pc = zols.iter().find(|z| z.name == l.name).map(|z| address[z.first] as u32);
    }
    let symbols = symbols(at.iter().map(|(label, pc)| (asm.labels[label.0 as usize].to_string(), *pc)));
    let partial_locks = lines.iter().zip(&address).filter(|(line, _)| line.ops.iter().any(is_partial_lock));
    let partial_locks = partial_locks.map(|(_, pc)| *pc as u32).collect();
    let early_reads = verdict.early_reads;
    let program = Program { bytes, entry: 0, symbols, loops, early_reads, partial_locks, lines: out, certificate };
    Ok(Outcome::Done(Box::new(program)))
}

/// Addresses by name. A name that several labels have is the first one's; the others have their number behind it.
fn symbols(labels: impl Iterator<Item = (String, u32)>) -> BTreeMap<String, u32> {
    let mut out = BTreeMap::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (name, pc) in labels {
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        out.insert(if *times == 1 { name } else { format!("{name}.{times}") }, pc);
    }
    out
}

/// A lock instruction that orders only the accesses it guards.
fn is_partial_lock(op: &Placed) -> bool {
    op.info.insn.row().flags.contains(Flags::LOCK) && matches!(*op.info.guards, Guards::Spaces(_))
}

fn addresses(sizes: &[usize]) -> Vec<usize> {
    let mut out = vec![0];
    for s in sizes {
        out.push(out.last().copied().unwrap_or(0) + s);
    }
    out
}

fn bundle(line: &OutLine) -> Bundle {
    let mut b = Bundle::new();
    for op in &line.ops {
        let inserted = b.insert(op.info.insn);
        debug_assert!(inserted.is_ok(), "the scheduler gives every instruction a slot of its own: {line:?}");
    }
    b
}

/// Possible lengths of a bundle in bytes, ascending.
fn lengths(line: &OutLine) -> Vec<usize> {
    let b = bundle(line);
    let mut out: Vec<usize> = Vec::new();
    let mut want = if line.full { FETCH_BYTES } else { 2 };
    while want <= FETCH_BYTES {
        let Ok(e) = b.encode_at_least(want) else { break };
        out.push(e.byte_len());
        want = e.byte_len() + 2;
    }
    out
}

/// Sizes of all bundles.
fn layout(lines: &[OutLine]) -> Vec<usize> {
    let mut sizes = vec![0; lines.len()];
    let mut start = 0;
    while start < lines.len() {
        let end = (start + 1..lines.len()).find(|k| lines[*k].align).unwrap_or(lines.len());
        let aligned_end = end < lines.len();
        // best[k][residue]: least bytes of bundles start..start+k with that sum modulo 16, and the last choice.
        let mut best: Vec<[Option<(usize, usize)>; FETCH_BYTES]> = vec![[None; FETCH_BYTES]];
        best[0][0] = Some((0, 0));
        for line in &lines[start..end] {
            let previous = *best.last().expect("the first row was pushed");
            let mut row = [None; FETCH_BYTES];
            for (residue, cell) in previous.iter().enumerate() {
                let Some((sum, _)) = cell else { continue };
                for len in lengths(line) {
                    let (r, total) = ((residue + len) % FETCH_BYTES, sum + len);
                    if row[r].is_none_or(|(s, _): (usize, usize)| total < s) {
                        row[r] = Some((total, len));
                    }
                }
            }
            best.push(row);
        }
        let last = best.last().expect("the first row was pushed");
        let mut residue = if aligned_end {
            0
        } else {
            (0..FETCH_BYTES).filter(|r| last[*r].is_some()).min_by_key(|r| last[*r].map(|x| x.0)).unwrap_or(0)
        };
        for k in (start..end).rev() {
            let (_, len) =
                best[k - start + 1][residue].expect("every bundle has a 16-byte form, so every sum can be aligned");
            sizes[k] = len;
            residue = (residue + FETCH_BYTES - len % FETCH_BYTES) % FETCH_BYTES;
        }
        start = end;
    }
    sizes
}

fn writes_loop_register(info: &Info) -> bool {
    info.defs.iter().any(|d| matches!(d.atom.file(), File::Lc | File::Ls | File::Le))
}

/// What one loop needs to keep its distance.
enum Stretch {
    Fits,
    /// A bundle was marked for a wider encoding.
    Widened,
    /// Bundles missing.
    Pad(i32),
}

/// Enforces the distance of one loop.
fn stretch(lines: &mut [OutLine], zol: &Loop, address: &[usize], sizes: &[usize]) -> Result<Stretch, CodegenError> {
    let Some(write) = (0..zol.first).rev().find(|k| lines[*k].ops.iter().any(|op| writes_loop_register(&op.info)))
    else {
        return Ok(Stretch::Fits);
    };
    let bytes = address[zol.last] - address[write + 1];
    if bytes >= ZOL_DISTANCE_BYTES {
        return Ok(Stretch::Fits);
    }
    // Wider bundles cost no time: widen from the loop end backwards.
    if let Some(k) = (write + 1..zol.last).rev().find(|k| sizes[*k] < FETCH_BYTES && !lines[*k].full) {
        lines[k].full = true;
        return Ok(Stretch::Widened);
    }
    if !zol.open {
        return Err(CodegenError::ZolDistance { name: zol.name.clone(), bytes });
    }
    Ok(Stretch::Pad((ZOL_DISTANCE_BYTES - bytes).div_ceil(FETCH_BYTES) as i32))
}

fn encode(
    asm: &Asm,
    line: &OutLine,
    size: usize,
    at: &BTreeMap<Label, u32>,
) -> Result<(EncodedBundle, Bundle), CodegenError> {
    let mut b = Bundle::new();
    for op in &line.ops {
        let insn = match op.label {
            Some(l) => {
                let Some(pc) = at.get(&l) else {
                    return Err(CodegenError::Label { name: asm.labels[l.0 as usize].to_string(), placed: 0 });
                };
                with_address(&op.info.insn, *pc).map_err(|source| CodegenError::Isa {
                    text: op.info.insn.to_string(),
                    op: op.op,
                    source,
                })?
            }
            None => op.info.insn,
        };
        b.insert(insn).map_err(|source| CodegenError::Isa { text: insn.to_string(), op: op.op, source })?;
    }
    let encoded = b.encode_at_least(size).map_err(|source| CodegenError::Isa { text: b.to_string(), op: 0, source })?;
    Ok((encoded, b))
}

/// The instruction with its address immediate filled in.
fn with_address(insn: &Insn, pc: u32) -> Result<Insn, aie2_isa::IsaError> {
    let wide = |kind: &OperandKind| matches!(kind, OperandKind::Imm(imm) if imm.bits >= 20);
    let defs = insn.row().operands.iter().filter(|d| d.is_given());
    let given: Vec<Value> =
        defs.zip(insn.given()).map(|(d, v)| if wide(&d.kind) { Value::Imm(i64::from(pc)) } else { v }).collect();
    Insn::new(insn.op(), &given)
}

fn note(line: &OutLine) -> BundleNote {
    let ops = line.ops.iter().map(|op| OpNote {
        slot: op.info.slot,
        op: op.op,
        seq: op.seq,
        iteration: op.iteration,
        sources: op.sources.clone(),
        mem: op.info.mem,
        guards: (*op.info.guards).clone(),
    });
    BundleNote { marks: line.marks.clone(), ops: ops.collect() }
}

/// Results of multi-cycle operations, noted at the bundle in which they can first be read at issue, along straight execution.
fn lands(lines: &[OutLine], out: &mut [Line]) {
    for (k, line) in lines.iter().enumerate() {
        for op in &line.ops {
            for a in op.info.insn.timing().defs().iter().filter(|d| d.cycle > 1 && d.reg.atoms()[0].file() != File::Sr)
            {
                if let Some(target) = out.get_mut(k + usize::from(a.cycle)) {
                    target.lands.push(a.reg.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_bound_again_has_a_number() {
        let labels = [("a", 0), ("b", 16), ("a", 32), ("a", 48)].map(|(name, pc)| (name.to_owned(), pc));
        let named = symbols(labels.into_iter());
        assert_eq!(
            Vec::from_iter(named),
            [("a", 0), ("a.2", 32), ("a.3", 48), ("b", 16)].map(|(n, pc)| (n.to_owned(), pc))
        );
    }
}
