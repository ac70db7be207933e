//! A guest that breaks every rule: typed answers, no panic, and the device still works afterwards.

mod driver;

use driver::copying::{BYTES, FROM, TO, chain, data, map, ready};
use driver::design::{self, PDI_AT, SLOTS_AT, STREAM_AT};
use driver::{BAR0, BAR2, BAR4, BUFFERS_AT, Driver, bytes_of};
use proptest::prelude::*;
use vfio_user::ServerBackend;
use virtual_phoenix::Protocol;

fn slots() -> Vec<Vec<u32>> {
    vec![design::slot_npu(1, 0, 0, 0, &map())]
}

fn good(driver: &mut Driver, seed: u8) {
    driver.boot().expect("boots");
    driver.put_heap(PDI_AT, &design::pdi());
    driver.put_heap(STREAM_AT, &design::copy(BYTES));
    driver.put(FROM, &data(seed));
    let mut context = driver.context(1, 1);
    assert_eq!(chain(driver, &mut context, 0x18, &slots()), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(seed));
}

#[test]
fn wrong_sizes_and_unknown_operations_are_answered() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    assert_eq!(driver.manage(0x115, &[0, 0]).words(), [0x0400_0002]);
    assert_eq!(driver.manage(0x18, &[0; 6]).words(), [0x0400_0002], "a context's operation on the management channel");
    assert_eq!(driver.manage(0x106, &[1, 0]).words(), [0x0400_0001]);
    assert_eq!(driver.ask(&mut context, 0x02, &[0; 7]), [0x0400_0002], "and the other way round");
    assert_eq!(driver.ask(&mut context, 0x18, &[0; 5]), [0x0400_0001, 0, 0x0400_0001]);
    assert_eq!(driver.ask(&mut context, 0x11, &[33; 33]), [0x0400_0001]);
    assert_eq!(driver.manage(0x03, &[77]).words(), [0x0200_0004]);
    assert_eq!(driver.count("refusals"), 7);
}

#[test]
fn only_settings_of_the_driver_are_taken() {
    let mut driver = Driver::booted(Protocol::V5_8);
    for (kind, value, high) in [(0, 1, 0), (3, 1, 0), (5, 0, 0), (13, 0, 0), (2, 0, 0), (4, 2, 0), (1, 2, 0), (1, 1, 1)]
    {
        assert_eq!(driver.manage(0x10a, &[kind, value, high]).words(), [0x0400_0006], "{kind}={value},{high}");
    }
    assert_eq!(driver.manage(0x10a, &[1, 0, 0]).words(), [0]);
    assert_eq!(driver.manage(0x10b, &[1]).words(), [0, 0, 0], "and what was refused changed nothing");
    assert_eq!(driver.manage(0x10b, &[13]).words()[0], 0x0400_0006);
}

#[test]
fn a_head_outside_its_ring_ends_the_channel() {
    let (mut driver, context) = ready(Protocol::V5_8);
    let head = context.channel.x2i_tail_register() + 0x1004;
    driver.write(BAR4, head, 0xffff_fffc);
    assert!(driver.log.text().contains("is dead: head 0xfffffffc"), "{}", driver.log.text());
    assert_eq!(driver.manage(0x108, &[0]).words().len(), 5);
    driver.destroy(context);
    driver.context(1, 1);
}

#[test]
fn contexts_only_on_columns_of_applications() {
    let mut driver = Driver::booted(Protocol::V5_8);
    for (start, columns) in [(0, 1), (0, 5), (1, 0), (1, 5), (4, 2), (5, 1), (255, 255)] {
        assert_eq!(driver.create(start, columns).err(), Some(0x0200_0004), "{columns} from {start}");
    }
    assert_eq!(driver.manage(0x02, &[1, 0x0101, 1 | 3 << 16, 0, 0, 0, 2]).words()[0], 0x0200_0004, "an address space");
    assert_eq!(driver.manage(0x103, &[3]).words(), [0x0200_0004]);
}

#[test]
fn heaps_have_to_be_mapped_and_small_enough() {
    let mut driver = Driver::booted(Protocol::V5_8);
    let context = driver.create(1, 1).expect("a context");
    let mut map = |id: u32, at: u64, bytes: u64| {
        let words = [id, at as u32, (at >> 32) as u32, bytes as u32, (bytes >> 32) as u32];
        driver.manage(0x106, &words).words()
    };
    assert_eq!(map(9, driver::HEAP_AT, 1 << 20), [0x0200_0004]);
    assert_eq!(map(context.id, driver::HEAP_AT, 0), [0x0200_0008]);
    assert_eq!(map(context.id, driver::HEAP_AT, u64::MAX), [0x0200_0008]);
    assert_eq!(map(context.id, driver::HEAP_AT + 4096, driver::HEAP_BYTES), [0x0400_0001]);
    assert_eq!(map(context.id, u64::MAX - 100, 4096), [0x0400_0001]);
}

