//! What becomes of commands: states, deadlines, signals, full queues, new contexts.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amdxdna::ert::HOST_BUFFERS_EVERYWHERE;
use amdxdna::{
    Busy, Cause, Cmd, CommandState, ContextConfig, Errno, Error, Health, Ioctl, MAX_IN_FLIGHT, Options, Refusal,
};
use amdxdna_fake::{Driver, Outcome};
use common::{NEVER, SECOND, machine, prepare};

#[test]
fn every_state_but_completed_is_a_failure() {
    for driver in Driver::all() {
        for state in 0..16 {
            let fake = machine(driver.clone());
            fake.on_execute(move |_| Outcome::state(state).after(Duration::from_millis(1)));
            let mut run = prepare(&fake).expect("a run");
            let result = run.go();
            let named = CommandState::of_header(state);
            if state == 4 {
                result.expect("completed");
                assert!(!run.context.is_failed());
                continue;
            }
            let error = result.expect_err("failed");
            let Error::Command { state: told, sequence: 0, health: None, .. } = &error else { panic!("{error}") };
            assert_eq!(*told, named);
            let cause = if matches!(state, 5 | 6) { Cause::Program } else { Cause::Stuck };
            assert_eq!(error.cause(), cause, "{error}");
            assert!(run.context.is_failed());
            let refused = run.context.submit(&mut run.command).expect_err("the context has failed");
            assert!(matches!(refused, Error::ContextFailed { .. }));
            run.output.bytes().expect("the buffers are free");
            drop(run);
            assert!(fake.counts().is_zero());
        }
    }
}

#[test]
fn health_is_told_where_the_driver_tells_it() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::state(8).health([1, 0, 17, 0x100, 2, 3, 0x200, 4]));
    let error = prepare(&fake).expect("a run").go().expect_err("times out");
    let expected =
        Health { txn_operation: 17, context_pc: 0x100, fatal_error: 2, exception: 3, exception_pc: 0x200, module: 4 };
    assert!(matches!(&error, Error::Command { health: Some(health), .. } if *health == expected), "{error}");
    assert!(error.to_string().contains("stream operation 17"), "{error}");
}

