//! Distances, old values, ports, initialisation.

use super::{Bus, core, fault_of, reg, run, scalar_after};
use crate::core::EarlyReads;
use crate::core_fault::CoreFaultKind as K;
use crate::fault::Fault;
use crate::port::OWN_WINDOW;

fn nops(n: usize) -> String {
    "nop\n".repeat(n)
}

#[test]
fn a_load_is_seen_after_seven_bundles() {
    let text =
        |gap: usize| format!("movxm r0, #5\nmovxm r1, #9\nst r1, [p0, #0]\nlda r0, [p0, #0]\n{}mov r2, r0", nops(gap));
    assert_eq!(scalar_after(&text(5), "r2"), 5);
    assert_eq!(scalar_after(&text(6), "r2"), 9);
    assert_eq!(fault_of(&text(5)), K::EarlyRead { register: "r0".to_owned(), cycle: 1, bundles_short: 1 });
    assert_eq!(fault_of(&text(0)), K::EarlyRead { register: "r0".to_owned(), cycle: 1, bundles_short: 6 });
}

#[test]
fn early_reads_are_accepted_where_listed() {
    let text = "movxm r0, #5\nmovxm r1, #9\nst r1, [p0, #0]\nlda r0, [p0, #0]\nnop\nmov r2, r0";
    let (mut c, mut bus) = (core(text), Bus::new());
    let before = super::bytes(text.rsplit_once('\n').expect("lines").0).len() as u32;
    c.allow_early_reads([before]);
    run(&mut c, &mut bus).expect("listed");
    assert_eq!(c.register(reg("r2")).map(|b| b[0]), Some(5));
}

#[test]
fn multiply_and_delayed_moves() {
    assert_eq!(scalar_after("movxm r1, #6\nmovxm r2, #7\nmovxm r0, #1\nmul r0, r1, r2\nmov r3, r0", "r3"), 1);
    assert_eq!(scalar_after("movxm r1, #6\nmovxm r2, #7\nmul r0, r1, r2\nnop\nmov r3, r0", "r3"), 42);
    let delayed = |gap: usize| format!("movxm r1, #6\nmovxm r0, #1\nmov.d3 r0, r1\n{}add r3, r0, #0", nops(gap));
    assert_eq!((scalar_after(&delayed(2), "r3"), scalar_after(&delayed(3), "r3")), (1, 6));
}

#[test]
fn reads_of_a_bundle_come_before_its_writes() {
    assert_eq!(scalar_after("movxm r0, #1\nmovxm r1, #2\nadd r0, r1, #0; mov r1, r0", "r1"), 1);
}

#[test]
fn a_load_beside_a_reader_of_its_register_is_not_early() {
    // The load issues in the reader's bundle: the old value is the only one the reader can mean. One bundle later it is in flight.
    let same = "movxm r0, #5\nmovxm r1, #9\nst r1, [p0, #0]\nlda r0, [p0, #0]; mov r2, r0\n";
    let (mut c, mut bus) = (core(&format!("{same}{}mov r3, r0", nops(6))), Bus::new());
    run(&mut c, &mut bus).expect("no early read");
    assert_eq!(["r2", "r3"].map(|r| c.register(reg(r)).map(|b| b[0])), [Some(5), Some(9)]);
    assert_eq!(
        fault_of(&format!("{same}mov r3, r0")),
        K::EarlyRead { register: "r0".to_owned(), cycle: 1, bundles_short: 6 }
    );
    // The same for an accumulator's quarter and a vector, which a store reads.
    for (load, store) in [("vlda amhl2", "vst amhl2"), ("vldb wl3", "vst wl3")] {
        let name = load.split(' ').nth(1).expect("a register");
        let at = if load.starts_with("vldb") { "vldb" } else { "vlda" };
        let text = format!("{at} {name}, [p0, #0]\n{}{at} {name}, [p0, #32]; {store}, [p0, #64]\n{}", nops(6), nops(7));
        let (mut c, mut bus) = (core(&text), Bus::new());
        bus.bytes[..32].fill(1);
        bus.bytes[32..64].fill(2);
        run(&mut c, &mut bus).expect("no early read");
        assert_eq!((bus.bytes[64], c.register(reg(name)).map(|b| b[0])), (1, Some(2)), "{name}");
    }
}

