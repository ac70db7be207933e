//! The troubles people have with this NPU, each as a machine, and that each ends in its remedy.

mod machine;

use machine::{BDF, Machine, RELEASE, context, laptop, meminfo, refused};
use npu_host::{AieccPlaces, CheckId, Device, NotReady, Outcome, PowerMode, Trial, TrialStep};

/// The check that tells, its outcome, a part of its evidence and a part of its remedy.
#[track_caller]
fn assert_check(machine: &Machine, id: CheckId, outcome: Outcome, evidence: &str, remedy: &str) {
    let check = machine.check(id);
    let found = check.remedy.clone().unwrap_or_default();
    assert_eq!(check.outcome, outcome, "{check:?}");
    assert!(check.evidence.contains(evidence), "{evidence:?} is not in {:?}", check.evidence);
    assert!(found.contains(remedy), "{remedy:?} is not in {found:?}");
}

/// The same, and that the whole machine is refused for it first.
#[track_caller]
fn assert_pain(machine: &Machine, id: CheckId, evidence: &str, remedy: &str) {
    assert_check(machine, id, Outcome::Fail, evidence, remedy);
    match machine.diagnosis().verdict() {
        Err(NotReady::Unusable(unusable)) => assert_eq!(unusable.failed[0].id, id, "{unusable}"),
        verdict => panic!("{verdict:?}"),
    }
}

#[track_caller]
fn assert_absent(machine: &Machine, evidence: &str, remedy: &str) {
    assert_check(machine, CheckId::Device, Outcome::Fail, evidence, remedy);
    match machine.diagnosis().verdict() {
        Err(NotReady::Absent(absence)) => {
            assert!(absence.to_string().contains(evidence) && absence.remedy().contains(remedy), "{absence:?}");
        }
        verdict => panic!("{verdict:?}"),
    }
}

fn without_device(machine: &mut Machine) {
    machine.without_driver();
    machine.remove(&format!("sys/bus/pci/devices/{BDF}"));
}

#[test]
fn a_laptop_as_it_should_be() {
    let diagnosis = laptop().diagnosis();
    assert_eq!(diagnosis.verdict(), Ok(()));
    for check in &diagnosis.checks {
        let optional = [CheckId::Xrt, CheckId::MlirAie].contains(&check.id);
        assert_eq!(check.outcome, if optional { Outcome::Skipped } else { Outcome::Pass }, "{check:?}");
    }
    assert!(diagnosis.check(CheckId::Device).evidence.contains("Phoenix, sold with NPU"));
    assert!(diagnosis.check(CheckId::Firmware).evidence.contains("1.5.5.391 runs"));
    assert!(diagnosis.check(CheckId::Power).evidence.contains("array 1028 MHz"));
}

#[test]
fn what_the_driver_does_not_answer_is_told() {
    let mut machine = laptop();
    machine.facts().unanswered = vec!["POWER_MODE: EOPNOTSUPP".to_owned()];
    assert_check(
        &machine,
        CheckId::Driver,
        Outcome::Pass,
        "0.1, bound to 0000:c5:00.1; it did not answer: POWER_MODE",
        "",
    );
}

#[test]
fn parameters_of_the_module_are_told() {
    let machine = laptop();
    machine.write("sys/module/amdxdna/parameters/force_cmdlist", "Y\n");
    machine.write("sys/module/amdxdna/parameters/tdr_timeout_ms", "2000\n");
    let evidence = "0.1, force_cmdlist=Y, tdr_timeout_ms=2000, bound to 0000:c5:00.1";
    assert_check(&machine, CheckId::Driver, Outcome::Pass, evidence, "");
}

#[test]
fn hawk_point_is_told_by_its_cpu() {
    let machine = laptop();
    machine.cpu("AMD Ryzen 7 8845HS w/ Radeon 780M Graphics", 117, "");
    assert_check(&machine, CheckId::Device, Outcome::Pass, "Hawk Point, sold with NPU", "");
    assert_eq!(machine.diagnosis().verdict(), Ok(()));
}

