//! What GET_INFO and GET_ARRAY answer, and how it is read.
//!
//! Reading is separate from asking: every `read` takes any bytes and returns a value or a [`BadReply`], and never panics.

use std::fmt;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::BadReply;
use crate::ioctl::pin;

/// Parameters of GET_INFO. AIE_STATUS is [`get_info::PARAM_AIE_STATUS`](crate::ioctl::get_info::PARAM_AIE_STATUS).
// SOURCE: enum amdxdna_drm_get_param
pub(crate) mod info {
    pub const AIE_METADATA: (u32, &str) = (1, "AIE_METADATA");
    pub const AIE_VERSION: (u32, &str) = (2, "AIE_VERSION");
    pub const CLOCK_METADATA: (u32, &str) = (3, "CLOCK_METADATA");
    pub const SENSORS: (u32, &str) = (4, "SENSORS");
    pub const HW_CONTEXTS: (u32, &str) = (5, "HW_CONTEXTS");
    pub const FIRMWARE_VERSION: (u32, &str) = (8, "FIRMWARE_VERSION");
    pub const POWER_MODE: (u32, &str) = (9, "POWER_MODE");
    pub const RESOURCE_INFO: (u32, &str) = (12, "RESOURCE_INFO");
}

/// Parameters of GET_ARRAY. Those that read or write tiles are left out on purpose: Phoenix firmware can hang on them.
// SOURCE: DRM_AMDXDNA_HW_CONTEXT_ALL and following
pub(crate) mod array {
    pub const HW_CONTEXT_ALL: (u32, &str) = (0, "HW_CONTEXT_ALL");
    pub const HW_LAST_ASYNC_ERR: (u32, &str) = (2, "HW_LAST_ASYNC_ERR");
}

fn layout<T: FromBytes>(bytes: &[u8], what: &'static str) -> Result<T, BadReply> {
    match T::read_from_prefix(bytes) {
        Ok((value, _)) => Ok(value),
        Err(_) => Err(BadReply::Short { what, bytes: bytes.len() as u64, needed: size_of::<T>() as u64 }),
    }
}

/// The text before the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Tiles of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileMetadata {
    /// Rows of such tiles.
    pub rows: u16,
    /// The first of them.
    pub first_row: u16,
    /// DMA channels of a tile.
    pub dma_channels: u16,
    /// Locks of a tile.
    pub locks: u16,
    /// Event registers of a tile.
    pub events: u16,
}

/// The array, as the firmware describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AieMetadata {
    /// Bytes of a column's part of AIE_STATUS.
    pub column_bytes: u32,
    /// Columns, one without a shim DMA included: 5 on Phoenix.
    pub columns: u16,
    /// Rows: 6 on Phoenix.
    pub rows: u16,
    /// Version of the array.
    pub version: AieVersion,
    /// Core tiles.
    pub core: TileMetadata,
    /// Memory tiles.
    pub mem: TileMetadata,
    /// Interface tiles.
    pub shim: TileMetadata,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct TileLayout {
    row_count: u16,
    row_start: u16,
    dma_channel_count: u16,
    lock_count: u16,
    event_reg_count: u16,
    pad: [u16; 3],
}

pin!(TileLayout: 16 { row_count 0, row_start 2, dma_channel_count 4, lock_count 6, event_reg_count 8, pad 10 });

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct AieMetadataLayout {
    col_size: u32,
    cols: u16,
    rows: u16,
    version: AieVersionLayout,
    core: TileLayout,
    mem: TileLayout,
    shim: TileLayout,
}

pin!(AieMetadataLayout: 64 { col_size 0, cols 4, rows 6, version 8, core 16, mem 32, shim 48 });

/// Most rows or columns that are believed: the hardware has 6 and 5, and products of them must not overflow.
const MAX_SIDE: u16 = 256;