#[test]
fn a_deadline_passes_and_the_command_stays_in_flight() {
    for driver in Driver::all() {
        let fake = machine(driver);
        fake.on_execute(|_| Outcome::never());
        let mut run = prepare(&fake).expect("a run");
        run.context.submit(&mut run.command).expect("queued");
        let before = fake.clock();
        let error = run.command.wait(SECOND, &NEVER).expect_err("never ends");
        let Error::Timeout { waited, sequence: 0, .. } = error else { panic!("{error}") };
        assert!(waited >= SECOND && waited < SECOND + Duration::from_millis(2), "{waited:?}");
        assert_eq!(fake.clock() - before, waited);
        assert_eq!(error.cause(), Cause::Stuck);
        // In slices, so that a flag is seen in time.
        assert!(fake.calls(Ioctl::SyncobjTimelineWait) + fake.calls(Ioctl::WaitCmd) >= 10);

        let in_flight = run.output.bytes().expect_err("the device may write");
        assert!(matches!(in_flight, Error::Busy(Busy::BufferInFlight { .. })), "{in_flight}");
        let second = Cmd::new(&run.device).and_then(|mut second| {
            second.start(0, &run.stream, 16, &[])?;
            run.context.submit(&mut second)
        });
        assert!(matches!(second, Err(Error::ContextFailed { .. })));

        // It ends after all: the context is good again.
        fake.end(run.context.handle(), 0, Outcome::completed());
        run.command.wait(SECOND, &NEVER).expect("ends");
        assert!(!run.context.is_failed());
        run.output.bytes().expect("free");
        drop(run);
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn a_lost_completion_is_survived_by_a_new_context() {
    let fake = machine(Driver::current());
    let mut hung = true;
    fake.on_execute(move |_| if std::mem::take(&mut hung) { Outcome::never() } else { Outcome::completed() });
    let mut run = prepare(&fake).expect("a run");
    let old = run.context.handle();
    assert!(matches!(run.go(), Err(Error::Timeout { .. })));
    run.context.recreate().expect("a new context");
    assert_ne!(run.context.handle(), old);
    assert_eq!(fake.counts().contexts, 1);
    assert_eq!(fake.calls(Ioctl::ConfigHwctx), 2);
    // The old command failed with its context; the same packet runs again.
    let error = run.command.wait(SECOND, &NEVER).expect_err("its context is gone");
    assert!(matches!(error, Error::Command { state: CommandState::Abort, .. }), "{error}");
    assert!(!run.context.is_failed());
    run.go().expect("completes");
    drop(run);
    assert!(fake.counts().is_zero());
}

#[test]
fn a_new_context_may_be_refused_and_asked_for_again() {
    for ioctl in [Ioctl::CreateHwctx, Ioctl::ConfigHwctx] {
        let fake = machine(Driver::current());
        let mut run = prepare(&fake).expect("a run");
        fake.fail(ioctl, 0, Errno::ENODEV);
        let error = run.context.recreate().expect_err("refused");
        assert_eq!(error.errno(), Some(Errno::ENODEV));
        assert!(run.context.is_failed());
        assert!(matches!(run.context.submit(&mut run.command), Err(Error::ContextFailed { .. })));
        assert_eq!(fake.counts().contexts, 0);
        run.context.recreate().expect("granted");
        run.go().expect("completes");
        drop(run);
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn the_reset_after_a_hang_signals_a_command_that_never_ran() {
    // SOURCE: a driver of 0.10 signalled the fence of the next command at once, with its state still NEW
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::state(1));
    let error = prepare(&fake).expect("a run").go().expect_err("never ran");
    assert!(matches!(error, Error::Command { state: CommandState::New, .. }), "{error}");
    assert!(error.to_string().contains("never ran"));
}

#[test]
fn signals_do_not_end_a_wait() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::completed().after(Duration::from_millis(250)));
    let mut run = prepare(&fake).expect("a run");
    for nth in 0..5 {
        fake.fail(Ioctl::SyncobjTimelineWait, nth, Errno::EINTR);
    }
    run.go().expect("completes");
}

#[test]
fn a_flag_ends_a_wait() {
    let flag = Arc::new(AtomicBool::new(false));
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::never());
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    let seen = Arc::clone(&flag);
    // The signal handler runs while the kernel waits for the third time.
    fake.fail(Ioctl::SyncobjTimelineWait, 2, Errno::EINTR);
    fake.corrupt(Ioctl::SyncobjTimelineWait, 1, move |_, _| seen.store(true, Ordering::Relaxed));
    let before = fake.clock();
    let error = run.command.wait(SECOND, &flag).expect_err("interrupted");
    assert!(matches!(error, Error::Interrupted { sequence: 0, .. }), "{error}");
    assert_eq!(error.cause(), Cause::Stopped);
    assert!(fake.clock() - before <= Duration::from_millis(200));
    // Not a failure: the command goes on, and so does the context.
    assert!(!run.context.is_failed());
    fake.end(run.context.handle(), 0, Outcome::completed());
    flag.store(false, Ordering::Relaxed);
    run.command.wait(SECOND, &flag).expect("completes");
}

#[test]
fn a_flag_that_is_set_already_asks_nothing_of_the_kernel() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::never());
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    fake.clear_log();
    let error = run.command.wait(SECOND, &AtomicBool::new(true)).expect_err("interrupted");
    assert!(matches!(error, Error::Interrupted { .. }));
    assert!(fake.log().is_empty());
}