#[test]
fn every_answer_that_is_not_good_has_a_remedy() {
    let mut machines = vec![laptop(), laptop(), laptop()];
    machines[0].without_driver();
    without_device(&mut machines[1]);
    machines[2].device = refused(19);
    for machine in &machines {
        let diagnosis = machine.diagnosis();
        assert!(diagnosis.verdict().is_err());
        for check in diagnosis.checks {
            let bad = matches!(check.outcome, Outcome::Fail | Outcome::Warn);
            assert_eq!(check.remedy.is_some(), bad, "{check:?}");
        }
    }
}

// No device.

#[test]
fn zero_devices_found_because_the_bios_hides_the_npu() {
    let mut machine = laptop();
    without_device(&mut machine);
    assert_absent(&machine, "none of 1 PCI functions is 1022:1502", "enable it in the BIOS");
    for id in [CheckId::Driver, CheckId::Node, CheckId::Trial] {
        assert_check(&machine, id, Outcome::Skipped, "there is no Phoenix NPU", "");
    }
}

#[test]
fn zero_devices_found_because_the_cpu_has_none() {
    let mut machine = laptop();
    without_device(&mut machine);
    machine.cpu("AMD Ryzen 5 8540U w/ Radeon 740M Graphics", 124, "");
    assert_absent(&machine, "which has no NPU", "made without NPU");
    machine.cpu("AMD Ryzen 7 7840H with Radeon 780M Graphics", 116, "");
    assert_absent(&machine, "NPU not known for this model", "look for an NPU (IPU) switch");
    machine.cpu("Intel(R) Core(TM) Ultra 7 155H", 170, "");
    assert_absent(&machine, "not a Phoenix or Hawk Point", "use a machine with a Phoenix");
}

#[test]
fn zero_devices_found_in_a_virtual_machine() {
    let mut machine = laptop();
    without_device(&mut machine);
    machine.cpu("AMD EPYC", 17, "hypervisor");
    assert_absent(&machine, "in a virtual machine", "run bennu on a Phoenix or Hawk Point machine itself");
    machine.remove("sys/bus");
    assert_absent(&machine, "lists no PCI function", "run bennu on a Phoenix or Hawk Point machine itself");
}

#[test]
fn other_generations_are_named_and_refused() {
    for (device, revision, name) in [
        ("0x17f0", "0x10", "Strix Point (npu4"),
        ("0x17f0", "0x11", "Strix Halo (npu5"),
        ("0x17f0", "0x20", "Krackan Point (npu6"),
        ("0x17f0", "0x00", "unknown revision"),
        ("0x17f1", "0x10", "a generation after XDNA2"),
    ] {
        let mut machine = laptop();
        without_device(&mut machine);
        machine.function("0000:c6:00.1", device, revision);
        assert_absent(&machine, name, "another instruction set");
    }
}

#[test]
fn a_revision_the_driver_does_not_know() {
    let machine = laptop();
    machine.function(BDF, "0x1502", "0x01");
    assert_pain(&machine, CheckId::Device, "revision 01", "a newer kernel");
}

// No driver.

#[test]
fn a_kernel_from_before_the_driver() {
    let mut machine = laptop();
    machine.without_driver();
    machine.write("proc/sys/kernel/osrelease", "6.8.0-51-generic");
    assert_pain(&machine, CheckId::Kernel, "Linux 6.8.0-51-generic", "boot Linux 6.14 or newer");
}

#[test]
fn a_kernel_built_without_the_driver() {
    let mut machine = laptop();
    machine.without_driver();
    machine.write(
        &format!("boot/config-{RELEASE}"),
        "CONFIG_DRM_ACCEL=y\n# CONFIG_DRM_ACCEL_AMDXDNA is not set\nCONFIG_AMD_IOMMU=y\n",
    );
    machine.write(&format!("lib/modules/{RELEASE}/modules.dep"), "kernel/fs/fat/fat.ko:\n");
    assert_pain(&machine, CheckId::Kernel, "CONFIG_DRM_ACCEL_AMDXDNA off", "CONFIG_DRM_ACCEL_AMDXDNA=m");
}

