//! A machine as files below a root directory.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A machine: the root of its file system, and where its user keeps programs.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    programs: Vec<PathBuf>,
}

/// Memory of the machine in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// What the kernel manages: without firmware and without memory set aside for the iGPU.
    #[serde(rename = "total_bytes")]
    pub total: u64,
    /// What programs can have now without swapping, as the kernel estimates.
    #[serde(rename = "available_bytes")]
    pub available: u64,
}

/// Memory of this process in bytes, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ProcessMemory {
    /// Resident now.
    pub resident_bytes: u64,
    /// Resident at most so far.
    pub peak_bytes: u64,
    /// Locked by mlock or MAP_LOCKED.
    pub locked_bytes: u64,
    /// Pinned for devices.
    pub pinned_bytes: u64,
}

/// Who this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) groups: Vec<u32>,
    /// Effective capabilities, a bit each.
    pub(crate) capabilities: u64,
}

// SOURCE: include/uapi/linux/capability.h.
const CAP_DAC_OVERRIDE: u32 = 1;
const CAP_IPC_LOCK: u32 = 14;

impl Identity {
    /// Opens files whatever their mode says.
    pub(crate) fn ignores_modes(&self) -> bool {
        self.capabilities >> CAP_DAC_OVERRIDE & 1 == 1
    }

    /// Locks memory whatever the limit says.
    pub(crate) fn ignores_memlock(&self) -> bool {
        self.capabilities >> CAP_IPC_LOCK & 1 == 1
    }
}

impl Host {
    /// The machine below `root`. `programs` are the directories of the user's PATH.
    pub fn at(root: impl Into<PathBuf>, programs: Vec<PathBuf>) -> Self {
        Host { root: root.into(), programs }
    }

    /// A path of the machine as this process reaches it.
    pub(crate) fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// Contents of a text file without surrounding space; none if it cannot be read.
    pub(crate) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// Contents of a text file that gzip has packed, at most `most` bytes; none if it cannot be read or is no such file.
    pub(crate) fn unpacked(&self, path: impl AsRef<Path>, most: u64) -> Option<String> {
        let packed = fs::File::open(self.path(path)).ok()?;
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(packed).take(most).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// The first `most` bytes of a file, fewer if it is shorter; none if it cannot be read.
    pub(crate) fn head(&self, path: impl AsRef<Path>, most: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.path(path)).ok()?.take(most as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A number as sysfs prints it, `0x` before hexadecimal digits.
    pub(crate) fn hexadecimal(&self, path: impl AsRef<Path>) -> Option<u32> {
        u32::from_str_radix(self.text(path)?.trim_start_matches("0x"), 16).ok()
    }

    /// Names in a directory, in order; none if it cannot be listed.
    pub(crate) fn names(&self, directory: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(directory)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
        names.sort();
        names
    }

    /// Where a link points, as written in it.
    pub(crate) fn link(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        fs::read_link(self.path(path)).ok()
    }

    /// Last component of a link's target.
    pub(crate) fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(self.link(path)?.file_name()?.to_string_lossy().into_owned())
    }

    /// File information behind links.
    pub(crate) fn metadata(&self, path: impl AsRef<Path>) -> io::Result<fs::Metadata> {
        fs::metadata(self.path(path))
    }

    /// The first directory of the user's PATH that has one of these programs, with its name.
    pub(crate) fn program(&self, names: &[&str]) -> Option<PathBuf> {
        let places = self.programs.iter().flat_map(|directory| names.iter().map(move |name| directory.join(name)));
        places.into_iter().find(|place| self.metadata(place).is_ok_and(|found| found.is_file()))
    }

    /// Release of the running kernel.
    pub(crate) fn kernel_release(&self) -> Option<String> {
        self.text("/proc/sys/kernel/osrelease")
    }

    /// Words of the kernel's command line.
    pub(crate) fn command_line(&self) -> Vec<String> {
        self.text("/proc/cmdline").unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Memory of the machine; none if /proc/meminfo does not tell.
    pub fn memory(&self) -> Option<Memory> {
        let text = self.text("/proc/meminfo")?;
        let field = |name| kibibytes(&text, name);
        Some(Memory { total: field("MemTotal")?, available: field("MemAvailable")? })
    }

    /// Memory of this process, measured; none if /proc/self/status does not tell.
    pub fn process_memory(&self) -> Option<ProcessMemory> {
        let text = self.text("/proc/self/status")?;
        let field = |name| kibibytes(&text, name);
        Some(ProcessMemory {
            resident_bytes: field("VmRSS")?,
            peak_bytes: field("VmHWM")?,
            locked_bytes: field("VmLck")?,
            pinned_bytes: field("VmPin")?,
        })
    }

    /// Who this process is; none if /proc/self/status does not tell.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let text = self.text("/proc/self/status")?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        // Real, effective, saved and file system id: the last one opens files.
        let id = |name: &str| field(name)?.split_whitespace().nth(3)?.parse::<u32>().ok();
        let mut groups: Vec<u32> = field("Groups")?.split_whitespace().filter_map(|group| group.parse().ok()).collect();
        groups.push(id("Gid")?);
        let capabilities = u64::from_str_radix(field("CapEff")?.trim(), 16).ok()?;
        Some(Identity { uid: id("Uid")?, groups, capabilities })
    }

    /// Soft and hard limit of locked memory in bytes; an inner none is "unlimited".
    pub fn memlock(&self) -> Option<[Option<u64>; 2]> {
        let text = self.text("/proc/self/limits")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
        let mut words = line.split_whitespace();
        let mut limit = || match words.next()? {
            "unlimited" => Some(None),
            bytes => bytes.parse().ok().map(Some),
        };
        Some([limit()?, limit()?])
    }
}

/// The bytes of a line "Name:   1234 kB".
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Bytes as a person reads them.
pub(crate) fn mib(bytes: u64) -> String {
    if bytes < 10 << 30 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
    }
}