#[test]
fn commands_before_their_time_are_refused() {
    let mut driver = Driver::booted(Protocol::V5_8);
    let mut context = driver.create(1, 1).expect("a context");
    let request = [0, 0, SLOTS_AT as u32, 0, 112, 1];
    assert_eq!(driver.ask(&mut context, 0x18, &request), [0x0400_0001, 0, 0x0400_0001], "no heap");
    assert_eq!(driver.configure(&mut context, &[PDI_AT]), [0x0400_0001]);
    driver.map_heap(&context);
    assert_eq!(driver.ask(&mut context, 0x18, &request), [0x0400_0003, 0, 0x0400_0003], "no units");
    assert_eq!(driver.configure(&mut context, &[PDI_AT]), [0]);
    let request = [0, 0, SLOTS_AT as u32, 0, 52, 1];
    assert_eq!(driver.ask(&mut context, 0x18, &request)[0], 0x0400_0006, "a slot of zeros has no type");
}

/// Status of the copy with one thing changed.
fn refused(change: impl FnOnce(&mut Driver, &mut Vec<u32>)) -> Vec<u32> {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let mut slot = slots().remove(0);
    change(&mut driver, &mut slot);
    chain(&mut driver, &mut context, 0x18, &[slot])
}

#[test]
fn each_part_of_a_command_is_looked_at() {
    let status = |status: u32| vec![status, 0, status];
    assert_eq!(refused(|_, slot| slot[0] = 4), status(0x0400_0006), "type");
    assert_eq!(refused(|_, slot| slot[3] = 1), status(0x0400_0006), "save buffer");
    assert_eq!(refused(|_, slot| slot[11] = 1), status(0x0400_0003), "unit");
    assert_eq!(refused(|_, slot| slot[12] = 16), status(0x0400_0001), "argument count past the slot");
    assert_eq!(refused(|_, slot| slot[12] = 14), status(0x0400_0001), "a word left over");
    assert_eq!(refused(|_, slot| slot[12] = u32::MAX), status(0x0400_0001));
    assert_eq!(refused(|_, slot| slot[13] = 1), status(0x0400_0006), "a legacy stream");
    assert_eq!(refused(|_, slot| slot[15] = 0x1000), status(0x0400_0001), "stream outside the heap");
    assert_eq!(refused(|_, slot| slot[15] += 4), status(0x0300_0002), "stream at the wrong place");
    assert_eq!(refused(|_, slot| slot[17] += 1), status(0x0300_0002), "word count");
    assert_eq!(refused(|_, slot| slot[17] *= 4), status(0), "bytes in place of words, as one host sends");
    assert_eq!(refused(|_, slot| slot[18] = 0), status(0x0100_0005), "address of nothing");
    assert_eq!(refused(|d, _| d.put_heap(PDI_AT, &[0])), status(0x0300_0003), "PDI");
    assert_eq!(refused(|d, _| d.put_heap(PDI_AT + 0xd0, &[0xff; 4])), status(0x0300_0003), "length of the PDI");
    assert_eq!(refused(|d, _| d.put_heap(STREAM_AT, &[1])), status(0x0300_0002), "version of the stream");
    assert_eq!(refused(|d, _| d.put_heap(STREAM_AT + 12, &[0xff; 4])), status(0x0300_0002), "length of the stream");
}

#[test]
fn other_columns_are_out_of_reach() {
    use npu_container::{cdo, pdi, txn};
    let other = 1 << 25 | 0x1_f000;
    let status = |status: u32| vec![status, 0, status];
    let image = pdi::write(&[cdo::Command::Write { addr: other, value: 0x400 }]);
    assert_eq!(refused(|d, _| d.put_heap(PDI_AT, &image)), status(0x0300_0003));
    for op in [
        txn::Op::Write { addr: other, value: 0 },
        txn::Op::wait(txn::Direction::S2mm, 1, 0, 0),
        txn::Op::DdrPatch { register: 1 << 25 | 0x1_d004, arg_index: 0, arg_plus: 0 },
    ] {
        let stream = txn::write(&txn::Header::npu1(1), &[op]);
        let words = stream.len() as u32 / 4;
        let answer = refused(|d, slot| {
            d.put_heap(STREAM_AT, &stream);
            slot[17] = words;
        });
        assert_eq!(answer, status(0x0300_0002));
    }
}

#[test]
fn after_a_failure_in_the_array_only_a_new_context_helps() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let mut bad = slots().remove(0);
    bad[18] = 0x1000;
    bad[19] = 0;
    assert_eq!(chain(&mut driver, &mut context, 0x18, &[bad]), [0x0100_0005, 0, 0x0100_0005]);
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots()), [0x0300_0001, 0, 0x0300_0001]);
    driver.destroy(context);
    let mut context = driver.context(1, 1);
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots()), [0, 0, 0]);
}

#[test]
fn a_broken_ring_is_silent_and_the_rest_goes_on() {
    let (mut driver, context) = ready(Protocol::V5_8);
    for tail in [2, 0x404, u32::MAX] {
        driver.write(BAR4, context.channel.x2i_tail_register(), tail);
    }
    assert!(driver.log.text().contains("is dead: tail 0x2"));
    assert_eq!(driver.manage(0x108, &[0]).words().len(), 5);
    driver.destroy(context);
    driver.context(1, 1);
}

