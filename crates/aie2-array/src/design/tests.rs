use npu_container::cdo::Command;

use super::*;

fn design(columns: u8) -> Design {
    Design::new(columns).expect("1 to 4 columns")
}

/// One core copies two rings: shim -> core -> shim, as in the smallest design of mlir-aie.
fn passthrough() -> Design {
    let mut d = design(1);
    let core = Tile::core(0, 0);
    let input = d.ring(core, "in", 2, 512, Place::Each(vec![0x8000, 0xC000])).expect("ring");
    let output = d.ring(core, "out", 2, 512, Place::Each(vec![0x400, 0x4000])).expect("ring");
    d.fill_by_dma(input, S2mm(0), &[Pattern::linear(128)]).expect("fill");
    d.drain_by_dma(output, Mm2s(0), &[Pattern::linear(128)]).expect("drain");
    d.core_drains(input).expect("core side");
    d.core_fills(output).expect("core side");
    d.connect(Tile::shim(0).mm2s(0), &[core.s2mm(0)]).expect("flow");
    d.connect(core.mm2s(0), &[Tile::shim(0).s2mm(0)]).expect("flow");
    d.program(core, &[0x19, 0x00, 0x19]).expect("program");
    d.token_route(0).expect("token route");
    d
}

// SOURCE: the one-column passthrough PDI of Xilinx/mlir-aie. The router takes lane 0 where that PDI takes lane 1, and
// locks are set in order of their numbers.
#[test]
fn commands_of_the_passthrough_pdi() {
    let commands = passthrough().finish().expect("complete").commands;
    let write = |addr, value| Command::Write { addr, value };
    let mask = |addr, mask, value| Command::MaskWrite { addr, mask, value };
    let block = |addr, data: &[u32]| Command::DmaWrite { addr, data: data.to_vec() };
    let core = 0x0020_0000;
    let channels = [0x1DE00, 0x1DE08, 0x1DE10, 0x1DE18].map(|offset| core + offset);

    let mut expected = vec![mask(core + 0x32000, 1, 0)];
    expected.extend(channels.map(|addr| mask(addr, 2, 2)));
    expected.push(block(core + 0x20000, &[0x0019_0019]));
    expected.extend(channels.map(|addr| mask(addr, 2, 0)));
    expected.extend([mask(core + 0x32000, 2, 2), mask(core + 0x32000, 2, 0)]);
    expected.extend((0..16).map(|lock| write(core + 0x1F000 + 0x10 * lock, 0)));
    expected.extend([(0, 2), (1, 0), (2, 2), (3, 0)].map(|(lock, value)| write(core + 0x1F000 + 0x10 * lock, value)));
    expected.extend([
        block(core + 0x1D000, &[0x0800_0080, 0, 0, 0, 0, 0x0E04_3FE0]),
        block(core + 0x1D020, &[0x0C00_0080, 0, 0, 0, 0, 0x0604_3FE0]),
        block(core + 0x1D040, &[0x0040_0080, 0, 0, 0, 0, 0x1E04_5FE3]),
        block(core + 0x1D060, &[0x0400_0080, 0, 0, 0, 0, 0x1604_5FE3]),
        write(core + 0x1DE04, 0),
        write(core + 0x1DE14, 2),
        // Shim: S2MM 0 <- North 0; North 0 <- MM2S 0.
        write(0x3F010, 0x8000_000E),
        write(0x3F138, 0x8000_0000),
        write(0x3F030, 0x8000_0005),
        write(0x3F114, 0x8000_0000),
        // Mem tile: South 0 <- North 0; North 0 <- South 0.
        write(0x10_0000 + 0xB001C, 0x8000_000D),
        write(0x10_0000 + 0xB0134, 0x8000_0000),
        write(0x10_0000 + 0xB002C, 0x8000_0007),
        write(0x10_0000 + 0xB011C, 0x8000_0000),
        // Core: S2MM 0 <- South 0; South 0 <- MM2S 0.
        write(core + 0x3F004, 0x8000_0005),
        write(core + 0x3F114, 0x8000_0000),
        write(core + 0x3F014, 0x8000_0001),
        write(core + 0x3F104, 0x8000_0000),
        write(0x3F008, 0xC000_0045),
        write(0x3F100, 0xC000_0000),
        write(0x3F200, 0x0F1F_0135),
    ]);
    // Demux and mux; S2MM sorts before MM2S.
    expected.extend([mask(0x1F004, 0x30, 0x10), mask(0x1F000, 0xC00, 0x400), mask(core + 0x32000, 1, 1)]);
    for (index, (got, want)) in commands.iter().zip(&expected).enumerate() {
        assert_eq!(got, want, "command {index}");
    }
    assert_eq!(commands.len(), expected.len());
}

