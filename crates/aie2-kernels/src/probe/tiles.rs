//! Compute tiles: one, all sixteen on the routes of the kernels, and one that counts its calls.

use aie2_array::{Mm2s, Place, Runtime, S2mm, ShimBd, Tile};
use aie2_codegen::{Asm, Guards, MemRef, Operand};

use super::rig::{
    BENCH, Bench, CORE_BASE, IN, OUT, Programs, Question, WORD, bytes, constant, multiple, pointer, words,
};
use super::{Outcome, Probe};
use crate::KernelError;
use crate::grid::{
    Array, Channels, GRID, JOIN_BYTES, Locks, OUT_UNIT_BYTES, Through, Units, core_rings, join, tile_offset,
};

/// Bytes of a vector register.
const VECTOR_BYTES: u32 = 64;
/// Words of a vector register.
const LANES: u32 = 16;
/// Units of a call at most.
const UNITS_MAX: u64 = 4096;

const A: MemRef = MemRef::space(1).in_bank(0);
const B: MemRef = MemRef::space(2).in_bank(1);
const RESULT: MemRef = MemRef::space(3);
const NUMBER: MemRef = MemRef::space(4).in_bank(3);

/// What a tile adds: its column and its row where both are easy to see in hexadecimal.
fn number(col: u8, row: u8) -> u32 {
    0x0100_0000 * (1 + u32::from(col)) + 0x0001_0000 * (1 + u32::from(row))
}

/// Bytes of a unit of [`one_tile`].
const UNIT_BYTES: u32 = 1024;

/// One core adds its number to each of `units` buffers of 1 KiB.
///
/// # Errors
/// No units, or more than 4096.
pub fn one_tile(units: u32) -> Result<Probe, KernelError> {
    let name = "one_tile";
    multiple(name, "units", 1, UNITS_MAX, units.into())?;
    let own = number(BENCH.0, BENCH.1);
    let bench = Bench::new(2, UNIT_BYTES, UNIT_BYTES)?;
    let program = bench.program(|a, from, to| {
        let (v, p, q) = (a.x(), pointer(a, from), pointer(a, to));
        let (id, t) = (a.x(), constant(a, own.into()));
        a.i("vbcst.32 {}, {}", &[id, t]);
        a.loop_n("add", UNIT_BYTES / VECTOR_BYTES, |a| {
            a.vlda(A, v.lo(), p, 32);
            a.vlda(A, v.hi(), p, 32);
            a.i("vadd.32 {}, {}, {}", &[v, v, id]);
            a.vst(RESULT, v.lo(), q, 32);
            a.vst(RESULT, v.hi(), q, 32);
        });
    })?;
    let data = words(units * UNIT_BYTES / WORD);
    let rt = Bench::call(4 * data.len(), 4 * data.len())?;
    let sums: Vec<u32> = data.iter().map(|x| x.wrapping_add(own)).collect();
    Question {
        name,
        asks: "Does a core run, and do its locks pace its DMA?",
        facts: &[],
        input: bytes(&data),
        outcomes: vec![
            Outcome::modelled("out is in plus the number of the tile", bytes(&sums)),
            Outcome::different(
                "data pass but the core adds nothing",
                "program or program counter: `bennu disasm` of the PDI, then the core's status register",
                bytes(&data),
            ),
        ],
        otherwise: "no end: the core is not started (reset, enable) or a lock number is wrong; read the core's status and PC",
    }
    .compiled(bench.design, rt, &Programs::from([(BENCH, program)]))
}

/// Bytes of a unit of A and of B: what a core gives in its turn of the join.
const SHARED_BYTES: u32 = JOIN_BYTES;
/// Addresses of [`all_tiles`].
const A_AT: u32 = CORE_BASE;
const B_AT: u32 = CORE_BASE + 0x4000;
const OUT_AT: u32 = CORE_BASE + 0x8000;
const NUMBER_AT: u32 = CORE_BASE + 0xC000;

