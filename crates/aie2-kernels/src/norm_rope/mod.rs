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
mod codes;
mod geometry;
mod kv8;
mod program;
mod stream;

use aie2_array::Runtime;
use aie2_codegen::{Asm, Program};
use npu_package::layout::KvFormat;

use crate::grid::{GRID, Locks, on_every_core};
use crate::{Compiled, CoreBinary, KernelError};

pub use crate::Place;
pub use array::{L1_ALONE, L1_KV8_ALONE};
pub use geometry::{GEOMETRY_BYTES, GEOMETRY_KV8_BYTES, geometry, geometry_kv8};
pub use kv8::SCRATCH_BYTES;
pub use program::{A_UNIT_BYTES, CALL_WORDS, L1, Phase, Pointers, WORK_BYTES};
pub use stream::{Buffers, CacheRun, Call, Refusal};

/// Name of the kernel.
pub const NAME: &str = "norm_rope";
/// Name of the kernel that writes INT8 caches.
pub const NAME_KV8: &str = "norm_rope_kv8";

/// Compiled calls, one after the other: configuration, stream, program of every core. Their operands are the caller's.
///
/// # Errors
/// Calls with caches of both formats, a missed II, an exhausted resource or a failed check, with its place.
pub fn compile(calls: &[Call]) -> Result<Compiled, KernelError> {
    let cache = calls.first().map_or(KvFormat::Bf16, Call::cache);
    if let Some(other) = calls.iter().map(Call::cache).find(|other| *other != cache) {
        let (what, needed, found) = ("bytes of a cache element", cache.element_bytes(), other.element_bytes());
        return Err(KernelError::Refused { kernel: NAME, what, needed, found });
    }
    let (kernel, l1) = match cache {
        KvFormat::Bf16 => (NAME, L1_ALONE),
        KvFormat::Int8 => (NAME_KV8, L1_KV8_ALONE),
    };
    let array = array::array(l1, cache)?;
    let program = program(array.locks(), l1, cache)?;
    let configuration = array.finish(&program.bytes)?;
    let mut rt = Runtime::new(GRID)?;
    for call in calls {
        call.append(&mut rt, &l1)?;
    }
    let stream = rt.finish()?;
    let cores = on_every_core(&CoreBinary::from(&program));
    Ok(Compiled::new(kernel, cores, configuration, &stream, Vec::new()))
}

/// The program of every core when the kernel has the array to itself.
fn program(locks: Locks, l1: L1, cache: KvFormat) -> Result<Program, KernelError> {
    let mut a = Asm::new();
    let pointers = Pointers { a: a.r(), b: a.r(), out: a.r() };
    for (p, at) in [(pointers.a, l1.a), (pointers.b, l1.b), (pointers.out, l1.out)] {
        a.imm(p, i64::from(at));
    }
    let phase = Phase { l1, locks, pointers };
    a.forever(|a| match cache {
        KvFormat::Bf16 => phase.emit(a),
        KvFormat::Int8 => phase.emit_kv8(a),
    });
    Ok(a.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_leaves_room_for_other_phases() {
        let locks = array::array(L1_ALONE, KvFormat::Bf16).expect("the array is legal").locks();
        let program = program(locks, L1_ALONE, KvFormat::Bf16).unwrap_or_else(|error| panic!("{error}"));
        println!("{} bytes, {} bundles", program.bytes.len(), program.lines.len());
        assert!(program.bytes.len() <= 2400, "{} bytes", program.bytes.len());
        let loops: Vec<_> = program.loops.iter().map(|l| (l.name.as_str(), l.ii_declared, l.ii_reached)).collect();
        assert_eq!(
            loops,
            [("capture", Some(28), 28), ("rsqrt", Some(102), 102), ("turn", Some(76), 76)],
            "what the module's table says"
        );
    }

    #[test]
    fn the_program_that_makes_codes_leaves_room_for_other_phases() {
        let locks = array::array(L1_KV8_ALONE, KvFormat::Int8).expect("the array is legal").locks();
        let program = program(locks, L1_KV8_ALONE, KvFormat::Int8).unwrap_or_else(|error| panic!("{error}"));
        println!("{} bytes, {} bundles", program.bytes.len(), program.lines.len());
        let loops: Vec<_> = program.loops.iter().map(|l| (l.name.as_str(), l.ii_declared, l.ii_reached)).collect();
        println!("{loops:?}");
        assert!(program.bytes.len() <= 3600, "{} bytes", program.bytes.len());
    }
}
