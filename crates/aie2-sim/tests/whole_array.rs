//! The dataflow of a matrix product on all sixteen tiles: A broadcast along rows, B down columns, C joined per column.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_sim::{Config, Fault, RunReport};
use npu_container::txn::Direction;
use support::{Act, Design, MEM, SHIM, TestMachine, bd, words_of};

const OWN: u64 = 0x8_0000;
/// Words of one A chunk, one B chunk, one C part.
const A: u32 = 2048;
const B: u32 = 1024;
const C: u32 = 256;

/// `units` A and B chunks per C part, `parts` C parts.
struct Shape {
    units: u32,
    parts: u32,
    cycles_per_unit: u64,
}

fn design(shape: &Shape) -> Design {
    let mut d = Design::default();
    for c in 0..4u8 {
        d.shim(c);
        // A: shim South 3 -> North 0 -> mem S2MM 0; B: South 7 -> North 1 -> mem S2MM 1.
        d.connect(c, SHIM, 5, 12).connect(c, MEM, 7, 0).connect(c, SHIM, 9, 13).connect(c, MEM, 8, 1);
        // A: mem MM2S 0 -> North 0 -> up to row c, there to both sides.
        d.connect(c, MEM, 0, 11);
        let home = 2 + c;
        for row in 2..home {
            d.connect(c, row, 5, 13);
        }
        d.connect(c, home, 5, 1);
        for west in (0..c).rev() {
            d.connect(west + 1, home, if west + 1 == c { 5 } else { 19 }, 9).connect(west, home, 19, 1);
        }
        for east in c + 1..4 {
            d.connect(east - 1, home, if east - 1 == c { 5 } else { 11 }, 19).connect(east, home, 11, 1);
        }
        // B: mem MM2S 1 -> North 1 -> DMA 1 of all four rows.
        d.connect(c, MEM, 1, 12);
        for row in 2..6 {
            d.connect(c, row, 6, 2);
            if row < 5 {
                d.connect(c, row, 6, 14);
            }
        }
        // C: MM2S 0 of row r -> South r down to mem S2MM 2 + r; mem MM2S 2 -> South 2 -> shim South 2.
        for r in 0..4u32 {
            let row = 2 + r as u8;
            d.connect(c, row, 1, 5 + r);
            for below in 2..row {
                d.connect(c, below, 15 + r, 5 + r);
            }
            d.connect(c, MEM, 13 + r, 2 + r);
        }
        d.connect(c, MEM, 2, 9).connect(c, SHIM, 16, 4);
        mem_tile(&mut d, c);
        for row in 2..6 {
            compute_tile(&mut d, c, row, shape);
        }
        runtime(&mut d, c, shape);
    }
    for c in 0..4 {
        d.op_push(c, S2mm, 0, 0, 1, true);
    }
    for c in 0..4 {
        d.op_push(c, Mm2s, 0, 1, 1, false).op_push(c, Mm2s, 1, 2, 1, false);
    }
    for c in 0..4 {
        d.op_wait(c, S2mm, 0);
    }
    d
}

fn mem_tile(d: &mut Design, c: u8) {
    // A: ring of two, BDs 0, 1 in and 2, 3 out; B: ring of two, BDs 24, 25 in and 26, 27 out.
    for (lock, first, base, words, channel) in [(0, 0, 0, A, 0), (2, 24, 0x8000, B, 1)] {
        d.lock(c, MEM, lock, 2).lock(c, MEM, lock + 1, 0);
        for b in 0..2u32 {
            let at = OWN + base + u64::from(4 * words * b);
            let (empty, full) = (64 + lock, 65 + lock);
            d.bd(c, MEM, first + b, &bd(at, words).locks((empty, -1), (full, 1)).next(first + 1 - b));
            d.bd(c, MEM, first + 2 + b, &bd(at, words).locks((full, -1), (empty, 1)).next(first + 3 - b));
        }
        d.start(c, MEM, S2mm, channel, first).start(c, MEM, Mm2s, channel, first + 2);
    }
    // C: one buffer per row, in on channel 2 + r, out on MM2S 2 in row order.
    for r in 0..4u32 {
        let (lock, first) = (4 + 2 * r, if r % 2 == 0 { 4 + r } else { 28 + r });
        let at = OWN + 0x1_0000 + u64::from(4 * C * r);
        d.lock(c, MEM, lock, 1).lock(c, MEM, lock + 1, 0);
        d.bd(c, MEM, first, &bd(at, C).locks((64 + lock, -1), (65 + lock, 1)).next(first));
        d.start(c, MEM, S2mm, 2 + r, first);
        let out = bd(at, C).locks((65 + lock, -1), (64 + lock, 1));
        d.bd(c, MEM, 10 + r, &out.next(10 + (r + 1) % 4));
    }
    d.start(c, MEM, Mm2s, 2, 10);
}