#[test]
fn the_core_side_of_a_ring() {
    let mut d = design(1);
    let core = Tile::core(0, 0);
    let ring = d.ring(core, "a", 3, 64, Place::Bank(1)).expect("ring");
    d.fill_by_dma(ring, S2mm(0), &[Pattern::linear(8), Pattern::linear(8).offset(8)]).expect("two parts");
    let side = d.core_drains(ring).expect("core");
    assert_eq!(side.slot_addresses, [0x7_4000, 0x7_4040, 0x7_4080]);
    assert_eq!(side.acquire, LockUse { id: 49, value: -2 });
    assert_eq!(side.release, LockUse { id: 48, value: 2 });
}

#[test]
fn a_neighbouring_core_uses_its_window() {
    let mut d = design(2);
    let (west, east) = (Tile::core(0, 1), Tile::core(1, 1));
    let ring = d.ring(west, "a", 2, 64, Place::At(0x100)).expect("ring");
    d.core_fills(ring).expect("own core");
    let side = d.core_drains_from(east, ring).expect("western window");
    assert_eq!(side.slot_addresses, [0x5_0100, 0x5_0140]);
    assert_eq!((side.acquire.id, side.release.id), (17, 16));
    let other = d.ring(east, "b", 2, 64, Place::Anywhere).expect("ring");
    assert_eq!(d.core_fills_from(west, other), Err(Error::NoWindow { core: west, memory: east }));
}

#[test]
fn reserved_memory_is_seen_through_the_own_window() {
    let mut d = design(1);
    assert_eq!(d.reserve(Tile::core(0, 0), "c", 128, Place::Bank(3)), Ok(0x7_C000));
    assert_eq!(d.reserve(Tile::mem(0), "m", 128, Place::At(0x400)), Ok(0x400));
    d.init_data(Tile::core(0, 0), 0xC000, &[1, 0, 0, 0, 2, 0, 0, 0]).expect("inside");
    let configuration = d.finish().expect("no rings is fine");
    let data = Command::DmaWrite { addr: 0x0020_C000, data: vec![1, 2] };
    assert!(configuration.commands.contains(&data));
    assert_eq!(configuration.resources[&Tile::core(0, 0)].memory_bytes, 128);
}

#[test]
fn initial_data_lies_inside_one_buffer_once() {
    let mut d = design(1);
    let tile = Tile::core(0, 0);
    d.reserve(tile, "c", 128, Place::At(0x40)).expect("fits");
    let outside = Error::DataOutsideBuffers { tile, offset: 0xBC, bytes: 8 };
    assert_eq!(d.init_data(tile, 0xBC, &[0; 8]), Err(outside));
    assert!(matches!(d.init_data(tile, 0x40, &[0; 6]), Err(Error::Misaligned { bytes: 6, align_bytes: 4, .. })));
    d.init_data(tile, 0x40, &[0; 8]).expect("inside");
    assert_eq!(d.init_data(tile, 0x44, &[0; 4]), Err(Error::DataTwice { tile, offset: 0x44 }));
}

#[test]
fn locks_outside_rings_have_a_register_and_a_core_number() {
    let mut d = design(1);
    let tile = Tile::core(0, 2);
    d.ring(tile, "a", 1, 32, Place::Anywhere).expect("ring");
    assert_eq!(d.lock(tile, "start", 0), Ok(DesignLock { register: 2, core_id: 50 }));
    let refused = Error::LockValue { tile, what: "full".into(), asked: 64, limit: 63 };
    assert_eq!(d.lock(tile, "full", 64), Err(refused));
}

#[test]
fn cascades_run_south_and_east() {
    let mut d = design(2);
    let (a, b, c) = (Tile::core(0, 1), Tile::core(0, 0), Tile::core(1, 0));
    d.cascade(a, b).expect("south");
    d.cascade(b, c).expect("east");
    assert_eq!(d.cascade(a, Tile::core(1, 1)), Err(Error::Cascade { from: a, to: Tile::core(1, 1) }));
    assert_eq!(d.cascade(c, b), Err(Error::Cascade { from: c, to: b }));
    let commands = d.finish().expect("complete").commands;
    let word = |tile: Tile, mask, value| Command::MaskWrite { addr: tile.address(0x3_6060), mask, value };
    assert_eq!(commands, [word(b, 3, 2), word(a, 2, 0), word(c, 1, 1)]);
}

mod refusals;
mod rings;
