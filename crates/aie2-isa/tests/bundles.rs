//! Bundles: format choice, widening, slot conflicts, refusals, streams of bundles.

mod common;

use aie2_isa::{Bundle, Format, Insn, IsaError, OpId, Slot};
use common::Rng;
use proptest::prelude::*;

/// One instruction per slot, no NOPs.
fn sample(slot: Slot) -> Insn {
    let text = match slot {
        Slot::Lda => "lda r0, [p0], #4",
        Slot::Ldb => "vldb wl0, [p1], #32",
        Slot::Alu => "add r1, r2, r3",
        Slot::Mv => "mov r4, r5",
        Slot::St => "vst wl1, [p2], #32",
        Slot::Vec => "vmac cm0, cm0, x0, x1, r6",
        Slot::Lng => "movxm p3, #0x70000",
        Slot::Nop => "nop",
    };
    Insn::parse(text).unwrap()
}

/// Every set of slots that may issue together.
fn slot_sets() -> impl Iterator<Item = Vec<Slot>> {
    let sets = (0..128u32).map(|set| Slot::ALL[..7].iter().copied().filter(|&s| set >> s as u32 & 1 == 1).collect());
    sets.filter(|s: &Vec<Slot>| !(s.contains(&Slot::Lng) && (s.contains(&Slot::Alu) || s.contains(&Slot::Mv))))
}

#[test]
fn every_legal_set_of_slots_takes_its_smallest_format() {
    let mut sets = 0;
    for set in slot_sets() {
        let insns: Vec<Insn> = set.iter().map(|&s| sample(s)).collect();
        let bundle = Bundle::with(&insns).unwrap();
        let encoded = bundle.encode();
        let holding = Format::all().iter().filter(|f| set.iter().all(|&s| f.has(s)));
        let smallest = holding.map(|f| f.bytes as usize).min().unwrap();
        assert_eq!(encoded.byte_len(), smallest, "{bundle}");
        let (back, format, len) = Bundle::decode(&encoded).unwrap();
        assert_eq!((back, format.name, len), (bundle, encoded.format().name, smallest));
        assert_eq!(bundle.iter().count(), set.len());
        sets += 1;
    }
    assert_eq!(sets, 80, "lda, ldb, st, vec freely; nothing, alu, mv, alu + mv or lng");
}

/// SOURCE: Xilinx/llvm-aie: lda + st + alu + mv + vec has no format of its own.
#[test]
fn a_set_without_a_format_of_its_own_is_filled_with_nops() {
    let slots = [Slot::Lda, Slot::St, Slot::Alu, Slot::Mv, Slot::Vec];
    let bundle = Bundle::with(&slots.map(sample)).unwrap();
    assert_eq!(bundle.encode().byte_len(), 16);
    assert!(bundle.encode().format().has(Slot::Ldb));
}

#[test]
fn widening_keeps_the_instructions() {
    for set in slot_sets() {
        let bundle = Bundle::with(&set.iter().map(|&s| sample(s)).collect::<Vec<_>>()).unwrap();
        for bytes in 0..=16 {
            let wide = bundle.encode_at_least(bytes).unwrap();
            assert!(wide.byte_len() >= bytes && wide.byte_len() >= bundle.encode().byte_len());
            let (back, _, len) = Bundle::decode(&wide).unwrap();
            assert_eq!((back, len), (bundle, wide.byte_len()));
            let tighter = Format::all()
                .iter()
                .filter(|f| set.iter().all(|&s| f.has(s)) && f.bytes as usize >= bytes)
                .any(|f| (f.bytes as usize) < wide.byte_len());
            assert!(!tighter, "{bundle} in {bytes}");
        }
        assert_eq!(bundle.encode_at_least(17).unwrap_err(), IsaError::NoFormat { at_least: 17 });
        assert_eq!(bundle.encode_at_least(16).unwrap().byte_len(), 16, "every bundle can fill a fetch word");
    }
    let st = Bundle::with(&[sample(Slot::St)]).unwrap();
    let refused = st.encode_in(Format::from_name("I32_LDA").unwrap()).unwrap_err();
    assert_eq!(refused, IsaError::NotInFormat { format: "I32_LDA", slot: Slot::St });
}

