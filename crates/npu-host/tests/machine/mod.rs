//! Machines laid out in a directory.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use npu_host::{
    Check, CheckId, Clocks, ContextInUse, Device, DeviceFacts, Diagnosis, DriverVersion, Host, Needs, PowerMode, Trial,
    diagnose,
};
use tempfile::TempDir;

pub const BDF: &str = "0000:c5:00.1";
pub const RELEASE: &str = "6.17.0-8-generic";
const GIB: u64 = 1 << 30;

/// A machine that tests change piece by piece.
pub struct Machine {
    root: TempDir,
    pub device: Device,
    pub needs: Needs,
}

/// A Phoenix laptop on which everything is as it should be.
pub fn laptop() -> Machine {
    let machine = Machine {
        root: tempfile::tempdir().unwrap(),
        device: Device::Open(facts()),
        needs: Needs {
            what: "gemma-3-27b, 4096 tokens".into(),
            ram_bytes: 6 * GIB,
            locked_bytes: 6 * GIB,
            xrt: false,
            mlir_aie: false,
        },
    };
    machine.cpu("AMD Ryzen 7 7840U w/ Radeon  780M Graphics", 116, "");
    machine.write("proc/sys/kernel/osrelease", RELEASE);
    machine.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/nvme0n1p2 ro quiet splash");
    machine.write("proc/meminfo", &meminfo(60, 50));
    machine.write("proc/self/cgroup", "0::/user.slice/user-1000.slice/session-3.scope");
    machine.link("proc/self/ns/pid", "pid:[4026531836]");
    machine.write("proc/1/comm", "systemd");
    machine.memlock("unlimited", "unlimited");
    machine.identity(0, "0000000000000000");
    machine.write(
        &format!("boot/config-{RELEASE}"),
        "CONFIG_DRM_ACCEL=y\nCONFIG_DRM_ACCEL_AMDXDNA=m\nCONFIG_AMD_IOMMU=y\n",
    );
    machine.write(
        &format!("lib/modules/{RELEASE}/modules.dep"),
        "kernel/drivers/accel/amdxdna/amdxdna.ko.zst: kernel/drivers/gpu/drm/scheduler/gpu-sched.ko.zst\n",
    );
    machine.function("0000:00:00.0", "0x14e8", "0x00");
    machine.function(BDF, "0x1502", "0x00");
    machine.link(&format!("sys/bus/pci/devices/{BDF}/driver"), "../../../bus/pci/drivers/amdxdna");
    machine.link(&format!("sys/bus/pci/devices/{BDF}/iommu_group"), "../../../../kernel/iommu_groups/22");
    machine.write("sys/kernel/iommu_groups/22/type", "DMA-FQ");
    machine.write("sys/class/iommu/ivhd0/name", "");
    machine.write("sys/module/amdxdna/srcversion", "");
    machine.write(&format!("sys/bus/pci/devices/{BDF}/accel/accel0/dev"), "261:0");
    machine.write(&format!("sys/bus/pci/devices/{BDF}/fw_version"), "1.5.5.391\n");
    machine.write("dev/accel/accel0", "");
    machine.mode("dev/accel/accel0", 0o660);
    machine.write("lib/firmware/amdnpu/1502_00/npu.sbin.1.5.5.391.zst", "");
    machine.link("lib/firmware/amdnpu/1502_00/npu.sbin.zst", "npu.sbin.1.5.5.391.zst");
    machine
}

/// What a driver of 6.17 answers.
pub fn facts() -> DeviceFacts {
    DeviceFacts {
        driver: DriverVersion { name: "amdxdna_accel_driver".into(), major: 0, minor: 1 },
        firmware: Some([1, 5, 5, 391]),
        clocks: Some(Clocks { mp_npu_mhz: 600, h_mhz: 1028 }),
        power_mode: Some(PowerMode::Default),
        contexts: Some(Vec::new()),
        trial: Trial::Made { columns: 4 },
        unanswered: Vec::new(),
    }
}