impl AieMetadata {
    /// Reads AIE_METADATA.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        let raw: AieMetadataLayout = layout(bytes, "AIE_METADATA")?;
        let sides = [("columns", raw.cols), ("rows", raw.rows), ("core rows", raw.core.row_count)];
        for (what, side) in sides {
            if side == 0 || side > MAX_SIDE {
                return Err(BadReply::Value { what, value: side.into() });
            }
        }
        let tile = |raw: &TileLayout| TileMetadata {
            rows: raw.row_count,
            first_row: raw.row_start,
            dma_channels: raw.dma_channel_count,
            locks: raw.lock_count,
            events: raw.event_reg_count,
        };
        Ok(Self {
            column_bytes: raw.col_size,
            columns: raw.cols,
            rows: raw.rows,
            version: raw.version.into(),
            core: tile(&raw.core),
            mem: tile(&raw.mem),
            shim: tile(&raw.shim),
        })
    }
}

/// Version of the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AieVersion {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct AieVersionLayout {
    major: u32,
    minor: u32,
}

pin!(AieVersionLayout: 8 { major 0, minor 4 });

impl From<AieVersionLayout> for AieVersion {
    fn from(raw: AieVersionLayout) -> Self {
        Self { major: raw.major, minor: raw.minor }
    }
}

impl AieVersion {
    /// Reads AIE_VERSION.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        layout::<AieVersionLayout>(bytes, "AIE_VERSION").map(Self::from)
    }
}

/// Version of the firmware, as AMD numbers its releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    /// First number.
    pub major: u32,
    /// Second.
    pub minor: u32,
    /// Third.
    pub patch: u32,
    /// Fourth.
    pub build: u32,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct FirmwareVersionLayout {
    major: u32,
    minor: u32,
    patch: u32,
    build: u32,
}

pin!(FirmwareVersionLayout: 16 { major 0, minor 4, patch 8, build 12 });

impl FirmwareVersion {
    /// Reads FIRMWARE_VERSION.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        let raw: FirmwareVersionLayout = layout(bytes, "FIRMWARE_VERSION")?;
        Ok(Self { major: raw.major, minor: raw.minor, patch: raw.patch, build: raw.build })
    }
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.major, self.minor, self.patch, self.build)
    }
}

/// A clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Its name.
    pub name: String,
    /// Its frequency in MHz.
    pub mhz: u32,
}

/// The NPU's clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// Of the firmware's processor.
    pub mp_npu: Clock,
    /// Of the array.
    pub h: Clock,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ClockLayout {
    name: [u8; 16],
    freq_mhz: u32,
    pad: u32,
}

pin!(ClockLayout: 24 { name 0, freq_mhz 16, pad 20 });

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ClocksLayout {
    mp_npu_clock: ClockLayout,
    h_clock: ClockLayout,
}

pin!(ClocksLayout: 48 { mp_npu_clock 0, h_clock 24 });

impl Clocks {
    /// Reads CLOCK_METADATA.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        let raw: ClocksLayout = layout(bytes, "CLOCK_METADATA")?;
        let clock = |raw: ClockLayout| Clock { name: text(&raw.name), mhz: raw.freq_mhz };
        Ok(Self { mp_npu: clock(raw.mp_npu_clock), h: clock(raw.h_clock) })
    }
}

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SensorKind {
    /// Power.
    Power,
    /// Share of time a column is busy.
    ColumnUtilization,
    /// Temperature.
    Temperature,
    /// A kind newer than this crate.
    Other(u8),
}

/// A reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// Its name.
    pub label: String,
    /// What it measures.
    pub kind: SensorKind,
    /// The reading, to be multiplied by 10 to the power of `exponent`.
    pub input: u32,
    /// Power of ten.
    pub exponent: i8,
    /// Unit of the product.
    pub unit: String,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct SensorLayout {
    label: [u8; 64],
    input: u32,
    max: u32,
    average: u32,
    highest: u32,
    status: [u8; 64],
    units: [u8; 16],
    unitm: i8,
    kind: u8,
    pad: [u8; 6],
}

