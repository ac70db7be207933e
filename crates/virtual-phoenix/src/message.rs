//! Messages of npu1: operations, statuses, requests and the sizes of their answers.
//!
//! Sizes exclude the header; structures are packed. An answer has always the size the driver waits for, also when it reports
//! an error: another size closes the channel on the driver's side.
// SOURCE: amd/xdna-driver aie2_msg_priv.h, aie2_message.c.

use std::fmt;

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $answer:literal, $place:ident, $text:literal;)*) => {
        /// Operations the driver sends to npu1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Opcode {
            $($(#[$doc])* $name,)*
        }

        impl Opcode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The operation of a code.
            pub const fn of(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Code on the wire.
            pub const fn code(self) -> u32 {
                match self { $(Self::$name => $code,)* }
            }

            /// Bytes of its answer.
            pub const fn answer_bytes(self) -> usize {
                match self { $(Self::$name => $answer,)* }
            }

            /// Channel it comes by.
            pub const fn place(self) -> Place {
                match self { $(Self::$name => Place::$place,)* }
            }

            /// Its name in AMD's headers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

/// Channel an operation comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The management channel.
    Management,
    /// The channel of a context.
    Context,
}

opcodes! {
    /// A context on some columns.
    CreateContext = 0x02, 76, Management, "CREATE_CONTEXT";
    /// The end of a context.
    DestroyContext = 0x03, 4, Management, "DESTROY_CONTEXT";
    /// Telemetry into a buffer.
    GetTelemetry = 0x04, 16, Management, "GET_TELEMETRY";
    /// Copy between host and device memory.
    SyncBo = 0x07, 4, Context, "SYNC_BO";
    /// One register map.
    ExecuteBufferCf = 0x0c, 4, Context, "EXECUTE_BUFFER_CF";
    /// Status of columns into a buffer.
    QueryColStatus = 0x0d, 8, Management, "QUERY_COL_STATUS";
    /// Geometry of the array.
    QueryAieTileInfo = 0x0e, 48, Management, "QUERY_AIE_TILE_INFO";
    /// Version of the array.
    QueryAieVersion = 0x0f, 8, Management, "QUERY_AIE_VERSION";
    /// One instruction stream.
    ExecDpu = 0x10, 4, Context, "EXEC_DPU";
    /// PDIs of a context.
    ConfigCu = 0x11, 4, Context, "CONFIG_CU";
    /// A list of register maps.
    ChainExecBufferCf = 0x12, 12, Context, "CHAIN_EXEC_BUFFER_CF";
    /// A list of instruction streams.
    ChainExecDpu = 0x13, 12, Context, "CHAIN_EXEC_DPU";
    /// A debug buffer of a context.
    ConfigDebugBo = 0x14, 4, Context, "CONFIG_DEBUG_BO";
    /// A list of either (protocol 5.8).
    ChainExecNpu = 0x18, 12, Context, "CHAIN_EXEC_NPU";
    /// The firmware goes to sleep.
    Suspend = 0x101, 4, Management, "SUSPEND";
    /// The firmware wakes up.
    Resume = 0x102, 4, Management, "RESUME";
    /// Address space of the management channel.
    AssignMgmtPasid = 0x103, 4, Management, "ASSIGN_MGMT_PASID";
    /// The heap of a context.
    MapHostBuffer = 0x106, 4, Management, "MAP_HOST_BUFFER";
    /// Version of the firmware.
    GetFirmwareVersion = 0x108, 20, Management, "GET_FIRMWARE_VERSION";
    /// A setting.
    SetRuntimeConfig = 0x10a, 4, Management, "SET_RUNTIME_CONFIG";
    /// A setting's value.
    GetRuntimeConfig = 0x10b, 12, Management, "GET_RUNTIME_CONFIG";
    /// A buffer for errors to come; answered when one comes.
    RegisterAsyncEventMsg = 0x10c, 8, Management, "REGISTER_ASYNC_EVENT_MSG";
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Opcode {
    type Err = String;

    /// By name or by number (`0x18`).
    fn from_str(text: &str) -> Result<Self, String> {
        let by_name = Self::ALL.iter().copied().find(|op| op.name().eq_ignore_ascii_case(text));
        let by_code = || number(text).and_then(|code| u32::try_from(code).ok()).and_then(Self::of);
        by_name.or_else(by_code).ok_or_else(|| format!("{text:?} is no operation of npu1"))
    }
}

/// A number in decimal, or in hexadecimal after `0x`.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// Done.
    pub const SUCCESS: Self = Self(0);
    /// Stream switch error in the array.
    pub const AIE_STREAM: Self = Self(0x0100_0003);
    /// A core accessed what is not there.
    pub const AIE_ACCESS: Self = Self(0x0100_0004);
    /// Bus error in the array.
    pub const AIE_BUS: Self = Self(0x0100_0005);
    /// Instruction error in a core.
    pub const AIE_INSTRUCTION: Self = Self(0x0100_0006);
    /// Lock error in the array.
    pub const AIE_LOCK: Self = Self(0x0100_0008);
    /// DMA error in the array.
    pub const AIE_DMA: Self = Self(0x0100_0009);
    /// Management: no resource.
    pub const NOT_AVAILABLE: Self = Self(0x0200_0003);
    /// Management: bad parameter.
    pub const MANAGEMENT_PARAMETER: Self = Self(0x0200_0004);
    /// Management: buffer size.
    pub const BUFFER_SIZE: Self = Self(0x0200_0008);
    /// Application: first error; here, that the context had one before.
    pub const APPLICATION: Self = Self(0x0300_0001);
    /// Application: invalid instruction.
    pub const INVALID_INSTRUCTION: Self = Self(0x0300_0002);
    /// Application: the PDI cannot be loaded.
    pub const LOAD_PDI: Self = Self(0x0300_0003);
    /// Bad input buffer.
    pub const INPUT_BUFFER: Self = Self(0x0400_0001);
    /// Bad command.
    pub const COMMAND: Self = Self(0x0400_0002);
    /// Bad parameter.
    pub const PARAMETER: Self = Self(0x0400_0003);
    /// Bad operation.
    pub const OPERATION: Self = Self(0x0400_0006);
    /// No slot for another asynchronous event.
    pub const ASYNC_SLOTS: Self = Self(0x0400_0007);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Reads a packed structure from its begin.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub(crate) fn words(&mut self, count: usize) -> Option<Vec<u32>> {
        let (head, rest) = self.0.split_at_checked(4usize.checked_mul(count)?)?;
        self.0 = rest;
        Some(head.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    pub(crate) fn rest(&self) -> usize {
        self.0.len()
    }
}

/// Which list of slots a chain command brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainForm {
    /// 0x12: register maps.
    BufferCf,
    /// 0x13: instruction streams.
    Dpu,
    /// 0x18: either, by a type in the slot.
    Npu,
}

/// A request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// 0x02.
    CreateContext {
        /// Kind of array; 1.
        aie_type: u32,
        /// First column.
        start: u8,
        /// Columns.
        columns: u8,
        /// Queue pairs wanted; 1.
        pairs: u8,
        /// Address space; 0 = none.
        pasid: u16,
        /// Priority; 2 on npu1.
        priority: u32,
    },
    /// 0x03.
    DestroyContext {
        /// The context.
        context: u32,
    },
    /// 0x04.
    GetTelemetry {
        /// Kind of telemetry.
        kind: u32,
        /// Buffer address.
        buffer: u64,
        /// Buffer bytes.
        bytes: u32,
    },
    /// 0x07.
    SyncBo {
        /// From here.
        source: u64,
        /// To here.
        destination: u64,
        /// Bytes.
        bytes: u32,
        /// Kind of memory of the source (bits 3:0) and of the destination (bits 7:4).
        kinds: u32,
    },
    /// 0x0C.
    ExecuteBufferCf {
        /// Compute unit.
        cu: u32,
        /// The register map.
        words: Vec<u32>,
    },
    /// 0x0D.
    QueryColStatus {
        /// Buffer address.
        buffer: u64,
        /// Buffer bytes.
        bytes: u32,
        /// Columns in the bitmap.
        columns: u32,
        /// Which columns.
        bitmap: u32,
    },
    /// 0x0E.
    QueryAieTileInfo,
    /// 0x0F.
    QueryAieVersion,
    /// 0x10.
    ExecDpu {
        /// Device address of the stream.
        address: u64,
        /// Its bytes.
        bytes: u32,
        /// Properties; 0 on npu1.
        properties: u32,
        /// Compute unit.
        cu: u32,
        /// Arguments.
        words: Vec<u32>,
    },
    /// 0x11.
    ConfigCu {
        /// One word per compute unit: bits 16:0 PDI address >> 15, bits 24:17 functional id.
        units: Vec<u32>,
    },
    /// 0x12, 0x13, 0x18.
    Chain {
        /// Which of them.
        form: ChainForm,
        /// Flags; 0x18 only.
        flags: u32,
        /// Device address of the slots.
        address: u64,
        /// Their bytes.
        bytes: u32,
        /// Their number.
        count: u32,
    },
    /// 0x14.
    ConfigDebugBo {
        /// Offset in the heap.
        offset: u64,
        /// Bytes.
        bytes: u64,
        /// 1 register, 0 unregister.
        register: u32,
    },
    /// 0x101.
    Suspend,
    /// 0x102.
    Resume,
    /// 0x103.
    AssignMgmtPasid {
        /// Address space.
        pasid: u16,
    },
    /// 0x106.
    MapHostBuffer {
        /// The context.
        context: u32,
        /// Address of the heap.
        address: u64,
        /// Bytes.
        bytes: u64,
    },
    /// 0x108.
    GetFirmwareVersion,
    /// 0x10A.
    SetRuntimeConfig {
        /// Which setting.
        kind: u32,
        /// Its value.
        value: u64,
    },
    /// 0x10B.
    GetRuntimeConfig {
        /// Which setting.
        kind: u32,
    },
    /// 0x10C.
    RegisterAsyncEventMsg {
        /// Buffer address.
        buffer: u64,
        /// Buffer bytes.
        bytes: u32,
    },
}

impl fmt::Display for Request {
    /// Fields of interest as `name=value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateContext { aie_type, start, columns, pairs, pasid, priority } => write!(
                f,
                "type={aie_type} start={start} columns={columns} pairs={pairs} pasid={pasid} priority={priority}"
            ),
            Self::DestroyContext { context } => write!(f, "context={context}"),
            Self::GetTelemetry { kind, buffer, bytes } => write!(f, "kind={kind} buffer={buffer:#x} size={bytes}"),
            Self::SyncBo { source, destination, bytes, kinds } => {
                write!(f, "from={source:#x} to={destination:#x} size={bytes} kinds={kinds:#x}")
            }
            Self::ExecuteBufferCf { cu, words } => write!(f, "cu={cu} words={}", words.len()),
            Self::QueryColStatus { buffer, bytes, columns, bitmap } => {
                write!(f, "buffer={buffer:#x} size={bytes} columns={columns} bitmap={bitmap:#x}")
            }
            Self::ExecDpu { address, bytes, properties, cu, words } => {
                write!(f, "cu={cu} stream={address:#x} size={bytes} properties={properties} words={}", words.len())
            }
            Self::ConfigCu { units } => {
                write!(f, "count={}", units.len())?;
                units.iter().try_for_each(|unit| write!(f, " unit={unit:#x}"))
            }
            Self::Chain { form: _, flags, address, bytes, count } => {
                write!(f, "slots={address:#x} size={bytes} count={count} flags={flags:#x}")
            }
            Self::ConfigDebugBo { offset, bytes, register } => {
                write!(f, "offset={offset:#x} size={bytes} register={register}")
            }
            Self::AssignMgmtPasid { pasid } => write!(f, "pasid={pasid}"),
            Self::MapHostBuffer { context, address, bytes } => {
                write!(f, "context={context} address={address:#x} size={bytes:#x}")
            }
            Self::SetRuntimeConfig { kind, value } => write!(f, "kind={kind} value={value}"),
            Self::GetRuntimeConfig { kind } => write!(f, "kind={kind}"),
            Self::RegisterAsyncEventMsg { buffer, bytes } => write!(f, "buffer={buffer:#x} size={bytes}"),
            Self::QueryAieTileInfo
            | Self::QueryAieVersion
            | Self::Suspend
            | Self::Resume
            | Self::GetFirmwareVersion => Ok(()),
        }
    }
}

