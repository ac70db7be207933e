//! The conversation of a driver that behaves: boot, contexts, the five forms of commands, suspend and resume.

mod driver;

use driver::copying::{BYTES, FROM, TO, chain, data, map, ready};
use driver::design::{self, PDI_AT, SLOTS_AT, STREAM_AT};
use driver::{BAR0, BUFFERS_AT, Driver, HEAP_AT, bytes_of};
use virtual_phoenix::Protocol;
use virtual_phoenix::message::Opcode;

#[test]
fn boots_with_either_protocol() {
    for (protocol, minor) in [(Protocol::V5_7, 7), (Protocol::V5_8, 8)] {
        let mut driver = Driver::new(protocol);
        assert_eq!(driver.start(), (5, minor));
        driver.boot().expect("boots again over the first start");
        assert_eq!(driver.count("boots"), 2);
        assert_eq!(driver.status(Opcode::RegisterAsyncEventMsg), 5);
    }
}

#[test]
fn register_maps_run_by_all_three_forms() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let map = map();

    driver.put(FROM, &data(1));
    let mut direct = vec![0];
    direct.extend(&map);
    direct.resize(20, 0);
    assert_eq!(driver.ask(&mut context, 0x0c, &direct), [0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(1));

    driver.put(FROM, &data(2));
    let other = design::register_map(STREAM_AT, &design::copy(BYTES), &[TO, TO + 0x1_0000, 0, 0, 0]);
    let slots = [design::slot_cf(0, &map), design::slot_cf(0, &other)];
    assert_eq!(chain(&mut driver, &mut context, 0x12, &slots), [0, 0, 0]);
    assert_eq!(driver.get(TO + 0x1_0000, BYTES as usize), data(2), "the second slot copies what the first did");

    driver.put(FROM, &data(3));
    let slots = [design::slot_npu(1, 0, 0, 0, &map)];
    assert_eq!(slots[0].len() * 4, 112, "the slot of five buffers that the driver makes");
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(3));
    assert_eq!((driver.count("pdis"), driver.count("runs"), driver.count("completed")), (1, 4, 4));
}

#[test]
fn streams_with_final_addresses_run_by_all_three_forms() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let stream = design::copy_between(FROM, TO, BYTES);
    driver.put_heap(STREAM_AT, &stream);
    let bytes = stream.len() as u32;

    driver.put(FROM, &data(4));
    let mut direct = vec![STREAM_AT as u32, 0, bytes, 0, 0, 3];
    direct.resize(40, 0);
    assert_eq!(driver.ask(&mut context, 0x10, &direct), [0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(4));

    driver.put(FROM, &data(5));
    let slots = [design::slot_dpu(0, STREAM_AT, bytes, &[3, 0])];
    assert_eq!(chain(&mut driver, &mut context, 0x13, &slots), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(5));

    driver.put(FROM, &data(6));
    let slots = [design::slot_npu(2, 0, STREAM_AT, bytes, &[3, 0])];
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(6));
}

#[test]
fn patches_of_a_relocated_stream_are_done() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let stream = design::copy_relocated(FROM, TO, BYTES);
    driver.put_heap(STREAM_AT, &stream);
    driver.put(FROM, &data(7));
    let slots = [design::slot_npu(2, 0, STREAM_AT, stream.len() as u32, &[3, 0])];
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(7));
    // a register map without addresses has patches to do, and cannot
    let slots = [design::slot_npu(1, 0, 0, 0, &design::register_map(STREAM_AT, &stream, &[]))];
    assert_ne!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
}

#[test]
fn the_older_protocol_has_no_npu_chain() {
    let (mut driver, mut context) = ready(Protocol::V5_7);
    assert_eq!(driver.ask(&mut context, 0x18, &[0, 0, SLOTS_AT as u32, 0, 112, 1]), [0x0400_0002]);
    driver.put(FROM, &data(7));
    assert_eq!(chain(&mut driver, &mut context, 0x12, &[design::slot_cf(0, &map())]), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(7));
}

#[test]
fn commands_in_flight_are_answered_in_order() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let raw = bytes_of(&design::slot_npu(1, 0, 0, 0, &map()));
    driver.put_heap(SLOTS_AT, &raw);
    let request = bytes_of(&[0, 0, SLOTS_AT as u32, 0, raw.len() as u32, 1]);
    let sent: Vec<u32> = (0..4).map(|_| context.channel.send(&mut driver, 0x18, &request)).collect();
    let got: Vec<u32> = (0..4).map(|_| context.channel.receive(&mut driver).id).collect();
    assert_eq!(got, sent);
}

