//! Address generation of BDs: the layout recipes, iteration, zero padding, field widths.

mod support;

use aie2_sim::array::bd::{Bd, Walker};
use aie2_sim::array::ports::TileKind;
use support::{MEM, SHIM, TestBd, bd};

fn decode(row: u8, bd: &TestBd) -> Bd {
    let mut words = [0; 8];
    let w = bd.words(row);
    words[..w.len()].copy_from_slice(&w);
    Bd::decode(TileKind::of_row(row), &words)
}

/// Word index of every word of an execution; `None` is a padding zero.
fn walk(row: u8, bd: &TestBd, iteration: u8) -> Vec<Option<u64>> {
    let b = decode(row, bd);
    let mut w = Walker::new(&b, iteration);
    let mut out = Vec::new();
    while let Some(run) = w.peek() {
        assert!(run.words >= 1 && run.words <= 4);
        for i in 0..u64::from(run.words) {
            out.push(run.addr.map(|a| a / 4 + i));
        }
        if let Some(a) = run.addr {
            assert_eq!(a / 16, (a + 4 * u64::from(run.words) - 4) / 16, "a run stays inside a line");
        }
        w.advance(run.words);
    }
    assert_eq!(out.len() as u64, b.length);
    out
}

/// Words of tiles `r` x `s` of a row-major m x k matrix, `eb` bytes per element; tiles by row or by column.
fn tiled(m: u64, k: u64, r: u64, s: u64, eb: u64, by_column: bool) -> Vec<Option<u64>> {
    let (tiles_m, tiles_k) = (m / r, k / s);
    let mut order = Vec::new();
    let mut tile = |i: u64, j: u64| {
        for y in 0..r {
            for byte in (0..s * eb).step_by(4) {
                order.push(Some(((i * r + y) * k * eb + j * s * eb + byte) / 4));
            }
        }
    };
    if by_column {
        (0..tiles_k).for_each(|j| (0..tiles_m).for_each(|i| tile(i, j)));
    } else {
        (0..tiles_m).for_each(|i| (0..tiles_k).for_each(|j| tile(i, j)));
    }
    order
}

/// Reads tiles r x t (stored one after the other, row of tiles by row of tiles) as a row-major m x n matrix.
fn untiled(m: u64, n: u64, r: u64, t: u64, eb: u64) -> Vec<Option<u64>> {
    let mut order = Vec::new();
    for y in 0..m {
        for x in (0..n * eb).step_by(4) {
            let (tile, row, byte) = ((y / r) * (n / t) + x / (t * eb), y % r, x % (t * eb));
            order.push(Some((tile * r * t * eb + row * t * eb + byte) / 4));
        }
    }
    order
}

/// The ten recipes for a 64 x 64 block.
// SOURCE: same tilings as Xilinx/mlir-aie programming_examples whole_array.py and Xilinx/mlir-air attention examples.
#[test]
fn layout_recipes_give_the_tile_orders_they_promise() {
    let cases: [(&str, [(u32, u32); 4], u32, Vec<Option<u64>>); 10] = [
        ("A int8 4x8", [(1, 2), (16, 4), (2, 8), (64, 0)], 1024, tiled(64, 64, 4, 8, 1, false)),
        ("A bf16 4x8", [(1, 4), (32, 4), (4, 8), (128, 0)], 2048, tiled(64, 64, 4, 8, 2, false)),
        ("B int8 8x8 by row", [(1, 2), (16, 8), (2, 8), (128, 0)], 1024, tiled(64, 64, 8, 8, 1, false)),
        ("B int8 8x8 by column", [(1, 2), (16, 8), (128, 8), (2, 0)], 1024, tiled(64, 64, 8, 8, 1, true)),
        ("B bf16 8x4 by row", [(1, 2), (32, 8), (2, 16), (256, 0)], 2048, tiled(64, 64, 8, 4, 2, false)),
        ("B bf16 8x4 by column", [(1, 2), (32, 8), (256, 8), (2, 0)], 2048, tiled(64, 64, 8, 4, 2, true)),
        ("C int32 4x8", [(1, 8), (32, 8), (8, 4), (256, 0)], 4096, untiled(64, 64, 4, 8, 4)),
        ("C int8 4x8", [(1, 2), (8, 8), (2, 4), (64, 0)], 1024, untiled(64, 64, 4, 8, 1)),
        ("C fp32 4x4", [(1, 4), (16, 16), (4, 4), (256, 0)], 4096, untiled(64, 64, 4, 4, 4)),
        ("C bf16 4x4", [(1, 2), (8, 16), (2, 4), (128, 0)], 2048, untiled(64, 64, 4, 4, 2)),
    ];
    for (name, dims, length, order) in cases {
        assert_eq!(walk(MEM, &bd(0, length).dims(&dims), 0), order, "{name}");
    }
}

