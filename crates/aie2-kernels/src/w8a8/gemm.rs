//! C[8·16][16] += A[8·16][64] · B[64][16]   int8 × int8 → int32, the inner loop of the projection.
//!
//! One body is two blocks, X and Y, of 2 × 2 tiles `4x8x8` each, over 8 steps of k: 64 `vmac` in 64 bundles, so II = 64 and the vector slot
//! never idles. Accumulators live in memory (the whole output of a core is 32 KiB), so a block also loads and stores its 4 tiles of C:
//!
//! ```text
//! per body   vec 64 vmac | lda 32 A + 32 C | ldb 52 B | st 32 C        (vec and lda are full: ResMII = 64)
//! cycle t    even: lda A, ldb B, st C      odd: lda C, ldb B           (C is never loaded and stored in one bundle: one bank)
//! X computes in t = 9..41 while Y's tiles are exchanged, Y in 41..73 while X's are.
//! ```
//!
//! Y starts with the tiles of B that X used last, so 12 of 64 cycles leave the bank of B to the DMA that fills its other buffer; without them every
//! line of the DMA would stall the core.
//!
//! An accumulator is exchanged without a bubble: its quarter is stored from 5 cycles after the last `vmac`, and the next tile's quarter, loaded
//! 5 cycles before that store, lands 2 cycles after it. The loop therefore reads registers whose next value is already in flight, on purpose.
//!
//! The loop never drains inside a pass. Between the chunks of k it switches buffers in copies of the body that carry the lock operations in
//! slots the body leaves free: [`Copy::Last`] acquires the next chunk and turns the pointers, [`Copy::Resumed`] releases the previous one.
//!
//! Registers: x0, x1 A tile 0; x2 A tile 1; x3 .. x10 B; cm0..3 X; cm4..7 Y; p0 A; p1 B; p2 C to load; p3 C to store.

use aie2_codegen::{CodegenError, Guards, Label, MemRef, Operand, Piece, RawInsn, Stage, Timed, Variant};

use super::l1::space;

/// Name in reports.
pub const NAME: &str = "gemm";
/// Bundles in one body: the declared initiation interval.
pub const II: u32 = 64;
/// `vmac` in one body.
pub const VMAC_PER_II: u32 = 64;
/// Bytes of A, B and C that one body consumes.
pub const BODY_BYTES: u32 = 1024;
/// Step of A from the last tile of a body to the first of the next.
pub const A_STEP_BYTES: i64 = 512 - 288;
/// Step of B from the last tile of a body back to the first of its column pair.
pub const B_BACK_BYTES: i64 = -608;
/// Step of B from the last tile of X back to the first of its column pair.
pub const B_BACK_X_BYTES: i64 = 32 - 1024;
/// Steps of k (of 8) in one block.
const STEPS: u32 = 8;
/// Y begins with the steps of k from here on, whose tiles of B the registers still hold from X.
const K_REUSED: u32 = 5;

/// When the halves of a tile of B are loaded, and where to.
#[derive(Clone, Copy)]
struct BTile {
    low: i32,
    high: i32,
    x: u32,
}

/// Loads of B, spread so that every fifth or sixth cycle leaves their bank to the DMA. X: k = 0..8, Y: k = 0..5, two tiles each. A tile lands
/// before its first use and after the last use of what its register held; the checker proves both.
const B_TILES: [[BTile; 2]; 13] = {
    const fn tile(low: i32, high: i32, x: u32) -> BTile {
        BTile { low, high, x }
    }
    [
        [tile(-6, -4, 3), tile(-3, -2, 4)],
        [tile(-1, 0, 5), tile(2, 3, 6)],
        [tile(4, 5, 3), tile(7, 8, 4)],
        [tile(9, 10, 5), tile(12, 13, 3)],
        [tile(14, 15, 4), tile(16, 18, 5)],
        [tile(19, 20, 3), tile(21, 23, 4)],
        [tile(24, 25, 5), tile(26, 28, 6)],
        [tile(29, 30, 7), tile(31, 32, 8)],
        [tile(34, 35, 9), tile(36, 37, 3)],
        [tile(39, 40, 4), tile(41, 42, 5)],
        [tile(44, 45, 6), tile(46, 47, 7)],
        [tile(48, 50, 8), tile(51, 52, 9)],
        [tile(53, 55, 10), tile(56, 57, 6)],
    ]
};

