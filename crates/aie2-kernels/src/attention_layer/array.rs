//! The array side: circuits and result rings of [`crate::w8a16`]; A and B of the mem tiles are queued by the runtime stream.
//!
//! ```text
//! phase        A, mem tile                               B, mem tile
//! projection   2 × 32 KiB, limbs apart, 4 chunks tiled   5 × 8 KiB
//! norm_rope    2 × 8 KiB                                 as in front
//! attention    4 × 8 KiB, records to key groups          5 × 8 KiB, records to d groups
//! ```
//! A and B share the even channels' 24 BDs with one channel of results: 10 + 10 + 3.
//!
//! Memory of a core, beside the rings:
//!
//! ```text
//! 0x7000  token scales  2 KiB      projection
//! 0x7800  reciprocals   1 KiB      always
//! 0x7C00  absmax        32         projection
//! 0x7C20  phases        96         always
//! 0x7C80  geometry      128        always
//! 0x7D00  call, words   32, 32     of the dispatch
//! 0x7E00  parameters    512        of the core, of the dispatch: attention
//!                                  from 0x7800 on at 0xE000 during attention, which has S here
//! 0x8000  accumulators  32 KiB     projection;   work 4 KiB   norm_rope;   O, Q, S, P, r, l, factors   attention
//! ```

use aie2_array::{Configuration, Design, Error, Mm2s, Pattern, Place, QueuedRing, RingId, RingPhase, S2mm, Tile};

use crate::attention::scaled::l1 as attention;
use crate::grid::{self, CORE_BASE, Channels, Locks, OUT_UNIT_BYTES, reserve, tile_offset};
use crate::norm_rope::{self, GEOMETRY_BYTES, geometry};
use crate::w8a8::array as projection;
use crate::w8a8::l1::{B_UNIT_BYTES, L1};
use crate::w8a8::phase::{ENTRY_BYTES, Phase};

/// Memory of the projections: 64 tokens of two limbs a core.
pub const PROJECTION: L1 = L1 { m: 128, limbs: 2 };

/// Memory of `norm_rope`.
pub const NORM_ROPE: norm_rope::L1 = norm_rope::L1 {
    a: CORE_BASE,
    b: CORE_BASE + 0x4000,
    out: CORE_BASE + 0x6000,
    out_units: 4,
    geometry: CORE_BASE + 0x7C80,
    call: CORE_BASE + 0x7D00,
    work: CORE_BASE + 0x8000,
};

/// Words that the runtime stream writes in front of a dispatch.
pub mod words {
    /// Where they stand.
    pub const AT: u32 = super::CORE_BASE + 0x7D20;
    /// Blocks of rows of a projection.
    pub const BLOCKS: i64 = 0;
    /// Those that are left of the current one.
    pub const LEFT: i64 = 4;
    /// Units of A in front of `norm_rope` that no core reads.
    pub const IDLE: i64 = 8;
    /// Bytes.
    pub const BYTES: u32 = 32;
}

/// What outlives attention in the place of its scores: copied away in front of it and back behind it.
pub mod kept {
    /// Where it stands.
    pub const HOME: u32 = super::CORE_BASE + 0x7800;
    /// Where it is during attention.
    pub const AWAY: u32 = super::CORE_BASE + 0xE000;
    /// Bytes.
    pub const BYTES: u32 = 2048;
}

/// The parameters of attention where the array is configured to have them.
const PARAMETERS: u32 = attention::PARAMETERS - kept::AWAY + kept::HOME;

/// Phases of A's and B's rings.
pub mod ring {
    /// A projection's.
    pub const PROJECTION: usize = 0;
    /// `norm_rope`'s.
    pub const NORM_ROPE: usize = 1;
    /// Attention's.
    pub const ATTENTION: usize = 2;
}

const WORD: u32 = 4;
/// Bytes of a unit of A, and of two of B.
pub const UNIT_BYTES: u32 = 8192;
/// Buffers of the mem tile for B.
const B_DEPTH: usize = 5;
/// Those of the projection.
const CHANNELS: Channels = Channels::B_EVEN;
/// Words of a record of eight keys.
const RECORD_WORDS: u32 = 512;
/// Bytes of a column's turn in the join.
pub const OUT_TURN_BYTES: usize = 4 * 2 * OUT_UNIT_BYTES as usize;

/// The queued rings by column of the mem tile.
pub struct Rings {
    /// Of A.
    pub a: Vec<QueuedRing>,
    /// Of B.
    pub b: Vec<QueuedRing>,
}

/// The design before its program is known, and its queued rings.
pub struct Array {
    array: grid::Array,
    rings: Vec<[RingId; 2]>,
}

