//! Whatever the driver answers: the right typed error, within the deadline, and nothing left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amdxdna::{CommandState, Errno, Error as DeviceError, Ioctl};
use amdxdna_fake::{Driver, FakeKernel, Outcome};
use gemma::attend::{
    AttendError, CANARY, CODE_CANARY, ContextAfter, Doing, Done, Method, RunError, RunOptions, SCALE_CANARY,
};
use gemma::{HardwareCause, MemoryCause, Refusal};
use npu_package::layout::{KvFormat, Plane};

use crate::fabric::Fabric;
use crate::rig::{DEADLINE, HISTORY, SEQ, compute, layer, layer_of, machine, run, run_with};
use crate::synthetic::{HEAD_DIM, HIDDEN, KV_HEADS};

/// The error of a single method that failed on the device.
#[track_caller]
fn run_error(result: Result<Done, AttendError>) -> RunError {
    match result {
        Err(AttendError::Refusal(Refusal::ExecutionFailed { source })) => {
            let [attempt] = <[_; 1]>::try_from(source.tried).unwrap_or_else(|tried| panic!("{tried:?}"));
            *attempt.error.downcast::<RunError>().expect("a RunError")
        }
        other => panic!("{other:?}"),
    }
}

/// Whether an error is one that a failing driver may lead to.
fn is_typed(error: &AttendError) -> bool {
    match error {
        AttendError::Refusal(Refusal::ExecutionFailed { source }) => {
            source.tried.len() == 1 && source.tried[0].error.downcast_ref::<RunError>().is_some()
        }
        AttendError::Refusal(Refusal::MemoryExhausted { source: MemoryCause::Allocation { .. } }) => true,
        AttendError::Refusal(Refusal::HardwareRequired { source: HardwareCause::Driver { error, .. } }) => {
            error.downcast_ref::<DeviceError>().is_some()
        }
        _ => false,
    }
}

#[test]
fn every_errno_on_every_ioctl_is_a_typed_error_and_leaves_nothing() {
    let layer = layer(&[Method::Complete]);
    for driver in [Driver::current(), Driver::out_of_tree()] {
        let fake = machine(driver.clone());
        run(&fake, &layer.prepared).0.unwrap();
        // Opening is not the session's.
        let ioctls: Vec<Ioctl> = fake.log()[2..].iter().filter_map(|entry| Ioctl::of_request(entry.request)).collect();
        let mut seen = Vec::new();
        let mut refused = 0;
        for ioctl in ioctls {
            let nth = seen.iter().filter(|&&other| other == ioctl).count();
            seen.push(ioctl);
            for &errno in Errno::NAMED {
                let fake = machine(driver.clone());
                let device = fake.open(Default::default()).unwrap();
                fake.fail(ioctl, nth, errno);
                let session = gemma::attend::Session::new(device);
                let options = RunOptions { deadline: DEADLINE, ..RunOptions::default() };
                let result =
                    session.run(&layer.prepared, &options, &AtomicBool::new(false), &mut crate::rig::Heard::default());
                drop(session);
                // A handle that the kernel would not close is the kernel's.
                let closing = matches!(ioctl, Ioctl::GemClose | Ioctl::DestroyHwctx | Ioctl::SyncobjDestroy);
                let counts = fake.counts();
                assert!(counts.is_zero() || closing, "{ioctl:?} {nth} {errno}: {counts:?}");
                match result {
                    // Restarted calls, waits that go on, weights that are copied instead, and handles at the end.
                    Ok(_) => {
                        let goes_on = matches!(errno, Errno::EINTR | Errno::EAGAIN | Errno::ETIME)
                            || closing
                            || (ioctl == Ioctl::CreateBo || ioctl == Ioctl::GetBoInfo)
                            || matches!(ioctl, Ioctl::SyncobjTimelineWait | Ioctl::WaitCmd)
                            // A core without timelines: contexts may have one all the same.
                            || ioctl == Ioctl::GetCap;
                        assert!(goes_on, "{ioctl:?} {nth} {errno} went unnoticed");
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(is_typed(&error), "{ioctl:?} {nth} {errno}: {error:?}");
                        assert!(error.remedy().is_some());
                    }
                }
            }
        }
        assert!(refused > 300, "{refused}");
    }
}

