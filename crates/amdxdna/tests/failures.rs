//! Every errno of every ioctl, and of mmap and open: the right typed error, and nothing left open.

mod common;

use amdxdna::{Cause, Errno, Error, Ioctl, Options};
use amdxdna_fake::{Driver, FakeKernel, Outcome};
use common::{NEVER, SECOND, machine, prepare};

/// A run that uses every ioctl but those that only other drivers have.
fn everything(fake: &FakeKernel) -> Result<(), Error> {
    let mut run = prepare(fake)?;
    let device = run.device.clone();
    run.context.submit(&mut run.command)?;
    run.command.wait(SECOND, &NEVER)?;
    run.input.sync(amdxdna::Direction::ToDevice, 0..64)?;
    let dma_buf = run.output.export()?;
    let other = fake.open(Options::default())?;
    let imported = other.import(&dma_buf)?;
    assert_eq!(imported.bytes()?.len(), 8192);
    other.map_dma_buf(&dma_buf)?;
    device.user_buffer(4096)?;
    device.set_power_mode(amdxdna::PowerMode::High)?;
    device.firmware_version()?;
    device.aie_version()?;
    device.clocks()?;
    device.sensors()?;
    device.power_mode()?;
    device.resource_info()?;
    device.last_async_error()?;
    device.contexts()?;
    device.aie_status()?;
    Ok(())
}

fn driver(ioctl: Ioctl) -> Driver {
    match ioctl {
        Ioctl::WaitCmd => Driver { root: true, ..Driver::out_of_tree() },
        _ => Driver { root: true, ..Driver::current() },
    }
}

fn slow(fake: &FakeKernel) {
    fake.on_execute(|_| Outcome::completed().after(std::time::Duration::from_millis(10)));
}

/// Ioctls whose failure nothing returns: their errors are kept for whoever asks.
fn closes(ioctl: Ioctl) -> bool {
    matches!(ioctl, Ioctl::GemClose | Ioctl::DestroyHwctx | Ioctl::SyncobjDestroy)
}

#[test]
fn the_run_uses_every_ioctl() {
    for &ioctl in Ioctl::ALL {
        let fake = machine(driver(ioctl));
        slow(&fake);
        everything(&fake).unwrap_or_else(|error| panic!("{error}"));
        fake.open(Options::default()).and_then(|device| device.features()).expect("features");
        assert!(fake.counts().is_zero());
        assert!(fake.calls(ioctl) > 0, "{ioctl}");
    }
}

#[test]
fn every_errno_of_every_call() {
    for &ioctl in Ioctl::ALL {
        let fake = machine(driver(ioctl));
        slow(&fake);
        everything(&fake).expect("goes well");
        let calls = fake.calls(ioctl);
        for &errno in Errno::NAMED {
            for nth in 0..calls {
                let fake = machine(driver(ioctl));
                slow(&fake);
                fake.fail(ioctl, nth, errno);
                let result = everything(&fake);
                check(ioctl, errno, nth, &result);
                let left = fake.counts();
                if closes(ioctl) && errno != Errno::EINTR {
                    // The file is closed with everything in it.
                    assert_eq!(left.handles + left.contexts + left.syncobjs, 0, "{ioctl} {nth} {errno}");
                }
                assert!(left.is_zero(), "{ioctl} {nth} {errno}: {left:?}");
            }
        }
    }
}

fn check(ioctl: Ioctl, errno: Errno, nth: usize, result: &Result<(), Error>) {
    let place = format!("{ioctl} {nth} {errno}: {result:?}");
    let waits = matches!(ioctl, Ioctl::WaitCmd | Ioctl::SyncobjTimelineWait);
    // A signal restarts a call, a wait that expires early is repeated.
    let goes_on = errno == Errno::EINTR
        || closes(ioctl)
        || ioctl == Ioctl::GetCap
        || waits && errno == Errno::ETIME
        || ioctl == Ioctl::WaitCmd && errno == Errno::ETIMEDOUT;
    // A driver without GET_ARRAY still tells of contexts, if briefly.
    let absent = matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::ENOSYS);
    let fallback = ioctl == Ioctl::GetArray && nth == 1 && absent;
    match result {
        Ok(()) => assert!(goes_on || fallback, "{place}"),
        Err(error) => {
            assert!(!goes_on, "{place}");
            match error {
                Error::Ioctl { ioctl: named, errno: answer, arguments } => {
                    assert_eq!((*named, *answer), (ioctl, errno), "{place}");
                    assert!(!arguments.is_empty() || ioctl == Ioctl::Version, "{place}");
                }
                Error::Unsupported { ioctl: named, errno: answer, .. } => {
                    assert_eq!((*named, *answer), (ioctl, errno), "{place}");
                    assert_eq!(error.cause(), Cause::Unsupported, "{place}");
                }
                // The first question after an open decides whether the device starts.
                Error::Start { errno: answer, .. } => {
                    assert_eq!((ioctl, *answer), (Ioctl::GetInfo, errno), "{place}");
                    assert_eq!((error.cause(), absent), (Cause::Silent, true), "{place}");
                }
                Error::Pin { errno: answer, .. } => {
                    assert_eq!((ioctl, *answer), (Ioctl::CreateBo, errno), "{place}");
                }
                _ => panic!("{place}"),
            }
            assert_eq!(error.errno(), Some(errno), "{place}");
        }
    }
}

