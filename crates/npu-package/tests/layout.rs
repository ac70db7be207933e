//! Operand layouts against their definition, written as the loops of the definition.

use npu_package::layout::{
    ARRAY_COLUMNS, Activations, Dimension, GroupSize, LayoutError, Output, Panels, ProjectionKind, ProjectionShape,
    Rows, UNIT_BYTES, Unpacked,
};
use proptest::prelude::*;

/// Weights and scales in which every element can be told from its neighbours.
fn sample(panels: &Panels) -> Unpacked {
    let hidden = panels.inputs();
    let weight = |index: usize| (index as u32).wrapping_mul(0x9E37_79B1).rotate_right(11) as i8;
    Unpacked {
        weights: (0..panels.n() * hidden).map(weight).collect(),
        scales: (0..panels.n() * panels.scales_per_row()).map(|n| 0x3C00 + n as u16).collect(),
    }
}

fn pack(panels: &Panels, contents: &Unpacked) -> Vec<u8> {
    let mut out = vec![0xAA; panels.bytes()];
    let (k, mut first, mut rows) = (panels.inputs(), 0, Vec::new());
    for (_, width) in panels.outputs() {
        let end = first + width;
        let of = panels.scales_per_row();
        let scales = &contents.scales[first * of..end * of];
        rows.push(Rows { weights: &contents.weights[first * k..end * k], scales });
        first = end;
    }
    panels.pack(&rows, &mut out).unwrap();
    out
}

/// `[c:4][p:N/256][unit: K/64 + 1][4096 bytes]`, the units as the array's programs read them.
fn by_definition(panels: &Panels, contents: &Unpacked) -> Vec<u8> {
    let mut out = Vec::with_capacity(panels.bytes());
    for c in 0..4 {
        for p in 0..panels.n() / 256 {
            for q in 0..panels.inputs() / 64 {
                for cp in 0..4 {
                    for kt in 0..8 {
                        for s in 0..2 {
                            for k_in in 0..8 {
                                for n_in in 0..8 {
                                    let n = 256 * p + 64 * c + 16 * cp + 8 * s + n_in;
                                    let k = 64 * q + 8 * kt + k_in;
                                    out.push(contents.weights[n * panels.inputs() + k] as u8);
                                }
                            }
                        }
                    }
                }
                if let Some(size) = panels.groups() {
                    let in_unit = if size == GroupSize::Of32 { 2 } else { 1 };
                    for cp in 0..4 {
                        for h in 0..in_unit {
                            for n_in in 0..16 {
                                let (n, k) = (256 * p + 64 * c + 16 * cp + n_in, 64 * q + 64 / in_unit * h);
                                let group = k / size.inputs();
                                let scale = contents.scales[n * (panels.inputs() / size.inputs()) + group];
                                out.extend(scale.to_le_bytes());
                            }
                        }
                    }
                }
            }
            if panels.groups().is_some() {
                continue;
            }
            let scale_unit = out.len();
            for j in 0..8 {
                for lane in 0..32 {
                    out.extend(contents.scales[256 * p + 64 * c + 8 * j + lane % 8].to_le_bytes());
                }
            }
            out.resize(scale_unit + 4096, 0);
        }
    }
    out
}

#[test]
fn packing_follows_the_definition() {
    for [hidden, n_q, n_k, n_v] in [[256, 256, 256, 256], [512, 768, 256, 512], [768, 512, 512, 256]] {
        follows_the_definition(Panels::new(hidden, n_q, n_k, n_v).unwrap());
    }
    for [context, hidden] in [[256, 256], [512, 768], [1024, 256]] {
        let panels = Panels::output(context, hidden).unwrap();
        follows_the_definition(panels);
        GroupSize::ALL.into_iter().for_each(|size| follows_the_definition(panels.grouped(size)));
    }
    for size in GroupSize::ALL {
        follows_the_definition(Panels::new(512, 768, 256, 512).unwrap().grouped(size));
    }
}

fn follows_the_definition(panels: Panels) {
    let contents = sample(&panels);
    let packed = pack(&panels, &contents);
    assert!(packed == by_definition(&panels, &contents), "{panels:?}");
    assert_eq!(panels.unpack(&packed), Ok(contents));
}

#[test]
fn every_row_belongs_to_one_output() {
    let panels = Panels::new(256, 512, 256, 768).unwrap();
    let outputs: Vec<_> = panels.outputs().collect();
    assert_eq!(outputs, [(Output::Q, 512), (Output::K, 256), (Output::V, 768)]);
    let ends = [(0, (0, 0)), (511, (0, 511)), (512, (1, 0)), (767, (1, 255)), (768, (2, 0)), (1535, (2, 767))];
    for (n, place) in ends {
        assert_eq!(panels.output_of(n), place, "row {n}");
    }
    assert_eq!((panels.width(Output::K), panels.width(Output::O)), (256, 0));
    let o = Panels::output(512, 256).unwrap();
    assert_eq!((o.kind(), o.inputs(), o.n(), o.width(Output::O)), (ProjectionKind::O, 512, 256, 256));
    assert_eq!(o.output_of(255), (0, 255));
}