#[test]
fn a_driver_that_cannot_be_waited_for_is_refused_before_a_context_is_made() {
    let layer = layer(&[Method::Complete]);
    let fake = machine(Driver { timelines: false, wait_cmd: false, ..Driver::current() });
    let refused = run(&fake, &layer.prepared).0.unwrap_err();
    assert_eq!(refused.to_string(), "NO CPU FALLBACK ALLOWED - Real NPU hardware required");
    let AttendError::Refusal(Refusal::HardwareRequired { source: HardwareCause::Driver { error, .. } }) = &refused
    else {
        panic!("{refused:?}")
    };
    assert!(error.to_string().contains("the driver has no waiting for completion"), "{error}");
    assert_eq!([fake.calls(Ioctl::CreateHwctx), fake.calls(Ioctl::CreateBo)], [0, 0]);
    assert!(fake.counts().is_zero());
}

#[test]
fn allocations_that_memory_does_not_suffice_for() {
    let layer = layer(&[Method::Complete]);
    let fake = machine(Driver::current());
    // The heap is the first buffer, the PDI and the stream the next, the command the fourth.
    fake.fail(Ioctl::CreateBo, 4, Errno::ENOMEM);
    let Err(AttendError::Refusal(Refusal::MemoryExhausted { source })) = run(&fake, &layer.prepared).0 else {
        panic!("a refusal")
    };
    let MemoryCause::Allocation { what, bytes, error } = &source else { panic!("{source}") };
    assert_eq!((what.as_str(), *bytes), ("allocating buffer x of 4096 bytes", 4096));
    assert!(error.to_string().contains("ENOMEM"));

    let small = FakeKernel::new(Driver { memlock: (64 << 20) + 100_000, ..Driver::current() });
    let refused = run(&small, &layer.prepared).0.unwrap_err();
    assert_eq!(refused.to_string(), "HMA memory exhausted");
    assert!(refused.remedy().unwrap().contains("locked memory"));
    assert!(small.counts().is_zero());
}

#[test]
fn mappings_that_fail() {
    let layer = layer(&[Method::Complete]);
    for nth in 0..8 {
        for errno in [Errno::ENOMEM, Errno::EAGAIN, Errno::EINVAL, Errno::ENODEV] {
            let fake = machine(Driver::current());
            let device = fake.open(Default::default()).unwrap();
            fake.fail_map(nth, errno);
            let session = gemma::attend::Session::new(device);
            let result = session.run(
                &layer.prepared,
                &RunOptions::default(),
                &AtomicBool::new(false),
                &mut crate::rig::Heard::default(),
            );
            drop(session);
            assert!(fake.counts().is_zero(), "{nth} {errno}");
            assert!(is_typed(&result.unwrap_err()), "{nth} {errno}");
        }
    }
}

