//! Who has a buffer's bytes, where buffers lie, and what travels.

mod common;

use amdxdna::{BoKind, Busy, DEV_ALIGN, Device, Errno, Error, Feature, HEAP_ADDRESS, HEAP_BYTES, Options, Refusal};
use amdxdna_fake::{AddressMode, Driver, FakeKernel, Outcome};
use common::{NEVER, SECOND, machine, prepare};

fn open(driver: Driver) -> (FakeKernel, Device<FakeKernel>) {
    let fake = machine(driver);
    let device = fake.open(Options::default()).expect("opens");
    (fake, device)
}

#[test]
fn lent_bytes_are_nobody_elses() {
    let (_fake, device) = open(Driver::current());
    let mut bo = device.buffer_of(64).expect("a buffer");
    let lent = bo.bytes().expect("at rest");
    assert!(matches!(bo.bytes(), Err(Error::Busy(Busy::BufferLent { .. }))));
    drop(lent);
    bo.bytes_mut().expect("at rest")[3] = 9;
    assert_eq!(bo.range(3..4).expect("at rest")[0], 9);
    assert!(matches!(bo.range(60..65), Err(Error::Refused(Refusal::Range { offset: 60, bytes: 5, size: 64 }))));
    assert!(matches!(bo.write(usize::MAX, &[1]), Err(Error::Refused(Refusal::Range { .. }))));
    let mut byte = [0];
    bo.read(3, &mut byte).expect("at rest");
    assert_eq!(byte, [9]);
}

#[test]
fn no_command_takes_lent_bytes() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    let handles = [run.output.handle(), run.stream.handle()];
    for (bo, handle) in [&run.output, &run.stream].into_iter().zip(handles) {
        let lent = bo.bytes().expect("at rest");
        fake.clear_log();
        let error = run.context.submit(&mut run.command).expect_err("lent");
        assert_eq!(error, Error::Busy(Busy::BufferLent { handle }));
        assert!(fake.log().is_empty());
        drop(lent);
    }
    let (output, all) = (run.output.device_address(), fake.take_flushes());
    assert!(!all.contains(&(output, 8192)), "{all:?}");
    // Nothing of the refused submissions is left.
    run.input.bytes().expect("at rest");
    run.go().expect("completes");
    // What a refused submission did not flush is flushed by the next.
    assert!(fake.take_flushes().contains(&(output, 8192)));
    fake.on_execute(|_| Outcome::never());
    run.context.submit(&mut run.command).expect("queued");
    for bo in [&run.input, &run.output, &run.stream] {
        assert!(matches!(bo.bytes(), Err(Error::Busy(Busy::BufferInFlight { .. }))));
    }
}

#[test]
fn the_pdi_of_a_context_belongs_to_it() {
    let (fake, device) = open(Driver::current());
    let mut context = device.create_context(Default::default()).expect("a context");
    let mut pdi = device.dev_buffer(16).expect("a buffer");
    pdi.write(0, &[1; 16]).expect("at rest");
    context.configure(vec![amdxdna::ComputeUnit { pdi, function: 3 }]).expect("configured");
    assert_eq!(fake.counts().handles, 2);
    drop(context);
    assert_eq!(fake.counts().handles, 1);
}

#[test]
fn what_the_cpu_wrote_is_flushed_and_what_the_device_wrote_is_dropped() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    let (input, output) = (run.input.device_address(), run.output.device_address());
    run.go().expect("completes");
    let flushes = fake.take_flushes();
    // Fresh pages and the CPU's writes, before the command.
    assert!(flushes.contains(&(input, 4096)) && flushes.contains(&(output, 8192)), "{flushes:?}");
    run.output.range(16..32).expect("at rest");
    assert_eq!(fake.take_flushes(), [(output + 16, 16)]);
    run.output.bytes().expect("at rest");
    assert_eq!(fake.take_flushes(), [(output, 8192)]);
    run.output.bytes().expect("at rest");
    assert_eq!(fake.take_flushes(), []);
    run.input.write(64, &[1; 8]).expect("at rest");
    // Lines the device may have written are dropped before a part of them is changed.
    assert_eq!(fake.take_flushes(), [(input + 64, 8)]);
    run.go().expect("completes");
    assert_eq!(fake.take_flushes(), [(input + 64, 8)]);
    run.go().expect("completes");
    assert_eq!(fake.take_flushes(), []);
}