#[test]
fn offsets_name_the_packed_elements() {
    let panels = Panels::new(512, 512, 256, 256).unwrap();
    let contents = sample(&panels);
    let packed = by_definition(&panels, &contents);
    for n in 0..panels.n() {
        for k in 0..panels.inputs() {
            assert_eq!(packed[panels.weight_offset(n, k)] as i8, contents.weights[n * 512 + k], "w[{n}][{k}]");
        }
        for copy in 0..4 {
            let at = panels.scale_offset(n) + 16 * copy;
            assert_eq!(u16::from_le_bytes([packed[at], packed[at + 1]]), contents.scales[n], "s_ch[{n}] copy {copy}");
        }
    }
}

#[test]
fn a_layer_of_the_27b_takes_44_megabytes() {
    let panels = Panels::new(5376, 4096, 2048, 2048).unwrap();
    assert_eq!((panels.passes(), panels.weight_units(), panels.units()), (32, 84, 85));
    assert_eq!(panels.bytes(), 4 * 32 * 85 * UNIT_BYTES);
    assert_eq!(panels.bytes(), 44_564_480);
    assert_eq!(panels.column_bytes(), 11_141_120);
    assert_eq!(panels.group_offset(3, 31) + panels.group_bytes(), panels.bytes());
    assert_eq!(Panels::group_first_row(3, 31) + 64, panels.n());
}

#[test]
fn groups_pack_alone_as_in_the_whole() {
    let panels = Panels::new(256, 256, 256, 256).unwrap();
    let contents = sample(&panels);
    let whole = pack(&panels, &contents);
    for column in 0..ARRAY_COLUMNS {
        for pass in 0..panels.passes() {
            let first = Panels::group_first_row(column, pass);
            let mut group = vec![0; panels.group_bytes()];
            panels
                .pack_group(&contents.weights[first * 256..][..64 * 256], &contents.scales[first..][..64], &mut group)
                .unwrap();
            assert!(group == whole[panels.group_offset(column, pass)..][..panels.group_bytes()]);
        }
    }
}

#[test]
fn dimensions_that_do_not_divide_are_refused_by_name() {
    let refusal = |dimension, value| Err(LayoutError::NotAMultiple { dimension, value, multiple: 256 });
    // Gemma 3 270M and 1B: hidden sizes 640 and 1152.
    assert_eq!(Panels::new(640, 1024, 256, 256), refusal(Dimension::Hidden, 640));
    assert_eq!(Panels::new(1152, 1024, 256, 256), refusal(Dimension::Hidden, 1152));
    assert_eq!(Panels::new(256, 128, 256, 256), refusal(Dimension::Query, 128));
    assert_eq!(Panels::new(256, 256, 0, 256), refusal(Dimension::Key, 0));
    assert_eq!(Panels::new(256, 256, 256, 300), refusal(Dimension::Value, 300));
    let message = Panels::new(640, 1024, 256, 256).unwrap_err().to_string();
    assert_eq!(message, "hidden size (K) is 640; a projection needs a positive multiple of 256");
    let huge = usize::MAX - 255;
    assert_eq!(Panels::new(huge, 256, 256, 256), Err(LayoutError::TooLarge { buffer: "weights" }));
    assert_eq!(Panels::new(256, huge, 256, 256), Err(LayoutError::TooLarge { buffer: "weights" }));
    assert_eq!(Panels::output(640, 1024), refusal(Dimension::Context, 640));
    assert_eq!(Panels::output(1024, 640), refusal(Dimension::Output, 640));
    assert_eq!(Panels::output(256, huge), Err(LayoutError::TooLarge { buffer: "weights" }));
}

#[test]
fn slices_of_another_shape_are_refused() {
    let panels = Panels::new(256, 256, 256, 256).unwrap();
    let (weights, scales) = (vec![0i8; 256 * 256], vec![0u16; 256]);
    let good = Rows { weights: &weights, scales: &scales };
    let mut out = vec![0; panels.bytes()];
    let short = Rows { weights: &weights[1..], scales: &scales };
    let length = |what, found, needed| Err(LayoutError::Length { what, found, needed });
    assert_eq!(panels.pack(&[good, short, good], &mut out), length("k weights", 65535, 65536));
    let short = Rows { weights: &weights, scales: &scales[1..] };
    assert_eq!(panels.pack(&[good, good, short], &mut out), length("v scales", 255, 256));
    let (found, needed) = (out.len() - 1, out.len());
    assert_eq!(panels.pack(&[good, good], &mut out), length("list of outputs", 2, 3));
    assert_eq!(panels.pack(&[good, good, good], &mut out[1..]), length("output", found, needed));
    assert_eq!(panels.unpack(&out[1..]), Err(LayoutError::Length { what: "packed buffer", found, needed }));
    let mut group = vec![0; panels.group_bytes()];
    assert_eq!(panels.pack_group(&weights, &scales[..64], &mut group), length("weights", 65536, 64 * 256));
}

