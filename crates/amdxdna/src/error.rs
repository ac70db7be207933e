//! What can go wrong, why, and what to do about it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::ert::{CommandState, Health};
use crate::ioctl::Ioctl;
use crate::{BoKind, Errno, PciId};

/// An answer of the kernel that cannot be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadReply {
    /// A handle that is no handle, or one that is in use already.
    #[error("{what} handle {handle}")]
    Handle {
        /// Of what.
        what: &'static str,
        /// The handle.
        handle: u32,
    },
    /// A file descriptor below 0.
    #[error("file descriptor {number}")]
    Descriptor {
        /// The number.
        number: i32,
    },
    /// More bytes than there was room for.
    #[error("{what} of {bytes} bytes where {limit} were given")]
    Length {
        /// Of what.
        what: &'static str,
        /// Bytes claimed.
        bytes: u64,
        /// Bytes there were.
        limit: u64,
    },
    /// Fewer bytes than the structure has.
    #[error("{what} of {bytes} bytes where {needed} are needed")]
    Short {
        /// Of what.
        what: &'static str,
        /// Bytes there are.
        bytes: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// A buffer without a place to map, or a DEV buffer outside the heap or in another buffer.
    #[error("{what} {address:#x}, {bytes} bytes")]
    Address {
        /// Of what.
        what: &'static str,
        /// The address or offset.
        address: u64,
        /// Length of the buffer.
        bytes: u64,
    },
    /// A value that has no meaning.
    #[error("{what} {value}")]
    Value {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u64,
    },
}

/// An argument refused before the kernel was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A partition is 1 to 4 columns wide.
    #[error("{columns} columns; a context has 1 to {max}")]
    Columns {
        /// Asked.
        columns: u32,
        /// Most.
        max: u32,
    },
    /// A buffer of nothing, or of more than can be.
    #[error("a {kind:?} buffer of {bytes} bytes; the limit is {limit}")]
    BufferBytes {
        /// Kind of buffer.
        kind: BoKind,
        /// Asked.
        bytes: u64,
        /// Most.
        limit: u64,
    },
    /// A range that is not in the buffer.
    #[error("{bytes} bytes from {offset} of a buffer of {size} bytes")]
    Range {
        /// First byte.
        offset: u64,
        /// Bytes.
        bytes: u64,
        /// Of the buffer.
        size: u64,
    },
    /// A buffer of the wrong kind.
    #[error("{what} is a {kind:?} buffer")]
    Kind {
        /// What it was to be.
        what: &'static str,
        /// What it is.
        kind: BoKind,
    },
    /// A buffer, context or command of another device.
    #[error("{what} belongs to another open device")]
    OtherDevice {
        /// What.
        what: &'static str,
    },
    /// A number of compute units that a context cannot have.
    #[error("{count} compute units; a context has 1 to {max}")]
    ComputeUnits {
        /// Asked.
        count: usize,
        /// Most.
        max: usize,
    },
    /// A context is configured once.
    #[error("the context has its compute units already")]
    ConfiguredTwice,
    /// Commands need compute units.
    #[error("the context has no compute unit {cu}; it has {count}")]
    NoComputeUnit {
        /// Asked.
        cu: u32,
        /// There are.
        count: u32,
    },
    /// More host buffers than a register map has room for.
    #[error("{count} host buffers; a command has at most {max}")]
    HostBuffers {
        /// Asked.
        count: usize,
        /// Most.
        max: usize,
    },
    /// An instruction stream is whole words, at least one, inside its buffer.
    #[error("an instruction stream of {words} words in a buffer of {bytes} bytes")]
    Stream {
        /// Asked.
        words: u32,
        /// Of the buffer.
        bytes: u64,
    },
    /// A submitted command was never given a packet.
    #[error("the command has no packet")]
    NoPacket,
    /// A wait without a submission.
    #[error("the command is not in flight")]
    NotInFlight,
}

