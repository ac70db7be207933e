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
//! | `capture` | 28 | squares of a head, copied | dependence chain, one stage |
//! | `pairs` | 22 | sums of lanes of two heads | dependence chain, one stage |
//! | `rsqrt` | 102 | 8 heads | dependence chain |
//! | `turn` | 80 | half a head | one stage; vector slot 32 |
//! | `values` | 22 | 128 bytes of values | one stage |
//!
//! Loops are not overlapped with themselves: a round of 8 KiB leaves a column in 2048 cycles whatever the cores do, and code is dear.

mod array;
mod geometry;
mod program;
mod stream;

use aie2_codegen::{Asm, Program};
use npu_container::{pdi, txn};

use crate::w8a8::{GRID, Locks};
use crate::{Compiled, CoreBinary, KernelError};

pub use array::L1_ALONE;
pub use geometry::{GEOMETRY_BYTES, geometry};
pub use program::{L1, Phase, Pointers};
pub use stream::{Buffers, CacheRun, Call, Place, Refusal};

/// Name of the kernel.
pub const NAME: &str = "norm_rope";

/// A compiled call: configuration, stream, program of every core. Its operands are the caller's.
///
/// # Errors
/// A missed II, an exhausted resource or a failed check, with its place.
pub fn compile(call: &Call) -> Result<Compiled, KernelError> {
    let (design, locks) = array::design(L1_ALONE)?;
    let program = program(locks)?;
    let configuration = array::finish(design, &program.bytes)?;
    let stream = call.stream(&L1_ALONE)?;
    let binary = CoreBinary::from(&program);
    let tiles = (0..GRID).flat_map(|col| (0..GRID).map(move |row| (col, row + aie2_array::device::FIRST_CORE_ROW)));
    Ok(Compiled {
        kernel: NAME,
        columns: GRID,
        pdi: pdi::write(&configuration.commands),
        txn: txn::write(&txn::Header::npu1(GRID), &stream.ops),
        cores: tiles.map(|tile| (tile, binary.clone())).collect(),
        operands: Vec::new(),
        usage: crate::w8a8::usage(&configuration),
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
    fn the_program_is_small() {
        let (_, locks) = array::design(L1_ALONE).unwrap();
        let program = program(locks).unwrap_or_else(|error| panic!("{error}"));
        println!("{} bytes", program.bytes.len());
        for l in &program.loops {
            println!("{} declared {:?} reached {} res {} rec {} stages {}", l.name, l.ii_declared, l.ii_reached, l.res_mii, l.rec_mii, l.stages);
        }
        let mut by: std::collections::BTreeMap<String, (u32, u32)> = Default::default();
        for line in &program.lines { let e = by.entry(line.place.split(' ').next().unwrap_or("").to_string()).or_default(); e.0 += u32::from(line.bytes); e.1 += 1; }
        println!("{by:?}");
    }
}