/// A node that does not open.
pub fn refused(errno: i32) -> Device {
    Device::Refused { errno: Some(errno), answer: format!("open /dev/accel/accel0: errno {errno}") }
}

pub fn context(id: u32, pid: i64) -> ContextInUse {
    ContextInUse { id, pid, start_column: 1, columns: 4, submissions: 10, completions: 9, errors: 0 }
}

pub fn meminfo(total_gib: u64, available_gib: u64) -> String {
    let kib = |gib: u64| gib << 20;
    format!(
        "MemTotal:       {} kB\nMemFree:        100 kB\nMemAvailable:   {} kB\n",
        kib(total_gib),
        kib(available_gib)
    )
}

impl Machine {
    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn write(&self, path: &str, contents: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Writes a file that gzip has packed.
    pub fn packed(&self, path: &str, contents: &str) {
        self.write(path, "");
        let file = fs::File::create(self.root.path().join(path)).unwrap();
        let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::default());
        packer.write_all(contents.as_bytes()).unwrap();
        packer.finish().unwrap();
    }

    pub fn link(&self, path: &str, to: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    pub fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Owner and group of a file: whoever runs the test.
    pub fn owner(&self, path: &str) -> [u32; 2] {
        let file = fs::metadata(self.at(path)).unwrap();
        [file.uid(), file.gid()]
    }

    pub fn cpu(&self, name: &str, model: u32, flags: &str) {
        let text = format!(
            "processor\t: 0\ncpu family\t: 25\nmodel\t\t: {model}\nmodel name\t: {name}\nflags\t\t: fpu vme {flags}\n"
        );
        self.write("proc/cpuinfo", &text);
    }

    pub fn function(&self, address: &str, device: &str, revision: &str) {
        for (name, value) in [("vendor", "0x1022"), ("device", device), ("revision", revision), ("class", "0x118000")] {
            self.write(&format!("sys/bus/pci/devices/{address}/{name}"), value);
        }
    }

    pub fn memlock(&self, soft: &str, hard: &str) {
        let text = format!(
            "Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         {soft:<20} {hard:<20} bytes     \n"
        );
        self.write("proc/self/limits", &text);
    }

    /// A process whose user and group are those of the test plus `away`.
    pub fn identity(&self, away: u32, capabilities: &str) {
        let [uid, gid] = self.owner("proc/meminfo").map(|id| id + away);
        let text = format!(
            "Name:\tbennu\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t \nCapEff:\t{capabilities}\n"
        );
        self.write("proc/self/status", &text);
    }

    /// A process with the node open.
    pub fn process(&self, pid: u32, name: &str, state: &str) {
        self.write(&format!("proc/{pid}/comm"), name);
        self.write(&format!("proc/{pid}/stat"), &format!("{pid} ({name}) {state} 1 1"));
        self.link(&format!("proc/{pid}/fd/5"), "/dev/accel/accel0");
    }

    /// As if the driver had never started the device.
    pub fn without_node(&mut self) {
        self.remove(&format!("sys/bus/pci/devices/{BDF}/accel"));
        self.remove(&format!("sys/bus/pci/devices/{BDF}/fw_version"));
        self.remove("dev/accel");
        self.device = Device::NoNode;
    }

    /// As if the driver were not loaded.
    pub fn without_driver(&mut self) {
        self.without_node();
        self.remove(&format!("sys/bus/pci/devices/{BDF}/driver"));
        self.remove("sys/module/amdxdna");
    }

    pub fn facts(&mut self) -> &mut DeviceFacts {
        match &mut self.device {
            Device::Open(facts) => facts,
            device => panic!("{device:?}"),
        }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn host(&self) -> Host {
        Host::at(self.root(), vec!["/usr/bin".into()])
    }

    pub fn diagnosis(&self) -> Diagnosis {
        diagnose(&self.host(), &self.device, &self.needs)
    }

    pub fn check(&self, id: CheckId) -> Check {
        self.diagnosis().check(id).clone()
    }
}
