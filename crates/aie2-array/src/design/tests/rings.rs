//! Rings as the hardware runs them: the emitted BDs and lock values are decoded again and executed in random order.

use std::collections::BTreeMap;

use npu_container::cdo::Command;
use proptest::prelude::*;

use super::*;
use crate::regs::MemBd;

/// What a mem tile's DMA sees: BDs and locks, as written by the commands.
struct MemTile {
    bds: BTreeMap<u32, MemBd>,
    locks: Vec<i32>,
    starts: BTreeMap<u32, u8>,
}

impl MemTile {
    fn load(commands: &[Command]) -> Self {
        // Offsets in the mem tile; other tiles' addresses fall outside every range below.
        let base = Tile::mem(0).address(0);
        let offset = |addr: &u32| addr.wrapping_sub(base);
        let mut tile = MemTile { bds: BTreeMap::new(), locks: vec![0; 64], starts: BTreeMap::new() };
        for command in commands {
            match command {
                Command::DmaWrite { addr, data } if (0xA_0000..0xA_0600).contains(&offset(addr)) => {
                    let words: [u32; 8] = data[..].try_into().expect("a BD has eight words");
                    tile.bds.insert((offset(addr) - 0xA_0000) / 0x20, MemBd::decode(words));
                }
                Command::Write { addr, value } if (0xC_0000..0xC_0400).contains(&offset(addr)) => {
                    tile.locks[((offset(addr) - 0xC_0000) / 0x10) as usize] = *value as i32;
                }
                Command::Write { addr, value } if (0xA_0600..0xA_0660).contains(&offset(addr)) => {
                    tile.starts.insert(offset(addr), *value as u8);
                }
                _ => {}
            }
        }
        tile
    }

    /// Runs one BD if its lock allows; returns the next BD of the chain.
    fn step(&mut self, bd: u8, mut moved: impl FnMut(&MemBd)) -> Option<u8> {
        let bd = self.bds[&u32::from(bd)];
        let acquire = bd.common.acquire.expect("rings use locks");
        let lock = &mut self.locks[usize::from(acquire.id - 64)];
        if *lock < -i32::from(acquire.value) {
            return None;
        }
        *lock += i32::from(acquire.value);
        moved(&bd);
        let release = bd.common.release.expect("rings use locks");
        let lock = &mut self.locks[usize::from(release.id - 64)];
        *lock += i32::from(release.value);
        assert!(*lock <= 63, "lock overflow");
        Some(bd.common.next.expect("rings are endless"))
    }
}

/// Words of a decoded BD, linear or not, in order.
fn words(bd: &MemBd) -> Vec<u32> {
    let mut counters = [0u32; 4];
    (0..bd.length_words)
        .map(|_| {
            let address = bd.base_words + (0..4).map(|k| counters[k] * bd.steps[k]).sum::<u32>();
            for (k, counter) in counters.iter_mut().enumerate() {
                *counter += 1;
                if k < 3 && bd.wraps[k] != 0 && *counter == bd.wraps[k] {
                    *counter = 0;
                } else {
                    break;
                }
            }
            address
        })
        .collect()
}

fn relay(slots: usize, writer_parts: u32, reader_parts: u32) -> (Vec<Command>, u32) {
    let words = 12 * 4;
    let parts = |n: u32| (0..n).map(|i| Pattern::linear(words / n).offset(words / n * i)).collect::<Vec<_>>();
    let mut d = design(1);
    let ring = d.ring(Tile::mem(0), "a", slots, words * 4, Place::At(0x1000)).expect("ring");
    d.fill_by_dma(ring, S2mm(1), &parts(writer_parts)).expect("writer");
    d.drain_by_dma(ring, Mm2s(2), &parts(reader_parts)).expect("reader");
    d.connect(Tile::shim(0).mm2s(0), &[Tile::mem(0).s2mm(1)]).expect("flow");
    d.connect(Tile::mem(0).mm2s(2), &[Tile::shim(0).s2mm(0)]).expect("flow");
    (d.finish().expect("complete").commands, words)
}