#[test]
fn accesses_of_any_width_and_place() {
    let mut driver = Driver::booted(Protocol::V5_8);
    for region in 0..9 {
        for offset in [0, 1, 0x1_0033, 0x1_0091, 0x3_efff, 0x3_ffff, 0x7_fffd, u64::from(u32::MAX), u64::MAX - 1] {
            for bytes in [0, 1, 2, 3, 4, 5, 8, 64] {
                let mut data = vec![0xa5; bytes];
                driver.backend.region_read(region, offset, &mut data).expect("reads");
                driver.backend.region_write(region, offset, &vec![0xff; bytes]).expect("writes");
            }
        }
    }
    good(&mut driver, 1);
}

#[test]
fn a_single_byte_write_keeps_the_others() {
    let mut driver = Driver::new(Protocol::V5_8);
    driver.write(BAR0, 0x100b4, 0x1122_3344);
    driver.backend.region_write(BAR0, 0x100b5, &[0xee]).expect("writes");
    assert_eq!(driver.read(BAR0, 0x100b4), 0x1122_ee44);
    driver.backend.region_write(BAR2, 0x1001, &[1, 2]).expect("writes");
    assert_eq!(driver.read(BAR2, 0x1000), 0x0002_0100);
}

/// Waits until every command has ended one way or another; a thread that panicked never gets there.
fn all_ended(driver: &Driver) {
    let start = std::time::Instant::now();
    loop {
        let ended = driver.count("completed") + driver.count("failed") + driver.count("hung");
        if ended >= 1 {
            return;
        }
        assert!(start.elapsed().as_secs() < 60, "a command is under way\n{}", driver.log.text());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Registers and SRAM written at random, then a good conversation.
    #[test]
    fn random_writes(writes in prop::collection::vec((0u32..5, any::<u32>(), any::<u32>()), 0..80)) {
        let mut driver = Driver::booted(Protocol::V5_8);
        let _context = driver.create(1, 1);
        for (region, place, value) in writes {
            let (region, offset) = match region {
                0 => (BAR0, [0x100a0, 0x100a4, 0x100a8, 0x100bc, 0x10090, 0x10034, 0x100ac, 0x100b0, 0x100b4, 0x10094][place as usize % 10]),
                1 => (BAR2, place % 0x4_0000),
                2 => (BAR2, 0x2_a000 + place % 0x400),
                3 => (BAR4, 0x1_0000 + 0x2000 * (place % 16) + [0, 4, 0x1000, 0x1004, 0x1008][place as usize / 16 % 5]),
                _ => (BAR4, (place % 0x4_0000) & !3),
            };
            let value = if region == BAR4 { value % 0x500 } else { value };
            driver.write(region, offset, value);
        }
        driver.device.lock().reset("between");
        good(&mut driver, 2);
    }

    /// Any message on either channel.
    #[test]
    fn random_messages(messages in prop::collection::vec((any::<bool>(), 0usize..24, prop::collection::vec(any::<u32>(), 1..42)), 1..20)) {
        let (mut driver, mut context) = ready(Protocol::V5_8);
        let codes = [2, 3, 4, 7, 0xc, 0xd, 0xe, 0xf, 0x10, 0x11, 0x12, 0x13, 0x14, 0x18, 0x101, 0x102, 0x103, 0x106, 0x108, 0x10a, 0x10b, 0x10c, 0x115, 0x203];
        let sizes = [7, 1, 4, 6, 20, 5, 1, 1, 40, 33, 6, 6, 5, 6, 1, 1, 1, 5, 1, 3, 1, 3, 5, 5];
        for (management, which, mut words) in messages {
            // Half of them have the right size.
            if words[0] & 1 == 0 {
                words.resize(sizes[which], BUFFERS_AT as u32);
            }
            if management {
                driver.send_management(codes[which], &words);
            } else if driver.count("contexts") > 0 {
                context.channel.send(&mut driver, codes[which], &bytes_of(&words));
            }
        }
        driver.device.lock().reset("between");
        good(&mut driver, 3);
    }

    /// Slots, PDI and stream with bytes changed.
    #[test]
    fn random_commands(changes in prop::collection::vec((0u8..3, any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (mut driver, mut context) = ready(Protocol::V5_8);
        let mut parts = [bytes_of(&slots().concat()), design::pdi(), design::copy(BYTES)];
        for (part, place, value) in changes {
            let part = &mut parts[usize::from(part)];
            let at = place.index(part.len());
            part[at] = value;
        }
        for (part, at) in parts.iter().zip([SLOTS_AT, PDI_AT, STREAM_AT]) {
            driver.put_heap(at, part);
        }
        let request = [0, 0, SLOTS_AT as u32, 0, parts[0].len() as u32, 1];
        context.channel.send(&mut driver, 0x18, &bytes_of(&request));
        all_ended(&driver);
        driver.destroy(context);
        good(&mut driver, 4);
    }
}