#[test]
fn every_end_but_completed_is_the_state_and_a_fresh_context() {
    let layer = layer(&[Method::Complete]);
    for state in (0..16).filter(|&state| state != 4) {
        let fake = FakeKernel::new(Driver::current());
        fake.on_execute(move |_| Outcome::state(state));
        let error = run_error(run(&fake, &layer.prepared).0);
        let RunError::Device { doing, error, context } = error else { panic!("{error}") };
        assert_eq!((doing, context), (Doing::Wait("w8a16_attention".into()), ContextAfter::Anew), "{state}");
        let expected = CommandState::of_header(state);
        assert!(matches!(error, DeviceError::Command { state, .. } if state == expected), "{error}");
        assert_eq!([fake.calls(Ioctl::CreateHwctx), fake.calls(Ioctl::DestroyHwctx)], [2, 2]);
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn a_lost_completion_ends_with_the_deadline() {
    let layer = layer(&[Method::Modular]);
    for driver in Driver::all() {
        for lost in 0..4 {
            let fake = FakeKernel::new(driver.clone());
            fake.on_execute(move |run| {
                let done = compute(run);
                // The array has done its work, and nobody hears of it.
                if run.sequence() == lost { Outcome::never() } else { done }
            });
            let begin = fake.clock();
            let error = run_error(run(&fake, &layer.prepared).0);
            let waited = fake.clock() - begin;
            assert!(waited >= DEADLINE && waited < DEADLINE + Duration::from_secs(1), "{waited:?}");
            let RunError::Device { doing: Doing::Wait(kernel), error, context: ContextAfter::Anew } = error else {
                panic!("{error}")
            };
            assert_eq!(kernel, layer.prepared.plans[0].steps[lost as usize].kernel);
            assert!(matches!(error, DeviceError::Timeout { .. }), "{error}");
            assert!(fake.counts().is_zero());
        }
    }
}

#[test]
fn a_late_completion_is_waited_for() {
    let layer = layer(&[Method::Modular]);
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|run| compute(run).after(DEADLINE - Duration::from_millis(1)));
    run(&fake, &layer.prepared).0.unwrap();
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|run| compute(run).after(DEADLINE + Duration::from_millis(1)));
    assert!(matches!(run_error(run(&fake, &layer.prepared).0).device_error(), Some(DeviceError::Timeout { .. })));
}

#[test]
fn a_context_that_cannot_be_made_anew_is_told() {
    let layer = layer(&[Method::Complete]);
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|_| Outcome::never());
    fake.fail(Ioctl::CreateHwctx, 1, Errno::ENOSPC);
    let RunError::Device { error, context: ContextAfter::Lost(lost), .. } = run_error(run(&fake, &layer.prepared).0)
    else {
        panic!("lost")
    };
    assert!(matches!(error, DeviceError::Timeout { .. }));
    assert!(lost.to_string().contains("ENOSPC"));
    assert!(fake.counts().is_zero());
}

#[test]
fn completed_without_outputs_is_no_success() {
    let layer = layer(&[Method::Modular]);
    let unwritten = |executor: fn(&mut amdxdna_fake::Execution<'_>) -> Outcome| {
        let fake = FakeKernel::new(Driver::current());
        fake.on_execute(executor);
        let error = run_error(run(&fake, &layer.prepared).0);
        assert!(fake.counts().is_zero());
        assert_eq!(fake.calls(Ioctl::CreateHwctx), 2);
        match error {
            RunError::Unwritten { kernel, buffer, unwritten, first, elements, context } => {
                assert_eq!(context, ContextAfter::Anew);
                (kernel, buffer, unwritten, first, elements)
            }
            other => panic!("{other}"),
        }
    };
    let nothing = unwritten(|_| Outcome::completed());
    assert_eq!(nothing, ("w8a16_qkv_projection".into(), "qkv".into(), 8192, 0, 8192));
    // One element of the cache, in the last new position.
    let cache = unwritten(|run| {
        let done = compute(run);
        if run.sequence() == 1 {
            let at = gemma_cache_offset();
            run.write(run.host_address(4) + at, &CANARY.to_le_bytes());
        }
        done
    });
    assert_eq!((cache.0.as_str(), cache.1.as_str(), cache.2), ("norm_rope", "cache", 1));
    // The last element of the output.
    let last = unwritten(|run| {
        let done = compute(run);
        if run.sequence() == 3 {
            run.write(run.host_address(2) + 4094, &CANARY.to_le_bytes());
        }
        done
    });
    assert_eq!(last, ("w8a16_o_projection".into(), "o".into(), 1, 2047, 2048));
}