#[test]
fn damaged_scale_units_are_refused() {
    let panels = Panels::new(256, 256, 256, 256).unwrap();
    let packed = pack(&panels, &sample(&panels));
    let mut damaged = packed.clone();
    let offset = panels.scale_offset(300) + 32;
    damaged[offset] ^= 1;
    let first = 0x3C00 + 300;
    assert_eq!(
        panels.unpack(&damaged),
        Err(LayoutError::ScaleCopies { n: 300, lane: 300 % 8 + 16, offset, found: first ^ 1, first })
    );
    let mut damaged = packed;
    let offset = panels.group_offset(2, 1) + panels.group_bytes() - 1;
    damaged[offset] = 9;
    assert_eq!(panels.unpack(&damaged), Err(LayoutError::ScalePadding { offset, found: 9 }));
}

#[test]
fn shapes_of_the_27b_projection() {
    // seq, blocks, m, valid rows of the last block
    for (seq, blocks, m, last) in [
        (1, 1, 16, 1),
        (64, 1, 16, 64),
        (65, 1, 32, 65),
        (512, 1, 128, 512),
        (513, 2, 80, 193),
        (1000, 2, 128, 488),
        (1024, 2, 128, 512),
        (2048, 4, 128, 512),
        (2049, 5, 112, 257),
    ] {
        let shape = ProjectionShape::new(seq, 5376, 4096, 2048, 2048).unwrap();
        assert_eq!((shape.blocks(), shape.m(), shape.valid_rows(blocks - 1)), (blocks, m, last), "S = {seq}");
        assert_eq!(shape.record_bytes(), 6144);
        assert_eq!(shape.region_bytes(), m * 6144);
        assert_eq!(shape.scratch_bytes(), 4 * m * 6144 + 4 * (4 * m * 128));
        assert_eq!(shape.x_bytes(), seq * 5376 * 2);
        assert_eq!(shape.y_bytes(), seq * 8192 * 2);
        assert_eq!(shape.weights_bytes(), 44_564_480);
        assert_eq!(shape.output(Output::Q), (0, 4096));
        assert_eq!(shape.output(Output::K), (4096, 2048));
        assert_eq!(shape.output(Output::V), (6144, 2048));
    }
    assert_eq!(ProjectionShape::new(0, 5376, 4096, 2048, 2048), Err(LayoutError::EmptySequence));
    let too_large = Err(LayoutError::TooLarge { buffer: "x or y" });
    assert_eq!(ProjectionShape::new(usize::MAX / 4, 5376, 4096, 2048, 2048), too_large);
    assert_eq!(ProjectionShape::new(usize::MAX, 5376, 4096, 2048, 2048), too_large);
}

#[test]
fn sixteen_bit_activations_take_two_limbs_of_records_and_blocks() {
    let panels = Panels::new(5376, 4096, 2048, 2048).unwrap();
    // seq, blocks, m, valid rows of the last block
    for (seq, blocks, m, last) in
        [(1, 1, 16, 1), (64, 1, 16, 64), (256, 1, 64, 256), (257, 2, 48, 65), (512, 2, 64, 256), (2049, 9, 64, 1)]
    {
        let shape = ProjectionShape::with_activations(seq, panels, Activations::Int16).unwrap();
        assert_eq!((shape.blocks(), shape.m(), shape.valid_rows(blocks - 1)), (blocks, m, last), "S = {seq}");
        assert!(shape.m() * shape.limbs() <= 128, "int8 rows of a core");
        assert_eq!(shape.record_bytes(), 12_288);
        assert_eq!(shape.scratch_bytes(), 4 * m * 12_288 + 4 * (4 * m * 128));
        assert_eq!((shape.x_bytes(), shape.y_bytes()), (seq * 5376 * 2, seq * 8192 * 2));
        assert_eq!(shape.weights_bytes(), 44_564_480);
    }
}

#[test]
fn shapes_of_the_27b_output_projection() {
    let panels = Panels::output(4096, 5376).unwrap();
    assert_eq!((panels.passes(), panels.units(), panels.bytes()), (21, 65, 4 * 21 * 65 * UNIT_BYTES));
    for (activations, record) in [(Activations::Int8, 6144), (Activations::Int16, 10_240)] {
        let shape = ProjectionShape::with_activations(100, panels, activations).unwrap();
        assert_eq!((shape.x_bytes(), shape.y_bytes(), shape.record_bytes()), (100 * 8192, 100 * 10_752, record));
        assert_eq!((shape.output(Output::O), shape.output(Output::Q).1), ((0, 5376), 0));
    }
}