fn compute_tile(d: &mut Design, c: u8, row: u8, shape: &Shape) {
    // A at 0x0000 (two of 8 KiB), B at 0x4000 (two of 4 KiB), C at 0x8000 (two of 1 KiB).
    for (lock, first, base, words) in [(0, 0, 0u64, A), (2, 2, 0x4000, B)] {
        d.lock(c, row, lock, 2).lock(c, row, lock + 1, 0);
        for b in 0..2u32 {
            let at = base + u64::from(4 * words * b);
            d.bd(c, row, first + b, &bd(at, words).locks((lock, -1), (lock + 1, 1)).next(first + 1 - b));
        }
        d.start(c, row, S2mm, first / 2, first);
    }
    d.lock(c, row, 4, 2).lock(c, row, 5, 0);
    let mut acts = Vec::new();
    for b in 0..2u32 {
        d.bd(c, row, 4 + b, &bd(0x8000 + u64::from(4 * C * b), C).locks((5, -1), (4, 1)).next(5 - b));
        acts.push(Act::Acquire(52, -1));
        for u in 0..shape.units {
            let now = u64::from(b * shape.units + u) % 2;
            acts.extend([Act::Acquire(49, -1), Act::Acquire(51, -1), Act::Spin(shape.cycles_per_unit, 0)]);
            // The first words of A and B of the last unit are the first words of C.
            if u + 1 == shape.units {
                let out = 0x8000 + 4 * C * b;
                acts.push(Act::Copy(4 * A * now as u32, out, C / 2));
                acts.push(Act::Copy(0x4000 + 4 * B * now as u32, out + 2 * C, C / 2));
            }
            acts.extend([Act::Release(48, 1), Act::Release(50, 1)]);
        }
        acts.push(Act::Release(53, 1));
    }
    acts.push(Act::Loop);
    d.start(c, row, Mm2s, 0, 4).core(c, row, &acts);
}

fn runtime(d: &mut Design, c: u8, shape: &Shape) {
    let chunks = shape.units * shape.parts;
    d.op_bd(c, 0, &bd(0, 4 * C * shape.parts), 2, u32::from(c) * 16 * C * shape.parts);
    d.op_bd(c, 1, &bd(0, A * chunks), 0, u32::from(c) * 4 * A * chunks);
    d.op_bd(c, 2, &bd(0, B * chunks), 1, u32::from(c) * 4 * B * chunks);
}

fn run(shape: &Shape) -> Result<RunReport, Fault> {
    let d = design(shape);
    let mut m = TestMachine::new(Config::default());
    m.load_pdi(&d.pdi())?;
    let chunks = shape.units * shape.parts;
    let data = |tag: u32, words: u32| -> Vec<u8> { (0..words).flat_map(|w| (w | tag << 28).to_le_bytes()).collect() };
    let a = data(1, 4 * A * chunks);
    let b = data(2, 4 * B * chunks);
    let ids = [m.alloc("a", a.len()), m.alloc("b", b.len()), m.alloc("c", (64 * C * shape.parts) as usize)];
    m.write_buffer(ids[0], 0, &a)?;
    m.write_buffer(ids[1], 0, &b)?;
    let report = m.run(&d.txn(), &ids)?;
    let out = words_of(&m.read_buffer(ids[2])?);
    for c in 0..4 {
        for part in 0..shape.parts {
            for r in 0..4 {
                let at = ((c * shape.parts + part) * 4 + r) * C;
                let last = (part + 1) * shape.units - 1;
                let from_a = 1 << 28 | (r * A * chunks + last * A);
                let from_b = 2 << 28 | (c * B * chunks + last * B);
                for w in 0..C / 2 {
                    assert_eq!(out[(at + w) as usize], from_a + w, "A of column {c} part {part} row {r}");
                    assert_eq!(out[(at + C / 2 + w) as usize], from_b + w, "B of column {c} part {part} row {r}");
                }
            }
        }
    }
    Ok(report)
}

#[test]
fn sixteen_cores_get_their_rows_and_columns_and_join_their_results() {
    // Even units per part keep the ping-pong position the same in both halves of the script.
    let shape = Shape { units: 4, parts: 4, cycles_per_unit: 2048 };
    let report = run(&shape).unwrap();
    assert_eq!(report, run(&shape).unwrap(), "the same whatever the host");
    assert_eq!(report.cores.len(), 16);
    assert_eq!(report.ddr_read_bytes(), u64::from(4 * 4 * (A + B) * 16));
    // 16 units whose A stream (2048 words, 1.05 cycles each at the shim) is slower than the compute.
    let stream = 16 * 2048 * 1050 / 1000;
    assert!(report.cycles > stream && report.cycles < stream + 24_000, "{}", report.cycles);
}

#[test]
fn slow_cores_hide_the_streams() {
    let shape = Shape { units: 2, parts: 2, cycles_per_unit: 6000 };
    let report = run(&shape).unwrap();
    let compute = 4 * 6000;
    assert!(report.cycles > compute && report.cycles < compute + 24_000, "{}", report.cycles);
    assert!(report.cores.iter().all(|c| c.stalls.lock < 24_000));
}