#[test]
fn a_kernel_that_tells_its_configuration_itself() {
    let mut machine = laptop();
    machine.without_driver();
    // Its own word counts, whatever lies in /boot.
    machine.packed("proc/config.gz", "CONFIG_DRM_ACCEL=y\n# CONFIG_DRM_ACCEL_AMDXDNA is not set\nCONFIG_AMD_IOMMU=y\n");
    machine.write(&format!("lib/modules/{RELEASE}/modules.dep"), "kernel/fs/fat/fat.ko:\n");
    assert_pain(
        &machine,
        CheckId::Kernel,
        "AMDXDNA off, CONFIG_AMD_IOMMU on (/proc/config.gz)",
        "CONFIG_DRM_ACCEL_AMDXDNA=m",
    );
    machine.packed("proc/config.gz", "CONFIG_DRM_ACCEL_AMDXDNA=y\n");
    assert_check(&machine, CheckId::Kernel, Outcome::Pass, "CONFIG_DRM_ACCEL_AMDXDNA on", "");
    // What is no such file is passed over.
    machine.write("proc/config.gz", "no gzip");
    assert_check(&machine, CheckId::Kernel, Outcome::Pass, &format!("(/boot/config-{RELEASE})"), "");
}

#[test]
fn the_module_is_not_installed() {
    let mut machine = laptop();
    machine.without_driver();
    machine.write(&format!("lib/modules/{RELEASE}/modules.dep"), "kernel/fs/fat/fat.ko:\n");
    assert_pain(&machine, CheckId::Driver, "has no such module", "linux-modules-extra-6.17.0-8-generic");
}

#[test]
fn the_module_is_not_loaded() {
    let mut machine = laptop();
    machine.without_driver();
    assert_pain(&machine, CheckId::Driver, "is not loaded, though Linux", "sudo modprobe amdxdna");
    machine.remove(&format!("lib/modules/{RELEASE}"));
    assert_pain(&machine, CheckId::Driver, "cannot be read", "in a container, load it on the host");
    machine.remove("boot");
    assert_check(&machine, CheckId::Kernel, Outcome::Unknown, "nor is the list of its modules", "");
}

#[test]
fn the_module_is_blacklisted() {
    let mut machine = laptop();
    machine.without_driver();
    machine.write("etc/modprobe.d/npu.conf", "# no NPU\nblacklist amdxdna\n");
    assert_pain(&machine, CheckId::Driver, "/etc/modprobe.d/npu.conf says \"blacklist amdxdna\"", "remove that line");
    machine.write("proc/cmdline", "quiet modprobe.blacklist=nouveau,amdxdna");
    assert_pain(&machine, CheckId::Driver, "command line has modprobe.blacklist=nouveau,amdxdna", "boot loader");
}

#[test]
fn another_driver_holds_the_device() {
    let mut machine = laptop();
    machine.without_node();
    machine.remove(&format!("sys/bus/pci/devices/{BDF}/driver"));
    machine.link(&format!("sys/bus/pci/devices/{BDF}/driver"), "../../../bus/pci/drivers/vfio-pci");
    assert_pain(&machine, CheckId::Driver, "vfio-pci holds 0000:c5:00.1", "drivers/vfio-pci/unbind");
}

// No firmware, or the wrong one.

#[test]
fn the_firmware_file_is_missing() {
    let mut machine = laptop();
    machine.without_node();
    machine.remove(&format!("sys/bus/pci/devices/{BDF}/driver"));
    machine.remove("lib/firmware");
    assert_pain(&machine, CheckId::Firmware, "no npu.dev.sbin, npu_7.sbin, npu.sbin", "install linux-firmware");
    assert_check(&machine, CheckId::Driver, Outcome::Fail, "start-up (probe) failed", "see `firmware`");
}

#[test]
fn the_driver_refuses_the_firmware() {
    let mut machine = laptop();
    machine.without_node();
    machine.remove(&format!("sys/bus/pci/devices/{BDF}/driver"));
    machine.remove("lib/firmware/amdnpu/1502_00");
    machine.write("lib/firmware/amdnpu/1502_00/npu.sbin.1.5.2.380.xz", "");
    machine.link("lib/firmware/amdnpu/1502_00/npu.sbin.xz", "npu.sbin.1.5.2.380.xz");
    assert_pain(&machine, CheckId::Firmware, "is 1.5.2.380; the driver is loaded and refused", "from one origin");
    assert_check(&machine, CheckId::Driver, Outcome::Fail, "start-up (probe) failed", "see `firmware`");
}