pin!(SensorLayout: 168 {
    label 0, input 64, max 68, average 72, highest 76, status 80, units 144, unitm 160, kind 161, pad 162,
});

impl Sensor {
    /// The reading in its unit.
    pub fn value(&self) -> f64 {
        f64::from(self.input) * 10f64.powi(self.exponent.into())
    }

    /// Reads SENSORS: as many as have a label. A driver's word on how many it wrote is not used, as its meaning has changed.
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>, BadReply> {
        let filled = bytes.chunks_exact(size_of::<SensorLayout>()).take_while(|element| element[0] != 0);
        filled
            .map(|element| {
                let raw: SensorLayout = layout(element, "SENSORS")?;
                let kind = match raw.kind {
                    0 => SensorKind::Power,
                    1 => SensorKind::ColumnUtilization,
                    2 => SensorKind::Temperature,
                    other => SensorKind::Other(other),
                };
                Ok(Self {
                    label: text(&raw.label),
                    kind,
                    input: raw.input,
                    exponent: raw.unitm,
                    unit: text(&raw.units),
                })
            })
            .collect()
    }
}

/// A hardware context of any process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextInfo {
    /// Its handle in its process.
    pub context: u32,
    /// First column of its partition.
    pub first_column: u32,
    /// Columns of its partition.
    pub columns: u32,
    /// Process that made it.
    pub pid: i64,
    /// Commands submitted.
    pub submissions: u64,
    /// Commands completed.
    pub completions: u64,
    /// Moves to another partition.
    pub migrations: u64,
    /// Preemptions by another context.
    pub preemptions: u64,
    /// Errors.
    pub errors: u64,
    /// What only newer drivers tell.
    pub details: Option<ContextDetails>,
}

/// What GET_ARRAY tells of a context beyond GET_INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextDetails {
    /// The firmware's number of the context.
    pub firmware_context: u32,
    /// Bytes of device memory its process uses.
    pub heap_bytes: u64,
    /// Suspensions.
    pub suspensions: u64,
    /// Whether commands are pending.
    pub active: bool,
    /// Name of the process; empty where the driver does not tell.
    pub process: String,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ContextLayout {
    context_id: u32,
    start_col: u32,
    num_col: u32,
    /// Padding in GET_INFO.
    hwctx_id: u32,
    pid: i64,
    submissions: u64,
    completions: u64,
    migrations: u64,
    preemptions: u64,
    errors: u64,
}

pin!(ContextLayout: 64 {
    context_id 0, start_col 4, num_col 8, hwctx_id 12, pid 16, submissions 24, completions 32, migrations 40, preemptions 48, errors 56,
});

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ContextDetailsLayout {
    priority: u64,
    heap_usage: u64,
    suspensions: u64,
    state: u32,
    pasid: u32,
    gops: u32,
    fps: u32,
    dma_bandwidth: u32,
    latency: u32,
    frame_exec_time: u32,
    txn_op_idx: u32,
    ctx_pc: u32,
    fatal_error_type: u32,
    exception_type: u32,
    exception_pc: u32,
    app_module: u32,
    pad: u32,
}

pin!(ContextDetailsLayout: 80 {
    priority 0, heap_usage 8, suspensions 16, state 24, pasid 28, gops 32, fps 36, dma_bandwidth 40, latency 44, frame_exec_time 48,
    txn_op_idx 52, ctx_pc 56, fatal_error_type 60, exception_type 64, exception_pc 68, app_module 72, pad 76,
});

/// Bytes of an element of HW_CONTEXT_ALL as this crate knows it.
pub(crate) const CONTEXT_ENTRY_BYTES: usize = 160;

impl ContextInfo {
    fn of(raw: &ContextLayout, details: Option<ContextDetails>) -> Self {
        Self {
            context: raw.context_id,
            first_column: raw.start_col,
            columns: raw.num_col,
            pid: raw.pid,
            submissions: raw.submissions,
            completions: raw.completions,
            migrations: raw.migrations,
            preemptions: raw.preemptions,
            errors: raw.errors,
            details,
        }
    }

