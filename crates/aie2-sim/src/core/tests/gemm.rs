//! C = A·B, int8, 4 x 2 tiles of 4x8x8, the vector slot busy in every bundle.
//!
//! ```text
//! slot   0    1    2      3      4  5  6      7
//! lda    A2   A3                       A0     A1
//! ldb              B1.lo  B1.hi        B0.lo  B0.hi
//! vec    A0B0 A1B0 A2B0   A3B0   A0B1 ...
//! ```
//! Loads land seven bundles after they issue, so a register is read as old while its next value is on the way.

use super::{Bus, bytes, core, reg, run};
use crate::core::{Core, EarlyReads};
use crate::port::{OWN_WINDOW, Step};

const A: u32 = OWN_WINDOW;
const B: u32 = OWN_WINDOW + 0x4000;
const C: u32 = OWN_WINDOW + 0x8000;

/// One step of K: A as four tiles of 32 bytes, B as two of 64.
fn program(steps: u32, advance: bool) -> String {
    let (a, b) = if advance { (128, 128) } else { (0, 0) };
    let mut t = String::new();
    // A pointers p0..p3 per tile row, B pointers p4 (tile 0) and p5 (tile 1), output p6.
    for i in 0..4 {
        t += &format!("movxm p{i}, #{}\n", A + 32 * i);
    }
    t += &format!("movxm p4, #{B}\nmovxm p5, #{}\nmovxm p6, #{C}\n", B + 64);
    t += &format!("movxm r0, #{}\nmovxm m0, #{a}\nmovxm m1, #{}\nmovxm s0, #0\n", 0x308, b - 32i32.min(b));
    for i in 0..8 {
        t += &format!("vclr cm{i}\n");
    }
    let half = if advance { "#32" } else { "#0" };
    let next = if advance { "m1" } else { "m0" };
    let lda = |i: u32| format!("vlda wl{i}, [p{i}], m0");
    let ldb = |j: u32, h: u32| {
        let (w, step) = if h == 0 { ("wl", half) } else { ("wh", next) };
        format!("vldb {w}{}, [p{}], {step}", 4 + j, 4 + j)
    };
    for i in 0..4 {
        t += &format!("{}\n", lda(i));
    }
    for j in 0..2 {
        t += &format!("{}\n{}\n", ldb(j, 0), ldb(j, 1));
    }
    t += &format!("movxm lc, #{steps}\nmovxm ls, #LOOPSTART\nmovxm le, #LOOPEND\n");
    t += "nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\n";
    t += &format!("{}; {}\n{}; {}\n", lda(0), ldb(0, 0), lda(1), ldb(0, 1));
    t += "LOOP\n";
    for s in 0..8u32 {
        let vec = format!("vmac cm{s}, cm{s}, x{}, x{}, r0", s % 4, 4 + s / 4);
        let load = match s {
            0 => format!("; {}", lda(2)),
            1 => format!("; {}", lda(3)),
            2 => format!("; {}", ldb(1, 0)),
            3 => format!("; {}", ldb(1, 1)),
            6 => format!("; {}; {}", lda(0), ldb(0, 0)),
            7 => format!("; {}; {}", lda(1), ldb(0, 1)),
            _ => String::new(),
        };
        t += &format!("!{vec}{load}\n");
    }
    t += "nop\nnop\nnop\nnop\nnop\n";
    for i in 0..8 {
        for q in ["ll", "lh", "hl", "hh"] {
            t += &format!("vst am{q}{i}, [p6], #32\n");
        }
    }
    t
}

/// Puts the loop at a 16-byte boundary and fills in its addresses.
fn place(text: &str) -> String {
    let (head, body) = text.split_once("LOOP\n").expect("loop mark");
    let fill =
        |start: u32| head.replace("LOOPSTART", &start.to_string()).replace("LOOPEND", &(start + 7 * 16).to_string());
    let mut pad = String::new();
    loop {
        // The addresses do not change the length: movxm has one size.
        let n = bytes(&format!("{pad}{}", fill(0))).len();
        if n.is_multiple_of(16) {
            return format!("{pad}{}{body}", fill(n as u32));
        }
        pad.push_str("nop\n");
    }
}

fn prepare(steps: u32, advance: bool) -> (Core, Bus) {
    let mut core = core(&place(&program(steps, advance)));
    core.set_early_reads(EarlyReads::Anywhere);
    let mut bus = Bus::new();
    for (i, b) in bus.bytes.iter_mut().take(0x8000).enumerate() {
        *b = (i as u32).wrapping_mul(2_654_435_761).rotate_left(9) as u8;
    }
    (core, bus)
}

#[test]
fn matrix_product_of_a_software_pipelined_loop() {
    let steps = 96;
    let (mut core, mut bus) = prepare(steps, true);
    let before = bus.bytes.clone();
    run(&mut core, &mut bus).expect("no fault");
    let at = |base: u32, i: u32| before[(base - OWN_WINDOW + i) as usize] as i8 as i32;
    for (tile, row, col) in (0..8).flat_map(|t| (0..4).flat_map(move |r| (0..8).map(move |c| (t, r, c)))) {
        let (i, j) = (tile % 4, tile / 4);
        let want: i32 = (0..steps)
            .flat_map(|k| (0..8).map(move |x| (k, x)))
            .map(|(k, x)| at(A, 128 * k + 32 * i + 8 * row + x) * at(B, 128 * k + 64 * j + 8 * x + col))
            .sum();
        assert_eq!(bus.word(C + 128 * tile + 4 * (8 * row + col)) as i32, want, "tile {tile} row {row} column {col}");
    }
    assert_eq!(core.stats().vmacs, u64::from(8 * steps));
    assert_eq!(core.mac_stats().i8_i8, u64::from(8 * 256 * steps));
    assert_eq!(core.stats().bank_stalls, 0);
    assert!(core.register(reg("lc")).is_none());
}

#[test]
fn operands_in_one_bank_stall_the_core() {
    let (mut core, mut bus) = prepare(4, false);
    core.set_pc(0);
    let mut stalls = 0;
    // B moved into A's bank: every bundle with two loads loses a cycle.
    let text = place(&program(4, false)).replace(&format!("movxm p4, #{B}"), &format!("movxm p4, #{}", A + 0x1000));
    core.load_program(&bytes(&format!("{text}\ndone\nnop\nnop\nnop\nnop\nnop\nnop"))).expect("fits");
    loop {
        match core.step(&mut bus).expect("no fault") {
            Step::Issued { stall_cycles, .. } => stalls += u64::from(stall_cycles),
            Step::Halted => break,
            Step::Blocked(_) => unreachable!("no blocking instruction"),
        }
    }
    // Two bundles of every loop pass and the two before the loop.
    assert_eq!((stalls, core.stats().bank_stalls), (2 * 4 + 2, 2 * 4 + 2));
}