/// The tile of B for a block's step of k and column tile s.
const fn b_tile(block: u32, k: u32, s: usize) -> BTile {
    let row = if block == 1 && k < K_REUSED { STEPS + k } else { k };
    B_TILES[row as usize][s]
}

/// The k of a block's step: X ascends, Y begins where the registers are full.
const fn k_of(block: u32, step: u32) -> u32 {
    if block == 0 { step } else { (step + K_REUSED) % STEPS }
}

/// Registers that hold zeros when the loop is entered: tiles of A and B, accumulators.
pub const TILES: [&str; 11] = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10"];
/// Accumulators.
pub const ACCUMULATORS: [&str; 8] = ["cm0", "cm1", "cm2", "cm3", "cm4", "cm5", "cm6", "cm7"];
/// Registers that hold nothing when the loop is entered and nothing of use when it is left.
pub const OWN_REGISTERS: [&str; 5] = ["r4", "r7", "r10", "m2", "m3"];

/// Scalar registers the loop relies on; the program sets them before the first body.
pub mod regs {
    /// `vmac` configuration: int8 × int8, 4x8x8, both signed.
    pub const CONFIG: &str = "r0";
    /// -1: acquire one.
    pub const ACQUIRE_ONE: &str = "r1";
    /// +1: release one.
    pub const RELEASE_ONE: &str = "r2";
    /// Step of A after a body.
    pub const A_STEP: &str = "r6";
    /// Step of B to the next column pair.
    pub const B_STEP: &str = "r3";
    /// Step of A after the last body of a column pair: back to the start of the chunk.
    pub const A_REWIND: &str = "r5";
    /// Step of B after a body: back to the start of the column pair.
    pub const B_REWIND: &str = "r8";
    /// Bodies per column pair.
    pub const BODIES: &str = "r9";
    /// Start of C.
    pub const C_START: &str = "r14";
    /// Step of A from the end of this chunk to the start of the next; alternates.
    pub const A_SWITCH: &str = "r11";
    /// Sum of the two values [`A_SWITCH`] alternates between.
    pub const A_SWITCH_SUM: &str = "r12";
    /// Step of B from the end of this unit to the start of the next; alternates.
    pub const B_SWITCH: &str = "r13";
    /// Sum of the two values [`B_SWITCH`] alternates between.
    pub const B_SWITCH_SUM: &str = "r15";
    /// Trips of the steady copy within a chunk.
    pub const STEADY_TRIPS: &str = "r18";
    /// Chunks left after this one.
    pub const CHUNKS_LEFT: &str = "r19";
}

/// Locks of the buffers that a chunk of A and a unit of B arrive in, as the core numbers them.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLocks {
    /// Full buffers of A.
    pub a_full: u8,
    /// Empty buffers of A.
    pub a_empty: u8,
    /// Full buffers of B.
    pub b_full: u8,
    /// Empty buffers of B.
    pub b_empty: u8,
}

/// The copies of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The zero-overhead loop. In the first body of a pass it ends one that never began, with zeros for tiles: they are added up and stored where
    /// zeros are.
    Steady,
    /// Last body of a chunk.
    Last,
    /// First body of a chunk other than the first.
    Resumed,
}

/// Quarter `index` of the four accumulators from `first`: `amll`, `amlh`, `amhl`, `amhh` of each in turn.
fn quarter(first: u32, index: u32) -> String {
    let name = ["amll", "amlh", "amhl", "amhh"][(index % 4) as usize];
    format!("{name}{}", first + index / 4)
}