#[test]
fn the_heap_is_made_once_and_aligned() {
    for driver in Driver::all() {
        let (fake, device) = open(driver);
        let small = device.dev_buffer(1).expect("a buffer");
        let large = device.dev_buffer(40 << 10).expect("a buffer");
        let next = device.dev_buffer(5).expect("a buffer");
        assert_eq!(small.device_address(), HEAP_ADDRESS);
        assert_eq!(large.device_address(), HEAP_ADDRESS + DEV_ALIGN);
        assert_eq!(next.device_address(), HEAP_ADDRESS + 3 * DEV_ALIGN);
        assert_eq!((large.len(), large.kind()), (40 << 10, BoKind::Dev));
        device.ensure_heap().expect("is there");
        assert_eq!(fake.counts().mappings, 1);
        drop(large);
        let again = device.dev_buffer(64 << 10).expect("its place is free");
        assert_eq!(again.device_address(), HEAP_ADDRESS + DEV_ALIGN);
    }
}

#[test]
fn device_memory_runs_out() {
    let (_fake, device) = open(Driver::current());
    let all = device.dev_buffer(HEAP_BYTES).expect("all of it");
    let error = device.dev_buffer(1).expect_err("full");
    assert_eq!((error.errno(), error.cause()), (Some(Errno::ENOSPC), amdxdna::Cause::DeviceMemory));
    drop(all);
    device.dev_buffer(1).expect("free again");
}

#[test]
fn addresses_are_the_processes_or_the_drivers() {
    for addresses in [AddressMode::Process, AddressMode::Iova] {
        let fake = machine(Driver { addresses, ..Driver::current() });
        let mut run = prepare(&fake).expect("a run");
        let iova = run.input.device_address() >= 0xFF00_0000_0000;
        assert_eq!(iova, addresses == AddressMode::Iova);
        run.go().expect("the device finds its operands");
        assert_eq!(&run.output.bytes().expect("at rest")[..4], b"sixt");
    }
}

#[test]
fn user_memory_where_the_driver_takes_it() {
    let (fake, device) = open(Driver::current());
    let mut bo = device.user_buffer(100).expect("a buffer");
    assert_eq!((bo.len(), bo.kind()), (100, BoKind::User));
    bo.write(99, &[1]).expect("at rest");
    assert!(matches!(bo.export(), Err(Error::Refused(Refusal::Kind { kind: BoKind::User, .. }))));
    assert_eq!(fake.counts().locked, 4096);
    drop(bo);
    assert_eq!(fake.counts().locked, 0);

    let (fake, device) = open(Driver::mainline_6_14());
    let error = device.user_buffer(100).expect_err("has none");
    assert!(matches!(error, Error::Unsupported { feature: Feature::UserPointer, .. }), "{error}");
    assert_eq!(fake.counts().mappings, 0);
}

#[test]
fn a_dma_buf_is_the_same_memory() {
    let (fake, device) = open(Driver::current());
    let mut bo = device.buffer_of(4096).expect("a buffer");
    bo.write(0, b"shared").expect("at rest");
    let dma_buf = bo.export().expect("exports");
    let other = fake.open(Options::default()).expect("opens");
    let imported = other.import(&dma_buf).expect("imports");
    assert_eq!((imported.len(), imported.kind()), (4096, BoKind::Imported));
    assert_eq!(&imported.bytes().expect("at rest")[..6], b"shared");

    let mut map = other.map_dma_buf(&dma_buf).expect("maps");
    let mut bytes = [0; 6];
    map.read(0, &mut bytes).expect("inside");
    assert_eq!(&bytes, b"shared");
    map.write(0, b"SHARED").expect("inside");
    assert!(matches!(map.read(4095, &mut bytes), Err(Error::Refused(Refusal::Range { .. }))));
    assert_eq!(&bo.bytes().expect("at rest")[..6], b"SHARED");
    drop((map, dma_buf, imported, other, bo, device));
    assert!(fake.counts().is_zero());
}