#[test]
fn the_queue_has_four_places() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::completed().after(Duration::from_millis(5)));
    let run = prepare(&fake).expect("a run");
    let mut commands: Vec<_> = (0..=MAX_IN_FLIGHT)
        .map(|_| {
            let mut command = Cmd::new(&run.device).expect("a command");
            command.start(0, &run.stream, 16, &[(&run.input).into()]).expect("a packet");
            command
        })
        .collect();
    let (last, first) = commands.split_last_mut().expect("five");
    for (sequence, command) in first.iter_mut().enumerate() {
        run.context.submit(command).expect("room");
        assert_eq!(command.sequence(), Some(sequence as u64));
    }
    let full = run.context.submit(last).expect_err("full");
    assert!(matches!(full, Error::Busy(Busy::QueueFull { limit: MAX_IN_FLIGHT })), "{full}");
    assert!(matches!(run.context.submit(&mut first[0]), Err(Error::Busy(Busy::CommandInFlight { sequence: 0 }))));
    // The end of one is the end of those before it.
    first[2].wait(SECOND, &NEVER).expect("completes");
    assert_eq!(run.context.in_flight(), 1);
    run.context.submit(last).expect("room");
    for command in &mut commands {
        match command.sequence() {
            Some(2) | None => {}
            Some(_) => command.wait(SECOND, &NEVER).expect("completes"),
        }
    }
    assert_eq!(run.context.in_flight(), 0);
}

#[test]
fn commands_nobody_waits_for_make_room_when_they_end() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::completed().after(Duration::from_millis(5)));
    let run = prepare(&fake).expect("a run");
    let submit = || {
        let mut command = Cmd::new(&run.device)?;
        command.start(0, &run.stream, 16, &[(&run.input).into()])?;
        run.context.submit(&mut command)
    };
    for _ in 0..MAX_IN_FLIGHT {
        submit().expect("room");
    }
    // Dropped in flight: their buffers live on.
    assert_eq!(run.context.in_flight(), MAX_IN_FLIGHT);
    assert!(matches!(run.input.bytes(), Err(Error::Busy(_))));
    assert!(matches!(submit(), Err(Error::Busy(Busy::QueueFull { .. }))));
    fake.advance(Duration::from_millis(5));
    submit().expect("room");
    drop(run);
    assert!(fake.counts().is_zero());
}

#[test]
fn buffers_outlive_their_owners_while_a_command_uses_them() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::completed().after(Duration::from_millis(5)));
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    let common::Run { mut command, output, input, stream, context, device } = run;
    let before = fake.counts();
    drop((output, input, stream));
    assert_eq!(fake.counts(), before);
    command.wait(SECOND, &NEVER).expect("completes");
    // The packet still names them.
    assert_eq!(fake.counts(), before);
    drop(command);
    assert_eq!(fake.counts().handles, 2);
    drop((context, device));
    assert!(fake.counts().is_zero());
}

#[test]
fn a_leaked_command_frees_nothing_early() {
    let fake = machine(Driver::current());
    fake.on_execute(|_| Outcome::never());
    let mut run = prepare(&fake).expect("a run");
    run.context.submit(&mut run.command).expect("queued");
    let common::Run { command, output, context, .. } = run;
    std::mem::forget(command);
    assert!(matches!(output.bytes(), Err(Error::Busy(Busy::BufferInFlight { .. }))));
    drop(context);
    output.bytes().expect("its context has ended");
}

#[test]
fn arguments_are_refused_before_the_kernel_sees_them() {
    let fake = machine(Driver::current());
    let run = prepare(&fake).expect("a run");
    let other = fake.open(Options::default()).expect("opens");
    let foreign = other.host_buffer(64).expect("a buffer");
    let mut command = Cmd::new(&run.device).expect("a command");
    fake.clear_log();
    let (stream, input) = (&run.stream, &run.input);
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(run.context.submit(&mut command)), Refusal::NoPacket);
    assert_eq!(refused(command.wait(SECOND, &NEVER)), Refusal::NotInFlight);
    assert_eq!(refused(command.start(32, stream, 1, &[])), Refusal::NoComputeUnit { cu: 32, count: 32 });
    assert_eq!(refused(command.start(0, stream, 17, &[])), Refusal::Stream { words: 17, bytes: 64 });
    assert_eq!(refused(command.start(0, stream, 0, &[])), Refusal::Stream { words: 0, bytes: 64 });
    assert!(matches!(refused(command.start(0, input, 1, &[])), Refusal::Kind { .. }));
    assert!(matches!(refused(command.start(0, stream, 1, &[stream.into()])), Refusal::Kind { .. }));
    assert!(matches!(refused(command.start(0, stream, 1, &[(&foreign).into()])), Refusal::OtherDevice { .. }));
    let past = amdxdna::HostBuffer { bo: input, offset: 4096 };
    assert!(matches!(refused(command.start(0, stream, 1, &[past])), Refusal::Range { .. }));
    let many: Vec<_> = (0..17).map(|_| input.into()).collect();
    assert_eq!(refused(command.start(0, stream, 1, &many)), Refusal::HostBuffers { count: 17, max: 16 });
    command.start(1, stream, 1, &[]).expect("a packet");
    assert_eq!(refused(run.context.submit(&mut command)), Refusal::NoComputeUnit { cu: 1, count: 1 });
    for columns in [0, 5] {
        let error = run.device.create_context(ContextConfig { columns, ..Default::default() }).map(drop);
        assert_eq!(refused(error), Refusal::Columns { columns, max: 4 });
    }
    assert!(matches!(refused(run.device.host_buffer(0).map(drop)), Refusal::BufferBytes { .. }));
    assert!(matches!(refused(run.device.dev_buffer((64 << 20) + 1).map(drop)), Refusal::BufferBytes { .. }));
    assert!(fake.log().is_empty(), "{:?}", fake.log());
}