#[test]
fn mov_bypass_and_its_absence() {
    let text = |gap: usize, user: &str| {
        format!("movxm r0, #3\nmovxm r1, #4\nvbcst.32 x0, r1\nnop\nvbcst.32 x0, r0\n{}{user}\n{}", nops(gap), nops(3))
    };
    let first = |t: &str, what: &str| {
        let (mut c, mut bus) = (core(t), Bus::new());
        c.set_early_reads(EarlyReads::Anywhere);
        run(&mut c, &mut bus).expect("no fault");
        if what == "mem" { bus.word(OWN_WINDOW) } else { c.register(reg(what)).map_or(0, |b| u32::from(b[0])) }
    };
    // Elementwise to elementwise: one bundle.
    assert_eq!(first(&text(0, "vbor x2, x0, x0"), "x2"), 3);
    // Elementwise to store: two bundles.
    assert_eq!(first(&text(0, "vst wl0, [p0, #0]"), "mem"), 4);
    assert_eq!(first(&text(1, "vst wl0, [p0, #0]"), "mem"), 3);
    assert!(matches!(fault_of(&text(0, "vst wl0, [p0, #0]")), K::EarlyRead { cycle: 1, .. }));
}

#[test]
fn accumulator_chain_is_two_bundles_long() {
    let text = |gap: usize| {
        format!(
            "movxm r0, #0x308\nmovxm r1, #1\nvbcst.8 x0, r1\nnop\nvclr cm0\n{}vmac cm0, cm0, x0, x0, r0\n{}vmac cm0, cm0, x0, x0, r0\n{}\
             vst amll0, [p0, #0]\n{}",
            nops(4),
            nops(gap),
            nops(4),
            nops(4)
        )
    };
    let sum = |gap| {
        let (mut c, mut bus) = (core(&text(gap)), Bus::new());
        c.set_early_reads(EarlyReads::Anywhere);
        run(&mut c, &mut bus).expect("no fault");
        bus.word(OWN_WINDOW)
    };
    assert_eq!((sum(0), sum(1), sum(2)), (8, 16, 16));
    assert!(matches!(fault_of(&text(0)), K::EarlyRead { cycle: 3, .. }));
}

#[test]
fn never_written_registers() {
    assert_eq!(fault_of("add r1, r0, #1"), K::Uninitialised { register: "r0".to_owned(), cycle: 1 });
    assert_eq!(
        fault_of("movxm r0, #0x308\nmovxm r1, #1\nvbcst.8 x0, r1\nnop\nvmac cm0, cm1, x0, x0, r0"),
        K::Uninitialised { register: "amll1".to_owned(), cycle: 3 }
    );
    // The int8 4x8x8 mode reads only the low half of its first operand.
    let half =
        "movxm r0, #0x308\nvlda wl0, [p0, #0]\nvlda wl1, [p0, #0]\nvlda wh1, [p0, #0]\nnop\nnop\nnop\nnop\nnop\nnop\n";
    let (mut c, mut bus) = (core(&format!("{half}vmul cm0, x0, x1, r0")), Bus::new());
    run(&mut c, &mut bus).expect("wh0 is not read");
    assert_eq!(
        fault_of(&format!("{half}vmul cm0, x1, x0, r0")),
        K::Uninitialised { register: "wh0".to_owned(), cycle: 1 }
    );
}

#[test]
fn writes_and_ports_that_meet() {
    // mov.d2 lands with the mov one bundle... two bundles later.
    assert_eq!(
        fault_of("movxm r1, #1\nmov.d2 r0, r1\nnop\nadd r0, r1, #0"),
        K::WriteClash { register: "r0".to_owned(), cycle: 1 }
    );
    // A float result (cycle 6) and an integer result (cycle 5) one bundle later need the same accumulator write port.
    let text = "movxm r0, #0x308\nmovxm r2, #0x1c\nmovxm r1, #1\nvbcst.8 x0, r1\nnop\nvmul.f bml0, x0, x0, r2\nvmul cm1, x0, x0, r0";
    assert_eq!(fault_of(text), K::PortClash { resource: "CM_WA_PORT", cycle: 5 });
}