/// Codes and scales of an INT8 cache have canaries of their own; neither is anything that the kernels write.
#[test]
fn codes_and_scales_that_were_not_written() {
    let fabric = Fabric { seq: SEQ, history: HISTORY, cache: KvFormat::Int8, ..Fabric::default() };
    let layer = layer_of(fabric, &[Method::Modular]);
    let segment = layer.prepared.plans[0].segment;
    let last = HISTORY + SEQ - 1;
    let attend = |at: Option<(usize, [u8; 4], usize)>| {
        let fake = FakeKernel::new(Driver::current());
        fake.on_execute(move |run| {
            let done = compute(run);
            if run.sequence() == 1 {
                let cache = run.host_address(4);
                // Codes end at -127.
                let codes = run.read(cache, segment.bytes()).iter().map(|&byte| byte.min(0x7F)).collect::<Vec<_>>();
                run.write(cache, &codes);
                if let Some((at, canary, bytes)) = at {
                    run.write(cache + at as u64, &canary[..bytes]);
                }
            }
            done
        });
        let result = run(&fake, &layer.prepared).0;
        assert!(fake.counts().is_zero());
        result
    };
    let done = attend(None).unwrap();
    let elements = 2 * SEQ * KV_HEADS * (HEAD_DIM + 1);
    assert_eq!(done.checked, SEQ * (1024 + 512 + 512 + HIDDEN) + elements);
    assert_eq!((done.past.heads().format(), done.past.end()), (KvFormat::Int8, last + 1));
    let code = (segment.offset(Plane::Value, 1, last, HEAD_DIM - 1), [CODE_CANARY as u8, 0, 0, 0], 1);
    let scale = (segment.scale_offset(Plane::Key, 0, HISTORY).unwrap(), SCALE_CANARY.to_le_bytes(), 4);
    let row = KV_HEADS * (HEAD_DIM + 1);
    for (at, place) in [(code, elements - 1 - KV_HEADS), (scale, row - KV_HEADS)] {
        match run_error(attend(Some(at))) {
            RunError::Unwritten { kernel, buffer, unwritten, first, .. } => {
                assert_eq!((kernel.as_str(), buffer.as_str(), unwritten, first), ("norm_rope_kv8", "cache", 1, place));
            }
            other => panic!("{other}"),
        }
    }
}

/// A value of the last new position in the cache.
fn gemma_cache_offset() -> u64 {
    let last = HISTORY + SEQ - 1;
    crate::fabric::segment(48).offset(Plane::Value, 1, last, 127) as u64
}

#[test]
fn two_runs_that_differ_are_no_success() {
    let layer = layer(&[Method::Complete]);
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|run| {
        let done = compute(run);
        if run.sequence() == 1 {
            run.write(run.host_address(5) + 2 * 700, &[1, 0x40]);
        }
        done
    });
    let options = RunOptions { deadline: DEADLINE, repeat: 1, paranoid: true };
    let (result, _) = run_with(&fake, &layer.prepared, &options, &AtomicBool::new(false));
    let RunError::Unsteady { source } = run_error(result) else { panic!("two runs differ") };
    assert_eq!((source.differing, source.row, source.column), (1, 2, 700 - 512));
    assert!(fake.counts().is_zero());
}

#[test]
fn a_method_that_fails_is_told_before_the_next_is_tried() {
    let layer = layer(&Method::ALL);
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|run| if run.context() == 1 { Outcome::state(5) } else { compute(run) });
    let (done, heard) = run(&fake, &layer.prepared);
    assert_eq!(done.unwrap().method, Method::Modular);
    let [(Method::Complete, why)] = &heard.0[..] else { panic!("{:?}", heard.0) };
    assert!(
        why.starts_with(
            "waiting for w8a16_attention (the context was made anew): command 0 of context 1 ended in state ERROR"
        ),
        "{why}"
    );
    assert!(fake.counts().is_zero());

    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|_| Outcome::state(9));
    let (result, heard) = run(&fake, &layer.prepared);
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "All NPU kernel execution methods failed - no fallback allowed");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    for part in [
        "attention of global layer 5",
        "complete: waiting for w8a16_attention",
        "modular: waiting for w8a16_qkv",
        "NORESPONSE",
    ] {
        assert!(cause.contains(part), "{part:?} is not in {cause}");
    }
    assert_eq!(heard.0.len(), 2);
    assert!(fake.counts().is_zero());
}