#[test]
fn drivers_without_command_lists_run_no_command_of_more_than_seven_host_buffers() {
    for driver in Driver::all() {
        let lists = driver.register_map_words.is_none();
        for (count, runs) in [(HOST_BUFFERS_EVERYWHERE, true), (HOST_BUFFERS_EVERYWHERE + 1, lists)] {
            let fake = machine(driver.clone());
            let mut run = prepare(&fake).expect("a run");
            let buffers: Vec<_> = (0..count).map(|_| (&run.input).into()).collect();
            run.command.start(0, &run.stream, 1, &buffers).expect("a packet");
            run.context.submit(&mut run.command).expect("taken");
            let ended = run.command.wait(SECOND, &NEVER);
            match ended {
                Ok(()) => assert!(runs, "{count} buffers"),
                Err(Error::Command { state: CommandState::New, .. }) => assert!(!runs, "{count} buffers"),
                Err(error) => panic!("{count} buffers: {error}"),
            }
        }
    }
}

#[test]
fn units_are_given_once() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    let twice = run.context.load(&[b"another"]).expect_err("once");
    assert_eq!(twice, Error::Refused(Refusal::ConfiguredTwice));
    let mut empty = run.device.create_context(ContextConfig::default()).expect("a context");
    assert!(matches!(empty.configure(vec![]), Err(Error::Refused(Refusal::ComputeUnits { count: 0, .. }))));
    assert!(matches!(empty.submit(&mut run.command), Err(Error::Refused(Refusal::NoComputeUnit { cu: 0, count: 0 }))));
}

#[test]
fn the_same_buffer_twice_is_listed_once() {
    let fake = machine(Driver::current());
    let mut run = prepare(&fake).expect("a run");
    let offset = amdxdna::HostBuffer { bo: &run.output, offset: 4096 };
    run.command.start(0, &run.stream, 16, &[(&run.output).into(), offset]).expect("a packet");
    let (address, handles) = (run.output.device_address(), [run.stream.handle(), run.output.handle()]);
    fake.on_execute(move |execution| {
        assert_eq!(execution.host_address(0) + 4096, execution.host_address(1));
        assert_eq!(execution.host_address(0), address);
        assert_eq!(execution.arguments(), handles);
        assert_eq!(execution.stream(), [7; 64]);
        assert_eq!(execution.read(execution.pdi_address(), 5), b"a PDI");
        Outcome::completed()
    });
    run.go().expect("completes");
}

#[test]
fn no_columns_left() {
    let fake = machine(Driver { contexts: 2, ..Driver::current() });
    let device = fake.open(Options::default()).expect("opens");
    let contexts: Vec<_> =
        (0..2).map(|_| device.create_context(ContextConfig::default()).expect("a context")).collect();
    let error = device.create_context(ContextConfig::default()).expect_err("none left");
    assert_eq!(error.cause(), Cause::NoColumns);
    drop(contexts);
    device.create_context(ContextConfig::default()).expect("free again");
}