/// Compute units a context can have.
pub const MAX_UNITS: usize = 32;

impl Request {
    /// Reads the request of an operation; `None` if the payload has not its size.
    pub fn read(opcode: Opcode, payload: &[u8]) -> Option<Self> {
        let mut f = Fields::new(payload);
        let request = match opcode {
            Opcode::CreateContext => {
                let aie_type = f.u32()?;
                let [start, columns, _unused, _] = f.bytes()?;
                let [pairs, _] = f.bytes()?;
                let pasid = f.u16()?;
                // Two pad words and the security target.
                f.bytes::<12>()?;
                Self::CreateContext { aie_type, start, columns, pairs, pasid, priority: f.u32()? }
            }
            Opcode::DestroyContext => Self::DestroyContext { context: f.u32()? },
            Opcode::GetTelemetry => Self::GetTelemetry { kind: f.u32()?, buffer: f.u64()?, bytes: f.u32()? },
            Opcode::SyncBo => {
                Self::SyncBo { source: f.u64()?, destination: f.u64()?, bytes: f.u32()?, kinds: f.u32()? }
            }
            Opcode::ExecuteBufferCf => Self::ExecuteBufferCf { cu: f.u32()?, words: f.words(19)? },
            Opcode::QueryColStatus => {
                Self::QueryColStatus { buffer: f.u64()?, bytes: f.u32()?, columns: f.u32()?, bitmap: f.u32()? }
            }
            Opcode::QueryAieTileInfo => f.u32().map(|_| Self::QueryAieTileInfo)?,
            Opcode::QueryAieVersion => f.u32().map(|_| Self::QueryAieVersion)?,
            Opcode::ExecDpu => Self::ExecDpu {
                address: f.u64()?,
                bytes: f.u32()?,
                properties: f.u32()?,
                cu: f.u32()?,
                words: f.words(35)?,
            },
            Opcode::ConfigCu => {
                let count = f.u32()? as usize;
                let mut units = f.words(MAX_UNITS)?;
                if count > MAX_UNITS {
                    return None;
                }
                units.truncate(count);
                Self::ConfigCu { units }
            }
            Opcode::ChainExecBufferCf | Opcode::ChainExecDpu => {
                let form = if opcode == Opcode::ChainExecDpu { ChainForm::Dpu } else { ChainForm::BufferCf };
                let chain = Self::Chain { form, flags: 0, address: f.u64()?, bytes: f.u32()?, count: f.u32()? };
                // The driver sends the union of both forms, of which this one uses the first 16 bytes.
                if f.rest() == 8 {
                    f.bytes::<8>()?;
                }
                chain
            }
            Opcode::ChainExecNpu => {
                let flags = f.u32()?;
                f.u32()?;
                Self::Chain { form: ChainForm::Npu, flags, address: f.u64()?, bytes: f.u32()?, count: f.u32()? }
            }
            Opcode::ConfigDebugBo => Self::ConfigDebugBo { offset: f.u64()?, bytes: f.u64()?, register: f.u32()? },
            Opcode::Suspend => f.u32().map(|_| Self::Suspend)?,
            Opcode::Resume => f.u32().map(|_| Self::Resume)?,
            Opcode::AssignMgmtPasid => {
                let pasid = f.u16()?;
                f.u16().map(|_| Self::AssignMgmtPasid { pasid })?
            }
            Opcode::MapHostBuffer => Self::MapHostBuffer { context: f.u32()?, address: f.u64()?, bytes: f.u64()? },
            Opcode::GetFirmwareVersion => f.u32().map(|_| Self::GetFirmwareVersion)?,
            Opcode::SetRuntimeConfig => Self::SetRuntimeConfig { kind: f.u32()?, value: f.u64()? },
            Opcode::GetRuntimeConfig => Self::GetRuntimeConfig { kind: f.u32()? },
            Opcode::RegisterAsyncEventMsg => Self::RegisterAsyncEventMsg { buffer: f.u64()?, bytes: f.u32()? },
        };
        (f.rest() == 0).then_some(request)
    }
}