#[test]
fn the_firmware_was_replaced_under_a_running_driver() {
    let machine = laptop();
    machine.remove("lib/firmware/amdnpu/1502_00");
    machine.write("lib/firmware/amdnpu/1502_00/npu.sbin", &format!("{}Release 1.5.6.399\0", "\0".repeat(0x1d0)));
    assert_check(&machine, CheckId::Firmware, Outcome::Warn, "npu.sbin is 1.5.6.399 now", "modprobe -r amdxdna");
    assert_eq!(machine.diagnosis().verdict(), Ok(()));
}

#[test]
fn a_firmware_nobody_has_seen() {
    let mut machine = laptop();
    machine.remove("lib/firmware/amdnpu/1502_00");
    machine.facts().firmware = Some([255, 0, 0, 1]);
    assert_check(&machine, CheckId::Firmware, Outcome::Warn, "255.0.0.1 runs", "from one origin");
}

// A node that does not open.

#[test]
fn not_in_the_render_group() {
    let mut machine = laptop();
    machine.device = refused(13);
    let [uid, gid] = machine.owner("dev/accel/accel0");
    machine.identity(1, "0000000000000000");
    machine.write("etc/group", &format!("render:x:{gid}:\n"));
    machine.write("etc/passwd", &format!("ada:x:{}:100::/home/ada:/bin/sh\n", uid + 1));
    assert_pain(&machine, CheckId::Node, "mode 0660, group render; ada may not open it", "sudo usermod -aG render ada");
    // Before anything was opened, the mode alone tells.
    machine.device = Device::NoNode;
    assert_pain(&machine, CheckId::Node, "ada may not open it", "usermod");
    machine.write("etc/group", &format!("render:x:{gid}:ada\n"));
    assert_pain(&machine, CheckId::Node, "since after this login", "log out and in again");
}

#[test]
fn a_node_for_root_alone() {
    let mut machine = laptop();
    machine.device = refused(13);
    machine.identity(1, "0000000000000000");
    machine.mode("dev/accel/accel0", 0o600);
    assert_pain(&machine, CheckId::Node, "mode 0600", "/etc/udev/rules.d/70-accel.rules");
}

#[test]
fn root_opens_whatever_the_mode() {
    let mut machine = laptop();
    machine.device = Device::NoNode;
    machine.identity(1, "000001ffffffffff");
    assert_check(&machine, CheckId::Node, Outcome::Pass, "mode 0660", "");
}

#[test]
fn a_driver_that_refuses_the_first_question() {
    let mut machine = laptop();
    machine.device = Device::Refused { errno: None, answer: "GET_INFO(AIE_METADATA): EINVAL".to_owned() };
    assert_check(&machine, CheckId::Node, Outcome::Pass, "let through to the driver, which refused: GET_INFO", "");
    assert_pain(&machine, CheckId::Trial, "GET_INFO(AIE_METADATA): EINVAL", "dmesg");
}

#[test]
fn a_container_without_the_node() {
    let mut machine = laptop();
    machine.remove("dev/accel");
    machine.device = Device::NoNode;
    assert_pain(&machine, CheckId::Node, "/dev/accel/accel0 is not there", "--device /dev/accel/accel0");
}

// No shared addresses.

#[test]
fn the_iommu_is_off_by_command_line() {
    for word in ["iommu=off", "amd_iommu=off"] {
        let mut machine = laptop();
        machine.write("proc/cmdline", &format!("quiet {word}"));
        machine.device = refused(19);
        assert_pain(&machine, CheckId::Iommu, &format!("command line has {word}"), &format!("remove {word}"));
    }
}