#[test]
fn what_drop_could_not_close_is_kept() {
    for (ioctl, expected) in [(Ioctl::GemClose, 1), (Ioctl::DestroyHwctx, 1), (Ioctl::SyncobjDestroy, 1)] {
        let fake = machine(Driver::current());
        let run = prepare(&fake).expect("a run");
        let device = run.device.clone();
        fake.fail(ioctl, 0, Errno::EIO);
        drop(run);
        let errors = device.take_drop_errors();
        assert_eq!(errors.len(), expected);
        assert!(matches!(&errors[0], Error::Ioctl { ioctl: named, errno: Errno::EIO, .. } if *named == ioctl));
        assert!(device.take_drop_errors().is_empty());
        drop(device);
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn a_context_that_would_not_end_keeps_its_buffers() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::never());
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    fake.fail(Ioctl::DestroyHwctx, 0, Errno::EBUSY);
    drop(run.context);
    assert!(matches!(run.output.bytes(), Err(Error::Busy(_))));
    drop((run.command, run.input, run.output, run.stream, run.device));
    assert!(fake.counts().is_zero());
}

#[test]
fn every_errno_of_every_mapping() {
    for errno in [Errno::EAGAIN, Errno::ENOMEM, Errno::EACCES, Errno::ENODEV, Errno::EINVAL] {
        // heap, input, output, command, import, dma-buf, user memory
        for nth in 0..7 {
            let fake = machine(driver(Ioctl::CreateBo));
            fake.fail_map(nth, errno);
            let error = everything(&fake).expect_err("a mapping fails");
            assert!(matches!(error, Error::Map { errno: answer, .. } if answer == errno), "{nth} {errno}: {error}");
            assert!(fake.counts().is_zero(), "{nth} {errno}: {:?}", fake.counts());
        }
    }
}

#[test]
fn the_limit_of_locked_memory() {
    let fake = machine(Driver { memlock: 8 << 20, ..Driver::current() });
    let error = prepare(&fake).err().expect("8 MiB are not enough for the heap");
    assert!(matches!(error, Error::Map { what: "device heap", errno: Errno::EAGAIN, locked: true, .. }), "{error}");
    assert_eq!(error.cause(), Cause::LockedMemory);
    assert!(error.remedy().contains("ulimit -l"));
    let text = error.explain();
    assert!(text.starts_with("mmap of device heap, 67108864 bytes, locked: EAGAIN"), "{text}");
    assert!(text.contains("limit on locked memory is too low") && text.contains("ulimit -l"), "{text}");
    assert!(fake.counts().is_zero());

    let device = fake.open(Options { lock_pages: false }).expect("opens");
    common::prepare_on(device.clone()).expect("nothing is locked").go().expect("completes");
    let error = device.user_buffer(16 << 20).expect_err("pinned pages count, too");
    assert!(matches!(error, Error::Pin { errno: Errno::ENOMEM, .. }), "{error}");
    assert_eq!(error.cause(), Cause::LockedMemory);
}

#[test]
fn an_open_that_fails() {
    let causes = [
        (Errno::EACCES, Cause::NodePermission),
        (Errno::ENOENT, Cause::NoDriver),
        (Errno::ENODEV, Cause::NoDriver),
        (Errno::EINVAL, Cause::Iommu),
        (Errno::EMFILE, Cause::OpenFiles),
    ];
    for (errno, cause) in causes {
        let fake = machine(Driver::current());
        fake.fail_open(errno);
        let error = fake.open(Options::default()).expect_err("does not open");
        assert!(matches!(&error, Error::Open { errno: answer, .. } if *answer == errno), "{error}");
        assert_eq!(error.cause(), cause);
    }
}

#[test]
fn unplugged_at_any_moment() {
    let fake = machine(driver(Ioctl::CreateBo));
    everything(&fake).expect("goes well");
    let calls = fake.log().len();
    for moment in 0..calls {
        let fake = machine(driver(Ioctl::CreateBo));
        fake.unplug_after(moment);
        if let Err(error) = everything(&fake) {
            assert_eq!(error.errno(), Some(Errno::ENODEV), "{moment}: {error}");
        }
        assert!(fake.counts().is_zero(), "{moment}: {:?}", fake.counts());
    }
}

#[test]
fn an_unplugged_device_says_so() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    fake.unplug();
    let error = run.context.submit(&mut run.command).expect_err("gone");
    assert!(error.is_unplugged(), "{error}");
    assert!(run.device.features().expect_err("gone").is_unplugged());
    // Nothing holds the buffers any more.
    run.output.bytes().expect("memory stays");
    let device = run.device.clone();
    drop(run);
    assert!(device.take_drop_errors().iter().all(Error::is_unplugged));
    drop(device);
    assert!(fake.counts().is_zero());
    assert!(matches!(fake.open(Options::default()), Err(Error::Open { errno: Errno::ENODEV, .. })));
}
