//! Runs from open to close, byte for byte as the kernel sees them, and what comes out.
//!
//! The ioctls lie in `golden/*.txt`: request, argument and the memory it points at in words; of EXEC_CMD the packet, of buffers that are given to the NPU
//! their digests. `BENNU_BLESS=1` writes them anew.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::{env, fs};

use amdxdna_fake::{AddressMode, Driver, FakeKernel};
use gemma::attend::{Given, Method, RunOptions};
use npu_package::layout::ProjectionKind;
use sha2::{Digest, Sha256};

use crate::rig::{DEADLINE, HISTORY, SEQ, compute, layer, machine, run, run_with, written};
use crate::synthetic::{HEAD_DIM, HIDDEN, KV_HEADS};

fn words(bytes: &[u8]) -> String {
    bytes
        .chunks(4)
        .map(|word| format!("{:x}", word.iter().rev().fold(0u32, |w, b| w << 8 | u32::from(*b))))
        .collect::<Vec<_>>()
        .join(" ")
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Every ioctl and packet as text.
fn transcript(fake: &FakeKernel, commands: &[String]) -> String {
    let mut text = String::new();
    let mut commands = commands.iter();
    for entry in fake.log() {
        let ioctl = amdxdna::Ioctl::of_request(entry.request);
        let name = ioctl.map_or_else(|| format!("{:#x}", entry.request), |ioctl| ioctl.name().to_owned());
        let answer = entry.result.map_or_else(|errno| format!(" -> {errno}"), |()| String::new());
        writeln!(text, "{name} {:#010x}: {}{answer}", entry.request, words(&entry.argument)).unwrap();
        for (at, bytes) in &entry.pointed {
            writeln!(text, "    at {at}: {}", words(bytes)).unwrap();
        }
        if ioctl == Some(amdxdna::Ioctl::ExecCmd) {
            text.push_str(commands.next().expect("a command for each EXEC_CMD"));
        }
    }
    text
}

#[track_caller]
fn assert_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attend/golden").join(name);
    if env::var_os("BENNU_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    for (line, (found, golden)) in found.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, golden, "{name}:{}", line + 1);
    }
    assert_eq!(found.lines().count(), golden.lines().count(), "{name}");
}

/// A run by one method on a driver, with its transcript.
fn transcribed(method: Method, driver: Driver) -> String {
    let layer = layer(&[method]);
    let fake = FakeKernel::new(driver);
    let commands = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&commands);
    let sizes: Vec<Vec<usize>> = layer.prepared.plans[0]
        .steps
        .iter()
        .map(|step| step.args.iter().map(|&buffer| layer.prepared.plans[0].buffers[buffer].bytes).collect())
        .collect();
    fake.on_execute(move |run| {
        let mut text = format!("    packet: {}\n", words(run.packet()));
        let pdi = digest(&run.read(run.pdi_address(), 64));
        writeln!(text, "    pdi {pdi} stream {}", digest(&run.stream())).unwrap();
        // Steps are submitted one after the other.
        let step = run.sequence() as usize;
        for (index, &bytes) in sizes[step].iter().enumerate() {
            let contents = run.read(run.host_address(index), bytes);
            writeln!(text, "    buffer {index} {bytes} bytes {}", digest(&contents)).unwrap();
        }
        sink.lock().unwrap().push(text);
        compute(run)
    });
    run(&fake, &layer.prepared).0.unwrap();
    assert!(fake.counts().is_zero(), "{:?}", fake.counts());
    let commands = commands.lock().unwrap();
    transcript(&fake, &commands)
}

#[test]
fn the_modular_method_to_the_byte() {
    assert_golden("modular.txt", &transcribed(Method::Modular, Driver::current()));
}

#[test]
fn the_complete_method_to_the_byte() {
    assert_golden("complete.txt", &transcribed(Method::Complete, Driver::current()));
}

#[test]
fn the_first_driver_is_asked_the_same() {
    assert_golden("modular.txt", &transcribed(Method::Modular, Driver::mainline_6_14()));
}

/// It knows no command lists and passes seven buffers on.
#[test]
fn the_first_driver_runs_the_complete_method() {
    let driver = Driver::mainline_6_14();
    assert_eq!(driver.register_map_words, Some(19));
    assert_golden("complete.txt", &transcribed(Method::Complete, driver));
}

