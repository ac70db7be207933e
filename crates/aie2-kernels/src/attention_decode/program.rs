//! The program of every compute tile: for ever { plan; queries; for each turn, for each half slot { own block or none }; quotients }.
//!
//! ```text
//! half slots of a turn     B 0  A 0  B 1  A 1  B 2  A 2  B 3  A 3       core (c, r) computes B r and A c, and releases the others unread
//! ```
//! A pass takes an even number of units of either ring and both of the out ring, so that the next one begins where this one began.

use aie2_codegen::{Asm, CodegenError, Guards, Operand, Program};

use super::block;
use super::coded;
use super::finish;
use super::l1::{self, A, B, KV, O_STORE, PLACE, PLAN, Q, Q_MEMORY, ROWS, Sizes};
use super::plan::{BYTES, LISTS};
use crate::attention::softmax::REFERENCE_OFFSET;
use crate::grid::Locks;
use crate::registers::{constant, set_modes, shuffle, splat32};
use npu_package::layout::KvFormat;

/// Declared initiation interval of two tiles of queries.
pub const QUERIES_II: u32 = 8;

/// Pattern of minus infinity: reference of a query that has seen no score, and score of a key that is not seen.
pub const START: i64 = 0xFF80_0000 - (1 << 32);

/// One of two streams: what its next half slot needs.
struct Side {
    full: Operand,
    empty: Operand,
    unit: Operand,
    list: Operand,
}

impl Side {
    fn new(a: &mut Asm, full: u8, empty: u8, unit: u32, list: usize) -> Self {
        let list = i64::from(PLAN) + 4 * list as i64;
        let [full, empty] = [full, empty].map(|lock| constant(a, i64::from(lock)));
        Self { full, empty, unit: constant(a, i64::from(unit)), list: constant(a, list) }
    }

    fn registers(&self) -> [Operand; 4] {
        [self.full, self.empty, self.unit, self.list]
    }
}

/// Compiles and checks the program.
///
/// # Errors
/// If a declared II is missed, registers or program memory run out, or the checker objects.
pub fn compile(locks: Locks, sizes: Sizes) -> Result<Program, CodegenError> {
    let mut a = Asm::new();
    set_modes(&mut a);
    let pass = a.label("pass");
    a.bind(pass);
    emit(&mut a, locks, sizes);
    a.jump(pass);
    a.finish()
}

fn acquire(a: &mut Asm, lock: u8, units: i64) {
    let value = constant(a, -units);
    a.acq(Guards::All, lock, value);
}

fn release(a: &mut Asm, lock: u8, units: i64) {
    let value = constant(a, units);
    a.rel(Guards::All, lock, value);
}

/// Emits one pass: from the plan to the outputs.
pub fn emit(a: &mut Asm, locks: Locks, sizes: Sizes) {
    plan(a, locks, sizes);
    queries(a, locks, sizes);
    clear(a);
    let (turns, p) = (a.r(), a.p());
    a.imm(p, i64::from(PLAN));
    a.mi(ROWS, "lda {}, [{}], #0", &[turns, p]);
    let now = Side::new(a, locks.b_full, locks.b_empty, B, LISTS[1]);
    let then = Side::new(a, locks.a_full, locks.a_empty, A, LISTS[0]);
    let on_a = constant(a, 0);
    let turn = a.label("turn");
    a.bind(turn);
    let half_slots = a.r();
    let p = a.p();
    a.imm(p, i64::from(PLACE));
    a.mi(ROWS, "lda {}, [{}], #0", &[half_slots, p]);
    let half_slot = a.label("half_slot");
    a.bind(half_slot);
    let acquire_one = constant(a, -1);
    a.lock(Guards::All, "acq {}, {}", &[now.full, acquire_one]);
    let (own, one) = (a.r(), constant(a, 1));
    a.i("and {}, {}, {}", &[own, half_slots, one]);
    // K of B makes room for what follows V before V is there
    let between = |a: &mut Asm| {
        a.if_z(on_a, |a| {
            release(a, locks.b_empty, 1);
            acquire(a, locks.b_full, 1);
        });
    };
    match sizes.cache {
        KvFormat::Bf16 => a.if_else(own, |a| block::emit(a, now.unit, now.list, turns, between), between),
        KvFormat::Int8 => a.if_else(own, |a| coded::emit(a, now.unit, now.list, turns, between), between),
    }
    let release_one = constant(a, 1);
    a.lock(Guards::All, "rel {}, {}", &[now.empty, release_one]);
    // the next unit of A is in the other half of its ring
    let flip = a.r();
    match sizes.cache {
        KvFormat::Bf16 => {
            let bit = constant(a, i64::from(sizes.a_unit().ilog2()));
            a.i("lshl {}, {}, {}", &[flip, on_a, bit]);
        }
        KvFormat::Int8 => {
            // their addresses differ in just these bits
            let bits = constant(a, i64::from(sizes.a_unit()));
            a.imm(flip, 0);
            a.i("sub {}, {}, {}", &[flip, flip, on_a]);
            a.i("and {}, {}, {}", &[flip, flip, bits]);
        }
    }
    a.i("xor {}, {}, {}", &[now.unit, now.unit, flip]);
    for (x, y) in now.registers().into_iter().zip(then.registers()) {
        let t = a.r();
        a.mov(t, x);
        a.mov(x, y);
        a.mov(y, t);
    }
    let one = constant(a, 1);
    a.i("xor {}, {}, {}", &[on_a, on_a, one]);
    let down = constant(a, -1);
    a.i("lshl {}, {}, {}", &[half_slots, half_slots, down]);
    let more = a.r();
    a.i("ne {}, {}, {}", &[more, half_slots, one]);
    a.jnz(more, half_slot);
    a.add(turns, turns, Operand::Imm(-1));
    a.jnz(turns, turn);
    acquire(a, locks.out_empty, 2);
    finish::emit(a);
    release(a, locks.out_full, 2);
}