proptest! {
    /// A relay through a ring delivers the words it was given, in order, whichever side runs first and however far.
    #[test]
    fn a_ring_is_a_fifo(
        slots in 1usize..5, parts in 1u32..5, shape in 0..3, order in prop::collection::vec(any::<bool>(), 200..400),
    ) {
        let (w, r) = [(1, parts), (parts, 1), (parts, parts)][shape as usize];
        prop_assume!(slots as u32 * parts <= 24);
        let (commands, _) = relay(slots, w, r);
        let mut tile = MemTile::load(&commands);
        // S2MM 1 and MM2S 2 queues.
        let (mut writer, mut reader) = (tile.starts[&0xA_060C], tile.starts[&0xA_0644]);
        prop_assert!(writer >= 24 && reader < 24, "BD parity");
        let mut memory: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut sent, mut received) = (0, 0);
        let mut stalled = [false; 2];
        for fill in order {
            let next = if fill {
                tile.step(writer, |bd| {
                    for address in words(bd) {
                        memory.insert(address, sent);
                        sent += 1;
                    }
                })
            } else {
                tile.step(reader, |bd| {
                    for address in words(bd) {
                        assert_eq!(memory.get(&address), Some(&received), "word {received}");
                        received += 1;
                    }
                })
            };
            stalled[usize::from(fill)] = next.is_none();
            match (fill, next) {
                (true, Some(bd)) => writer = bd,
                (false, Some(bd)) => reader = bd,
                (_, None) => prop_assert!(!(stalled[0] && stalled[1]), "dead-lock"),
            }
            if next.is_some() {
                stalled = [false; 2];
            }
        }
        // Own memory only: every address has the own base.
        prop_assert!(memory.keys().all(|&a| a * 4 >= 0x8_1000));
    }
}

#[test]
fn a_join_takes_turns() {
    let mut d = design(1);
    let mem = Tile::mem(0);
    let rings: Vec<RingId> =
        (0..4).map(|r| d.ring(mem, &format!("c{r}"), 2, 1024, Place::Anywhere).expect("ring")).collect();
    for (r, &ring) in rings.iter().enumerate() {
        d.fill_by_dma(ring, S2mm(2 + r as u8), &[Pattern::linear(256)]).expect("writer");
        let core = Tile::core(0, r as u8);
        let out = d.ring(core, "out", 2, 1024, Place::Anywhere).expect("ring");
        d.core_fills(out).expect("core");
        d.drain_by_dma(out, Mm2s(0), &[Pattern::linear(256)]).expect("drain");
        d.connect(core.mm2s(0), &[mem.s2mm(2 + r as u8)]).expect("flow");
    }
    d.drain_joined(&rings, Mm2s(2), &Pattern::linear(256)).expect("join");
    d.connect(mem.mm2s(2), &[Tile::shim(0).s2mm(0)]).expect("flow");
    let tile = MemTile::load(&d.finish().expect("complete").commands);
    // Follow the chain of MM2S 2: slot 0 of every ring, then slot 1; each with its ring's own lock pair.
    let mut bd = tile.starts[&0xA_0644];
    for turn in 0..16 {
        let (slot, ring) = (turn / 4 % 2, turn % 4);
        let now = tile.bds[&u32::from(bd)];
        assert_eq!(now.base_words, (0x8_0000 + ring * 2048 + slot * 1024) / 4);
        assert_eq!(now.common.acquire.map(|a| u32::from(a.id)), Some(64 + 2 * ring + 1));
        assert_eq!(now.common.release.map(|a| u32::from(a.id)), Some(64 + 2 * ring));
        bd = now.common.next.expect("endless");
    }
}