    /// Reads HW_CONTEXTS of GET_INFO: elements up to the first without a process.
    pub fn read_all(bytes: &[u8]) -> Result<Vec<Self>, BadReply> {
        let mut contexts = Vec::new();
        for element in bytes.chunks_exact(size_of::<ContextLayout>()) {
            let raw: ContextLayout = layout(element, "HW_CONTEXTS")?;
            if raw.pid == 0 {
                break;
            }
            contexts.push(Self::of(&raw, None));
        }
        Ok(contexts)
    }

    /// Reads `elements` elements of `element_bytes` of HW_CONTEXT_ALL, which may be shorter or longer than this crate knows them.
    pub fn read_entries(bytes: &[u8], element_bytes: usize, elements: usize) -> Result<Vec<Self>, BadReply> {
        let what = "HW_CONTEXT_ALL";
        let all = element_bytes.checked_mul(elements).and_then(|all| bytes.get(..all));
        let short = |bytes: usize, needed: usize| BadReply::Short { what, bytes: bytes as u64, needed: needed as u64 };
        let all = all.ok_or_else(|| short(bytes.len(), element_bytes.saturating_mul(elements)))?;
        if elements == 0 {
            return Ok(Vec::new());
        }
        if element_bytes < size_of::<ContextLayout>() {
            return Err(short(element_bytes, size_of::<ContextLayout>()));
        }
        all.chunks_exact(element_bytes)
            .map(|element| {
                let raw: ContextLayout = layout(element, what)?;
                let rest = &element[size_of::<ContextLayout>()..];
                let details = ContextDetailsLayout::read_from_prefix(rest).ok().map(|(more, name)| ContextDetails {
                    firmware_context: raw.hwctx_id,
                    heap_bytes: more.heap_usage,
                    suspensions: more.suspensions,
                    active: more.state != 0,
                    process: text(&name[..name.len().min(16)]),
                });
                Ok(Self::of(&raw, details))
            })
            .collect()
    }
}

/// What the device can do and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceInfo {
    /// Highest array clock in MHz.
    pub clock_max_mhz: u64,
    /// Highest rate in tera-operations per second.
    pub tops_max: u64,
    /// Most contexts.
    pub contexts_max: u64,
    /// Rate at the present clock.
    pub tops: u64,
    /// Contexts at present.
    pub contexts: u64,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct ResourceInfoLayout {
    npu_clk_max: u64,
    npu_tops_max: u64,
    npu_task_max: u64,
    npu_tops_curr: u64,
    npu_task_curr: u64,
}

pin!(ResourceInfoLayout: 40 { npu_clk_max 0, npu_tops_max 8, npu_task_max 16, npu_tops_curr 24, npu_task_curr 32 });

impl ResourceInfo {
    /// Reads RESOURCE_INFO.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        let raw: ResourceInfoLayout = layout(bytes, "RESOURCE_INFO")?;
        Ok(Self {
            clock_max_mhz: raw.npu_clk_max,
            tops_max: raw.npu_tops_max,
            contexts_max: raw.npu_task_max,
            tops: raw.npu_tops_curr,
            contexts: raw.npu_task_curr,
        })
    }
}

/// How the clocks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PowerMode {
    /// By the wishes of the contexts.
    Default = 0,
    /// Lowest.
    Low = 1,
    /// Middle.
    Medium = 2,
    /// Highest.
    High = 3,
    /// Highest, without clock gating.
    Turbo = 4,
}

impl PowerMode {
    /// Every mode.
    pub const ALL: [PowerMode; 5] =
        [PowerMode::Default, PowerMode::Low, PowerMode::Medium, PowerMode::High, PowerMode::Turbo];

    /// Bytes of the structure.
    pub(crate) const BYTES: usize = 8;

    /// Reads POWER_MODE.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        let mode: [u8; Self::BYTES] = layout(bytes, "POWER_MODE")?;
        let found = Self::ALL.into_iter().find(|&known| known as u8 == mode[0]);
        found.ok_or(BadReply::Value { what: "power mode", value: mode[0].into() })
    }
}

