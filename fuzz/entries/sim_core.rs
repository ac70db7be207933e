//! A core in the array: any program memory runs for a few thousand bundles and ends in `done`, at the cycle limit or in a typed
//! fault that has a text.
//!
//! The first byte says how the rest is read (bit 0: as program memory, or as instructions drawn from the rows of the instruction
//! set), whether registers are set before it runs (bit 1), and whether reads before writeback are declared (bit 2).

use aie2_isa::{Bundle, Insn, OpId, OperandDef, OperandKind, Value};
use aie2_sim::core::EarlyReads;
use aie2_sim::{Config, Fault, Machine, RunReport};
use npu_container::address::addr;
use npu_container::cdo::Command;
use npu_container::pdi;
use npu_container::txn::{self, Header, Op};
use std::sync::LazyLock;

/// The core's tile: it has a neighbour on every side.
const COL: u8 = 1;
const ROW: u8 = 3;
const PROGRAM_BYTES: usize = 0x4000;
/// Data memory written before the run in the tile, and a quarter of it in its neighbours.
const DATA_WORDS: u32 = 1024;
const CORE_CONTROL: u32 = 0x3_2000;
const CORE_STATUS: u32 = 0x3_2004;
const DONE: u32 = 1 << 20;

fn encode(line: &str) -> Vec<u8> {
    let bundle = Bundle::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    bundle.encode_at_least(16).unwrap_or_else(|error| panic!("{line}: {error}")).as_bytes().to_vec()
}

/// Gives every register a value: scalar, pointer, modifier, shift, status and configuration registers, vectors and masks; the
/// accumulators are cleared.
static PROLOGUE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let set = |assignment: &str| format!("movxm {assignment}");
    let mut lines: Vec<String> = Vec::new();
    lines.extend((0..32).map(|n| format!("movxm r{n}, #{}", n * 3 + 1)));
    lines.extend((0..8).map(|n| format!("movxm p{n}, #{:#x}", 0x7_0400 + 64 * n)));
    for file in ["m", "dn", "dj", "dc"] {
        lines.extend((0..8).map(|n| format!("movxm {file}{n}, #{}", 32 * (n % 3))));
    }
    lines.extend((0..4).map(|n| format!("movxm s{n}, #{}", 3 * n)));
    lines.extend(["sp, #0x70800", "lr, #0x10", "srCarry, #1", "crRnd, #12", "crSat, #1", "crFPMask, #0"].map(set));
    lines.extend(["Vadd", "Unpack", "UPS", "SRS", "Pack"].map(|unit| format!("movxm cr{unit}Sign, #1")));
    lines.extend(["crSCDEn, #1", "crMCDEn, #1", "crF2FMask, #0", "crF2IMask, #0"].map(set));
    lines.extend(std::iter::repeat_n("nop".to_owned(), 8));
    lines.extend((0..12).map(|n| format!("vbcst.8 x{n}, r{n}")));
    lines.extend((0..9).map(|n| format!("vclr cm{n}")));
    lines.extend(std::iter::repeat_n("nop".to_owned(), 8));
    lines.extend((0..4).map(|n| format!("vmov q{n}, wl{n}")));
    lines.extend(std::iter::repeat_n("nop".to_owned(), 8));
    lines.iter().flat_map(|line| encode(line)).collect()
});

/// The operand that `seed` chooses of those the row allows.
fn operand(def: &OperandDef, seed: u8) -> Value {
    match def.kind {
        OperandKind::Class(class) => Value::Reg(class.regs()[usize::from(seed) % class.regs().len()].0),
        OperandKind::Imm(imm) => {
            let steps = (imm.max() - imm.min()) / i64::from(imm.scale);
            // Small numbers of either sign, and the ends.
            let step = match seed {
                0 => 0,
                255 => steps,
                _ => ((steps + 1) / 2 + i64::from(seed as i8)).clamp(0, steps),
            };
            Value::Imm(imm.min() + step * i64::from(imm.scale))
        }
        OperandKind::Fixed(_) | OperandKind::Implied => unreachable!("not given"),
    }
}