/// All cores on the circuits of the kernels: core (c, r) gives A of its row plus B of its column plus its number, `units` times 2 KiB.
///
/// # Errors
/// No units, or more than 4096.
pub fn all_tiles(units: u32) -> Result<Probe, KernelError> {
    let name = "all_tiles";
    multiple(name, "units", 1, UNITS_MAX, units.into())?;
    let core = |design: &mut aie2_array::Design, col: u8, row: u8| -> Result<Locks, aie2_array::Error> {
        let tile = Tile::core(col, row);
        let rings = [(A_AT, SHARED_BYTES), (B_AT, SHARED_BYTES), (OUT_AT, OUT_UNIT_BYTES)];
        let locks = core_rings(design, tile, rings.map(|(at, bytes)| Units { at, count: 2, bytes }))?;
        design.reserve(tile, "number", VECTOR_BYTES, Place::At(tile_offset(NUMBER_AT)))?;
        design.init_data(tile, tile_offset(NUMBER_AT), &bytes(&[number(col, row); LANES as usize]))?;
        Ok(locks)
    };
    let mem = |design: &mut aie2_array::Design, col: u8| -> Result<(), aie2_array::Error> {
        Through::linear(2, SHARED_BYTES, Channels::B_ODD.a).along_row(design, col)?;
        Through::linear(2, SHARED_BYTES, Channels::B_ODD.b).up_column(design, col)?;
        join(design, col, 2, Channels::B_ODD)
    };
    let array = Array::new(core, mem)?;
    let program = shared_program(array.locks())?;
    let configuration = array.finish(&program.bytes)?;

    let (stream, column) = (u64::from(units * SHARED_BYTES), u64::from(units * u32::from(GRID) * SHARED_BYTES));
    let mut rt = Runtime::new(GRID)?;
    for col in 0..GRID {
        rt.task(col, S2mm(0), &ShimBd::linear(OUT, column * u64::from(col), column)?, 1, true)?;
    }
    for (k, first) in [(0, 0), (1, GRID)] {
        for col in 0..GRID {
            rt.task(col, Mm2s(k), &ShimBd::linear(IN, stream * u64::from(first + col), stream)?, 1, false)?;
        }
    }
    rt.wait_all()?;
    let data = words(2 * u32::from(GRID) * units * SHARED_BYTES / WORD);
    let programs: Programs =
        (0..GRID).flat_map(|c| (0..GRID).map(move |r| (c, r))).map(|tile| (tile, program.clone())).collect();
    Question {
        name,
        asks: "Do all sixteen cores read A of their row and B of their column, and are their results joined in order?",
        facts: &[],
        outcomes: vec![Outcome::modelled(
            "out of core (c, r) is A of row r plus B of column c plus the number of the tile",
            bytes(&joined(&data, units)),
        )],
        input: bytes(&data),
        otherwise: "one_tile passed, so: broadcast or join. A wrong word minus the expected one tells the tile whose data stand there",
    }
    .configured(&configuration, rt.finish()?, &programs)
}

fn shared_program(locks: Locks) -> Result<aie2_codegen::Program, KernelError> {
    let mut a = Asm::new();
    let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
    let id = a.x();
    let p = pointer(&mut a, NUMBER_AT);
    a.vlda(NUMBER, id.lo(), p, 32);
    a.vlda(NUMBER, id.hi(), p, 32);
    a.forever(|a| {
        for slot in 0..2 {
            let (p, q) = (pointer(a, A_AT + slot * SHARED_BYTES), pointer(a, B_AT + slot * SHARED_BYTES));
            a.acq(Guards::All, locks.a_full, minus_one);
            a.acq(Guards::All, locks.b_full, minus_one);
            for unit in 0..SHARED_BYTES / OUT_UNIT_BYTES {
                let to = pointer(a, OUT_AT + unit * OUT_UNIT_BYTES);
                a.acq(Guards::All, locks.out_empty, minus_one);
                add_unit(a, p, q, to, id);
                a.rel(Guards::All, locks.out_full, one);
            }
            a.rel(Guards::All, locks.a_empty, one);
            a.rel(Guards::All, locks.b_empty, one);
        }
    });
    Ok(a.finish()?)
}