#[test]
fn the_iommu_is_off_in_the_bios() {
    let mut machine = laptop();
    machine.remove("sys/class/iommu");
    machine.remove(&format!("sys/bus/pci/devices/{BDF}/iommu_group"));
    machine.device = refused(19);
    assert_pain(&machine, CheckId::Iommu, "no IOMMU in /sys/class/iommu", "in the BIOS");
}

#[test]
fn a_driver_with_memory_set_aside_needs_no_iommu() {
    let machine = laptop();
    machine.remove("sys/class/iommu");
    machine.remove(&format!("sys/bus/pci/devices/{BDF}/iommu_group"));
    assert_check(&machine, CheckId::Iommu, Outcome::Pass, "in no IOMMU group; the driver does without", "");
    assert!(machine.diagnosis().verdict().is_ok());
}

#[test]
fn shared_addresses_are_refused() {
    for (errno, name) in [(19, "ENODEV"), (22, "EINVAL"), (28, "ENOSPC"), (95, "EOPNOTSUPP")] {
        let mut machine = laptop();
        machine.device = refused(errno);
        assert_pain(&machine, CheckId::Iommu, &format!("open answered {name}"), "dmesg");
    }
    let mut machine = laptop();
    machine.device = refused(95);
    machine.write("sys/kernel/iommu_groups/22/type", "identity");
    assert_pain(&machine, CheckId::Iommu, "domain identity", "boot without iommu=pt");
    machine.write("sys/kernel/iommu_groups/22/type", "DMA");
    machine.cpu("AMD Ryzen 7 7840U w/ Radeon  780M Graphics", 116, "hypervisor");
    assert_pain(&machine, CheckId::Iommu, "SVA, PASID", "virtual machines offer no PASID");
}

// Limits.

#[test]
fn eight_mebibytes_in_a_desktop_session() {
    let machine = laptop();
    machine.memlock("8388608", "8388608");
    machine.write(
        "proc/self/cgroup",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.scope",
    );
    let service = "sudo systemctl edit user@.service";
    assert_pain(
        &machine,
        CheckId::Memlock,
        "8 MiB may be locked; 6144 MiB needed for gemma-3-27b, 4096 tokens",
        service,
    );
    machine.write("etc/security/limits.d/99-npu.conf", "@render - memlock unlimited\n");
    assert_pain(&machine, CheckId::Memlock, "8 MiB", "99-npu.conf has a limit, which does not reach them");
}

#[test]
fn eight_mebibytes_elsewhere() {
    let machine = laptop();
    machine.memlock("8388608", "8388608");
    assert_pain(&machine, CheckId::Memlock, "8 MiB", "/etc/security/limits.d/99-npu.conf");
    machine.write("proc/self/cgroup", "0::/system.slice/lemonade.service");
    assert_pain(&machine, CheckId::Memlock, "8 MiB", "sudo systemctl edit lemonade.service");
    machine.write("proc/self/cgroup", "0::/");
    assert_pain(&machine, CheckId::Memlock, "8 MiB", "--ulimit memlock=-1:-1");
    machine.memlock("8388608", "unlimited");
    assert_pain(&machine, CheckId::Memlock, "8 MiB", "ulimit -l unlimited");
    machine.identity(0, "0000000000004000");
    assert_check(&machine, CheckId::Memlock, Outcome::Pass, "CAP_IPC_LOCK", "");
}

#[test]
fn too_little_memory() {
    let machine = laptop();
    machine.write("proc/meminfo", &meminfo(5, 4));
    assert_pain(&machine, CheckId::Ram, "5120 MiB in all", "add memory");
    machine.write("proc/meminfo", &meminfo(16, 4));
    assert_pain(&machine, CheckId::Ram, "4096 MiB available", "close programs");
}

// Contexts.

#[test]
fn a_stale_context_of_a_process_that_is_gone() {
    let mut machine = laptop();
    machine.facts().contexts = Some(vec![context(3, 4242)]);
    assert_pain(
        &machine,
        CheckId::Contexts,
        "context 3 belongs to process 4242, which no longer exists",
        "modprobe -r amdxdna",
    );
}