/// Why a buffer or command cannot be had just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Busy {
    /// The device may be reading or writing the buffer.
    #[error("buffer {handle} belongs to a command in flight")]
    BufferInFlight {
        /// The buffer.
        handle: u32,
    },
    /// Somebody looks at the buffer's bytes.
    #[error("the bytes of buffer {handle} are lent")]
    BufferLent {
        /// The buffer.
        handle: u32,
    },
    /// The command is in flight.
    #[error("the command is in flight, as number {sequence} of its context")]
    CommandInFlight {
        /// Its number.
        sequence: u64,
    },
    /// As many commands are in flight as the driver takes without blocking.
    #[error("{limit} commands of the context are in flight")]
    QueueFull {
        /// How many.
        limit: usize,
    },
}

/// What a driver may or may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Buffers over the process's own pages.
    UserPointer,
    /// Export and import of dma-bufs.
    DmaBuf,
    /// Any of the queries that take a parameter.
    Query(&'static str),
    /// Setting the power mode.
    PowerMode,
    /// A way to wait for commands.
    Completion,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Feature::UserPointer => f.write_str("buffers over user memory"),
            Feature::DmaBuf => f.write_str("dma-bufs"),
            Feature::Query(name) => write!(f, "query {name}"),
            Feature::PowerMode => f.write_str("this power mode"),
            Feature::Completion => f.write_str("waiting for completion"),
        }
    }
}

/// The likely cause of an error, for people and for programs that react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No NPU, or no driver for it.
    NoDriver,
    /// The machine has another NPU.
    OtherHardware,
    /// The user may not open the node.
    NodePermission,
    /// The operation is for root.
    RootOnly,
    /// The IOMMU gives the process no address space on the device.
    Iommu,
    /// The device is gone: removed, reset or its driver unbound.
    Unplugged,
    /// `RLIMIT_MEMLOCK` is too low.
    LockedMemory,
    /// The system has no memory left.
    HostMemory,
    /// The 64 MiB of device memory are in use, or there is a heap already.
    DeviceMemory,
    /// The heap is missing or not mapped.
    Heap,
    /// No columns or contexts are free.
    NoColumns,
    /// Firmware and driver do not fit.
    Firmware,
    /// The firmware does not answer, or the driver has given up its channel to it.
    Silent,
    /// The driver is too old or too new for the operation.
    Unsupported,
    /// Too many open files.
    OpenFiles,
    /// The driver refused an argument; this crate checks those it can, so the object is gone or the driver differs.
    Argument,
    /// A completion was lost or the array is stuck.
    Stuck,
    /// The command itself: its stream, PDI or addresses.
    Program,
    /// The caller asked to stop.
    Stopped,
    /// The caller used the crate in a way it refuses.
    Caller,
    /// Kernel and crate disagree on the interface.
    Protocol,
    /// Nothing is known of this error number here.
    Unknown,
}

