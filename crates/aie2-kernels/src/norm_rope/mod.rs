//! `norm_rope`: q and k of new tokens, normed head by head and turned to their positions; k and v into the cache. Spec, bit for bit:
//! `oracle::norm_rope`. Design: `docs/norm-rope.md`.
//!
//! ```text
//! q[s][h]    = rot(norm(qkv[s][h]) · log₂ e / √168)           row-major
//! cache K, V = rot(norm(k)), v                                layout of docs/kv-cache.md
//! ```
//!
//! | loop | II | for | bound |
//! |---|---|---|---|
//! | `capture` | 28 | squares of a head, copied | its length: one stage |
//! | `rsqrt` | 102 | 8 heads | dependence chain |
//! | `turn` | 76 | half a head | its length: one stage; ports of the vector registers 36, registers shared by two blocks 52 |
//!
//! Iterations do not overlap: a round of 8 KiB arrives in 2150 cycles whatever the cores do, and a second stage of `turn` costs 400 bytes of program.
//! Loops of fewer than 112 bytes (weights, sums of lanes, values) count in a register, because a hardware loop would have to be padded.

mod array;
mod geometry;
mod program;
mod stream;

use aie2_array::Runtime;
use aie2_codegen::{Asm, Program};
use npu_container::{pdi, txn};

use crate::grid::{GRID, Locks, cores, usage};
use crate::{Compiled, CoreBinary, KernelError};

pub use array::L1_ALONE;
pub use geometry::{GEOMETRY_BYTES, geometry};
pub use program::{A_UNIT_BYTES, CALL_WORDS, L1, Phase, Pointers, WORK_BYTES};
pub use stream::{Buffers, CacheRun, Call, Place, Refusal};

/// Name of the kernel.
pub const NAME: &str = "norm_rope";

/// Compiled calls, one after the other: configuration, stream, program of every core. Their operands are the caller's.
///
/// # Errors
/// A missed II, an exhausted resource or a failed check, with its place.
pub fn compile(calls: &[Call]) -> Result<Compiled, KernelError> {
    let array = array::array(L1_ALONE)?;
    let program = program(array.locks())?;
    let configuration = array.finish(&program.bytes)?;
    let mut rt = Runtime::new(GRID)?;
    for call in calls {
        call.append(&mut rt, &L1_ALONE)?;
    }
    let stream = rt.finish()?;
    let binary = CoreBinary::from(&program);
    Ok(Compiled {
        kernel: NAME,
        columns: GRID,
        pdi: pdi::write(&configuration.commands),
        txn: txn::write(&txn::Header::npu1(GRID), &stream.ops),
        cores: cores().map(|tile| (tile, binary.clone())).collect(),
        operands: Vec::new(),
        usage: usage(&configuration),
    })
}

/// The program of every core when the kernel has the array to itself.
fn program(locks: Locks) -> Result<Program, KernelError> {
    let mut a = Asm::new();
    let l1 = L1_ALONE;
    let pointers = Pointers { a: a.r(), b: a.r(), out: a.r() };
    for (p, at) in [(pointers.a, l1.a), (pointers.b, l1.b), (pointers.out, l1.out)] {
        a.imm(p, i64::from(at));
    }
    a.forever(|a| Phase { l1, locks, pointers }.emit(a));
    Ok(a.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_leaves_room_for_other_phases() {
        let locks = array::array(L1_ALONE).expect("the array is legal").locks();
        let program = program(locks).unwrap_or_else(|error| panic!("{error}"));
        println!("{} bytes, {} bundles", program.bytes.len(), program.lines.len());
        assert!(program.bytes.len() <= 2400, "{} bytes", program.bytes.len());
        let loops: Vec<_> = program.loops.iter().map(|l| (l.name.as_str(), l.ii_declared, l.ii_reached)).collect();
        assert_eq!(
            loops,
            [("capture", Some(28), 28), ("rsqrt", Some(102), 102), ("turn", Some(76), 76)],
            "what the module's table says"
        );
    }
}