#[test]
fn a_process_hung_in_the_driver() {
    let mut machine = laptop();
    machine.process(777, "lemonade (v2)", "D");
    machine.facts().contexts = Some(vec![context(1, 777)]);
    assert_pain(&machine, CheckId::Contexts, "lemonade (v2) (pid 777, hung in the kernel)", "suspend and resume");
}

#[test]
fn others_use_the_npu() {
    let mut machine = laptop();
    machine.process(777, "flm", "S");
    machine.facts().contexts = Some(vec![context(1, 777)]);
    let evidence = "1 of 6 contexts in use: flm (pid 777) columns 1-4, 9 of 10 commands done";
    assert_check(&machine, CheckId::Contexts, Outcome::Warn, evidence, "before measuring");
    assert_eq!(machine.diagnosis().verdict(), Ok(()));
    machine.facts().contexts = Some((1..=6).map(|id| context(id, 777)).collect());
    assert_pain(&machine, CheckId::Contexts, "all 6 contexts are taken", "end one of these programs");
    machine.facts().contexts = None;
    assert_check(&machine, CheckId::Contexts, Outcome::Warn, "open in flm (pid 777)", "before measuring");
}

#[test]
fn einval_on_context_creation() {
    let mut machine = laptop();
    let answer = "CREATE_HWCTX(4 columns): EINVAL".to_owned();
    machine.facts().trial = Trial::Failed { step: TrialStep::Context, errno: Some(22), answer };
    let evidence = "no context was made: CREATE_HWCTX(4 columns): EINVAL";
    assert_pain(&machine, CheckId::Trial, evidence, "driver and firmware do not fit");
}

#[test]
fn other_answers_to_context_creation() {
    for (step, errno, evidence, remedy) in [
        (TrialStep::Context, Some(19), "no context was made: the answer", "no room for another context"),
        (TrialStep::Context, Some(62), "no context was made: the answer", "no longer answers"),
        (TrialStep::Context, Some(32), "no context was made: the answer", "given up its channel"),
        (TrialStep::Context, Some(32), "no context was made: the answer", "five seconds"),
        (TrialStep::Context, None, "no context was made: the answer", "dmesg"),
        (TrialStep::Heap, Some(11), "heap of 64 MiB was refused: the answer", "see `memlock`"),
        (TrialStep::Heap, None, "heap of 64 MiB was refused: the answer", "dmesg"),
    ] {
        let mut machine = laptop();
        machine.facts().trial = Trial::Failed { step, errno, answer: "the answer".to_owned() };
        assert_pain(&machine, CheckId::Trial, evidence, remedy);
    }
}

#[test]
fn a_machine_of_which_nothing_was_opened_is_not_ready() {
    let mut machine = laptop();
    machine.device = Device::NoNode;
    match machine.diagnosis().verdict() {
        Err(NotReady::Unusable(unusable)) => assert_eq!(unusable.failed[0].id, CheckId::Trial),
        verdict => panic!("{verdict:?}"),
    }
}

// Power and optional parts.

#[test]
fn lowered_clocks() {
    let mut machine = laptop();
    machine.facts().power_mode = Some(PowerMode::Low);
    assert_check(&machine, CheckId::Power, Outcome::Warn, "mode low", "--pmode default");
    machine.facts().power_mode = None;
    machine.facts().clocks = None;
    assert_check(&machine, CheckId::Power, Outcome::Unknown, "tells no clocks", "");
}

#[test]
fn optional_parts_are_needed_only_when_asked_for() {
    let mut machine = laptop();
    (machine.needs.xrt, machine.needs.mlir_aie) = (true, true);
    assert_check(&machine, CheckId::Xrt, Outcome::Fail, "asked for, and not found", "bennu runs without XRT");
    assert_eq!(
        machine.diagnosis().missing_parts().map(|check| check.id).collect::<Vec<_>>(),
        [CheckId::Xrt, CheckId::MlirAie]
    );
    assert_eq!(machine.diagnosis().verdict(), Ok(()));
    assert_check(&machine, CheckId::MlirAie, Outcome::Fail, "no aiecc, aiecc.py, aie-opt on the PATH", "bennu compile");
    machine.write("usr/bin/aie-opt", "");
    machine.write("opt/xilinx/xrt/lib/libxrt_coreutil.so", "");
    assert_check(&machine, CheckId::Xrt, Outcome::Pass, "/opt/xilinx/xrt", "");
    assert_check(&machine, CheckId::MlirAie, Outcome::Pass, "/usr/bin/aie-opt", "");
    machine.remove("usr/bin/aie-opt");
    machine.write("usr/lib/python3.12/site-packages/mlir_aie/x", "");
    assert_check(&machine, CheckId::MlirAie, Outcome::Pass, "python3.12/site-packages/mlir_aie", "");
    assert_eq!(machine.diagnosis().verdict(), Ok(()));
}