impl Opcode {
    /// Words of its answer that hold the status; the first is the answer's own.
    const fn status_words(self) -> &'static [usize] {
        match self {
            // Major, minor, size, status.
            Self::GetTelemetry => &[3],
            // Status, slot, status of the slot.
            Self::ChainExecBufferCf | Self::ChainExecDpu | Self::ChainExecNpu => &[0, 2],
            Self::CreateContext
            | Self::DestroyContext
            | Self::SyncBo
            | Self::ExecuteBufferCf
            | Self::QueryColStatus
            | Self::QueryAieTileInfo
            | Self::QueryAieVersion
            | Self::ExecDpu
            | Self::ConfigCu
            | Self::ConfigDebugBo
            | Self::Suspend
            | Self::Resume
            | Self::AssignMgmtPasid
            | Self::MapHostBuffer
            | Self::GetFirmwareVersion
            | Self::SetRuntimeConfig
            | Self::GetRuntimeConfig
            | Self::RegisterAsyncEventMsg => &[0],
        }
    }
}

/// An answer of an operation that carries nothing but a status; a chain fails in its first slot.
pub fn status_answer(opcode: Opcode, status: Status) -> Vec<u8> {
    let mut answer = vec![0; opcode.answer_bytes()];
    for word in opcode.status_words() {
        answer[4 * word..4 * word + 4].copy_from_slice(&status.0.to_le_bytes());
    }
    answer
}