#[test]
fn a_driver_without_timelines_to_the_byte() {
    assert_golden("complete_out_of_tree.txt", &transcribed(Method::Complete, Driver::out_of_tree()));
}

#[test]
fn outputs_are_what_the_last_kernel_wrote() {
    let layer = layer(&[Method::Modular]);
    let (done, heard) = run(&machine(Driver::current()), &layer.prepared);
    let done = done.unwrap();
    assert!(heard.0.is_empty());
    assert_eq!(done.method, Method::Modular);
    // The o projection is compute unit 3; o is its host buffer 2.
    let o: Vec<u16> = (0..SEQ * HIDDEN).map(|i| written(3, 2, i)).collect();
    assert_eq!(done.output, o);
    assert_eq!((done.past.first, done.past.end()), (0, HISTORY + SEQ));
    let kernels: Vec<_> = done.times.iter().map(|step| (step.kernel.as_str(), step.wall.len())).collect();
    let expected = ["w8a16_qkv_projection", "norm_rope", "scaled_attention", "w8a16_o_projection"];
    assert_eq!(kernels, expected.map(|kernel| (kernel, 1)));
    let new = 2 * SEQ * KV_HEADS * HEAD_DIM;
    assert_eq!(done.checked, SEQ * (1024 + 512 + 512 + HIDDEN) + new);
}

#[test]
fn every_driver_runs_both_methods() {
    let iova = Driver { addresses: AddressMode::Iova, ..Driver::current() };
    for driver in Driver::all().into_iter().chain([iova]) {
        for method in Method::ALL {
            let layer = layer(&[method]);
            let fake = machine(driver.clone());
            let (done, _) = run(&fake, &layer.prepared);
            assert_eq!(done.unwrap().method, method, "{driver:?}");
            assert!(fake.counts().is_zero());
        }
    }
}

#[test]
fn the_complete_method_is_one_command() {
    let layer = layer(&Method::ALL);
    let fake = machine(Driver::current());
    let (done, heard) = run(&fake, &layer.prepared);
    assert_eq!((done.unwrap().method, heard.0.len()), (Method::Complete, 0));
    assert_eq!([fake.calls(amdxdna::Ioctl::ExecCmd), fake.calls(amdxdna::Ioctl::CreateHwctx)], [1, 1]);
}

#[test]
fn weights_are_the_mapped_files_where_that_is_possible() {
    let layer = layer(&[Method::Modular]);
    let files = |fake: &FakeKernel| {
        for kind in ProjectionKind::ALL {
            let bytes = layer.model.model().read_layer(layer.prepared.subject.layer, kind).unwrap();
            fake.set_data(layer.prepared.weights_path(kind), bytes);
        }
    };
    let fake = machine(Driver::current());
    files(&fake);
    assert_eq!(run(&fake, &layer.prepared).0.unwrap().weights, Given::Mapped);
    assert!(fake.counts().is_zero());

    // A file system that does not let devices keep its pages; a driver without user memory; files that are not to be opened for writing.
    let why = |fake: &FakeKernel| match run(fake, &layer.prepared).0.unwrap().weights {
        Given::Copied { why } => why,
        Given::Mapped => panic!("mapped"),
    };
    let fake = machine(Driver::current());
    files(&fake);
    // CREATE_BO: heap, four PDIs, a stream and a command for each of four kernels, x
    fake.fail(amdxdna::Ioctl::CreateBo, 1 + 4 + 8 + 1, amdxdna::Errno::EFAULT);
    assert!(why(&fake).contains("EFAULT"));
    assert!(fake.counts().is_zero());
    let old = machine(Driver::mainline_6_14());
    files(&old);
    assert!(why(&old).contains("the driver has no buffers over user memory"));
    assert!(why(&machine(Driver::current())).starts_with("open "));
}

#[test]
fn runs_are_repeated_in_one_context() {
    let layer = layer(&[Method::Modular]);
    let fake = machine(Driver::current());
    let options = RunOptions { deadline: DEADLINE, repeat: 5, paranoid: true };
    let (done, _) = run_with(&fake, &layer.prepared, &options, &AtomicBool::new(false));
    let done = done.unwrap();
    // the sixth is only compared
    assert!(done.times.iter().all(|step| step.wall.len() == 5));
    assert_eq!([fake.calls(amdxdna::Ioctl::ExecCmd), fake.calls(amdxdna::Ioctl::CreateHwctx)], [24, 1]);
    assert!(fake.counts().is_zero());
}