/// A body has three stages: tiles of X prefetched; A, B, most of the multiplications; the last multiplications and the stores. It starts with the first load of X's tiles of C, this many bundles before its first load of A.
const LEAD: u32 = II;

/// The dataflow of one body, and a body that does nothing. Times are relative to its first load of A; negative ones overlap the body before.
fn body() -> Result<(Timed, Variant), CodegenError> {
    let mut body = Timed::new(NAME, II);
    body.primed_from(2);
    let mut all = Vec::new();
    let mut at = |time: i32, mem: Option<MemRef>, text: String| -> Result<(), CodegenError> {
        let raw = RawInsn::new(&text, &[])?;
        all.push(body.at((LEAD as i32 + time) as u32, mem.into_iter().fold(raw, RawInsn::mem))?);
        Ok(())
    };
    for block in 0..2u32 {
        let (first, offset, base) = (4 * block, 512 * block, 32 * block as i32);
        // C[r, s], 4x8 int32, 128 bytes each
        for i in 0..16 {
            let text = format!("vlda {}, [p2, #{}]", quarter(first, i), offset + 32 * i);
            at(base - 27 + 2 * i as i32, Some(space::C_LOAD), text)?;
        }
        for step in 0..STEPS {
            let (k, turn) = (k_of(block, step), block * STEPS + step);
            let (t, a0) = (4 * turn as i32, turn % 2);
            // A[r, k]: 4x8 codes, 32 bytes
            let next = match (block, k) {
                (0, 7) => format!("#{}", 32 + 64 * K_REUSED),
                (1, 7) => "#-480".to_owned(),
                (1, 4) => "m3".to_owned(),
                _ => "#32".to_owned(),
            };
            at(t, Some(space::A), format!("vlda wl{a0}, [p0], #32"))?;
            at(t + 2, Some(space::A), format!("vlda wl2, [p0], {next}"))?;
            // B[k, s]: 8x8 codes, 64 bytes, unless the registers still hold it
            if block == 0 || k < K_REUSED {
                for s in 0..2 {
                    let BTile { low, high, x } = b_tile(block, k, s);
                    let next = match (block, k, s) {
                        (0, 7, 1) => "m1",
                        (1, 4, 1) => "m2",
                        _ => "#32",
                    };
                    at(low, Some(space::B), format!("vldb wl{x}, [p1], #32"))?;
                    at(high, Some(space::B), format!("vldb wh{x}, [p1], {next}"))?;
                }
            }
            // C[r, s] += A[r, k] · B[k, s]
            let (b0, b1) = (b_tile(block, k, 0).x, b_tile(block, k, 1).x);
            for (i, (a, b)) in [(a0, b0), (2, b0), (a0, b1), (2, b1)].into_iter().enumerate() {
                let (acc, config) = (first + i as u32, regs::CONFIG);
                at(t + 9 + i as i32, None, format!("vmac cm{acc}, cm{acc}, x{a}, x{b}, {config}"))?;
            }
        }
        for i in 0..16 {
            let text = format!("vst {}, [p3, #{}]", quarter(first, i), offset + 32 * i);
            at(base + 42 + 2 * i as i32, Some(space::C_STORE), text)?;
        }
    }
    let nothing = body.variant(all.into_iter().map(|op| (op, None::<RawInsn>)));
    Ok((body, nothing))
}