#[test]
fn records_hold_values_and_tail_at_an_aligned_stride() {
    // K, Kp: the tail of 256 bytes fills 3840 up to a multiple of 2048 and pushes the others over one.
    for (hidden, record) in [(256, 2048), (768, 2048), (1792, 2048), (2560, 4096), (3840, 4096), (5376, 6144)] {
        assert_eq!(ProjectionShape::new(1, hidden, 256, 256, 256).unwrap().record_bytes(), record, "K = {hidden}");
    }
}

#[test]
fn rows_of_a_block_interleave_the_compute_rows() {
    // rho = 64 u + 16 r + i
    for (rho, expected) in
        [(0, (0, 0)), (15, (0, 15)), (16, (1, 0)), (63, (3, 15)), (64, (0, 16)), (93, (1, 29)), (511, (3, 127))]
    {
        assert_eq!(ProjectionShape::core_row(rho), expected);
    }
}

proptest! {
    #[test]
    fn every_token_stands_in_one_row(seq in 1usize..20_000) {
        let shape = ProjectionShape::new(seq, 256, 256, 256, 256).unwrap();
        prop_assert!(shape.block_rows() <= 512);
        prop_assert_eq!(shape.m() % 16, 0);
        let mut next = 0;
        for block in 0..shape.blocks() {
            let valid = shape.valid_rows(block);
            prop_assert!(valid > 0 && (block + 1 == shape.blocks() || valid == shape.block_rows()));
            prop_assert_eq!(shape.token(block, 0), next);
            prop_assert_eq!(shape.token(block, valid - 1), next + valid - 1);
            prop_assert_eq!(shape.token(block, shape.block_rows() - 1), next + valid - 1);
            next += valid;
        }
        prop_assert_eq!(next, seq);
        let mut taken = vec![false; shape.block_rows()];
        for rho in 0..shape.block_rows() {
            let (row, local) = ProjectionShape::core_row(rho);
            prop_assert!(local < shape.m());
            prop_assert!(!std::mem::replace(&mut taken[row * shape.m() + local], true));
        }
    }

    #[test]
    fn random_layers_survive_packing(
        [k, q, kk, v] in [1usize..3, 1usize..3, 1usize..3, 1usize..3],
        seed: u64,
    ) {
        let panels = Panels::new(256 * k, 256 * q, 256 * kk, 256 * v).unwrap();
        let mut state = seed | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let contents = Unpacked {
            weights: (0..panels.n() * panels.inputs()).map(|_| random() as i8).collect(),
            scales: (0..panels.n()).map(|_| random() as u16).collect(),
        };
        prop_assert_eq!(panels.unpack(&pack(&panels, &contents)), Ok(contents));
    }
}

#[test]
fn scales_of_groups_stand_in_the_unit_of_their_codes() {
    for (size, per_row, unit) in [(GroupSize::Of32, 16, 4352), (GroupSize::Of128, 4, 4224)] {
        let panels = Panels::output(512, 512).unwrap().grouped(size);
        assert_eq!((panels.scales_per_row(), panels.unit_bytes(), panels.units()), (per_row, unit, 8));
        assert_eq!(panels.bytes(), 4 * 2 * 8 * unit);
        let contents = sample(&panels);
        let packed = by_definition(&panels, &contents);
        for n in 0..panels.n() {
            for k in 0..panels.inputs() {
                let (weight, scale) = (panels.weight_offset(n, k), panels.group_scale_offset(n, k));
                assert_eq!(weight / unit, scale / unit);
                assert_eq!(packed[weight] as i8, contents.weights[n * 512 + k], "w[{n}][{k}]");
                let found = u16::from_le_bytes([packed[scale], packed[scale + 1]]);
                assert_eq!(found, contents.scales[n * per_row + k / size.inputs()], "s[{n}][{k}]");
            }
        }
    }
    assert_eq!(GroupSize::of(128), Some(GroupSize::Of128));
    assert_eq!([16, 64, 256].map(GroupSize::of), [None; 3]);
}

#[test]
fn copies_of_a_groups_scale_that_differ_are_named() {
    let panels = Panels::output(256, 256).unwrap().grouped(GroupSize::Of128);
    let mut packed = pack(&panels, &sample(&panels));
    let offset = panels.group_scale_offset(70, 192);
    assert_ne!(offset, panels.group_scale_offset(70, 128));
    let first = u16::from_le_bytes([packed[offset], packed[offset + 1]]);
    packed[offset] ^= 1;
    let error = panels.unpack(&packed).unwrap_err();
    assert_eq!(error, LayoutError::GroupScaleCopies { n: 70, k: 192, offset, found: first ^ 1, first });
}