/// Bundles of drawn instructions: op, operands, and a byte that joins the next one to the bundle or spaces them apart.
fn drawn(mut bytes: &[u8]) -> Vec<u8> {
    let mut draw = || {
        let (&first, rest) = bytes.split_first()?;
        bytes = rest;
        Some(first)
    };
    let mut out = Vec::new();
    let mut bundle = Bundle::new();
    while let (Some(low), Some(high)) = (draw(), draw()) {
        let number = usize::from(u16::from_le_bytes([low, high])) % OpId::count();
        let Some(op) = OpId::all().nth(number) else { break };
        let given: Vec<Value> = op.row().given().map(|def| operand(def, draw().unwrap_or(0))).collect();
        let insn = Insn::new(op, &given).unwrap_or_else(|error| panic!("{}: {error}", op.row().name));
        if !bundle.is_free(insn.slot()) {
            out.extend_from_slice(bundle.encode().as_bytes());
            bundle = Bundle::new();
        }
        bundle.insert(insn).unwrap_or_else(|error| panic!("{insn}: {error}"));
        let apart = draw().unwrap_or(8);
        if apart & 0x80 == 0 {
            out.extend_from_slice(bundle.encode().as_bytes());
            bundle = Bundle::new();
            let nops = usize::from(apart & 7);
            out.extend((0..nops).flat_map(|_| Bundle::new().encode().as_bytes().to_vec()));
        }
    }
    out.extend_from_slice(bundle.encode().as_bytes());
    // The shortest bundle is half a word; what follows begins at a word.
    if !out.len().is_multiple_of(4) {
        out.extend_from_slice(Bundle::new().encode().as_bytes());
    }
    out.extend(encode("done"));
    out.extend((0..6).flat_map(|_| encode("nop")));
    out
}

fn program(form: u8, rest: &[u8]) -> Vec<u32> {
    let body = if form & 1 == 0 { rest.to_vec() } else { drawn(rest) };
    let mut program = if form & 2 == 0 { Vec::new() } else { PROLOGUE.clone() };
    program.extend_from_slice(&body);
    program.truncate(PROGRAM_BYTES);
    program.as_chunks::<4>().0.iter().map(|raw| u32::from_le_bytes(*raw)).collect()
}

fn image(program: Vec<u32>) -> Vec<u8> {
    let mut commands = vec![Command::Write { addr: addr(COL, ROW, CORE_CONTROL), value: 2 }];
    for (col, row) in [(COL, ROW), (COL, ROW - 1), (COL, ROW + 1), (COL - 1, ROW)] {
        let words = if (col, row) == (COL, ROW) { DATA_WORDS } else { DATA_WORDS / 4 };
        let data = (0..words).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        commands.push(Command::DmaWrite { addr: addr(col, row, 0), data });
    }
    commands.push(Command::DmaWrite { addr: addr(COL, ROW, 0x2_0000), data: program });
    commands.push(Command::Write { addr: addr(COL, ROW, CORE_CONTROL), value: 0 });
    commands.push(Command::Write { addr: addr(COL, ROW, CORE_CONTROL), value: 1 });
    pdi::write(&commands)
}

/// Runs the program of an input.
pub fn run(bytes: &[u8]) -> Result<RunReport, Fault> {
    let (form, rest) = bytes.split_first().map_or((0, bytes), |(&form, rest)| (form, rest));
    let mut machine = Machine::new(Config { cycle_limit: 4_000, stall_limit: 2_000, ..Config::default() });
    machine.load_pdi(&image(program(form, rest))).unwrap_or_else(|fault| panic!("the image is refused: {fault}"));
    if form & 4 != 0 {
        machine.core_mut(COL, ROW)?.set_early_reads(EarlyReads::Anywhere);
    }
    let wait = Op::MaskPoll { addr: addr(COL, ROW, CORE_STATUS), value: DONE, mask: DONE };
    machine.run(&txn::write(&Header::npu1(4), &[wait]), &[])
}

pub fn check(bytes: &[u8]) {
    match run(bytes) {
        Ok(report) => assert_eq!(report.cores.len(), 1),
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
