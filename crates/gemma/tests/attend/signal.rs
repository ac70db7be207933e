//! A real SIGINT to a process whose thread is blocked in the driver's wait: it ends by itself, with the context and everything else given back.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amdxdna::Ioctl;
use amdxdna_fake::{Driver, FakeKernel, Outcome};
use gemma::attend::{AttendError, Method, RunOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{layer, run_with};

const CHILD: &str = "BENNU_TEST_BLOCKED_IN_A_WAIT";
const NAME: &str = "signal::sigint_ends_a_blocked_wait_and_leaves_nothing";
const WAITING: &str = "waiting in thread ";
const INTERRUPTED: i32 = 130;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn sigint_ends_a_blocked_wait_and_leaves_nothing() {
    match env::var_os(CHILD) {
        Some(driver) => blocked(driver == "timelines"),
        None => ["timelines", "without"].into_iter().for_each(interrupt),
    }
}

/// Runs this test in a process of its own and interrupts it while it waits.
fn interrupt(driver: &str) {
    let arguments = ["--exact", NAME, "--nocapture", "--test-threads=1"];
    let mut command = Command::new(env::current_exe().unwrap());
    let mut child = command.args(arguments).env(CHILD, driver).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let thread = lines.find_map(|line| line.split_once(WAITING).map(|(_, thread)| thread.parse().unwrap()));
    // It has submitted; give it time to fall asleep.
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    // kill(2) gives the signal of a process to the thread whose number it was sent to.
    kill_process(Pid::from_raw(thread.expect("the command runs")).unwrap(), Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(INTERRUPTED), "{rest:?}");
    assert!(begin.elapsed() < PATIENCE / 4, "{:?}", begin.elapsed());
}

/// The process that waits for a command whose completion never comes.
fn blocked(timelines: bool) -> ! {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed)).unwrap();
    let layer = layer(&[Method::Modular]);
    let fake = FakeKernel::new(if timelines { Driver::current() } else { Driver::out_of_tree() });
    fake.block_in_waits();
    fake.on_execute(|_| {
        println!("{WAITING}{}", rustix::thread::gettid().as_raw_nonzero());
        Outcome::never()
    });
    let options = RunOptions { deadline: PATIENCE, ..RunOptions::default() };
    let (result, heard) = run_with(&fake, &layer.prepared, &options, &flag);
    assert!(matches!(result, Err(AttendError::Interrupted)), "{result:?}");
    assert!(heard.0.is_empty(), "nothing else is tried");
    assert_eq!([fake.calls(Ioctl::CreateHwctx), fake.calls(Ioctl::DestroyHwctx)], [1, 1]);
    assert!(fake.counts().is_zero(), "{:?}", fake.counts());
    assert!(fake.interrupted_waits() > 0, "the signal did not reach the wait");
    std::process::exit(INTERRUPTED)
}