/// What an AIE error was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsyncErrorKind {
    /// 3: saturation.
    Saturation,
    /// 4: floating point.
    FloatingPoint,
    /// 5: streams, parity or control packets.
    Stream,
    /// 6: an address or memory that does not exist.
    Access,
    /// 7: the bus.
    Bus,
    /// 8: an instruction.
    Instruction,
    /// 9: two bits wrong in a memory.
    Ecc,
    /// 10: a lock.
    Lock,
    /// 11: a DMA channel.
    Dma,
    /// 12: parity of a memory.
    MemoryParity,
    /// Any other number.
    Other(u16),
}

/// Where an AIE error was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsyncErrorModule {
    /// 3: a core.
    Core,
    /// 4: a memory module or memory tile.
    Memory,
    /// 5: an interface tile.
    Shim,
    /// Any other number.
    Other(u8),
}

/// The last error the array reported on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsyncError {
    /// What.
    pub kind: AsyncErrorKind,
    /// In which part of the tile.
    pub module: AsyncErrorModule,
    /// Row of the tile.
    pub row: u8,
    /// Column of the tile.
    pub column: u8,
    /// Microseconds of the kernel's clock.
    pub timestamp_us: u64,
    /// The driver's code.
    pub code: u64,
}

#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct AsyncErrorLayout {
    err_code: u64,
    ts_us: u64,
    ex_err_code: u64,
}

pin!(AsyncErrorLayout: 24 { err_code 0, ts_us 8, ex_err_code 16 });

impl AsyncError {
    /// Reads HW_LAST_ASYNC_ERR; `None` if there has been no error.
    // SOURCE: AMDXDNA_ERR_NUM_MASK and following in drivers/accel/amdxdna/amdxdna_error.h
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, BadReply> {
        let raw: AsyncErrorLayout = layout(bytes, "HW_LAST_ASYNC_ERR")?;
        if raw.err_code == 0 {
            return Ok(None);
        }
        let [number_low, number_high, _driver, _severity, module, ..] = raw.err_code.to_le_bytes();
        let kind = match u16::from_le_bytes([number_low, number_high]) {
            3 => AsyncErrorKind::Saturation,
            4 => AsyncErrorKind::FloatingPoint,
            5 => AsyncErrorKind::Stream,
            6 => AsyncErrorKind::Access,
            7 => AsyncErrorKind::Bus,
            8 => AsyncErrorKind::Instruction,
            9 => AsyncErrorKind::Ecc,
            10 => AsyncErrorKind::Lock,
            11 => AsyncErrorKind::Dma,
            12 => AsyncErrorKind::MemoryParity,
            other => AsyncErrorKind::Other(other),
        };
        let module = match module {
            3 => AsyncErrorModule::Core,
            4 => AsyncErrorModule::Memory,
            5 => AsyncErrorModule::Shim,
            other => AsyncErrorModule::Other(other),
        };
        let [column, row, ..] = raw.ex_err_code.to_le_bytes();
        Ok(Some(Self { kind, module, row, column, timestamp_us: raw.ts_us, code: raw.err_code }))
    }
}

