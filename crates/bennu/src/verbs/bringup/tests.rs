//! Bring-up through the driver's ioctls, on the simulated array and on arrays that go wrong.

use std::sync::LazyLock;

use aie2_kernels::probe::{self, Probe};
use amdxdna::{Errno, Ioctl, Options};
use amdxdna_fake::{FakeKernel, Outcome};
use npu_package::layout::names;
use npu_package::{
    Argument, Bound, Direction, Dtype, Files, Kernel as Entry, Manifest, ModelDims, PackageWriter, Producer,
};

use super::*;
use crate::onboard::board::{self, EFFORT, SIZES};

/// The page that lists the steps.
const PAGE: &str = include_str!("../../../../../docs/hardware-bringup.md");

type Ended = (Record, Option<(&'static str, StepError)>);

static PLAN: LazyLock<Vec<Step>> = LazyLock::new(|| steps::plan(SIZES).expect("the probes compile"));

fn up(fake: &FakeKernel, from: Option<&str>, package: Option<&Package>) -> Ended {
    let wanted = Wanted { steps: &PLAN, from, package, effort: EFFORT };
    let ended = board::with_host(fake, |host| bring_up(|| Ok(fake.open(Options::default())?), wanted, host));
    assert!(fake.counts().is_zero(), "something stays open: {:?}", fake.counts());
    ended
}

fn stopped(ended: &Ended) -> (&'static str, String) {
    let (_, failed) = ended;
    let (step, error) = failed.as_ref().expect("bring-up must stop");
    (step, error.to_string())
}

#[test]
fn the_page_lists_every_step_and_its_facts() {
    let steps: std::collections::BTreeSet<_> = PLAN.iter().map(|step| step.name).collect();
    assert_eq!(steps.len(), PLAN.len(), "no two steps have one name");
    for step in PLAN.iter() {
        let name = format!("`{}`", step.name);
        assert!(PAGE.contains(&name), "{name} is not on the page");
        for fact in step.facts {
            let row = PAGE.lines().find(|line| line.starts_with(&format!("| {fact} |"))).expect("a row");
            let settled = row.split(" | ").nth(4).expect("its column");
            assert!(settled.contains(&name), "{name} settles row {fact}, which says {settled}");
        }
    }
    // every row names a step, the verb that measures, or a probe by hand
    for row in PAGE.lines().filter(|line| line[..line.len().min(4)].bytes().any(|b| b.is_ascii_digit())) {
        let Some(settled) = row.strip_prefix("| ").and_then(|row| row.split(" | ").nth(4)) else { continue };
        let named = settled.split('`').skip(1).step_by(2).any(|name| name == "bench" || steps.contains(name));
        assert!(named || settled.starts_with("by hand: "), "{row}");
    }
}

#[test]
fn untimed_steps_run_and_judge_no_time() {
    let fake = board::machine();
    let (stopped, interrupt) = (|| std::time::Duration::ZERO, std::sync::atomic::AtomicBool::new(false));
    let effort = Effort::untimed();
    let host = Host { clock: &stopped, interrupt: &interrupt, timeout: effort.timeout() };
    let wanted = Wanted { steps: &PLAN, from: Some("clock"), package: None, effort };
    let (record, failed) = bring_up(|| Ok(fake.open(Options::default())?), wanted, host);
    assert!(failed.is_none(), "{}", record.table());
    for step in ["clock", "read_bandwidth", "write_bandwidth", "bank_shared", "strided_rows"] {
        let evidence = record.evidence(step).expect("a step");
        assert!(evidence.says.contains("times are not judged"), "{step}: {}", evidence.says);
        assert!(evidence.numbers.is_empty(), "{step}: a figure without meaning");
    }
}

#[test]
fn the_simulated_array_passes_every_step() {
    let fake = board::machine();
    let (record, failed) = up(&fake, None, None);
    assert!(failed.is_none(), "{}", record.table());
    assert_eq!(record.count(Status::Passed), PLAN.len() - 1);
    let kernels = record.evidence("kernels").expect("last step");
    assert_eq!((kernels.status, kernels.says.as_str()), (Status::Skipped, "no --package was given"));
    let mhz = record.number("clock", "measured_mhz").expect("clock");
    assert!((mhz / 1028.0 - 1.0).abs() < 1e-3, "{mhz} MHz");
    let all = record.number("read_bandwidth", "all_gb_per_s").expect("bandwidth");
    let one = record.number("read_bandwidth", "column_2_channel_1_gb_per_s").expect("bandwidth");
    assert!((7.0..8.1).contains(&(all / one)), "{all} of eight, {one} of one");
    let json = record.json();
    assert_eq!(json["identity"]["driver"], "amdxdna_accel_driver");
    assert!(json["identity"]["firmware"].is_string() && json["failed"].is_null());
    assert!(record.table().contains("two_programs"), "{}", record.table());
}

/// An array on which one probe's output is changed.
fn wrong(name: &'static str, change: impl Fn(&Probe, &mut Vec<u8>) + Send + 'static) -> FakeKernel {
    board::scripted(move |run| {
        let outcome = board::simulate(run);
        board::with_probe(run, |run, probe| {
            if probe.name() == name {
                let mut out = run.read(run.host_address(1), probe.output.len());
                change(probe, &mut out);
                run.write(run.host_address(1), &out);
            }
        });
        outcome
    })
}

#[test]
fn a_wrong_byte_stops_it_and_names_its_place() {
    let fake = wrong("one_tile", |_, out| out[0x123] ^= 0x40);
    let ended = up(&fake, None, None);
    let (step, error) = stopped(&ended);
    assert_eq!(step, "one_tile");
    assert!(error.starts_with("one_tile, call 1: 1 bytes differ") && error.contains("at 0x123"), "{error}");
    let record = &ended.0;
    assert_eq!(record.evidence("one_tile").map(|e| e.status), Some(Status::Failed));
    assert!(record.evidence("all_tiles").is_none(), "nothing is done behind the first failure");
    let json = record.json();
    assert_eq!(json["failed"]["step"], "one_tile");
    let probe = probe::one_tile(4).expect("served");
    assert_eq!(json["failed"]["remedy"], probe.otherwise);
    assert!(record.table().contains("stopped at one_tile"), "{}", record.table());
}

#[test]
fn a_fact_that_falls_the_other_way_says_what_to_change() {
    let fake = wrong("repeat_rereads", |probe, out| out.clone_from(&probe.outcomes[1].after[0]));
    let ended = up(&fake, Some("repeat_rereads"), None);
    let (step, error) = stopped(&ended);
    assert_eq!((step, error.as_str()), ("repeat_rereads", "repeat_rereads, call 1: runs follow each other in memory"));
    let (_, error) = ended.1.expect("stopped");
    assert_eq!(error.remedy(), "one push for each pass instead of a repeat");
    assert!(error.is_answer());
    let before = ended.0.evidence("nop").expect("a line for each step");
    assert_eq!(before.status, Status::Skipped);
}

#[test]
fn a_command_that_never_ends_says_what_that_means() {
    let fake = board::scripted(|run| {
        let hangs = board::with_probe(run, |_, probe| probe.name() == "late_receiver");
        if hangs { Outcome::never() } else { board::simulate(run) }
    });
    let ended = up(&fake, Some("late_receiver"), None);
    let (step, error) = stopped(&ended);
    assert_eq!(step, "late_receiver");
    assert!(error.contains("did not complete within"), "{error}");
    let remedy = ended.1.expect("stopped").1.remedy();
    assert!(remedy.starts_with("decode_attention: outputs are pushed before K and V"), "{remedy}");
}

#[test]
fn a_command_the_firmware_rejects_is_an_answer_of_its_probe() {
    let fake = board::scripted(|_| Outcome::state(5));
    let ended = up(&fake, None, None);
    let (step, error) = stopped(&ended);
    assert_eq!(step, "nop");
    assert!(error.contains("ended in state"), "{error}");
    assert!(ended.0.json()["failed"]["asynchronous_error"].is_string());
}

#[test]
fn the_driver_s_refusals_stop_it_where_they_happen() {
    for (ioctl, errno, expected) in [
        (Ioctl::Version, Errno::EACCES, "device"),
        (Ioctl::CreateBo, Errno::ENOMEM, "heap"),
        (Ioctl::CreateHwctx, Errno::EBUSY, "context"),
        (Ioctl::ExecCmd, Errno::ENODEV, "nop"),
    ] {
        let fake = board::machine();
        fake.fail(ioctl, 0, errno);
        let ended = up(&fake, None, None);
        let (step, error) = stopped(&ended);
        assert_eq!(step, expected, "{error}");
        assert!(error.contains(&format!("{errno}")), "{error}");
        let (_, error) = ended.1.expect("stopped");
        assert!(!error.is_answer() && !error.remedy().is_empty());
    }
    let fake = board::machine();
    fake.fail_open(Errno::EACCES);
    assert_eq!(stopped(&up(&fake, None, None)).0, "device");
}

#[test]
fn another_array_is_refused() {
    let fake = board::machine();
    // rows, at byte 6 of AIE_METADATA
    fake.corrupt(Ioctl::GetInfo, 0, |_, pointed| pointed[0][6..8].copy_from_slice(&8u16.to_le_bytes()));
    let (step, error) = stopped(&up(&fake, None, None));
    assert_eq!(step, "device");
    assert!(error.contains("8 rows"), "{error}");
}

#[test]
fn two_programs_may_keep_their_state_or_lose_it() {
    let kept = up(&board::machine(), Some("two_programs"), None).0;
    assert_eq!(
        kept.evidence("two_programs").map(|e| e.says.as_str()),
        Some("a program that was replaced finds its state again")
    );
    // counter starts anew whenever another program ran
    let fake = wrong("counter", |probe, out| out.clone_from(&probe.outcomes[1].after[1]));
    let lost = up(&fake, Some("two_programs"), None).0;
    let says = lost.evidence("two_programs").map(|e| e.says.as_str());
    assert_eq!(says, Some("a program is loaded anew when its turn comes"));
}

/// A package of one kernel, [`probe::one_tile`], with a stored case or none.
pub(in crate::verbs) fn package(dir: &Path, layout: &str, case: Option<&[u8]>) -> Package {
    package_with(dir, layout, case, None)
}

/// The same; `before` is what stands in the output before a call.
fn package_with(dir: &Path, layout: &str, case: Option<&[u8]>, before: Option<&[u8]>) -> Package {
    let probe = probe::one_tile(4).expect("served");
    let compiled = &probe.compiled;
    let files = Files { pdi: "k.pdi".into(), xclbin: "k.xclbin".into(), txn: "k.txn".into() };
    let container = npu_container::xclbin::Builder::new("one_tile", "bennu", &compiled.pdi, 4, 2, [7; 16]);
    let mut writer = PackageWriter::create(dir, false).expect("a new directory");
    writer.add_file(&files.pdi, &compiled.pdi).expect("written");
    writer.add_file(&files.txn, &compiled.txn).expect("written");
    writer.add_file(&files.xclbin, &container.write().expect("a container")).expect("written");
    if let Some(out) = case {
        writer.add_file("k.case.in.bin", &probe.input).expect("written");
        writer.add_file("k.case.out.bin", out).expect("written");
    }
    if let Some(before) = before {
        writer.add_file("k.case.out.before.bin", before).expect("written");
    }
    let argument = |index, name: &str, direction, bytes: usize| Argument {
        index,
        name: name.into(),
        direction,
        bytes: bytes as u64,
        dtype: Dtype::Bf16,
        shape: vec![bytes / 2],
        layout: layout.into(),
        file: None,
        parts: Vec::new(),
    };
    let kernel = Entry {
        kernel: "one_tile".into(),
        seq: 4,
        numerics: "w8a16".into(),
        context: None,
        tiles: 1,
        columns: 4,
        args: vec![
            argument(0, "in", Direction::In, probe.input.len()),
            argument(1, "out", Direction::Out, probe.output.len()),
        ],
        files,
        instruction_words: compiled.txn.len() / 4,
        programs: Vec::new(),
        report: npu_package::Report::new(Bound::new("stream", 1024)),
    };
    let model = ModelDims {
        name: "tiny".into(),
        hidden: 64,
        intermediate: 64,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 128,
        vocab: 16,
    };
    let producer = Producer { name: "test".into(), version: "0".into() };
    let (format_version, device) = (npu_package::FORMAT_VERSION, "npu1".to_owned());
    let kernels = vec![kernel];
    let manifest = Manifest { format_version, producer, device, model, kernels, digests: Default::default() };
    writer.finish(manifest).expect("written");
    open(dir).expect("a package")
}

#[test]
fn kernels_are_compared_with_their_stored_cases() {
    let probe = probe::one_tile(4).expect("served");
    let right = probe.outcomes[0].after[0].clone();
    let mut other = right.clone();
    other[7] ^= 1;
    let dir = tempfile::tempdir().expect("a directory");
    let with = |name: &str, case: Option<&[u8]>| {
        let package = package(&dir.path().join(name), names::ROW_MAJOR, case);
        up(&board::machine(), Some("kernels"), Some(&package))
    };
    let (record, failed) = with("right", Some(&right));
    assert!(failed.is_none(), "{}", record.table());
    let evidence = record.evidence("kernels").expect("last step");
    assert_eq!((evidence.status, evidence.says.as_str()), (Status::Passed, "bit for bit: one_tile S = 4"));
    assert_eq!(record.package.as_ref().map(|p| p.manifest_sha256.len()), Some(64));

    let (step, error) = stopped(&with("wrong", Some(&other)));
    assert_eq!(step, "kernels");
    let expected = "one_tile, argument \"out\": 1 of 4096 bytes differ from the stored case, the first at 0x7";
    assert_eq!(error, expected);

    let (record, failed) = with("none", None);
    assert!(failed.is_none());
    let evidence = record.evidence("kernels").expect("last step");
    assert_eq!(evidence.status, Status::Skipped);
    assert!(evidence.says.contains("no stored cases"), "{}", evidence.says);
}

#[test]
fn every_call_of_a_case_finds_what_stood_there_before() {
    let probe = probe::one_tile(4).expect("served");
    let right = probe.outcomes[0].after[0].clone();
    let dir = tempfile::tempdir().expect("a directory");
    let stored: Vec<u8> = (0..right.len()).map(|i| (i * 7) as u8).collect();
    let unknown: Vec<u8> = right.iter().map(|byte| !byte).collect();
    for (name, before, found) in [("stored", Some(&stored), &stored), ("unknown", None, &unknown)] {
        let package = package_with(&dir.path().join(name), names::ROW_MAJOR, Some(&right), before.map(Vec::as_slice));
        let found = found.clone();
        let fake = board::scripted(move |run| {
            assert!(run.read(run.host_address(1), found.len()) == found, "what stood there before");
            board::simulate(run)
        });
        let (record, failed) = up(&fake, Some("kernels"), Some(&package));
        assert!(failed.is_none(), "{}", record.table());
        assert_eq!(record.evidence("kernels").map(|evidence| evidence.calls_us.len()), Some(probe::CALLS));
        // A call that leaves its output as it was is no success, even behind one that was.
        let fake = board::scripted(|run| if run.sequence() == 0 { board::simulate(run) } else { Outcome::completed() });
        let (step, error) = stopped(&up(&fake, Some("kernels"), Some(&package)));
        assert_eq!(step, "kernels");
        assert!(error.starts_with("one_tile, argument \"out\": "), "{error}");
    }
}

#[test]
fn the_report_is_written_as_json_and_as_text() {
    let dir = tempfile::tempdir().expect("a directory");
    let (record, _) = up(&wrong("nop", |_, _| ()), Some("kernels"), None);
    let path = dir.path().join("report.json");
    write(&path, &record).expect("written");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("JSON")).expect("one document");
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(PLAN.len()));
    let text = std::fs::read_to_string(dir.path().join("report.txt")).expect("text");
    assert!(text.contains("firmware") && text.contains("array clock"), "{text}");
    assert!(write(&dir.path().join("no/such/report.json"), &record).is_err());
}