impl Array {
    /// Places everything.
    ///
    /// # Errors
    /// A resource runs out; the message names it.
    pub fn new(phases: &[Phase]) -> Result<Self, Error> {
        let core = |design: &mut Design, col, row| {
            let locks = projection::core(design, (col, row), PROJECTION, phases)?;
            numbers(design, col, row)?;
            Ok(locks)
        };
        let mut rings = Vec::new();
        let mem = |design: &mut Design, col| {
            rings.push(mem(design, col)?);
            Ok(())
        };
        Ok(Self { array: grid::Array::new(core, mem)?, rings })
    }

    /// Lock numbers of the rings as every core sees them.
    pub fn locks(&self) -> Locks {
        self.array.locks()
    }

    /// Installs the program on every core and lowers the design.
    ///
    /// # Errors
    /// An illegal route, or a program too long.
    pub fn finish(self, program: &[u8]) -> Result<(Configuration, Rings), Error> {
        let configuration = self.array.finish(program)?;
        let [a, b] =
            [0, 1].map(|which| self.rings.iter().map(|pair| configuration.queued[&pair[which]].clone()).collect());
        Ok((configuration, Rings { a, b }))
    }
}

/// What the other phases keep in a core's memory.
fn numbers(design: &mut Design, col: u8, row: u8) -> Result<(), Error> {
    let tile = Tile::core(col, row);
    let buffers = [
        ("geometry", GEOMETRY_BYTES.next_multiple_of(32), NORM_ROPE.geometry),
        ("call", 32, NORM_ROPE.call),
        ("words", words::BYTES, words::AT),
        ("unused", PARAMETERS - words::AT - words::BYTES, words::AT + words::BYTES),
        ("parameters", attention::PARAMETER_BYTES, PARAMETERS),
    ];
    reserve(design, tile, buffers)?;
    design.init_data(tile, tile_offset(NORM_ROPE.geometry), &geometry(row))?;
    design.init_data(tile, tile_offset(PARAMETERS), &attention::core_parameters(col, row))?;
    // what is copied has contents
    for (held, end) in [
        (PROJECTION.absmax(), PROJECTION.phases()),
        (PROJECTION.phases() + 2 * ENTRY_BYTES, NORM_ROPE.geometry),
        (NORM_ROPE.geometry + GEOMETRY_BYTES, NORM_ROPE.call),
        (NORM_ROPE.call, words::AT),
        (words::AT, words::AT + words::BYTES),
        (words::AT + words::BYTES, PARAMETERS),
        (PARAMETERS + attention::CORE_PARAMETER_BYTES, PARAMETERS + attention::PARAMETER_BYTES),
    ] {
        design.init_data(tile, tile_offset(held), &vec![0; (end - held) as usize])?;
    }
    Ok(())
}

fn mem(design: &mut Design, col: u8) -> Result<[RingId; 2], Error> {
    let mem = Tile::mem(col);
    let unit = Pattern::linear(UNIT_BYTES / WORD);
    let (rows, chunks) = projection::a_patterns(PROJECTION);
    let column_bytes = PROJECTION.m * 256;
    // K [2 key groups][2 records][16 k][128 bytes] -> [2 key groups][16 k][2 records][128 bytes]
    let key_groups = Pattern::new(&[(1, 32), (RECORD_WORDS, 2), (32, 16), (2 * RECORD_WORDS, 2)]);
    let of_units =
        |slots, drain| RingPhase { slots, slot_bytes: UNIT_BYTES, fill: vec![unit.clone()], drain: vec![drain] };
    let a = design.ring(mem, "A", 2, column_bytes, Place::Anywhere)?;
    let columns = RingPhase { slots: 2, slot_bytes: column_bytes, fill: vec![rows], drain: chunks.to_vec() };
    // norm_rope takes few of them, and as few BDs are written for it
    let phases = [columns, of_units(2, unit.clone()), of_units(4, key_groups)];
    design.queue_ring(a, S2mm(CHANNELS.a.0), Mm2s(CHANNELS.a.1), &phases)?;

    // V [4 records][2 halves][4 d groups][256 bytes] -> [2 halves][4 d groups][4 records][256 bytes]
    let d_groups = Pattern::new(&[(1, 64), (RECORD_WORDS, 4), (64, 4), (RECORD_WORDS / 2, 2)]);
    let b = design.ring(mem, "B", B_DEPTH, UNIT_BYTES, Place::Anywhere)?;
    // pairs of a projection's units: the BDs are those of norm_rope
    let pairs = of_units(B_DEPTH, unit.clone());
    let phases = [pairs.clone(), pairs, of_units(B_DEPTH, d_groups)];
    design.queue_ring(b, S2mm(CHANNELS.b.0), Mm2s(CHANNELS.b.1), &phases)?;
    projection::connect(design, col, PROJECTION.limbs)?;
    Ok([a, b])
}