#[test]
fn contexts_run_beside_each_other_and_there_are_six() {
    let mut driver = Driver::booted(Protocol::V5_8);
    driver.put_heap(PDI_AT, &design::pdi());
    driver.put_heap(STREAM_AT, &design::copy(BYTES));
    driver.put(FROM, &data(9));
    let mut contexts: Vec<_> = (0..6).map(|i| driver.context(1 + i % 4, 1)).collect();
    assert_eq!(driver.create(1, 1).err(), Some(0x0200_0003));
    for (i, context) in (1u64..).zip(&mut contexts) {
        let map = design::register_map(STREAM_AT, &design::copy(BYTES), &[FROM, BUFFERS_AT + 0x1_0000 * i]);
        let mut direct = vec![0];
        direct.extend(map);
        direct.resize(20, 0);
        context.channel.send(&mut driver, 0x0c, &bytes_of(&direct));
    }
    for (i, context) in (1u64..).zip(&mut contexts) {
        assert_eq!(context.channel.receive(&mut driver).words(), [0]);
        assert_eq!(driver.get(BUFFERS_AT + 0x1_0000 * i, BYTES as usize), data(9));
    }
    let first = contexts.remove(0);
    let channel = first.channel.vector();
    driver.destroy(first);
    let again = driver.context(1, 4);
    assert_eq!(again.channel.vector(), channel, "its channel is free");
    assert_eq!(driver.count("contexts"), 6);
}

#[test]
fn suspend_forgets_and_resume_starts_anew() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let slots = [design::slot_npu(1, 0, 0, 0, &map())];
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    assert_eq!(driver.manage(0x101, &[0]).words(), [0x0200_0007], "a context is alive");
    driver.destroy(context);
    assert_eq!(driver.manage(0x10a, &[1, 0, 0]).words(), [0]);
    assert_eq!(driver.manage(0x101, &[0]).words(), [0]);
    assert_eq!(driver.read(BAR0, 0x10034) & 1, 1);
    assert_eq!(driver.psp(3, [0; 3]), 0);
    assert_eq!(driver.smu(4, 0).0, 1);
    driver.boot().expect("boots again");
    let mut context = driver.context(1, 1);
    driver.put(FROM, &data(11));
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(11));
    assert_eq!((driver.count("boots"), driver.count("pdis")), (2, 2));
}

#[test]
fn units_are_loaded_when_used() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let second = PDI_AT + 0x1_0000;
    driver.put_heap(second, &design::pdi());
    assert_eq!(driver.configure(&mut context, &[PDI_AT, second]), [0]);
    let slot = |unit| design::slot_npu(1, unit, 0, 0, &map());
    assert_eq!(chain(&mut driver, &mut context, 0x18, &[slot(0), slot(0), slot(1), slot(0)]), [0, 0, 0]);
    assert_eq!((driver.count("pdis"), driver.count("runs")), (3, 4));
    assert_eq!(chain(&mut driver, &mut context, 0x18, &[slot(0), slot(2)]), [0x0400_0003, 1, 0x0400_0003]);
}

#[test]
fn sync_bo_copies_both_ways() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.put(FROM, &data(12));
    let device = 0x0500_0000u64;
    let mut copy = |driver: &mut Driver, from: u64, to: u64, kinds| {
        let words = [from as u32, (from >> 32) as u32, to as u32, (to >> 32) as u32, BYTES, kinds];
        driver.ask(&mut context, 0x07, &words)
    };
    assert_eq!(copy(&mut driver, FROM, device, 0x02), [0]);
    assert_eq!(copy(&mut driver, device, TO, 0x20), [0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(12));
    assert_eq!(copy(&mut driver, 0x03ff_0000, TO, 0x20), [0x0400_0001], "outside the heap");
    assert_eq!(copy(&mut driver, FROM, device, 0x01), [0x0400_0003], "no such kind of memory");
    assert_eq!(copy(&mut driver, 0x1000, device, 0x02), [0x0400_0001], "not mapped");
}

