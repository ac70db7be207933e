//! A mem tile's ring driven by tasks of the runtime stream, in two phases, on the simulated array.

use aie2_array::{Design, Mm2s, Pattern, Place, RingPhase, Runtime, S2mm, ShimBd, Tile};
use aie2_sim::{Config, Machine};
use npu_container::{pdi, txn};

/// Words of a slot: 8 rows of 8.
const SLOT: u64 = 64;
/// Slots of each phase: whole rounds and a broken one of a ring of two.
const SLOTS: [u64; 3] = [5, 4, 1];

#[test]
fn phases_of_a_ring_follow_each_other_in_one_stream() {
    let mut design = Design::new(1).expect("one column");
    let (shim, mem) = (Tile::shim(0), Tile::mem(0));
    let ring = design.ring(mem, "relay", 2, 4 * SLOT as u32, Place::Anywhere).expect("ring");
    let rows = Pattern::linear(SLOT as u32);
    let columns = Pattern::new(&[(8, 8), (1, 8)]);
    let phases = [&rows, &columns].map(|drain| RingPhase {
        slots: 2,
        slot_bytes: 4 * SLOT as u32,
        fill: vec![rows.clone()],
        drain: vec![drain.clone()],
    });
    design.queue_ring(ring, S2mm(0), Mm2s(0), &phases).expect("two phases");
    design.connect(shim.mm2s(0), &[mem.s2mm(0)]).expect("flow");
    design.connect(mem.mm2s(0), &[shim.s2mm(0)]).expect("flow");
    design.token_route(0).expect("token route");
    let configuration = design.finish().expect("complete");

    let mut rt = Runtime::new(1).expect("one column");
    let mut first = 0;
    let order = [0usize, 1, 0];
    for (phase, slots) in order.into_iter().zip(SLOTS) {
        let bd = |arg| ShimBd::linear(arg, 4 * SLOT * first, 4 * SLOT * slots).expect("whole words");
        rt.ring(&configuration.queued[&ring], phase, slots as u32, 0, S2mm(0)).expect("an empty ring");
        rt.task(0, S2mm(0), &bd(1), 1, true).expect("receiver");
        rt.task(0, Mm2s(0), &bd(0), 1, false).expect("sender");
        rt.wait(0, S2mm(0)).expect("token");
        first += slots;
    }
    let stream = rt.finish().expect("nothing is in flight");
    let stream = txn::write(&txn::Header::npu1(1), &stream.ops);

    let words: Vec<u32> = (0..SLOT * first).map(|i| (i as u32).wrapping_mul(0x9E37_79B1)).collect();
    let mut expected = Vec::new();
    let phase_of = order.into_iter().zip(SLOTS).flat_map(|(phase, slots)| vec![phase; slots as usize]);
    for (slot, phase) in words.chunks_exact(SLOT as usize).zip(phase_of) {
        expected.extend((0..64).map(|i| if phase == 0 { slot[i] } else { slot[i % 8 * 8 + i / 8] }));
    }
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();

    let mut machine = Machine::new(Config::default());
    machine.load_pdi(&pdi::write(&configuration.commands)).expect("the PDI loads");
    let buffers = ["in", "out"].map(|name| machine.alloc(name, 4 * words.len()));
    machine.write_buffer(buffers[0], 0, &bytes(&words)).expect("the input fits");
    // a second dispatch finds the BDs as the last phase of the first one left them
    for dispatch in 1..=2 {
        machine.run(&stream, &buffers).expect("the stream runs");
        assert!(
            machine.read_buffer(buffers[1]).expect("all of it was written") == bytes(&expected),
            "dispatch {dispatch}"
        );
    }
}