/// The dataflow of a W8A8 projection on 4 x 4 cores: A tiled and multicast along rows, B along columns, C joined.
#[test]
fn a_projection_on_sixteen_cores() {
    let m = 128;
    let mut d = design(4);
    for col in 0..4 {
        let mem = Tile::mem(col);
        d.connect(Tile::shim(col).mm2s(0), &[mem.s2mm(0)]).expect("flow");
        d.connect(Tile::shim(col).mm2s(1), &[mem.s2mm(1)]).expect("flow");
        let a = d.ring(mem, "a", 2, m * 256, Place::Anywhere).expect("ring");
        d.fill_by_dma(a, S2mm(0), &[Pattern::linear(m * 64)]).expect("writer");
        let chunks: Vec<Pattern> =
            (0..4).map(|q| Pattern::new(&[(1, 2), (64, 8), (2, 8), (512, m / 8)]).offset(16 * q)).collect();
        d.drain_by_dma(a, Mm2s(0), &chunks).expect("four chunks");
        let b = d.ring(mem, "b", 8, 4096, Place::Anywhere).expect("ring");
        d.fill_by_dma(b, S2mm(1), &[Pattern::linear(1024)]).expect("writer");
        d.drain_by_dma(b, Mm2s(1), &[Pattern::linear(1024)]).expect("reader");
        let row: Vec<Port> = (0..4).map(|c| Tile::core(c, col).s2mm(0)).collect();
        d.connect(mem.mm2s(0), &row).expect("row");
        let column: Vec<Port> = (0..4).map(|r| Tile::core(col, r).s2mm(1)).collect();
        d.connect(mem.mm2s(1), &column).expect("column");
        let mut parts = Vec::new();
        for r in 0..4 {
            let core = Tile::core(col, r);
            let a = d.ring(core, "a", 2, m * 64, Place::Bank(0)).expect("ring");
            d.fill_by_dma(a, S2mm(0), &[Pattern::linear(m * 16)]).expect("writer");
            let b = d.ring(core, "b", 2, 4096, Place::Bank(1)).expect("ring");
            d.fill_by_dma(b, S2mm(1), &[Pattern::linear(1024)]).expect("writer");
            let c = d.ring(core, "c", 2, 1024, Place::Bank(1)).expect("ring");
            d.drain_by_dma(c, Mm2s(0), &[Pattern::new(&[(1, 4), (32, 8), (4, 8)])]).expect("untiling");
            assert_eq!(d.reserve(core, "acc", m * 64 * 4, Place::At(0x8000)), Ok(0x7_8000));
            assert_eq!(d.core_drains(a).expect("core").acquire, LockUse { id: 49, value: -1 });
            assert_eq!(d.core_drains(b).expect("core").release, LockUse { id: 50, value: 1 });
            assert_eq!(d.core_fills(c).expect("core").slot_addresses, [0x7_6000, 0x7_6400]);
            d.program(core, &[0; 256]).expect("program");
            let joined = d.ring(mem, "c", 2, 1024, Place::Anywhere).expect("ring");
            d.fill_by_dma(joined, S2mm(2 + r), &[Pattern::linear(256)]).expect("writer");
            d.connect(core.mm2s(0), &[mem.s2mm(2 + r)]).expect("flow");
            parts.push(joined);
        }
        d.drain_joined(&parts, Mm2s(2), &Pattern::linear(256)).expect("join");
        d.connect(mem.mm2s(2), &[Tile::shim(col).s2mm(0)]).expect("flow");
        d.token_route(col).expect("tokens");
    }
    let configuration = d.finish().expect("complete");
    assert_eq!(d.finish().as_ref(), Ok(&configuration), "deterministic");
    let mem = configuration.resources[&Tile::mem(0)];
    assert_eq!((mem.bds, mem.locks, mem.channels), (2 + 8 + 8 + 8 + 8 + 8, 12, 9));
    let core = configuration.resources[&Tile::core(3, 3)];
    assert_eq!((core.bds, core.locks, core.channels, core.memory_bytes), (6, 6, 3, 16384 + 8192 + 2048 + 32768));
    // Chunk BD of A: four credits per slot, one per chunk; the writer takes all four.
    let tile = MemTile::load(&configuration.commands);
    assert_eq!(tile.locks[0], 8);
    let fill = tile.bds[&u32::from(tile.starts[&0xA_0604])].common;
    assert_eq!((fill.acquire.map(|l| l.value), fill.release.map(|l| l.value)), (Some(-4), Some(4)));
    let drain = tile.bds[&u32::from(tile.starts[&0xA_0634])].common;
    assert_eq!((drain.acquire.map(|l| l.value), drain.release.map(|l| l.value)), (Some(-1), Some(1)));
}