#[test]
fn the_empty_bundle_is_the_two_byte_nop() {
    let nop = Bundle::new();
    assert_eq!(nop.encode().as_bytes(), [0x01, 0x00]);
    assert_eq!(nop.to_string(), "nop");
    let (back, format, len) = Bundle::decode(&[0x01, 0x00, 0xff]).unwrap();
    assert!(back.is_empty());
    assert_eq!((format.name, len), ("I16_NOP", 2));
    for text in ["nop", "nopa", "nopx; nopm", "nopa; nopb; nops; nopx; nopm; nopv", "nopxm"] {
        assert_eq!(Bundle::parse(text).unwrap(), nop, "{text}");
    }
}

#[test]
fn one_instruction_per_slot_and_lng_takes_alu_and_mv() {
    for a in &Slot::ALL[..7] {
        for b in &Slot::ALL[..7] {
            let lng_pair = [a, b].contains(&&Slot::Lng) && [a, b].iter().any(|s| matches!(s, Slot::Alu | Slot::Mv));
            let mut bundle = Bundle::with(&[sample(*a)]).unwrap();
            let before = bundle;
            assert_eq!(bundle.is_free(*b), a != b && !lng_pair);
            match bundle.insert(sample(*b)) {
                Ok(()) => assert!(a != b && !lng_pair, "{a} {b}"),
                Err(e) => {
                    assert!(a == b || lng_pair, "{a} {b}");
                    let present = sample(*a).row().name;
                    assert_eq!(e, IsaError::SlotTaken { slot: *b, present, present_slot: *a });
                    assert_eq!(bundle, before, "a refused instruction changes nothing");
                }
            }
        }
    }
    let mut bundle = Bundle::parse("mov r0, r1; add r2, r3, r4").unwrap();
    assert_eq!(bundle.remove(Slot::Mv).map(|i| i.to_string()).as_deref(), Some("mov r0, r1"));
    assert_eq!(bundle.to_string(), "add r2, r3, r4");
}