#[test]
fn queries_answer_into_buffers() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let buffer = BUFFERS_AT + 0x4_0000;
    let at = [buffer as u32, (buffer >> 32) as u32];
    assert_eq!(driver.manage(0x04, &[1, at[0], at[1], 4096]).words(), [u32::MAX, u32::MAX, 4096, 0]);
    assert_eq!(driver.get(buffer, 4096), vec![0xff; 4096]);
    let slots = [design::slot_npu(1, 0, 0, 0, &map())];
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    assert_eq!(driver.manage(0x0d, &[at[0], at[1], 816 * 5, 2, 0b110]).words(), [0, 1632]);
    // The shim channels of the copy, behind four core tiles and the mem tile: both have worked with a BD of theirs.
    let shim = driver.get(buffer + 4 * 144 + 160, 16);
    assert_eq!(driver::words_of(&shim)[..2].iter().map(|status| status & 3).collect::<Vec<_>>(), [0, 0], "idle");
    assert_eq!(driver.get(buffer + 816, 816), vec![0; 816], "a column of nobody");
    let core = driver.get(buffer + 112, 4);
    assert_eq!(driver::words_of(&core), [2], "the core of row 2 is in reset");
    assert_eq!(driver.manage(0x0d, &[at[0], at[1], 815, 1, 0b10]).words(), [0x0200_0008, 0]);
    assert_eq!(driver.manage(0x0d, &[at[0], at[1], 4096, 2, 0b10]).words(), [0x0400_0003, 0]);
    assert_eq!(driver.manage(0x0d, &[at[0], at[1], 4096, 0, 0]).words(), [0, 0]);
    assert_eq!(driver.manage(0x10b, &[2]).words(), [0, 1, 0]);
    assert_eq!(driver.manage(0x10b, &[9]).words()[0], 0x0400_0006);
    assert_eq!(driver.ask(&mut context, 0x14, &[0x1000, 0, 0x1000, 0, 1]), [0x0400_0006], "debug buffers");
}

#[test]
fn a_heap_mapped_page_by_page_in_any_order() {
    use vfio_user::{DmaMapFlags, DmaUnmapFlags, ServerBackend};
    let mut driver = Driver::booted(Protocol::V5_8);
    driver.backend.dma_unmap(DmaUnmapFlags::empty(), HEAP_AT, driver::HEAP_BYTES).expect("unmaps");
    let pages = driver::HEAP_BYTES / 4096;
    for page in 0..pages {
        // Pages of the file in an order without neighbours.
        let place = page * 4099 % pages;
        let file = driver.heap.try_clone().expect("a second descriptor");
        driver
            .backend
            .dma_map(DmaMapFlags::READ_WRITE, place * 4096, HEAP_AT + page * 4096, 4096, Some(file))
            .expect("maps");
    }
    assert!(driver.count("memory_areas") >= pages / 2);
    use std::os::unix::fs::FileExt;
    let put = |driver: &Driver, device: u64, bytes: &[u8]| {
        for (piece, at) in bytes.chunks(4096).zip((device..).step_by(4096)) {
            let place = (at - driver::HEAP) / 4096 * 4099 % pages;
            driver.heap.write_all_at(piece, place * 4096).expect("writes");
        }
    };
    put(&driver, PDI_AT, &design::pdi());
    put(&driver, STREAM_AT, &design::copy(BYTES));
    put(&driver, SLOTS_AT, &bytes_of(&design::slot_npu(1, 0, 0, 0, &map())));
    driver.put(FROM, &data(13));
    let mut context = driver.context(2, 1);
    assert_eq!(driver.ask(&mut context, 0x18, &[0, 0, SLOTS_AT as u32, 0, 112, 1]), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(13));
}

#[test]
fn the_log_tells_every_message() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let slots = [design::slot_npu(1, 0, 0, 0, &map())];
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots), [0, 0, 0]);
    let log = driver.log.text();
    for part in [
        "note device boot protocol=5.8",
        "recv mgmt CREATE_CONTEXT id=0x1d00000e bytes=28 type=1 start=1 columns=1 pairs=1 pasid=0 priority=2",
        "send mgmt CREATE_CONTEXT id=0x1d00000e bytes=76 status=0x00000000",
        "recv mgmt MAP_HOST_BUFFER id=0x1d00000f bytes=20 context=1 address=0xfffff8000000 size=0x4000000",
        "recv ctx=1 CONFIG_CU id=0x1d000000 bytes=132 count=1 unit=0x820",
        "recv ctx=1 CHAIN_EXEC_NPU id=0x1d000001 bytes=24 slots=0x4000000 size=112 count=1 flags=0x0",
        "note ctx=1 loaded unit=0 pdi=0x4100000",
        "note ctx=1 runs unit=0 stream=0x4200000",
        "note ctx=1 ran cycles=",
        "send ctx=1 CHAIN_EXEC_NPU id=0x1d000001 bytes=12 status=0x00000000",
    ] {
        assert!(log.contains(part), "{part:?} is not in\n{log}");
    }
}
