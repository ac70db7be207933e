//! Answers that cannot be true end in a typed error, whatever they are, and leave nothing open.

mod common;

use amdxdna::{BadReply, Error, HEAP_ADDRESS, Ioctl, Options};
use amdxdna_fake::{Driver, FakeKernel};
use common::{NEVER, SECOND, machine, prepare};
use proptest::prelude::*;

/// Runs everything with one answer changed; the error, if any.
fn run(fake: &FakeKernel) -> Result<(), Error> {
    let mut run = prepare(fake)?;
    run.go()?;
    let dma_buf = run.output.export()?;
    let other = fake.open(Options::default())?;
    other.import(&dma_buf)?;
    run.device.user_buffer(64)?;
    run.device.features()?;
    run.device.contexts()?;
    run.device.aie_status()?;
    let _ = run.command.wait(SECOND, &NEVER);
    Ok(())
}

fn changed(ioctl: Ioctl, nth: usize, change: impl FnOnce(&mut [u8], &mut [&mut [u8]]) + Send + 'static) -> BadReply {
    let fake = machine(Driver::current());
    fake.corrupt(ioctl, nth, change);
    let error = run(&fake).expect_err("an answer that cannot be true");
    let Error::Reply { ioctl: named, problem, .. } = error else { panic!("{error}") };
    assert_eq!(named, ioctl);
    assert_eq!(fake.counts().contexts + fake.counts().fds + fake.counts().mappings, 0, "{:?}", fake.counts());
    problem
}