impl Cause {
    /// Every cause.
    pub const ALL: &'static [Cause] = &[
        Cause::NoDriver,
        Cause::OtherHardware,
        Cause::NodePermission,
        Cause::RootOnly,
        Cause::Iommu,
        Cause::Unplugged,
        Cause::LockedMemory,
        Cause::HostMemory,
        Cause::DeviceMemory,
        Cause::Heap,
        Cause::NoColumns,
        Cause::Firmware,
        Cause::Silent,
        Cause::Unsupported,
        Cause::OpenFiles,
        Cause::Argument,
        Cause::Stuck,
        Cause::Program,
        Cause::Stopped,
        Cause::Caller,
        Cause::Protocol,
        Cause::Unknown,
    ];

    /// The cause in a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Cause::NoDriver => "the machine has no NPU, or the amdxdna driver is not loaded",
            Cause::OtherHardware => "the NPU is not that of Phoenix or Hawk Point",
            Cause::NodePermission => "the user may not open the device node",
            Cause::RootOnly => "the operation needs CAP_SYS_ADMIN",
            Cause::Iommu => "the IOMMU is off or cannot give the process an address space on the NPU",
            Cause::Unplugged => "the device is gone: removed, reset, or its driver unbound",
            Cause::LockedMemory => "the limit on locked memory is too low",
            Cause::HostMemory => "the system is out of memory",
            Cause::DeviceMemory => "the 64 MiB of device memory are in use",
            Cause::Heap => "the device heap is missing or not mapped",
            Cause::NoColumns => {
                "no columns or contexts are free, or the firmware has not let go of those of a hung program"
            }
            Cause::Firmware => "the firmware is missing, does not fit the driver, or refused",
            Cause::Silent => "the firmware does not answer, or the driver has given up its channel to it",
            Cause::Unsupported => "this driver does not have the operation",
            Cause::OpenFiles => "too many files are open",
            Cause::Argument => "the driver refused an argument: the object is gone or the driver's rules differ",
            Cause::Stuck => "the array is stuck or the firmware lost the completion",
            Cause::Program => "the firmware or the array stopped on the command: its stream, PDI or addresses",
            Cause::Stopped => "the caller asked to stop",
            Cause::Caller => "the operation is not allowed in this state",
            Cause::Protocol => "kernel and library disagree on the interface",
            Cause::Unknown => "unknown; the kernel log may say more",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Cause::NoDriver => {
                "check `lspci -d 1022:1502` and `modprobe amdxdna`; it needs Linux 6.14, CONFIG_DRM_ACCEL_AMDXDNA, firmware in \
                 /lib/firmware/amdnpu/1502_00 and the NPU enabled in the BIOS"
            }
            Cause::OtherHardware => "use a machine with PCI device 1022:1502 revision 0",
            Cause::NodePermission => {
                "add the user to the group of /dev/accel/accel* (usually `render`) and log in again, or install a udev rule"
            }
            Cause::RootOnly => "run as root",
            Cause::Iommu => "enable the IOMMU in the BIOS, and leave it on in the kernel's command line",
            Cause::Unplugged => "open the device again; if it does not come back, reload the amdxdna module",
            Cause::LockedMemory => {
                "raise `ulimit -l` (memlock in /etc/security/limits.conf, LimitMEMLOCK= for services) to unlimited, or open \
                 the device without locking pages"
            }
            Cause::HostMemory => "free memory, or use a smaller model or sequence length",
            Cause::DeviceMemory => "drop unused PDIs and instruction streams",
            Cause::Heap => "keep the device open as long as its buffers and contexts",
            Cause::NoColumns => "end other programs that use the NPU; if none does, reload the amdxdna module",
            Cause::Firmware => "install driver and firmware of the same release, then reload the module or reboot",
            Cause::Silent => {
                "leave the NPU alone for five seconds, after which the driver starts the firmware anew; if that fails, reload the amdxdna \
                 module, then power off and on"
            }
            Cause::Unsupported => "use a newer kernel, or do without the operation",
            Cause::OpenFiles => "close files or raise `ulimit -n`",
            Cause::Argument => "see the kernel log; report it together with the kernel's version",
            Cause::Stuck => "make the context anew; if that fails, reload the amdxdna module",
            Cause::Program => {
                "see the kernel log for the firmware's status and for IO_PAGE_FAULT; make the context anew"
            }
            Cause::Stopped => "wait again, or drop the context",
            Cause::Caller => "correct the calling program",
            Cause::Protocol => "report it together with the kernel's version",
            Cause::Unknown => "see the kernel log",
        }
    }
}