/// A piece of a core's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// What it holds.
    pub name: &'static str,
    /// Byte offset.
    pub at: u32,
    /// Bytes.
    pub bytes: u32,
    /// Whether it outlives the phase.
    pub kept: bool,
}

/// What lies where in a core's memory, phase by phase, in order of address: projection, `norm_rope`, attention. Programs have no stack.
pub fn memory_map() -> [(&'static str, Vec<Region>); 3] {
    let region = |name, at: u32, bytes| Region { name, at: tile_offset(at), bytes, kept: false };
    let l1 = PROJECTION;
    let rings = [
        region("A", l1.a(), 2 * l1.a_bytes()),
        region("B", l1.b(), 2 * B_UNIT_BYTES),
        region("out", l1.out(), l1.out_bytes()),
    ];
    let kept = |of: u32| {
        [
            ("reciprocals", l1.reciprocals(), crate::w8a8::l1::RECIPROCAL_BYTES),
            ("phases", l1.phases(), 2 * ENTRY_BYTES),
            ("geometry", NORM_ROPE.geometry, GEOMETRY_BYTES),
            ("call", NORM_ROPE.call, 4 * norm_rope::CALL_WORDS),
            ("words", words::AT, words::BYTES),
            ("parameters", PARAMETERS, attention::PARAMETER_BYTES),
        ]
        .map(|(name, at, bytes)| Region { kept: true, ..region(name, at - kept::HOME + of, bytes) })
    };
    let p = attention::PLACES;
    let phases = [
        (
            "projection",
            kept::HOME,
            vec![
                region("token scales", l1.token_scales(), l1.tokens() * 32),
                region("absmax", l1.absmax(), 32),
                region("accumulators", l1.c(), l1.c_bytes()),
            ],
        ),
        ("norm_rope", kept::HOME, vec![region("work", NORM_ROPE.work, norm_rope::WORK_BYTES)]),
        (
            "attention",
            kept::AWAY,
            vec![
                region("S", p.s, 0x1000),
                region("O", p.o, 0x4000),
                region("Q", p.q, 0x2000),
                region("P", p.p, 0x800),
                region("r", p.r, 0x200),
                region("l", p.l, 0x200),
                region("factors", p.factors, 0x400),
            ],
        ),
    ];
    phases.map(|(phase, of, own)| {
        let mut regions: Vec<Region> = rings.into_iter().chain(kept(of)).chain(own).collect();
        regions.sort_unstable_by_key(|region| region.at);
        (phase, regions)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_buffers_of_a_phase_overlap() {
        for (phase, regions) in memory_map() {
            for pair in regions.windows(2) {
                assert!(pair[0].at + pair[0].bytes <= pair[1].at, "{phase}: {pair:?}");
            }
            let last = regions.last().expect("a phase has memory");
            assert!(last.at + last.bytes <= 0x1_0000, "{phase}: {last:?}");
        }
    }

    /// Every phase has the same regions that outlive it, at home or all of them away, and nothing of its own among them that matters.
    #[test]
    fn what_a_phase_leaves_to_the_next_is_in_its_memory_or_copied_whole() {
        let place = |at: u32| tile_offset(at)..tile_offset(at) + kept::BYTES;
        for (phase, regions) in memory_map() {
            let place = place(if phase == "attention" { kept::AWAY } else { kept::HOME });
            let (kept, own): (Vec<Region>, Vec<Region>) = regions.into_iter().partition(|region| region.kept);
            let names: Vec<&str> = kept.iter().map(|region| region.name).collect();
            assert_eq!(names, ["reciprocals", "phases", "geometry", "call", "words", "parameters"], "{phase}");
            for region in &kept {
                assert!(place.contains(&region.at) && region.at + region.bytes <= place.end, "{phase}: {region:?}");
            }
            // a copy would overwrite these
            let within = |region: &&Region| region.at < place.end && place.start < region.at + region.bytes;
            let within: Vec<&str> = own.iter().filter(within).map(|region| region.name).collect();
            let of_a_moment: &[&str] = if phase == "projection" { &["absmax"] } else { &[] };
            assert_eq!(within, of_a_moment, "{phase}");
        }
        assert_eq!(tile_offset(PARAMETERS), 0x7E00);
    }
}