/// Scalar operations of one copy: pointer steps, counters, and at a chunk's edge locks and branches.
fn bookkeeping(copy: Copy, locks: ChunkLocks, labels: Labels) -> Result<Vec<(usize, RawInsn)>, CodegenError> {
    use regs::*;
    let plain = |text: String| RawInsn::new(&text, &[]);
    // What these locks guard is the other buffer of the ring: its first load comes 8 bundles after the later acquire, its last one 16 bundles
    // before the earlier release. The loads beside a lock instruction belong to a buffer that is held.
    let lock = |text: String| Ok::<_, CodegenError>(plain(text)?.guards(Guards::Spaces(Vec::new())));
    let mut ops = vec![
        // r27 counts the bodies of a column pair; at its end A rewinds to the chunk and B moves on instead of rewinding.
        (10, plain("add r27, r27, #-1".into())?),
        (11, plain(format!("sel.eqz r4, {A_REWIND}, {A_STEP}, r27"))?),
        (12, plain(format!("sel.eqz r7, {B_STEP}, {B_REWIND}, r27"))?),
        (13, plain(format!("sel.eqz r27, {BODIES}, r27, r27"))?),
        (30, plain("mov r10, p2".into())?),
        (41, plain("mov p3, r10".into())?),
    ];
    match copy {
        Copy::Last => ops.extend([
            (14, plain(format!("mov m3, {A_SWITCH}"))?),
            (15, plain(format!("mov m2, {B_SWITCH}"))?),
            (16, plain(format!("sub {A_SWITCH}, {A_SWITCH_SUM}, {A_SWITCH}"))?),
            (17, plain(format!("sub {B_SWITCH}, {B_SWITCH_SUM}, {B_SWITCH}"))?),
            (35, plain(format!("mov p2, {C_START}"))?),
            (44, lock(format!("acq #{}, {ACQUIRE_ONE}", locks.a_full))?),
            (50, lock(format!("acq #{}, {ACQUIRE_ONE}", locks.b_full))?),
            // taken while chunks are left; the five bundles after it are its delay slots
            (58, RawInsn::new("jnz {}, {}", &[CHUNKS_LEFT.into(), Operand::Label(labels.resumed)])?),
        ]),
        Copy::Steady | Copy::Resumed => ops.extend([
            (14, plain("mov m3, r4".into())?),
            (15, plain("mov m2, r7".into())?),
            (35, plain(format!("padds [p2], #{BODY_BYTES}"))?),
        ]),
    }
    if copy == Copy::Resumed {
        ops.extend([
            (16, lock(format!("rel #{}, {RELEASE_ONE}", locks.a_empty))?),
            (20, plain(format!("mov lc, {STEADY_TRIPS}"))?),
            (22, lock(format!("rel #{}, {RELEASE_ONE}", locks.b_empty))?),
            (24, plain(format!("add {CHUNKS_LEFT}, {CHUNKS_LEFT}, #-1"))?),
            (58, RawInsn::new("j {}", &[Operand::Label(labels.steady)])?),
        ]);
    }
    Ok(ops)
}

/// Where the copies branch to.
#[derive(Clone, Copy, Debug)]
pub struct Labels {
    /// First bundle of the zero-overhead loop, [`Copy::Steady`].
    pub steady: Label,
    /// [`Copy::Resumed`].
    pub resumed: Label,
}

/// The code of the loop, all copies from one body.
pub struct Gemm {
    body: Timed,
    nothing: Variant,
    locks: ChunkLocks,
    labels: Labels,
}

impl Gemm {
    /// # Errors
    /// Only for a fault of this file: an instruction unknown, or two operations in one slot.
    pub fn new(locks: ChunkLocks, labels: Labels) -> Result<Self, CodegenError> {
        let (body, nothing) = body()?;
        Ok(Self { body, nothing, locks, labels })
    }

    /// The loads of C that precede the first body of a pass.
    pub fn fill(&self) -> Piece {
        self.body.window(&[Stage::On, Stage::Off, Stage::Off])
    }

    /// One copy of the body, [`II`] bundles.
    ///
    /// # Errors
    /// As [`Gemm::new`].
    pub fn copy(&self, copy: Copy) -> Result<Piece, CodegenError> {
        Ok(self.body.steady().with_extras(bookkeeping(copy, self.locks, self.labels)?))
    }

    /// What the last body of a pass leaves in flight: its final `vmac` and stores.
    ///
    /// That body has already begun the next one, by loading tiles of C; here it goes no further.
    pub fn drain(&self) -> Piece {
        self.body.window(&[Stage::Off, Stage::As(self.nothing), Stage::On])
    }
}