fn put(argument: &mut [u8], at: usize, value: u64) {
    argument[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn handles() {
    let zero = |argument: &mut [u8], _: &mut [&mut [u8]]| argument[28..32].fill(0);
    assert_eq!(changed(Ioctl::CreateBo, 3, zero), BadReply::Handle { what: "buffer", handle: 0 });
    // The second buffer (the stream) is said to be the first (the PDI).
    let same = |argument: &mut [u8], _: &mut [&mut [u8]]| argument[28] = 2;
    assert_eq!(changed(Ioctl::CreateBo, 2, same), BadReply::Handle { what: "second buffer of", handle: 2 });
    let context = |argument: &mut [u8], _: &mut [&mut [u8]]| argument[48..52].fill(0);
    assert_eq!(changed(Ioctl::CreateHwctx, 0, context), BadReply::Handle { what: "context", handle: 0 });
    let imported = |argument: &mut [u8], _: &mut [&mut [u8]]| argument[..4].fill(0);
    assert_eq!(changed(Ioctl::PrimeFdToHandle, 0, imported), BadReply::Handle { what: "buffer", handle: 0 });
}

#[test]
fn an_import_that_is_another_buffer() {
    let fake = machine(Driver::current());
    let run = prepare(&fake).expect("a run");
    let dma_buf = run.output.export().expect("exports");
    for other in [run.stream.handle(), run.input.handle()] {
        fake.corrupt(Ioctl::PrimeFdToHandle, 0, move |argument, _| argument[0] = other as u8);
        let error = run.device.import(&dma_buf).expect_err("not the exported one");
        let problem = BadReply::Handle { what: "another buffer's", handle: other };
        assert!(matches!(&error, Error::Reply { problem: told, .. } if *told == problem), "{error}");
    }
    assert_eq!(run.device.import(&dma_buf).map(|bo| bo.handle()), Ok(run.output.handle()));
}

#[test]
fn a_descriptor_below_zero() {
    let fake = machine(Driver::current());
    let device = fake.open(Options::default()).expect("opens");
    let bo = device.buffer_of(64).expect("a buffer");
    fake.corrupt(Ioctl::PrimeHandleToFd, 0, |argument, _| argument[8..12].fill(0xFF));
    let error = bo.export().expect_err("no descriptor");
    assert!(matches!(error, Error::Reply { problem: BadReply::Descriptor { number: -1 }, .. }), "{error}");
}

#[test]
fn places_of_buffers() {
    // The first question is of the heap, the second of the PDI, the third of the stream.
    for address in [0, HEAP_ADDRESS - 0x8000, HEAP_ADDRESS + 1, HEAP_ADDRESS + (64 << 20), u64::MAX, u64::MAX - 0x7FFF]
    {
        let problem = changed(Ioctl::GetBoInfo, 1, move |argument, _| put(argument, 40, address));
        assert_eq!(problem, BadReply::Address { what: "device address", address, bytes: 4096 });
    }
    // Inside the PDI.
    let problem = changed(Ioctl::GetBoInfo, 2, |argument, _| put(argument, 40, HEAP_ADDRESS));
    assert!(matches!(problem, BadReply::Address { address: HEAP_ADDRESS, .. }));
    for address in [0x1001, u64::MAX - 0xFFF] {
        let problem = changed(Ioctl::GetBoInfo, 3, move |argument, _| put(argument, 40, address));
        assert_eq!(problem, BadReply::Address { what: "device address", address, bytes: 4096 });
    }
    let problem = changed(Ioctl::GetBoInfo, 3, |argument, _| put(argument, 24, u64::MAX));
    assert!(matches!(problem, BadReply::Address { what: "no place to map", .. }));
}

#[test]
fn lengths() {
    let problem = changed(Ioctl::Version, 0, |argument, _| put(argument, 16, 65));
    assert_eq!(problem, BadReply::Length { what: "driver name", bytes: 65, limit: 64 });
    let problem = changed(Ioctl::GetInfo, 0, |argument, _| argument[4] = 65);
    assert_eq!(problem, BadReply::Length { what: "answer", bytes: 65, limit: 64 });
    let fake = machine(Driver::current());
    let device = fake.open(Options::default()).expect("opens");
    let array = |argument: &mut [u8], element: u32, elements: u32| {
        argument[4..8].copy_from_slice(&element.to_le_bytes());
        argument[8..12].copy_from_slice(&elements.to_le_bytes());
    };
    for (element, elements) in [(161, 1), (160, 65), (u32::MAX, u32::MAX), (0, 1), (8, 1)] {
        fake.corrupt(Ioctl::GetArray, 0, move |argument, _| array(argument, element, elements));
        let error = device.contexts().expect_err("no such array");
        assert!(matches!(error, Error::Reply { ioctl: Ioctl::GetArray, .. }), "{element} {elements}: {error}");
    }
    // Smaller elements, but more of them: an older driver.
    fake.corrupt(Ioctl::GetArray, 0, move |argument, _| array(argument, 144, 71));
    assert_eq!(device.contexts().map(|contexts| contexts.len()), Ok(71));
}

#[test]
fn an_array_without_columns() {
    let problem = changed(Ioctl::GetInfo, 0, |_, pointed| pointed[0][4] = 0);
    assert_eq!(problem, BadReply::Value { what: "columns", value: 0 });
    let problem = changed(Ioctl::GetInfo, 0, |_, pointed| pointed[0][16..18].fill(0xFF));
    assert_eq!(problem, BadReply::Value { what: "core rows", value: 0xFFFF });
}

#[test]
fn two_commands_of_one_number() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| amdxdna_fake::Outcome::never());
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    let mut second = amdxdna::Cmd::new(&run.device).expect("a command");
    second.start(0, &run.stream, 16, &[(&run.input).into()]).expect("a packet");
    fake.corrupt(Ioctl::ExecCmd, 0, |argument, _| put(argument, 48, 0));
    let error = run.context.submit(&mut second).expect_err("taken");
    assert!(matches!(error, Error::Reply { ioctl: Ioctl::ExecCmd, .. }), "{error}");
    assert_eq!(run.context.in_flight(), 2);
    assert!(run.context.is_failed());
    drop((run, second));
    assert!(fake.counts().is_zero());
}

/// Cases of a test with random answers; Miri is some thousand times slower.
const CASES: u32 = if cfg!(miri) { 4 } else { 1000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer(
        ioctl in proptest::sample::select(Ioctl::ALL),
        nth in 0usize..6,
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        behind in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        driver in proptest::sample::select(vec![0usize, 1, 2]),
    ) {
        // What the kernel takes back may be anybody's: a wrong handle is closed in good faith, and missed when the file closes.
        // Without an executor: an address may be wrong in a way that only the NPU would find out.
        let fake = FakeKernel::new(Driver::all()[driver].clone());
        fake.corrupt(ioctl, nth, move |argument, pointed| {
            for (place, byte) in &noise {
                let place = place.index(argument.len());
                argument[place] = *byte;
            }
            for bytes in pointed.iter_mut().filter(|bytes| !bytes.is_empty()) {
                for (place, byte) in &behind {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
            }
        });
        let _ = run(&fake);
        let left = fake.counts();
        // A descriptor that the kernel misnamed cannot be closed; everything else goes with its file.
        prop_assert!(left.mappings == 0 && left.contexts == 0 && left.syncobjs == 0, "{:?}", left);
        prop_assert!(left.fds <= usize::from(ioctl == Ioctl::PrimeHandleToFd), "{:?}", left);
    }
}