fn add_unit(a: &mut Asm, p: Operand, q: Operand, to: Operand, id: Operand) {
    let (x, y) = (a.x(), a.x());
    a.loop_n("add", OUT_UNIT_BYTES / VECTOR_BYTES, |a| {
        for half in [x.lo(), x.hi()] {
            a.vlda(A, half, p, 32);
        }
        for half in [y.lo(), y.hi()] {
            a.vlda(B, half, q, 32);
        }
        a.i("vadd.32 {}, {}, {}", &[x, x, y]);
        a.i("vadd.32 {}, {}, {}", &[x, x, id]);
        for half in [x.lo(), x.hi()] {
            a.vst(RESULT, half, to, 32);
        }
    });
}

/// What the shims receive: by column, turn, core row and unit of the out ring, row by row of [8 columns][8 rows][4 words].
fn joined(data: &[u32], units: u32) -> Vec<u32> {
    let stream = (units * SHARED_BYTES / WORD) as usize;
    let grid = usize::from(GRID);
    let unit_words = (OUT_UNIT_BYTES / WORD) as usize;
    let mut out = Vec::new();
    for col in 0..grid {
        for turn in 0..units as usize {
            for row in 0..grid {
                for unit in 0..2 {
                    let at = turn * 2 * unit_words + unit * unit_words;
                    let (a, b) = (&data[row * stream + at..], &data[(grid + col) * stream + at..]);
                    for k in 0..unit_words {
                        let (out_row, out_column, lane) = (k / 32, k / 4 % 8, k % 4);
                        let i = out_column * 32 + out_row * 4 + lane;
                        out.push(a[i].wrapping_add(b[i]).wrapping_add(number(col as u8, row as u8)));
                    }
                }
            }
        }
    }
    out
}

/// Bytes of a call of [`counter`].
const COUNTED_BYTES: u32 = 64;

/// A core adds to its input how many calls it has seen: 0 in the first.
///
/// # Errors
/// See [`super::steps`].
pub fn counter() -> Result<Probe, KernelError> {
    let bench = Bench::new(1, COUNTED_BYTES, COUNTED_BYTES)?;
    let (input, output) = (&bench.input, &bench.output);
    let mut a = Asm::new();
    let (one, minus_one) = (constant(&mut a, 1), constant(&mut a, -1));
    let count = constant(&mut a, 0);
    a.forever(|a| {
        a.acq(Guards::All, input.acquire.id, minus_one);
        a.acq(Guards::All, output.acquire.id, minus_one);
        let (p, q) = (pointer(a, input.slot_addresses[0]), pointer(a, output.slot_addresses[0]));
        let (v, calls) = (a.x(), a.x());
        a.i("vbcst.32 {}, {}", &[calls, count]);
        a.vlda(A, v.lo(), p, 32);
        a.vlda(A, v.hi(), p, 32);
        a.i("vadd.32 {}, {}, {}", &[v, v, calls]);
        a.vst(RESULT, v.lo(), q, 32);
        a.vst(RESULT, v.hi(), q, 32);
        a.add(count, count, Operand::Imm(1));
        a.rel(Guards::All, output.release.id, one);
        a.rel(Guards::All, input.release.id, one);
    });
    let program = a.finish()?;
    let data = words(COUNTED_BYTES / WORD);
    let counted = |calls: u32| bytes(&data.iter().map(|x| x.wrapping_add(calls)).collect::<Vec<_>>());
    let rt = Bench::call(COUNTED_BYTES as usize, COUNTED_BYTES as usize)?;
    Question {
        name: "counter",
        asks: "Does a second dispatch find registers, rings and locks as the first one left them?",
        facts: &[9],
        input: bytes(&data),
        outcomes: vec![
            Outcome {
                says: "the core goes on where it stopped",
                change: None,
                after: [counted(0), counted(1)],
            },
            Outcome {
                says: "the second dispatch finds the array as configured",
                change: Some("nothing has to: kernels start alike either way; but state may not be kept between calls"),
                after: [counted(0), counted(0)],
            },
        ],
        otherwise: "the second call fails or differs: a reset and reload through the stream before each call, about 200 writes",
    }
    .compiled(bench.design, rt, &Programs::from([(BENCH, program)]))
}
