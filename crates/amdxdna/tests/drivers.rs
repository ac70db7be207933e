//! Old, new and odd drivers: features are found by asking, and their absence is an answer.

mod common;

use std::path::{Path, PathBuf};

use amdxdna::{Cause, Device, Errno, Error, Feature, Ioctl, Options, PciId, PowerMode, Support};
use amdxdna_fake::{Driver, FakeKernel, Outcome};
use common::{machine, prepare};

fn open(driver: Driver) -> Device<FakeKernel> {
    machine(driver).open(Options::default()).expect("opens")
}

#[test]
fn a_run_works_on_every_driver() {
    for driver in Driver::all() {
        let fake = machine(driver);
        let mut run = prepare(&fake).expect("a run");
        for _ in 0..3 {
            run.go().expect("completes");
        }
        assert_eq!(&run.output.bytes().expect("at rest")[..16], b"sixteen bytes in");
        drop(run);
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn what_each_driver_has() {
    let old = open(Driver::mainline_6_14()).features().expect("answers");
    assert!(old.timelines.is_yes() && old.clocks.is_yes() && old.firmware_version.is_yes());
    for absent in [&old.context_details, &old.async_error, &old.resource_info, &old.user_buffers] {
        assert_eq!(*absent, Support::No);
    }
    let new = open(Driver::current()).features().expect("answers");
    assert!(new.context_details.is_yes() && new.async_error.is_yes() && new.user_buffers.is_yes());
    assert!(new.sensors.is_yes() && new.power_mode.is_yes() && new.resource_info.is_yes());
    let other = open(Driver::out_of_tree()).features().expect("answers");
    assert_eq!(other.timelines, Support::No);
}

#[test]
fn a_question_that_fails_is_not_an_absent_feature() {
    let fake = machine(Driver::current());
    let device = fake.open(Options::default()).expect("opens");
    fake.fail(Ioctl::GetArray, 0, Errno::EPERM);
    let features = device.features().expect("answers");
    let Support::Failed(error) = features.context_details else { panic!("{features:?}") };
    assert_eq!(error.cause(), Cause::RootOnly);
}

#[test]
fn queries_are_read() {
    let device = open(Driver::current());
    assert_eq!(device.driver().name, "amdxdna_accel_driver");
    assert_eq!((device.driver().major, device.driver().minor), (0, 16));
    assert_eq!(device.node(), Path::new("/dev/accel/accel0"));
    assert_eq!((device.metadata().columns, device.metadata().core.rows), (5, 4));
    assert_eq!(device.firmware_version().expect("answers").to_string(), "1.5.5.391");
    assert_eq!(device.aie_version().map(|v| (v.major, v.minor)), Ok((1, 1)));
    let clocks = device.clocks().expect("answers");
    assert_eq!((clocks.mp_npu.name.as_str(), clocks.h.mhz), ("MP-NPU Clock", 800));
    let sensors = device.sensors().expect("answers");
    assert_eq!((sensors.len(), sensors[0].value(), sensors[0].unit.as_str()), (1, 1.25, "W"));
    assert_eq!(device.resource_info().map(|info| (info.contexts_max, info.contexts)), Ok((6, 0)));
    assert_eq!(device.last_async_error(), Ok(None));
    let status = device.aie_status().expect("answers");
    assert_eq!((status.columns, status.bytes.len(), status.bytes[300]), (0b11110, 5 * 816, 44));
}

#[test]
fn a_machine_without_amd_pmf_has_no_sensors_and_is_not_gone() {
    let fake = machine(Driver::current());
    let device = fake.open(Options::default()).expect("opens");
    fake.fail(Ioctl::GetInfo, 0, Errno::ENODEV);
    let error = device.sensors().expect_err("the driver has none");
    assert_eq!(error.cause(), Cause::Unsupported);
    fake.fail(Ioctl::GetInfo, 0, Errno::ENODEV);
    let error = device.clocks().expect_err("every device has clocks");
    assert_eq!(error.cause(), Cause::Unplugged);
}

#[test]
fn contexts_are_told_by_either_query() {
    for (driver, name) in
        [(Driver::mainline_6_14(), None), (Driver::current(), Some("test")), (Driver::out_of_tree(), Some(""))]
    {
        let fake = machine(driver);
        let mut run = prepare(&fake).expect("a run");
        run.go().expect("completes");
        let contexts = run.device.contexts().expect("answers");
        assert_eq!(contexts.len(), 1);
        assert_eq!((contexts[0].columns, contexts[0].submissions, contexts[0].completions), (4, 1, 1));
        assert_eq!(contexts[0].details.as_ref().map(|details| details.process.as_str()), name);
        // As many as there are.
        let _second = run.device.create_context(Default::default()).expect("a context");
        assert_eq!(run.device.contexts().expect("answers").len(), 2);
    }
}

#[test]
fn power_modes_need_root_and_a_driver() {
    let device = open(Driver::current());
    let error = device.set_power_mode(PowerMode::High).expect_err("not root");
    assert_eq!((error.errno(), error.cause()), (Some(Errno::EACCES), Cause::RootOnly));
    let device = open(Driver { root: true, ..Driver::mainline_6_14() });
    let error = device.set_power_mode(PowerMode::Low).expect_err("has none");
    assert!(matches!(error, Error::Unsupported { feature: Feature::PowerMode, .. }), "{error}");
    device.set_power_mode(PowerMode::Turbo).expect("has it");
    assert_eq!(device.power_mode(), Ok(PowerMode::Turbo));
}

#[test]
fn sync_from_the_device_may_be_refused() {
    for (driver, refused) in [(Driver::mainline_6_14(), false), (Driver::current(), true)] {
        let bo = open(driver).host_buffer(64).expect("a buffer");
        assert_eq!(bo.sync(amdxdna::Direction::FromDevice, 0..64).is_err(), refused);
        bo.sync(amdxdna::Direction::ToDevice, 0..64).expect("every driver does");
    }
}

#[test]
fn neither_timeline_nor_wait() {
    let fake = machine(Driver { wait_cmd: false, ..Driver::out_of_tree() });
    fake.on_execute(|_| Outcome::completed().after(std::time::Duration::from_millis(1)));
    let error = prepare(&fake).expect("a run").go().expect_err("no way to wait");
    assert!(matches!(error, Error::Unsupported { feature: Feature::Completion, .. }), "{error}");
}

#[test]
fn another_drivers_node() {
    let fake = machine(Driver { name: "intel_vpu", ..Driver::current() });
    let error = fake.open(Options::default()).expect_err("not ours");
    assert!(matches!(&error, Error::OtherDriver { driver, .. } if driver == "intel_vpu"), "{error}");
    assert!(fake.counts().is_zero());
    let fake = machine(Driver {
        name: "a name that is longer than any driver of the DRM subsystem would give itself",
        ..Driver::current()
    });
    assert!(matches!(fake.open(Options::default()), Err(Error::Reply { ioctl: Ioctl::Version, .. })));
    assert!(fake.counts().is_zero());
}

#[test]
fn the_npu_is_found_among_others() {
    let fake = machine(Driver::current());
    let sysfs = |name: &str, file: &str| PathBuf::from(format!("/sys/class/accel/{name}/device/{file}"));
    for (file, text) in [("vendor", "0x8086\n"), ("device", "0x7d1d\n"), ("revision", "0x04\n")] {
        fake.set_file(sysfs("accel1", file), Some(text));
    }
    fake.set_file(sysfs("accel2", "vendor"), Some("nothing hexadecimal"));
    fake.open(Options::default()).expect("accel0 is ours");

    fake.set_file(sysfs("accel0", "device"), Some("0x17f0\n"));
    fake.set_file(sysfs("accel0", "revision"), Some("0x10\n"));
    let error = fake.open(Options::default()).expect_err("Strix");
    let Error::NoDevice { others, .. } = &error else { panic!("{error}") };
    assert_eq!(others[0], PciId { vendor: 0x1022, device: 0x17F0, revision: 0x10 });
    assert_eq!(error.cause(), Cause::OtherHardware);
    assert!(error.to_string().contains("1022:17f0 revision 16 (XDNA 2)"), "{error}");
}

#[test]
fn no_accelerators_at_all() {
    let fake = machine(Driver::current());
    for file in ["vendor", "device", "revision", "fw_version"] {
        fake.set_file(format!("/sys/class/accel/accel0/device/{file}"), None);
    }
    let error = fake.open(Options::default()).expect_err("nothing there");
    assert_eq!(error.cause(), Cause::NoDriver);
    assert!(error.remedy().contains("modprobe amdxdna"));
}

#[cfg(not(miri))]
#[test]
fn this_machine_without_an_npu() {
    // Tests of hardware are not here: on a machine that has the NPU, this one has nothing to say.
    let nodes = Device::discover();
    match Device::open() {
        Err(Error::NoDevice { searched, .. }) => {
            assert_eq!(searched, Path::new("/sys/class/accel"));
            assert!(matches!(nodes, Err(Error::NoDevice { .. })));
        }
        other => assert!(nodes.is_ok(), "{other:?}"),
    }
    let missing = Device::open_node(Path::new("/dev/accel/accel4711"), Options::default()).expect_err("not there");
    assert!(matches!(missing, Error::Open { errno: Errno::ENOENT, .. }), "{missing}");
    assert_eq!(missing.cause(), Cause::NoDriver);
    // A node of something else does not know the first ioctl.
    let null = Device::open_node(Path::new("/dev/null"), Options::default()).expect_err("no driver");
    assert!(matches!(null, Error::Ioctl { ioctl: Ioctl::Version, errno: Errno::ENOTTY, .. }), "{null}");
}
