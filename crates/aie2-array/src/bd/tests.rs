use super::*;
use crate::device::{Mm2s, S2mm};
use proptest::prelude::*;

fn words(pattern: &Pattern) -> Vec<u32> {
    pattern.words(0).map(|w| w.expect("no padding") as u32).collect()
}

/// Word addresses of a row-major `m` x `k` matrix visited tile by tile (`r` x `s`), tiles in row order, `eb` bytes per
/// element; written from the definition of a tiling, not from BD dimensions.
fn tiled(m: u32, k: u32, r: u32, s: u32, eb: u32) -> Vec<u32> {
    let mut out = Vec::new();
    for ti in 0..m / r {
        for tj in 0..k / s {
            for i in 0..r {
                for j in 0..s * eb / 4 {
                    out.push((ti * r + i) * (k * eb / 4) + tj * (s * eb / 4) + j);
                }
            }
        }
    }
    out
}

fn tiled_by_column(m: u32, k: u32, r: u32, s: u32, eb: u32) -> Vec<u32> {
    let mut out = Vec::new();
    for tj in 0..k / s {
        for ti in 0..m / r {
            for i in 0..r {
                for j in 0..s * eb / 4 {
                    out.push((ti * r + i) * (k * eb / 4) + tj * (s * eb / 4) + j);
                }
            }
        }
    }
    out
}

/// Word addresses in a buffer of `r` x `t` tiles (tile-row order) that give a row-major `m` x `n` matrix.
fn untiled(m: u32, n: u32, r: u32, t: u32, eb: u32) -> Vec<u32> {
    let tile = r * t * eb / 4;
    let mut out = Vec::new();
    for row in 0..m {
        for column in 0..n * eb / 4 {
            let per_tile = t * eb / 4;
            let (tj, j) = (column / per_tile, column % per_tile);
            out.push(((row / r) * (n / t) + tj) * tile + (row % r) * per_tile + j);
        }
    }
    out
}

// SOURCE: Xilinx/mlir-aie programming_examples/basic/matrix_multiplication/whole_array/whole_array.py (tilings of
// 64 x 64 blocks).
#[test]
fn tilings_of_a_gemm() {
    let check = |dims: &[(u32, u32)], expected: Vec<u32>| {
        let pattern = Pattern::new(dims);
        assert_eq!(words(&pattern), expected);
        let shape = pattern.lower(TileKind::Mem, Mm2s(0).into()).expect("fits a mem tile BD");
        assert_eq!(lowered_words(&shape), expected);
    };
    check(&[(1, 2), (16, 4), (2, 8), (64, 16)], tiled(64, 64, 4, 8, 1));
    check(&[(1, 4), (32, 4), (4, 8), (128, 16)], tiled(64, 64, 4, 8, 2));
    check(&[(1, 2), (16, 8), (2, 8), (128, 8)], tiled(64, 64, 8, 8, 1));
    check(&[(1, 2), (16, 8), (128, 8), (2, 8)], tiled_by_column(64, 64, 8, 8, 1));
    check(&[(1, 2), (32, 8), (2, 16), (256, 8)], tiled(64, 64, 8, 4, 2));
    check(&[(1, 2), (32, 8), (256, 8), (2, 16)], tiled_by_column(64, 64, 8, 4, 2));
    check(&[(1, 8), (32, 8), (8, 4), (256, 16)], untiled(64, 64, 4, 8, 4));
    check(&[(1, 2), (8, 8), (2, 4), (64, 16)], untiled(64, 64, 4, 8, 1));
    check(&[(1, 4), (16, 16), (4, 4), (256, 16)], untiled(64, 64, 4, 4, 4));
    check(&[(1, 2), (8, 16), (2, 4), (128, 16)], untiled(64, 64, 4, 4, 2));
}

/// The address sequence as the hardware forms it: counters, wraps, wrap 0 never wraps, the length ends the transfer.
fn lowered_words(shape: &BdShape) -> Vec<u32> {
    let mut counters = [0u32; 4];
    (0..shape.length_words)
        .map(|_| {
            let address =
                shape.offset_words + counters.iter().zip(shape.steps).map(|(count, step)| count * step).sum::<u32>();
            for (k, counter) in counters.iter_mut().enumerate() {
                *counter += 1;
                if shape.wraps.get(k).is_some_and(|&wrap| wrap != 0 && *counter == wrap) {
                    *counter = 0;
                } else {
                    break;
                }
            }
            address
        })
        .collect()
}

#[test]
fn contiguous_dimensions_become_a_linear_bd() {
    let shape = Pattern::new(&[(1, 256), (256, 4), (1024, 2)]).lower(TileKind::Core, S2mm(0).into()).expect("linear");
    assert_eq!((shape.steps, shape.wraps, shape.length_words), ([1; 4], [0; 3], 2048));
}

#[test]
fn a_wrap_beyond_its_field_is_split() {
    // 512 words of every second row of 512: D0 of a compute tile BD counts to 255 only.
    let pattern = Pattern::new(&[(1, 512), (1024, 4)]);
    let shape = pattern.lower(TileKind::Core, Mm2s(0).into()).expect("three dimensions are enough");
    assert_eq!((shape.wraps[0], shape.wraps[1]), (128, 4));
    assert_eq!(lowered_words(&shape), words(&pattern));
}