/// Everything this crate fails with.
///
/// The text of an error names what was asked of whom and the answer; [`cause`](Error::cause) and [`remedy`](Error::remedy) add what it
/// most likely means.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No Phoenix NPU among the accelerators.
    #[error("no NPU 1022:1502 in {}{}", searched.display(), found(others))]
    NoDevice {
        /// Directory that was searched.
        searched: PathBuf,
        /// Accelerators that are there.
        others: Vec<PciId>,
    },
    /// The device node does not open.
    #[error("open {}: {errno}", node.display())]
    Open {
        /// The node.
        node: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The node belongs to another driver.
    #[error("{} belongs to the driver {driver:?}, not to amdxdna", node.display())]
    OtherDriver {
        /// The node.
        node: PathBuf,
        /// Who answered.
        driver: String,
    },
    /// A file of sysfs cannot be read.
    #[error("read {}: {errno}", path.display())]
    Sysfs {
        /// The file.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// An ioctl failed.
    #[error("{ioctl}({arguments}): {errno}")]
    Ioctl {
        /// Which.
        ioctl: Ioctl,
        /// What was asked.
        arguments: String,
        /// Why.
        errno: Errno,
    },
    /// A buffer cannot be mapped.
    #[error("mmap of {what}, {bytes} bytes{}: {errno}", if *locked { ", locked" } else { "" })]
    Map {
        /// Of what.
        what: &'static str,
        /// Length.
        bytes: u64,
        /// Whether the pages were to be locked.
        locked: bool,
        /// Why.
        errno: Errno,
    },
    /// The driver did not pin pages of the process.
    #[error("pinning {bytes} bytes of user memory: {errno}")]
    Pin {
        /// Length.
        bytes: u64,
        /// Why.
        errno: Errno,
    },
    /// The size of a dma-buf cannot be had.
    #[error("size of dma-buf {number}: {errno}")]
    DmaBufSize {
        /// Its descriptor.
        number: i32,
        /// Why.
        errno: Errno,
    },
    /// The kernel answered something that cannot be true.
    #[error("{ioctl}({arguments}) answered {problem}")]
    Reply {
        /// Which.
        ioctl: Ioctl,
        /// What was asked.
        arguments: String,
        /// What is wrong with it.
        problem: BadReply,
    },
    /// The driver cannot start the device, which it does when somebody asks it of the array.
    #[error("{} does not start: GET_INFO(AIE_METADATA) answered {errno}", node.display())]
    Start {
        /// The node.
        node: PathBuf,
        /// What the driver answered.
        errno: Errno,
    },
    /// The driver does not have it.
    #[error("the driver has no {feature}: {ioctl} answered {errno}")]
    Unsupported {
        /// What.
        feature: Feature,
        /// How it was asked.
        ioctl: Ioctl,
        /// What it answered.
        errno: Errno,
    },
    /// An argument was refused here.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Not now.
    #[error("{0}")]
    Busy(#[from] Busy),
    /// An earlier command failed or timed out; what the driver does with the context afterwards is not to be relied on.
    #[error("context {context} failed before")]
    ContextFailed {
        /// Its handle.
        context: u32,
    },
    /// The deadline passed. The command is still in flight.
    #[error("command {sequence} of context {context} did not complete within {waited:?}")]
    Timeout {
        /// The context.
        context: u32,
        /// The command.
        sequence: u64,
        /// Time waited.
        waited: Duration,
    },
    /// The caller's flag was set. The command is still in flight.
    #[error("the wait for command {sequence} of context {context} was interrupted")]
    Interrupted {
        /// The context.
        context: u32,
        /// The command.
        sequence: u64,
    },
    /// The command ended, but not well.
    #[error("command {sequence} of context {context} ended in state {state}{}", health_text(health))]
    Command {
        /// The context.
        context: u32,
        /// The command.
        sequence: u64,
        /// Anything but [`CommandState::Completed`].
        state: CommandState,
        /// What the firmware reported, if it did.
        health: Option<Health>,
    },
}

fn found(others: &[PciId]) -> String {
    match others {
        [] => String::new(),
        others => format!("; there is {}", others.iter().map(PciId::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn health_text(health: &Option<Health>) -> String {
    health.as_ref().map_or_else(String::new, |health| format!("; {health}"))
}

impl Error {
    pub(crate) fn ioctl(ioctl: Ioctl, arguments: &dyn fmt::Display, errno: Errno) -> Self {
        Error::Ioctl { ioctl, arguments: arguments.to_string(), errno }
    }

    /// The error number, if the kernel answered one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Open { errno, .. }
            | Error::Sysfs { errno, .. }
            | Error::Ioctl { errno, .. }
            | Error::Map { errno, .. }
            | Error::Pin { errno, .. }
            | Error::DmaBufSize { errno, .. }
            | Error::Start { errno, .. }
            | Error::Unsupported { errno, .. } => Some(*errno),
            Error::NoDevice { .. }
            | Error::OtherDriver { .. }
            | Error::Reply { .. }
            | Error::Refused(_)
            | Error::Busy(_)
            | Error::ContextFailed { .. }
            | Error::Timeout { .. }
            | Error::Interrupted { .. }
            | Error::Command { .. } => None,
        }
    }

    /// What most likely stands behind it.
    pub fn cause(&self) -> Cause {
        match self {
            Error::NoDevice { others, .. } if others.is_empty() => Cause::NoDriver,
            Error::NoDevice { .. } | Error::OtherDriver { .. } => Cause::OtherHardware,
            Error::Open { errno, .. } => open_cause(*errno),
            Error::Sysfs { errno: Errno::EACCES | Errno::EPERM, .. } => Cause::NodePermission,
            Error::Sysfs { errno: Errno::ENOENT | Errno::ENODEV, .. } => Cause::Unplugged,
            Error::Sysfs { .. } => Cause::Unknown,
            Error::Ioctl { ioctl, errno, .. } => ioctl_cause(*ioctl, *errno),
            Error::Map { errno, locked, .. } => map_cause(*errno, *locked),
            Error::Pin { .. } => Cause::LockedMemory,
            Error::DmaBufSize { .. } | Error::Unsupported { .. } => Cause::Unsupported,
            Error::Start { .. } => Cause::Silent,
            Error::Reply { .. } => Cause::Protocol,
            Error::Refused(_) | Error::Busy(_) => Cause::Caller,
            Error::ContextFailed { .. } | Error::Timeout { .. } => Cause::Stuck,
            Error::Interrupted { .. } => Cause::Stopped,
            Error::Command { state, .. } => match state {
                CommandState::Error | CommandState::Abort => Cause::Program,
                _ => Cause::Stuck,
            },
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        self.cause().remedy()
    }

    /// The error with its likely cause and remedy, on three lines.
    pub fn explain(&self) -> String {
        format!("{self}\nlikely cause: {}\nremedy: {}", self.cause().text(), self.remedy())
    }

    /// Whether the device is gone, so that everything else on this [`Device`](crate::Device) will fail, too.
    pub fn is_unplugged(&self) -> bool {
        self.cause() == Cause::Unplugged
    }
}

fn open_cause(errno: Errno) -> Cause {
    match errno {
        Errno::ENOENT | Errno::ENXIO | Errno::ENODEV | Errno::ENOTDIR => Cause::NoDriver,
        Errno::EACCES | Errno::EPERM => Cause::NodePermission,
        // The driver binds the process to the IOMMU in open().
        Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSPC => Cause::Iommu,
        Errno::EMFILE | Errno::ENFILE => Cause::OpenFiles,
        Errno::ENOMEM => Cause::HostMemory,
        _ => Cause::Unknown,
    }
}

fn map_cause(errno: Errno, locked: bool) -> Cause {
    match errno {
        Errno::EAGAIN | Errno::EPERM if locked => Cause::LockedMemory,
        // mmap also answers ENOMEM when the address space is full.
        Errno::ENOMEM => Cause::HostMemory,
        Errno::EACCES | Errno::EPERM => Cause::NodePermission,
        Errno::ENODEV => Cause::Unplugged,
        // The first drivers map a buffer once, in one process.
        Errno::EEXIST | Errno::EOPNOTSUPP => Cause::Unsupported,
        Errno::EINVAL | Errno::EAGAIN => Cause::Argument,
        _ => Cause::Unknown,
    }
}

/// The likely cause of `errno` from `ioctl`.
// SOURCE: drivers/accel/amdxdna/{amdxdna_ctx,amdxdna_gem,amdxdna_ubuf,aie2_ctx,aie2_solver,aie2_pci,aie}.c
fn ioctl_cause(ioctl: Ioctl, errno: Errno) -> Cause {
    match (ioctl, errno) {
        // The solver answers ENODEV when no partition is free; a device that is gone fails everything else as well.
        (Ioctl::CreateHwctx, Errno::ENODEV | Errno::EBUSY | Errno::ENOSPC | Errno::EEXIST) => Cause::NoColumns,
        (_, Errno::ENODEV | Errno::ENXIO) => Cause::Unplugged,
        (Ioctl::CreateHwctx | Ioctl::CreateBo, Errno::EAGAIN) => Cause::Heap,
        // No heap, a QoS no clock meets, or a mailbox the firmware refuses: the heap is this crate's duty and the QoS is rare.
        (Ioctl::CreateHwctx, Errno::EINVAL | Errno::ENOENT | Errno::EIO) => Cause::Firmware,
        (Ioctl::CreateBo, Errno::ENOSPC | Errno::EBUSY) => Cause::DeviceMemory,
        (Ioctl::CreateBo, Errno::EPERM) => Cause::LockedMemory,
        (Ioctl::SetState, Errno::EACCES | Errno::EPERM) => Cause::RootOnly,
        (Ioctl::SetState, Errno::EBUSY | Errno::EINVAL) => Cause::Unsupported,
        (Ioctl::GetArray | Ioctl::GetInfo, Errno::EACCES | Errno::EPERM) => Cause::RootOnly,
        (_, Errno::EACCES | Errno::EPERM) => Cause::NodePermission,
        (_, Errno::ENOMEM) => Cause::HostMemory,
        (_, Errno::EMFILE | Errno::ENFILE) => Cause::OpenFiles,
        (_, Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::ENOSYS) => Cause::Unsupported,
        // A channel that has seen a malformed answer is closed for good: EPIPE from then on.
        (_, Errno::ETIME | Errno::ETIMEDOUT | Errno::EPIPE) => Cause::Silent,
        (_, Errno::EIO | Errno::EPROTO) => Cause::Firmware,
        (_, Errno::EINTR) => Cause::Stopped,
        (_, Errno::EINVAL | Errno::ENOENT | Errno::EFAULT | Errno::EBADF | Errno::E2BIG | Errno::ERANGE) => {
            Cause::Argument
        }
        (_, Errno::EALREADY | Errno::EDEADLK | Errno::EEXIST | Errno::EOVERFLOW) => Cause::Argument,
        (_, Errno::ENOSPC) => Cause::DeviceMemory,
        (_, Errno::EAGAIN | Errno::EBUSY | Errno::ECANCELED) => Cause::Stuck,
        _ => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_errno_of_every_ioctl_has_a_cause() {
        // What no driver answers to an ioctl.
        let elsewhere = [Errno::ENOTDIR];
        for &ioctl in Ioctl::ALL {
            for &errno in Errno::NAMED.iter().filter(|errno| !elsewhere.contains(errno)) {
                let error = Error::ioctl(ioctl, &"x", errno);
                assert_ne!(error.cause(), Cause::Unknown, "{error}");
                assert!(error.to_string().contains(ioctl.name()) && error.to_string().contains(errno.name().unwrap()));
            }
        }
    }

    #[test]
    fn causes_are_told_apart() {
        let texts: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|c| c.text()).collect();
        assert_eq!(texts.len(), Cause::ALL.len());
        assert!(Cause::ALL.iter().all(|c| !c.remedy().is_empty()));
    }

    #[test]
    fn what_users_meet_first() {
        let open = |errno| Error::Open { node: "/dev/accel/accel0".into(), errno }.cause();
        assert_eq!(open(Errno::EACCES), Cause::NodePermission);
        assert_eq!(open(Errno::ENOENT), Cause::NoDriver);
        assert_eq!(open(Errno::EINVAL), Cause::Iommu);
        let map = |errno, locked| Error::Map { what: "heap", bytes: 1, locked, errno }.cause();
        assert_eq!(map(Errno::EAGAIN, true), Cause::LockedMemory);
        assert_eq!(map(Errno::ENOMEM, true), Cause::HostMemory);
        assert_eq!(map(Errno::EEXIST, false), Cause::Unsupported);
        let ioctl = |ioctl, errno| Error::ioctl(ioctl, &"", errno).cause();
        assert_eq!(ioctl(Ioctl::CreateHwctx, Errno::ENODEV), Cause::NoColumns);
        assert_eq!(ioctl(Ioctl::CreateHwctx, Errno::EINVAL), Cause::Firmware);
        assert_eq!(ioctl(Ioctl::CreateHwctx, Errno::EPIPE), Cause::Silent);
        assert_eq!(ioctl(Ioctl::ExecCmd, Errno::ENODEV), Cause::Unplugged);
        assert_eq!(ioctl(Ioctl::CreateBo, Errno::EPERM), Cause::LockedMemory);
        assert_eq!(ioctl(Ioctl::SetState, Errno::EACCES), Cause::RootOnly);
    }
}