#[test]
fn misaligned_and_undefined_operands() {
    assert_eq!(fault_of("movxm p1, #0x70010\nvlda wl0, [p1, #0]"), K::Misaligned { addr: 0x7_0010, bytes: 32 });
    let config = "movxm r0, #0x348\nmovxm r1, #1\nvbcst.8 x0, r1\nnop\nvmul cm0, x0, x0, r0";
    assert!(matches!(fault_of(config), K::Config(c) if c.word == 0x348));
    let rounding = |rnd: u32| {
        format!(
            "movxm crRnd, #{rnd}\nmovxm crSat, #0\nmovxm s0, #0\nvclr cm0\nnop\nnop\nnop\nnop\nvsrs.s8.s32 wl0, cm0, s0"
        )
    };
    assert!(matches!(fault_of(&rounding(5)), K::Conversion(_)));
    let (mut c, mut bus) = (core(&rounding(12)), Bus::new());
    run(&mut c, &mut bus).expect("documented mode");
}

#[test]
fn unmodelled_instructions_are_named() {
    assert_eq!(
        fault_of("movxm r0, #0\nmovxm dp, #0\nvldb.compr.reset [p0]"),
        K::Unmodelled { name: "VLDB_COMPR_RESET" }
    );
}

#[test]
fn part_word_stores_read_their_data_late() {
    // Data is read at cycle 7: a move six bundles later is still seen... one bundle too late for the seventh.
    let text = |gap: usize| format!("movxm r0, #1\nst.s8 r0, [p0, #0]\n{}movxm r0, #2\n{}", nops(gap), nops(8));
    let stored = |gap: usize| {
        let (mut c, mut bus) = (core(&text(gap)), Bus::new());
        run(&mut c, &mut bus).expect("no fault");
        bus.word(OWN_WINDOW)
    };
    assert_eq!((stored(4), stored(5)), (2, 1));
    let race = "movxm r0, #1\nst.s8 r0, [p0, #0]\nnop\nst r0, [p0, #0]\nnop\nnop";
    let (mut c, mut bus) = (core(race), Bus::new());
    assert!(matches!(run(&mut c, &mut bus), Err(Fault::Core { .. })));
}

#[test]
fn add_nc_leaves_the_carry() {
    let text = "movxm r0, #-1\nmovxm r1, #1\nadd r2, r0, r1\nadd.nc r3, r1, #1\nmovxm r4, #0\nadc r5, r4, r4";
    assert_eq!(scalar_after(text, "r5"), 1);
}

#[test]
fn late_vector_sources_must_stay() {
    let text = |gap: usize| {
        format!("movxm r1, #1\nvbcst.8 x0, r1\nnop\nvunpack.s16.s8 x2, wl0\n{}vbcst.8 x0, r1\n{}", nops(gap), nops(8))
    };
    assert_eq!(fault_of(&text(0)), K::LateSource { register: "wl0".to_owned(), cycle: 7 });
    assert_eq!(fault_of(&text(3)), K::LateSource { register: "wl0".to_owned(), cycle: 7 });
    let (mut c, mut bus) = (core(&text(5)), Bus::new());
    run(&mut c, &mut bus).expect("the source is read first");
}

#[test]
fn table_lookup_reads_the_copy_of_its_lane() {
    // Row r of 32 bytes: a run of eight 16-bit entries, then the same run. Entry e sits at offset 4 e.
    let (mut c, mut bus) =
        (core(&format!("vlda wl0, [p0, #0]\n{}vldb.4x16.lo wl1, wl0\n{}", nops(6), nops(7))), Bus::new());
    for e in 0..64u16 {
        let (row, column) = (usize::from(e / 8), usize::from(e % 8));
        for copy in 0..2 {
            let at = 0x1000 + 32 * row + 16 * copy + 2 * column;
            bus.bytes[at..at + 2].copy_from_slice(&(1000 + e).to_le_bytes());
        }
    }
    for (lane, e) in [3u32, 10, 63, 8].into_iter().enumerate() {
        bus.bytes[4 * lane..4 * lane + 4].copy_from_slice(&(OWN_WINDOW + 0x1000 + 4 * e).to_le_bytes());
    }
    run(&mut c, &mut bus).expect("no fault");
    let out = c.register(reg("wl1")).expect("loaded");
    let got: Vec<u16> = (0..4).map(|g| u16::from_le_bytes([out[8 * g], out[8 * g + 1]])).collect();
    assert_eq!(got, [1003, 1010, 1063, 1008]);
}