#[test]
fn shim_reads_a_k_panel_of_a_row_major_matrix_block_by_block() {
    // m = 4, K = 64, k = 16 int8: blocks of m x k one after the other.
    let panel = bd(0, 4 * 64 / 4).dims(&[(1, 4), (16, 4), (4, 0)]);
    let mut want = Vec::new();
    for block in 0..4 {
        for row in 0..4 {
            want.extend((0..4).map(|w| Some(row * 16 + block * 4 + w)));
        }
    }
    assert_eq!(walk(SHIM, &panel, 0), want);
}

#[test]
fn the_transfer_ends_with_its_length_wherever_the_counters_stand() {
    let b = bd(64, 7).dims(&[(1, 3), (8, 0)]);
    assert_eq!(walk(2, &b, 0), [16, 17, 18, 24, 25, 26, 32].map(Some));
}

#[test]
fn a_wrap_of_zero_never_wraps_and_hides_the_higher_dimensions() {
    let b = bd(0, 6).dims(&[(2, 0), (100, 2), (1000, 0)]);
    assert_eq!(walk(2, &b, 0), [0, 2, 4, 6, 8, 10].map(Some));
}

#[test]
fn iteration_moves_the_base_by_its_step() {
    let b = TestBd { iteration: Some((10, 4)), ..bd(0, 2) };
    assert_eq!(walk(SHIM, &b, 3), [30, 31].map(Some));
    assert_eq!(walk(2, &b, 2), [20, 21].map(Some));
    assert_eq!(decode(MEM, &b).iterations, 4);
}

#[test]
fn padded_rows_and_columns_are_zeros_around_the_data() {
    // 3 rows of 4 words; 1 word before and 2 after each row, 2 rows before and 1 after: 6 x 7 words.
    let mut b = bd(0, 6 * 7).dims(&[(1, 4), (4, 3)]);
    b.pad = [(1, 2), (2, 1), (0, 0)];
    let got = walk(MEM, &b, 0);
    for y in 0..6u64 {
        for x in 0..7u64 {
            let inside = (2..5).contains(&y) && (1..5).contains(&x);
            let want = inside.then(|| (y - 2) * 4 + x - 1);
            assert_eq!(got[(7 * y + x) as usize], want, "row {y} word {x}");
        }
    }
}

/// The published 61 x 56 byte example: pads (2, 1) rows and (4, 4) bytes make 64 x 64 bytes.
// SOURCE: Xilinx/mlir-aie test/npu-xrt/add_12_i8_using_2d_dma_op_with_padding.
#[test]
fn length_counts_the_padded_output() {
    let mut b = bd(0, 64 * 16).dims(&[(1, 14), (14, 61)]);
    b.pad = [(1, 1), (2, 1), (0, 0)];
    let got = walk(MEM, &b, 0);
    assert_eq!(got.iter().filter(|w| w.is_some()).count(), 61 * 14);
    assert_eq!((got[2 * 16], got[2 * 16 + 1], got[2 * 16 + 14]), (None, Some(0), Some(13)));
    assert_eq!((got[62 * 16 + 14], got[63 * 16 + 1]), (Some(61 * 14 - 1), None));
}

#[test]
fn padding_behind_a_dimension_without_wrap_is_refused() {
    let mut b = bd(0, 8).dims(&[(1, 0)]);
    b.pad = [(2, 0), (0, 0), (0, 0)];
    assert!(decode(MEM, &b).padding_is_legal());
    assert_eq!(walk(MEM, &b, 0), [None, None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)]);
    b.pad = [(2, 1), (0, 0), (0, 0)];
    assert!(!decode(MEM, &b).padding_is_legal());
    b.pad = [(0, 0), (1, 0), (0, 0)];
    assert!(!decode(MEM, &b).padding_is_legal());
}

/// BD words found in public sources.
#[test]
fn published_bd_words_decode() {
    // SOURCE: Xilinx/mlir-aie, mem tile BD word 7 and core BD word 5 of an objectFifo.
    let mem = Bd::decode(TileKind::Mem, &[16, 0, 0, 0, 0, 0, 0, 0x8141_FF40]);
    assert!(mem.valid);
    assert_eq!((mem.acquire, mem.release), (Some((64, -1)), Some((65, 1))));
    let core = Bd::decode(TileKind::Core, &[0x0800_0080, 0, 0, 0, 0, 0x0E04_3FE0, 0, 0]);
    assert_eq!((core.valid, core.next, core.length, core.base), (true, Some(1), 128, 0x8000));
    assert_eq!((core.acquire, core.release), (Some((0, -1)), Some((1, 1))));
    // SOURCE: Xilinx/VTD df_bw: 32 iterations of 0x40000 words.
    let shim = Bd::decode(TileKind::Shim, &[0x40000, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0x01F3_FFFF, 0x0200_0000]);
    assert_eq!((shim.iterations, shim.iteration_step, shim.dims[0].step), (32, 0x40000, 1));
}