#[test]
fn memory_imported_twice_has_one_handle() {
    let (fake, device) = open(Driver::current());
    let bo = device.buffer_of(4096).expect("a buffer");
    let dma_buf = bo.export().expect("exports");
    let again = device.import(&dma_buf).expect("imports");
    assert_eq!(again.handle(), bo.handle());
    let lent = again.bytes().expect("at rest");
    assert!(matches!(bo.bytes(), Err(Error::Busy(Busy::BufferLent { .. }))));
    drop(lent);
    drop(bo);
    assert_eq!(fake.counts().handles, 1);
    again.bytes().expect("still there");
    drop(again);
    assert_eq!(fake.counts().handles, 0);
    let back = device.import(&dma_buf).expect("imports");
    assert_eq!(fake.counts().handles, 1);
    drop((back, dma_buf, device));
    assert!(fake.counts().is_zero());
    assert!(fake.log().iter().all(|entry| entry.result.is_ok()));
}

#[test]
fn a_driver_without_dma_bufs() {
    let (_fake, device) = open(Driver::mainline_6_14());
    let error = device.buffer_of(64).expect("a buffer").export().expect_err("has none");
    assert!(matches!(error, Error::Unsupported { feature: Feature::DmaBuf, errno: Errno::EOPNOTSUPP, .. }), "{error}");
}

#[test]
fn buffers_may_be_used_from_many_threads() {
    let fake = machine(Driver::current());
    let device = fake.open(Options::default()).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let device = device.clone();
            scope.spawn(move || {
                for round in 0..20 {
                    let mut bo = device.buffer_of(4096).expect("a buffer");
                    bo.write(0, &[thread, round]).expect("at rest");
                    let dma_buf = bo.export().expect("exports");
                    let again = device.import(&dma_buf).expect("imports");
                    drop(bo);
                    assert_eq!(again.bytes().expect("at rest")[..2], [thread, round]);
                }
            });
        }
    });
    drop(device);
    assert!(fake.counts().is_zero());
    assert!(fake.log().iter().all(|entry| entry.result.is_ok()));
}

#[test]
fn a_wait_from_another_thread() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    let common::Run { mut command, .. } = run;
    std::thread::spawn(move || command.wait(SECOND, &NEVER)).join().expect("no panic").expect("completes");
}

#[cfg(not(miri))]
#[test]
fn a_descriptor_from_elsewhere_is_mapped_by_any_process() {
    use std::os::fd::OwnedFd;
    // A memfd is to mmap and lseek what a dma-buf is.
    let fd: OwnedFd = rustix::fs::memfd_create("shared", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
    rustix::fs::ftruncate(&fd, 8192).expect("has room");
    let (ours, theirs) = (fd.try_clone().expect("a copy"), fd);
    let mut writer = amdxdna::DmaBuf::from(ours).map().expect("maps");
    let reader = amdxdna::DmaBuf::from(theirs).map().expect("maps");
    assert_eq!(reader.len(), 8192);
    writer.write(8185, b"the end").expect("inside");
    let mut bytes = [0; 7];
    reader.read(8185, &mut bytes).expect("inside");
    assert_eq!(&bytes, b"the end");
    assert!(matches!(writer.write(8186, b"the end"), Err(Error::Refused(Refusal::Range { .. }))));

    let empty: OwnedFd = rustix::fs::memfd_create("empty", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
    assert!(matches!(amdxdna::DmaBuf::from(empty).map(), Err(Error::DmaBufSize { .. })));
}

#[test]
fn a_flush_by_hand() {
    let (fake, device) = open(Driver::current());
    let bo = device.buffer_of(4096).expect("a buffer");
    bo.flush(64..128).expect("at rest");
    assert_eq!(fake.take_flushes(), [(bo.device_address() + 64, 64)]);
    let lent = bo.bytes().expect("at rest");
    assert!(matches!(bo.flush(0..1), Err(Error::Busy(Busy::BufferLent { .. }))));
    drop(lent);
    assert!(matches!(bo.flush(0..4097), Err(Error::Refused(Refusal::Range { .. }))));
}