/// Keeps the first unit of a slot of B.
fn plan(a: &mut Asm, locks: Locks, sizes: Sizes) {
    acquire(a, locks.b_full, 1);
    let (from, to, w) = (a.p(), a.p(), a.w());
    a.imm(from, i64::from(B));
    a.imm(to, i64::from(PLAN));
    a.pipelined("plan", 8, BYTES as u32 / 32, |a| {
        a.vlda(KV, w, from, 32);
        a.vst(ROWS, w, to, 32);
    });
    release(a, locks.b_empty, 1);
    a.loop_n("plan_units", sizes.b_slot() / sizes.b_unit() - 1, |a| {
        acquire(a, locks.b_full, 1);
        release(a, locks.b_empty, 1);
    });
}

/// Unit r of four on A holds `[4 positions][4 columns][2 heads][128]` of the KV heads of row r; with an INT8 cache unit c holds `[4 positions]` of
/// `[2 heads][128]` of the head of column c and row r, each in a record.
fn queries(a: &mut Asm, locks: Locks, sizes: Sizes) {
    let (place, left, column, unit) = (a.p(), a.r(), a.r(), constant(a, i64::from(A)));
    a.imm(place, i64::from(PLACE));
    a.mi(ROWS, "lda {}, [{}, #4]", &[left, place]);
    a.mi(ROWS, "lda {}, [{}, #8]", &[column, place]);
    a.loop_n("query_units", 4, |a| {
        acquire(a, locks.a_full, 1);
        a.if_z(left, |a| {
            let [lo, hi] = shuffle::T128_4X2.map(|mode| constant(a, mode));
            let (transpose, step, at) =
                (constant(a, shuffle::T16_4X8), constant(a, i64::from(sizes.query_step())), a.r());
            a.add(at, unit, column);
            let rows: [Operand; 4] = std::array::from_fn(|_| a.p());
            for p in rows {
                a.mov(p, at);
                a.add(at, at, step);
            }
            let to = a.p();
            a.imm(to, i64::from(Q));
            a.pipelined("queries", QUERIES_II, 16, |a| {
                let pairs = [a.x(), a.x()];
                for (s, p) in rows.into_iter().enumerate() {
                    let half = if s % 2 == 0 { pairs[s / 2].lo() } else { pairs[s / 2].hi() };
                    a.vlda(KV, half, p, 32);
                }
                for mode in [lo, hi] {
                    let tile = a.x();
                    a.i("vshuffle {}, {}, {}, {}", &[tile, pairs[0], pairs[1], mode]);
                    a.i("vshuffle {}, {}, {}, {}", &[tile, tile, tile, transpose]);
                    a.vst(Q_MEMORY, tile.lo(), to, 32);
                    a.vst(Q_MEMORY, tile.hi(), to, 32);
                }
            });
        });
        release(a, locks.a_empty, 1);
        a.add(left, left, Operand::Imm(-1));
        let flip = constant(a, i64::from(sizes.a_unit()));
        a.i("xor {}, {}, {}", &[unit, unit, flip]);
    });
}

/// No key seen, no sum, no output.
fn clear(a: &mut Asm) {
    let (zero, start) = (splat32(a, 0), splat32(a, START + i64::from(REFERENCE_OFFSET)));
    let p = a.p();
    a.imm(p, i64::from(l1::R));
    for _ in 0..4 {
        a.vst(ROWS, start.lo(), p, 32);
    }
    a.imm(p, i64::from(l1::O));
    a.pipelined("clear", 1, (2 * l1::O_HEAD_BYTES + 128) / 32, |a| a.vst(O_STORE, zero.lo(), p, 32));
}
