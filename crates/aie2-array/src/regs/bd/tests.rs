use super::*;
use proptest::prelude::*;

const LINEAR: [u32; 4] = [UNUSED_STEP; 4];

// SOURCE: a one-column PDI of Xilinx/mlir-aie (passthrough), the four BDs of its compute tile.
#[test]
fn core_bds_of_a_known_pdi() {
    let bd = |base_bytes: u32, next, acquire, release| CoreBd {
        base_words: base_bytes / 4,
        length_words: 0x80,
        steps: [UNUSED_STEP; 3],
        wraps: [0; 2],
        common: BdCommon {
            next: Some(next),
            acquire: Some(LockAcquire { id: acquire, value: -1 }),
            release: Some(LockRelease { id: release, value: 1 }),
            iteration: None,
        },
    };
    assert_eq!(bd(0x8000, 1, 0, 1).encode(), [0x0800_0080, 0, 0, 0, 0, 0x0E04_3FE0]);
    assert_eq!(bd(0xC000, 0, 0, 1).encode(), [0x0C00_0080, 0, 0, 0, 0, 0x0604_3FE0]);
    assert_eq!(bd(0x400, 3, 3, 2).encode(), [0x0040_0080, 0, 0, 0, 0, 0x1E04_5FE3]);
    assert_eq!(bd(0x4000, 2, 3, 2).encode(), [0x0400_0080, 0, 0, 0, 0, 0x1604_5FE3]);
}

// SOURCE: Xilinx/mlir-aie npu1 designs: mem tile BD word 7 of the first producer BD of an objectFifo.
#[test]
fn mem_bd_lock_word() {
    let bd = MemBd {
        base_words: 0x8_0000 / 4,
        length_words: 16,
        steps: LINEAR,
        wraps: [0; 3],
        pad: MemPad::default(),
        common: BdCommon {
            next: None,
            acquire: Some(LockAcquire { id: 64, value: -1 }),
            release: Some(LockRelease { id: 65, value: 1 }),
            iteration: None,
        },
    };
    assert_eq!(bd.encode(), [16, 0x2_0000, 0, 0, 0, 0, 0, 0x8141_FF40]);
}

// SOURCE: linear shim BD of Xilinx/mlir-aie and of AMD's Phoenix validation; iteration word of the latter.
#[test]
fn shim_bds_of_known_streams() {
    let mut bd = ShimBdWords {
        length_words: 0x400,
        steps: [UNUSED_STEP; 3],
        wraps: [0; 2],
        burst: 2,
        ax_cache: 2,
        common: BdCommon::default(),
    };
    assert_eq!(bd.encode(), [0x400, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000]);
    bd.common.iteration = Some(Iteration { step_words: 0x4_0000, count: 32 });
    assert_eq!(bd.encode()[6], 0x01F3_FFFF);
}

fn common(locks: u8, bds: u8, step: u32) -> impl Strategy<Value = BdCommon> {
    let lock = move || (0..locks, -64i8..64);
    (
        proptest::option::of(0..bds),
        proptest::option::of(lock()),
        proptest::option::of(lock().prop_filter("0 releases nothing", |l| l.1 != 0)),
        proptest::option::of((2..=step, 1u8..=64)),
    )
        .prop_map(|(next, acquire, release, iteration)| BdCommon {
            next,
            acquire: acquire.map(|(id, value)| LockAcquire { id, value }),
            release: release.map(|(id, value)| LockRelease { id, value }),
            iteration: iteration.map(|(step_words, count)| Iteration { step_words, count }),
        })
}

proptest! {
    #[test]
    fn core_words_decode_to_their_fields(
        base_words in 0u32..1 << 14, length_words in 0u32..1 << 14,
        steps in prop::array::uniform3(1u32..=1 << 13), wraps in prop::array::uniform2(0u32..256),
        common in common(16, 16, 1 << 13),
    ) {
        let bd = CoreBd { base_words, length_words, steps, wraps, common };
        prop_assert_eq!(CoreBd::decode(bd.encode()), bd);
    }

    #[test]
    fn mem_words_decode_to_their_fields(
        base_words in 0u32..1 << 19, length_words in 0u32..1 << 17,
        steps in prop::array::uniform4(1u32..=1 << 17), wraps in prop::array::uniform3(0u32..1024),
        before in (0u8..64, 0u8..32, 0u8..16), after in (0u8..64, 0u8..32, 0u8..16),
        common in common(192, 48, 1 << 17),
    ) {
        let pad = MemPad { before: before.into(), after: after.into() };
        let bd = MemBd { base_words, length_words, steps, wraps, pad, common };
        prop_assert_eq!(MemBd::decode(bd.encode()), bd);
    }

    #[test]
    fn shim_words_decode_to_their_fields(
        length_words: u32,
        steps in prop::array::uniform3(1u32..=1 << 20), wraps in prop::array::uniform2(0u32..1024),
        burst in 0u8..3, ax_cache in 0u8..16,
        common in common(16, 16, 1 << 20),
    ) {
        let bd = ShimBdWords { length_words, steps, wraps, burst, ax_cache, common };
        prop_assert_eq!(ShimBdWords::decode(bd.encode()), bd);
    }
}
