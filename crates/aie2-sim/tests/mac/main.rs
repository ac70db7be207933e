//! The multiply-accumulate family against its definition, number by number.
//!
//! The definitions here are written from the documents (configuration word, shapes, layouts, the aligned sum of the bf16 unit)
//! with wide integers and share no code with the model. Programs run from assembled bytes.

mod accumulators;
mod bf16;
mod integer;
mod refusals;
#[path = "../silicon/rig.rs"]
mod rig;

use rig::{Failure, Memory, core, reg, run};

/// Presets registers, runs one instruction and returns the bytes of `result` after it has landed.
fn execute(text: &str, presets: &[(&str, &[u8])], result: &str) -> Result<Vec<u8>, Failure> {
    let mut machine = core();
    for (name, bytes) in presets {
        machine.set_register(reg(name), bytes);
    }
    run(&mut machine, &mut Memory::new(), &format!("{text}\n{}", "nop\n".repeat(8)))?;
    Ok(machine.register(reg(result)).expect("the instruction wrote its result"))
}

/// A fixed sequence of pseudo-random numbers.
// SOURCE: D. Knuth, The Art of Computer Programming, vol. 2, 3.3.4 (multiplier and increment of MMIX).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }

    /// Bytes of one kind: random, or the extremes at which products and sums are largest.
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let kind = self.below(6);
        (0..n)
            .map(|i| match kind {
                0 => 0x80,
                1 => 0x7f,
                2 => 0xff,
                // The most negative number of 16, of 32 bits.
                3 => [0, 0x80][i % 2],
                4 => [0, 0, 0, 0x80][i % 4],
                _ => self.next() as u8,
            })
            .collect()
    }
}

/// Word with the given fields.
// SOURCE: core.md 7.2; Xilinx/llvm-aie aiev2_vmult.h.
const fn word(amode: u32, bmode: u32, variant: u32) -> u32 {
    amode << 1 | bmode << 3 | variant << 5
}

const ZERO_ACC: u32 = 1;
const SIGNED_S2: u32 = 1 << 8;
const SIGNED_S1: u32 = 1 << 9;
const SHIFT16: u32 = 1 << 10;
const SUB0: u32 = 1 << 11;
const SUB1: u32 = 1 << 12;
const SUB2: u32 = 1 << 13;