/// The status an answer carries.
pub fn status_of(opcode: Opcode, answer: &[u8]) -> Option<Status> {
    Fields::new(answer.get(4 * opcode.status_words()[0]..)?).u32().map(Status)
}

/// A packed structure of words.
pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of every request, as the driver sends them.
    const REQUEST_BYTES: &[(u32, usize)] = &[
        (0x02, 28),
        (0x03, 4),
        (0x04, 16),
        (0x07, 24),
        (0x0c, 80),
        (0x0d, 20),
        (0x0e, 4),
        (0x0f, 4),
        (0x10, 160),
        (0x11, 132),
        (0x12, 24),
        (0x13, 24),
        (0x14, 20),
        (0x18, 24),
        (0x101, 4),
        (0x102, 4),
        (0x103, 4),
        (0x106, 20),
        (0x108, 4),
        (0x10a, 12),
        (0x10b, 4),
        (0x10c, 12),
    ];

    #[test]
    fn requests_have_the_sizes_of_the_driver() {
        assert_eq!(REQUEST_BYTES.len(), Opcode::ALL.len());
        for &(code, bytes) in REQUEST_BYTES {
            let opcode = Opcode::of(code).expect("an operation");
            assert_eq!(opcode.code(), code);
            assert!(Request::read(opcode, &vec![0; bytes]).is_some(), "{opcode} with {bytes} bytes");
            assert_eq!(Request::read(opcode, &vec![0; bytes - 4]), None, "{opcode} cut");
            assert_eq!(Request::read(opcode, &vec![0; bytes + 4]), None, "{opcode} with more");
            assert_eq!(opcode.name().parse(), Ok(opcode));
            assert_eq!(format!("{code:#x}").parse(), Ok(opcode));
        }
        assert!("0x99".parse::<Opcode>().is_err());
    }

    #[test]
    fn a_context_request_by_bytes() {
        let mut raw = [0u8; 28];
        raw[0] = 1;
        raw[4..8].copy_from_slice(&[1, 4, 0, 0]);
        raw[8] = 1;
        raw[10..12].copy_from_slice(&7u16.to_le_bytes());
        raw[24] = 2;
        let expected = Request::CreateContext { aie_type: 1, start: 1, columns: 4, pairs: 1, pasid: 7, priority: 2 };
        assert_eq!(Request::read(Opcode::CreateContext, &raw), Some(expected));
    }

    #[test]
    fn statuses_stand_where_the_driver_looks() {
        let answer = status_answer(Opcode::GetTelemetry, Status::COMMAND);
        assert_eq!(answer[12..], 0x0400_0002u32.to_le_bytes());
        assert_eq!(status_of(Opcode::GetTelemetry, &answer), Some(Status::COMMAND));
        assert_eq!(status_answer(Opcode::CreateContext, Status::COMMAND).len(), 76);
        for &opcode in Opcode::ALL {
            let answer = status_answer(opcode, Status::PARAMETER);
            assert_eq!(answer.len(), opcode.answer_bytes());
            assert_eq!(status_of(opcode, &answer), Some(Status::PARAMETER), "{opcode}");
        }
        assert_eq!(status_answer(Opcode::ChainExecDpu, Status::COMMAND), words(&[0x0400_0002, 0, 0x0400_0002]));
    }
}