/// SOURCE: Xilinx/llvm-aie llvm/test/MC/AIE/bundles.s, invalid-bundles.s, invalid-instructions.s.
#[test]
fn llvm_aie_accepts_and_refuses_the_same_bundles() {
    let accepted = [
        "padda [p1], #4; add r0, r0, r1",
        "padda [p0], #4; mov r0, r1",
        "padda [p0], #4; st r0, [p1, #0]",
        "padda [p1], #4; add r0, r0, r1; mov r2, r1",
        "padda [p1], #4; movxm r2, #0x40",
        "padda [p1], #4; st r0, [p0, #0]; add r0, r0, r1; mov r2, r1",
    ];
    for text in accepted {
        assert_eq!(Bundle::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "padda [p0], #4; padda [p0], #4",
        "add r0, r0, r0; add r0, r0, r0",
        "padda [p1], #4; add r0, r0, r1; mov r2, r1; lda r0, [p0, #0]",
    ] {
        assert!(matches!(Bundle::parse(text), Err(IsaError::SlotTaken { .. })), "{text}");
    }
    for text in ["padda [p0], MCD", "vmov.hi cm0, MCD"] {
        assert!(matches!(Bundle::parse(text), Err(IsaError::NoSuchForm { .. })), "{text}");
    }
}

#[test]
fn reserved_bits_of_a_format_are_refused() {
    let mut refused = 0;
    for format in Format::all() {
        let bytes = Bundle::new().encode_in(format).unwrap();
        for bit in (0..128).filter(|b| format.dontcare >> b & 1 == 1) {
            let mut raw = bytes.as_bytes().to_vec();
            raw[bit / 8] |= 1 << (bit % 8);
            let want = IsaError::ReservedFormatBits { format: format.name, bits: 1 << bit };
            assert_eq!(Bundle::decode(&raw).unwrap_err(), want);
            refused += 1;
        }
    }
    assert_eq!(refused, Format::all().iter().map(|f| f.dontcare.count_ones()).sum::<u32>());
    assert!(refused > 100);
}

/// Two formats of one length that fit the same bits would make the decoder's answer a matter of table order.
#[test]
fn no_bundle_is_two_formats_even_if_reserved_bits_are_ignored() {
    for (i, a) in Format::all().iter().enumerate() {
        for b in Format::all()[i + 1..].iter().filter(|b| b.bytes == a.bytes) {
            let both = a.mask & !a.dontcare & b.mask & !b.dontcare;
            assert_ne!((a.value ^ b.value) & both, 0, "{} and {}", a.name, b.name);
        }
    }
}

#[test]
fn broken_streams_are_refused() {
    assert_eq!(Bundle::decode(&[]).unwrap_err(), IsaError::Truncated { needed: 2, available: 0 });
    assert_eq!(Bundle::decode(&[0x59, 0xb9]).unwrap_err(), IsaError::Truncated { needed: 4, available: 2 });
    assert_eq!(Bundle::decode(&[0; 15]).unwrap_err(), IsaError::Truncated { needed: 16, available: 15 });
    // 4 bytes, format selector 101 in bits 29..27: no slot has it.
    let bits = 0x2800_0019u32;
    assert_eq!(
        Bundle::decode(&bits.to_le_bytes()).unwrap_err(),
        IsaError::UnknownFormat { bytes: 4, bits: bits.into() }
    );
    // A format with a word that is no instruction: the error says which slot.
    let word = (0..1 << 20).find(|&w| matches!(Insn::decode(Slot::Alu, w), Err(IsaError::UnknownWord { .. }))).unwrap();
    let bits = 0x1000_0019 | (word as u32) << 7;
    assert_eq!(Bundle::decode(&bits.to_le_bytes()).unwrap_err(), IsaError::UnknownWord { slot: Slot::Alu, word });
}

fn any_bundle() -> impl Strategy<Value = Bundle> {
    (any::<u8>(), any::<u64>()).prop_map(|(slots, seed)| {
        let mut rng = Rng(seed);
        let mut bundle = Bundle::new();
        let ops: Vec<OpId> = OpId::all().collect();
        // Start at a random slot, so that lng does not always lose against alu and mv.
        let start = (seed % 7) as usize;
        for slot in (0..7).map(|i| Slot::ALL[(start + i) % 7]).filter(|&s| slots >> s as u8 & 1 == 1 && bundle_room(s))
        {
            let rows: Vec<OpId> = ops.iter().copied().filter(|op| op.row().slot == slot).collect();
            let op = rows[(rng.next().unwrap() % rows.len() as u64) as usize];
            if bundle.is_free(slot) {
                bundle.insert(common::insn(op, &rng.seeds())).unwrap();
            }
        }
        bundle
    })
}

fn bundle_room(slot: Slot) -> bool {
    slot != Slot::Nop
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bundles_survive_bytes_and_text(bundle in any_bundle(), bytes in 0usize..=16) {
        let encoded = bundle.encode_at_least(bytes).unwrap();
        let (back, format, len) = Bundle::decode(&encoded).unwrap();
        prop_assert_eq!(back, bundle);
        prop_assert_eq!(format.name, encoded.format().name);
        prop_assert_eq!(len, encoded.byte_len());
        prop_assert_eq!(Bundle::parse(&bundle.to_string()).unwrap(), bundle);
    }

    #[test]
    fn a_stream_of_bundles_decodes_one_after_the_other(bundles in prop::collection::vec(any_bundle(), 1..20)) {
        let bytes: Vec<u8> = bundles.iter().flat_map(|b| b.encode().as_bytes().to_vec()).collect();
        let (mut at, mut back) = (0, Vec::new());
        while at < bytes.len() {
            let (bundle, _, len) = Bundle::decode(&bytes[at..]).unwrap();
            back.push(bundle);
            at += len;
        }
        prop_assert_eq!(back, bundles);
    }

    /// Whatever is accepted means exactly its bytes (or bytes that differ by the decode-only pointer number).
    #[test]
    fn random_bytes_are_refused_or_mean_what_they_say(bytes in prop::array::uniform16(any::<u8>())) {
        if let Ok((bundle, format, len)) = Bundle::decode(&bytes) {
            let again = bundle.encode_in(format).unwrap();
            let (meaning, _, _) = Bundle::decode(&again).unwrap();
            prop_assert_eq!(meaning, bundle);
            let p5 = bundle.iter().any(|i| i.to_string().contains("p5"));
            prop_assert!(again.as_bytes() == &bytes[..len] || p5);
        }
    }
}