#[test]
fn the_other_compiler_is_found_where_people_put_it() {
    let machine = laptop();
    let places = AieccPlaces { install: Some("/home/me/mlir-aie".into()), python: Some("/home/me/env".into()) };
    let found = |places: &AieccPlaces| npu_host::aiecc(&machine.host(), places).map(|path| path.display().to_string());
    let nowhere = found(&AieccPlaces::default()).expect_err("there is none");
    for part in ["no aiecc or aiecc.py on the PATH", "MLIR_AIE_INSTALL_DIR is not set", "VIRTUAL_ENV is not set"] {
        assert!(nowhere.contains(part), "{nowhere}");
    }
    let nowhere = found(&places).expect_err("there is none");
    assert!(nowhere.contains("none in MLIR_AIE_INSTALL_DIR (/home/me/mlir-aie)"), "{nowhere}");
    assert!(nowhere.contains("none in VIRTUAL_ENV (/home/me/env)"), "{nowhere}");
    // from the last place that is looked at to the first
    let mut seen = Vec::new();
    for place in [
        "opt/mlir-aie/bin/aiecc",
        "usr/lib/python3.12/dist-packages/mlir_aie/bin/aiecc.py",
        "home/me/env/lib/python3.13/site-packages/mlir_aie/bin/aiecc",
        "home/me/mlir-aie/bin/aiecc",
        "home/me/env/bin/aiecc",
        "usr/bin/aiecc.py",
        "usr/bin/aiecc",
    ] {
        machine.write(place, "");
        seen.push(found(&places).expect("it is there") == format!("/{place}"));
    }
    assert_eq!(seen, [true; 7]);
    // a directory of that name is no program
    let empty = laptop();
    empty.write("usr/bin/aiecc/x", "");
    assert!(npu_host::aiecc(&empty.host(), &AieccPlaces::default()).is_err());
}

#[test]
fn this_process_is_measured() {
    let memory = npu_host::Host::at("/", Vec::new()).process_memory().expect("Linux tells");
    assert!(memory.resident_bytes > 0 && memory.peak_bytes >= memory.resident_bytes, "{memory:?}");
}

/// Files below a directory.
fn files(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_symlink() {
            continue;
        }
        if entry.is_dir() { files(&entry, found) } else { found.push(entry) }
    }
}

#[test]
fn files_that_say_nonsense_are_survived_and_never_make_a_machine_better() {
    let mut machine = laptop();
    machine.process(777, "flm", "S");
    machine.facts().contexts = Some(vec![npu_host::ContextInUse { columns: u32::MAX, ..context(1, 777) }]);
    assert_eq!(machine.diagnosis().verdict(), Ok(()));
    let open = machine.device.clone();
    let mut names = Vec::new();
    files(machine.root(), &mut names);
    assert!(names.len() > 20, "{names:?}");
    let garbage: [&[u8]; 5] = [b"", b"\xff\xfe", b"99999999999999999999999999", b": : :\n::::\n= = =", b"0x"];
    for name in &names {
        let sense = std::fs::read(name).unwrap();
        for contents in garbage {
            std::fs::write(name, contents).unwrap();
            machine.device = open.clone();
            assert_eq!(machine.diagnosis().checks.len(), CheckId::ALL.len());
            machine.device = Device::NoNode;
            assert!(machine.diagnosis().verdict().is_err(), "{}", name.display());
        }
        std::fs::write(name, sense).unwrap();
    }
}