/// The state of tiles, in the firmware's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AieStatus {
    /// Bit per column that is in `bytes`.
    pub columns: u32,
    /// [`AieMetadata::column_bytes`] per column.
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn phoenix_describes_itself() {
        let mut bytes = Vec::new();
        bytes.extend(816u32.to_le_bytes());
        bytes.extend([5u16, 6].map(u16::to_le_bytes).concat());
        bytes.extend([1u32, 1].map(u32::to_le_bytes).concat());
        bytes.extend([4u16, 2, 2, 16, 12, 0, 0, 0].map(u16::to_le_bytes).concat());
        bytes.extend([1u16, 1, 6, 64, 12, 0, 0, 0].map(u16::to_le_bytes).concat());
        bytes.extend([1u16, 0, 2, 16, 12, 0, 0, 0].map(u16::to_le_bytes).concat());
        let read = AieMetadata::read(&bytes).expect("64 bytes");
        assert_eq!((read.columns, read.rows, read.column_bytes), (5, 6, 816));
        assert_eq!((read.core.rows, read.core.first_row, read.mem.locks, read.shim.dma_channels), (4, 2, 64, 2));
        let short = BadReply::Short { what: "AIE_METADATA", bytes: 63, needed: 64 };
        assert_eq!(AieMetadata::read(&bytes[..63]), Err(short));
        bytes[4] = 0;
        assert_eq!(AieMetadata::read(&bytes), Err(BadReply::Value { what: "columns", value: 0 }));
    }

    #[test]
    fn an_async_error_names_tile_and_kind() {
        // SOURCE: what a driver answered after event 65 of the core in row 2, column 1
        let bytes = [0x203_0304_0006u64, 12, 0x201].map(u64::to_le_bytes).concat();
        let error = AsyncError::read(&bytes).expect("24 bytes").expect("an error");
        assert_eq!((error.kind, error.module), (AsyncErrorKind::Access, AsyncErrorModule::Core));
        assert_eq!((error.row, error.column, error.timestamp_us), (2, 1, 12));
        assert_eq!(AsyncError::read(&[0; 24]), Ok(None));
    }

    #[test]
    fn contexts_of_old_and_new_drivers() {
        let mut entry = vec![0; 160];
        entry[0] = 3;
        entry[4] = 1;
        entry[8] = 4;
        entry[16..24].copy_from_slice(&77i64.to_le_bytes());
        entry[88] = 1;
        entry[144..149].copy_from_slice(b"bennu");
        let old = ContextInfo::read_all(&entry[..64]).expect("one context");
        assert_eq!((old.len(), old[0].pid, old[0].columns, &old[0].details), (1, 77, 4, &None));
        let named = ContextInfo::read_entries(&entry, 160, 1).expect("one context");
        let details = named[0].details.as_ref().expect("details");
        assert_eq!((details.process.as_str(), details.active), ("bennu", true));
        let nameless = ContextInfo::read_entries(&entry[..144], 144, 1).expect("one context");
        assert_eq!(nameless[0].details.as_ref().expect("details").process, "");
        assert!(ContextInfo::read_entries(&entry, 160, 2).is_err());
        assert!(ContextInfo::read_entries(&entry, 8, 1).is_err());
        assert_eq!(ContextInfo::read_entries(&entry, 0, 0), Ok(vec![]));
    }

    #[test]
    fn a_sensor_has_a_unit() {
        let mut bytes = vec![0; 2 * 168];
        bytes[..11].copy_from_slice(b"Total Power");
        bytes[64..68].copy_from_slice(&1500u32.to_le_bytes());
        bytes[144] = b'W';
        bytes[160] = (-3i8) as u8;
        let sensors = Sensor::read_all(&bytes).expect("sensors");
        assert_eq!(sensors.len(), 1);
        assert!((sensors[0].value() - 1.5).abs() < 1e-9, "{}", sensors[0].value());
        assert_eq!(sensors[0].unit, "W");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700), size in 0usize..300, count in 0usize..9) {
            let _ = AieMetadata::read(&bytes);
            let _ = AieVersion::read(&bytes);
            let _ = FirmwareVersion::read(&bytes).map(|v| v.to_string());
            let _ = Clocks::read(&bytes);
            let _ = Sensor::read_all(&bytes).map(|all| all.iter().map(Sensor::value).sum::<f64>());
            let _ = ContextInfo::read_all(&bytes);
            let _ = ContextInfo::read_entries(&bytes, size, count);
            let _ = ContextInfo::read_entries(&bytes, usize::MAX, count);
            let _ = ResourceInfo::read(&bytes);
            let _ = PowerMode::read(&bytes);
            let _ = AsyncError::read(&bytes);
            let _ = crate::ert::Health::of_payload(&bytes);
        }
    }
}