#[test]
fn an_interrupt_ends_the_context_and_nothing_else_is_tried() {
    let layer = layer(&Method::ALL);
    let flag = Arc::new(AtomicBool::new(false));
    let fake = FakeKernel::new(Driver::current());
    let raise = Arc::clone(&flag);
    fake.on_execute(move |_| {
        raise.store(true, Ordering::Relaxed);
        Outcome::never()
    });
    let (result, heard) = run_with(&fake, &layer.prepared, &RunOptions::default(), &flag);
    assert!(matches!(result, Err(AttendError::Interrupted)));
    assert!(heard.0.is_empty());
    assert_eq!([fake.calls(Ioctl::CreateHwctx), fake.calls(Ioctl::DestroyHwctx)], [1, 1]);
    assert!(fake.counts().is_zero());

    // One that came before makes no context.
    fake.clear_log();
    assert!(matches!(run_with(&fake, &layer.prepared, &RunOptions::default(), &flag).0, Err(AttendError::Interrupted)));
    assert_eq!(fake.calls(Ioctl::CreateHwctx), 0);
}

#[test]
fn an_npu_that_goes_away_at_any_moment() {
    for method in Method::ALL {
        let layer = layer(&[method]);
        let fake = machine(Driver::current());
        run(&fake, &layer.prepared).0.unwrap();
        let log = fake.log();
        let submits = |entry: &amdxdna_fake::Entry| Ioctl::of_request(entry.request) == Some(Ioctl::ExecCmd);
        let last = log.iter().rposition(submits).unwrap();
        for after in 2..log.len() {
            let fake = machine(Driver::current());
            fake.unplug_after(after);
            let (result, heard) = run(&fake, &layer.prepared);
            let counts = fake.counts();
            assert!(counts.is_zero(), "{after}: {counts:?}");
            match result {
                // Behind the last command there are but things to close.
                Ok(_) => assert!(after > last, "{after}"),
                Err(AttendError::Refusal(Refusal::ExecutionFailed { source })) => {
                    let gone = source.tried[0].error.downcast_ref::<RunError>().and_then(RunError::device_error);
                    assert!(gone.is_some_and(|error| error.errno() == Some(Errno::ENODEV)), "{after}: {source}");
                    assert_eq!(heard.0.len(), 1);
                }
                // Already at the first question.
                Err(AttendError::Refusal(Refusal::HardwareRequired {
                    source: HardwareCause::Driver { error, .. },
                })) => {
                    let gone = error.downcast_ref::<DeviceError>().and_then(DeviceError::errno);
                    assert_eq!((gone, after, heard.0.len()), (Some(Errno::ENODEV), 2, 0));
                }
                Err(other) => panic!("{after}: {other:?}"),
            }
        }
    }
}

#[test]
fn an_array_of_other_dimensions_is_refused_before_a_context_is_made() {
    let layer = layer(&[Method::Complete]);
    let fake = machine(Driver::current());
    // AIE_METADATA is the first GET_INFO; columns are the half word at 4 of what it points at.
    fake.corrupt(Ioctl::GetInfo, 0, |_, pointed| pointed[0][4..6].copy_from_slice(&3u16.to_le_bytes()));
    let (result, _) = run(&fake, &layer.prepared);
    assert!(result.unwrap_err().to_string().starts_with("the driver reports 3 columns with 4 rows"));
    assert_eq!(fake.calls(Ioctl::CreateHwctx), 0);
    assert!(fake.counts().is_zero());
}