#[test]
fn padding_surrounds_the_block_with_zeros() {
    // 2 x 3 words, one zero before and two after each row, one row of zeros above.
    let pattern = Pattern::new(&[(1, 3), (3, 2)]).pad([1, 1, 0], [2, 0, 0]);
    let got: Vec<_> = pattern.words(0).collect();
    let n = None;
    assert_eq!(got, [n, n, n, n, n, n, n, Some(0), Some(1), Some(2), n, n, n, Some(3), Some(4), Some(5), n, n]);
    let shape = pattern.lower(TileKind::Mem, Mm2s(0).into()).expect("mem tile MM2S");
    assert_eq!(shape.length_words, 18);
    assert_eq!(shape.wraps, [3, 2, 0]);
}

#[test]
fn padding_is_refused_elsewhere() {
    let pattern = Pattern::new(&[(1, 3)]).pad([1, 0, 0], [0; 3]);
    for (kind, channel) in [(TileKind::Mem, S2mm(0).into()), (TileKind::Core, Mm2s(0).into())] {
        assert_eq!(pattern.lower(kind, channel), Err(Error::PaddingUnavailable { kind, channel }));
    }
    let wide = Pattern::new(&[(1, 3)]).pad([0; 3], [64, 0, 0]);
    assert_eq!(refused(&wide, TileKind::Mem), ("D0 padding", 64, 63));
    let absent = Pattern::new(&[(1, 3)]).pad([0, 1, 0], [0; 3]);
    assert_eq!(refused(&absent, TileKind::Mem), ("D1 padding", 1, 0));
}

fn refused(pattern: &Pattern, kind: TileKind) -> (&'static str, u64, u64) {
    match pattern.lower(kind, Mm2s(0).into()) {
        Err(Error::PatternField { field, asked, limit, .. }) => (field, asked, limit),
        other => panic!("expected a field limit, got {other:?}"),
    }
}

#[test]
fn limits_of_a_core_bd() {
    let k = TileKind::Core;
    assert_eq!(refused(&Pattern::linear(16384), k), ("length", 16384, 16383));
    // 257 is prime: it cannot be split.
    assert_eq!(refused(&Pattern::new(&[(1, 257), (512, 2)]), k), ("D0 wrap", 257, 255));
    assert_eq!(refused(&Pattern::new(&[(1, 2), (8193, 2)]), k), ("D1 step", 8193, 8192));
    assert_eq!(refused(&Pattern::linear(16).offset(16370), k), ("end of the pattern", 16386, 16384));
    assert_eq!(refused(&Pattern::linear(4).iterate(4, 65), k), ("iteration count", 65, 64));
    assert_eq!(refused(&Pattern::linear(4).iterate(8193, 2), k), ("iteration step", 8193, 8192));
    let four = Pattern::new(&[(1, 2), (16, 4), (2, 8), (64, 16)]);
    assert_eq!(four.lower(k, S2mm(0).into()), Err(Error::PatternDims { kind: k, asked: 4, limit: 3 }));
}

#[test]
fn limits_of_mem_and_shim_bds() {
    assert_eq!(refused(&Pattern::linear(1 << 17), TileKind::Mem), ("length", 1 << 17, (1 << 17) - 1));
    assert_eq!(refused(&Pattern::new(&[(2, 1031), (4096, 2)]), TileKind::Mem), ("D0 wrap", 1031, 1023));
    assert_eq!(refused(&Pattern::new(&[(1, 2), (131_073, 2)]), TileKind::Mem), ("D1 step", 131_073, 131_072));
    assert_eq!(refused(&Pattern::new(&[(1, 2), (1_048_577, 2)]), TileKind::Shim), ("D1 step", 1_048_577, 1_048_576));
}

#[test]
fn zero_steps_and_wraps_are_refused() {
    let lower = |p: Pattern| p.lower(TileKind::Mem, Mm2s(0).into());
    assert_eq!(lower(Pattern::linear(0)), Err(Error::PatternZero { field: "D0 wrap" }));
    assert_eq!(lower(Pattern::new(&[(1, 4), (0, 2)])), Err(Error::PatternZero { field: "D1 step" }));
    assert_eq!(lower(Pattern::new(&[])), Err(Error::PatternZero { field: "length" }));
    assert_eq!(lower(Pattern::linear(4).iterate(0, 2)), Err(Error::PatternZero { field: "iteration" }));
}

proptest! {
    #[test]
    fn lowering_keeps_the_order_of_words(
        dims in prop::collection::vec((1u32..40, 1u32..14), 1..5), offset in 0u32..50, core: bool,
    ) {
        let kind = if core { TileKind::Core } else { TileKind::Mem };
        let pattern = Pattern::new(&dims).offset(offset);
        if let Ok(shape) = pattern.lower(kind, S2mm(1).into()) {
            prop_assert_eq!(lowered_words(&shape), words(&pattern));
        } else {
            prop_assert!(core, "these dimensions always fit a mem tile BD");
        }
    }

    #[test]
    fn long_rows_survive_the_split(wrap in 200u32..3000, rows in 1u32..4) {
        let pattern = Pattern::new(&[(1, wrap), (4000, rows)]);
        if let Ok(shape) = pattern.lower(TileKind::Core, S2mm(0).into()) {
            prop_assert_eq!(lowered_words(&shape), words(&pattern));
        }
    }

    #[test]
    fn the_end_is_one_past_the_largest_word(
        dims in prop::collection::vec((1u32..40, 1u32..9), 1..4), it in (1u32..50, 1u8..5), runs in 1u32..7,
    ) {
        let pattern = Pattern::new(&dims).iterate(it.0, it.1);
        let largest = (0..runs).flat_map(|run| pattern.words(run).flatten().collect::<Vec<_>>()).max();
        prop_assert_eq!(pattern.end_words(runs), largest.unwrap_or(0) + 1);
    }
}
