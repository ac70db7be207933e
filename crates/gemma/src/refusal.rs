//! Why inference is refused. The sentences are a stable interface: programs and people look for them, so each stands
//! verbatim at the head of its error, the true cause is the error's source, and [`Refusal::remedy`] says what helps.
//! `docs/errors.md` documents all of them; a test keeps page and enum together.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use npu_host::{Absence, NotReady, Unusable};
use npu_package::{PackageError, PackageKind};

use crate::check::is_attention;
use crate::error::Error;
use crate::names::{Prefix, Role};

macro_rules! sentences {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The head of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sentence { $($(#[$doc])* $name,)* }

        impl Sentence {
            /// Every sentence.
            pub const ALL: &[Sentence] = &[$(Sentence::$name),*];

            /// The words, with PATH and NAME where a refusal has its own.
            pub const fn text(self) -> &'static str {
                match self { $(Sentence::$name => $text,)* }
            }

            /// Name of the variant of [`Refusal`].
            pub const fn variant(self) -> &'static str {
                match self { $(Sentence::$name => stringify!($name),)* }
            }
        }
    };
}

sentences! {
    /// The MLIR-AIE toolchain was asked for and is not there.
    MlirAieMissing = "MLIR-AIE2 not available - real NPU execution required",
    /// A kernel that no package holds.
    KernelNotCompiled = "Real NPU kernel requires MLIR-AIE2 compilation to NPU binary",
    /// Every way to run a kernel was tried.
    ExecutionFailed = "All NPU kernel execution methods failed - no fallback allowed",
    /// The NPU cannot be used.
    HardwareRequired = "NO CPU FALLBACK ALLOWED - Real NPU hardware required",
    /// There is no Phoenix NPU.
    NotDetected = "NPU Phoenix not detected in hardware",
    /// A file of a package is not there.
    BinaryMissing = "NPU binary not found: PATH - compile kernels first",
    /// Memory does not suffice.
    MemoryExhausted = "HMA memory exhausted",
    /// A checkpoint without a tensor of attention.
    WeightMissing = "Missing attention weight: NAME",
}

/// A refusal of inference.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The MLIR-AIE toolchain was asked for by name; bennu itself never needs it.
    #[error("{}", self.sentence().text())]
    MlirAieMissing {
        /// Where it was looked for.
        source: ToolchainMissing,
    },
    /// A kernel is asked for that no package holds.
    #[error("{}", self.sentence().text())]
    KernelNotCompiled {
        /// The kernel, and those that are there.
        source: PackageError,
        /// How a package comes to hold it.
        advice: Box<CompileAdvice>,
    },
    /// Every way to hand a kernel to the NPU was tried and failed.
    #[error("{}", self.sentence().text())]
    ExecutionFailed {
        /// The ways, each with its error.
        source: Attempts,
    },
    /// The NPU cannot be used as it is.
    #[error("{}", self.sentence().text())]
    HardwareRequired {
        /// What stands in the way.
        source: HardwareCause,
    },
    /// There is no NPU of Phoenix or Hawk Point.
    #[error("{}", self.sentence().text())]
    NotDetected {
        /// What is there instead.
        source: Absence,
    },
    /// A package, or a file that it lists, is not there.
    #[error("{}", self.sentence().text().replace("PATH", &path.display().to_string()))]
    BinaryMissing {
        /// The package or file.
        path: PathBuf,
        /// How it is missed.
        source: BinaryCause,
    },
    /// What is needed does not fit, by plan or by the driver's answer.
    #[error("{}", self.sentence().text())]
    MemoryExhausted {
        /// The tier and its sizes.
        source: MemoryCause,
    },
    /// A checkpoint lacks a tensor of attention.
    #[error("{}", self.sentence().text().replace("NAME", name))]
    WeightMissing {
        /// Full name of the tensor.
        name: String,
        /// What implies it, and where it was looked for.
        source: Box<Error>,
    },
}

/// How a package comes to hold a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileAdvice {
    /// By these options of `bennu compile`, each with a space before it.
    Options(String),
    /// Not at all: what helps instead.
    Instead(String),
}

impl CompileAdvice {
    /// What the user can do about it; `more` are further options.
    pub fn remedy(&self, more: &str) -> String {
        match self {
            Self::Options(options) => {
                format!(
                    "run `bennu compile{options}{more}`; bennu's own compiler writes the NPU binary, MLIR-AIE is not needed"
                )
            }
            Self::Instead(words) => words.clone(),
        }
    }
}

/// The MLIR-AIE toolchain is nowhere it was looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{evidence}")]
pub struct ToolchainMissing {
    /// Where it was looked for.
    pub evidence: String,
}

/// The ways in which a kernel was handed to the NPU.
#[derive(Debug)]
pub struct Attempts {
    /// The kernel.
    pub kernel: String,
    /// Each way and what it met.
    pub tried: Vec<Attempt>,
}

/// One way to hand a kernel to the NPU, and its failure.
#[derive(Debug)]
pub struct Attempt {
    /// The way, e.g. `EXEC_CMD`.
    pub method: &'static str,
    /// What it met.
    pub error: Box<dyn StdError + Send + Sync>,
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}", self.kernel)?;
        for (at, Attempt { method, error }) in self.tried.iter().enumerate() {
            write!(f, "{} {method}: {error}", if at == 0 { ":" } else { ";" })?;
            let mut cause = error.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl StdError for Attempts {}

/// Why real hardware cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HardwareCause {
    /// There is none; the source is [`Refusal::NotDetected`].
    #[error(transparent)]
    NotDetected(Box<Refusal>),
    /// Checks of the machine fail.
    #[error("{0}")]
    Checks(Unusable),
    /// The driver refused an operation that the checks do not foresee.
    #[error("{doing}: {error}")]
    Driver {
        /// The operation, e.g. `open /dev/accel/accel0`.
        doing: String,
        /// Its answer.
        error: Box<dyn StdError + Send + Sync>,
    },
}

/// How a binary is missed.
#[derive(Debug, thiserror::Error)]
pub enum BinaryCause {
    /// The package does not hold together.
    #[error(transparent)]
    Package(Box<PackageError>),
    /// The file system says so.
    #[error(transparent)]
    Io(io::Error),
}

/// What memory runs out of.
#[derive(Debug, thiserror::Error)]
pub enum MemoryCause {
    /// The plan does not fit; nothing was allocated.
    #[error("{tier}: {needed} bytes needed for a context of {context} tokens, {available} available{}", largest(*largest_context))]
    Plan {
        /// The tier, e.g. `DDR`.
        tier: &'static str,
        /// Bytes the plan needs in it.
        needed: u64,
        /// Bytes it has.
        available: u64,
        /// Tokens asked for.
        context: usize,
        /// Most tokens that fit; none if not even one does.
        largest_context: Option<usize>,
    },
    /// Configurations and streams do not fit the device heap; nothing was allocated.
    #[error("device heap: {needed} bytes needed for {kernels} kernels, {available} available")]
    Heap {
        /// Bytes needed.
        needed: u64,
        /// Bytes of the heap.
        available: u64,
        /// Kernels of the package.
        kernels: usize,
    },
    /// The driver or the system refused an allocation that the plan took for possible.
    #[error("{what}, {bytes} bytes: {error}")]
    Allocation {
        /// What was to be allocated.
        what: String,
        /// Its size.
        bytes: u64,
        /// The answer.
        error: Box<dyn StdError + Send + Sync>,
    },
}

fn largest(context: Option<usize>) -> String {
    match context {
        Some(tokens) => format!("; the largest context that fits has {tokens} tokens"),
        None => "; no context fits".to_owned(),
    }
}

impl Refusal {
    /// The words it begins with.
    pub fn sentence(&self) -> Sentence {
        match self {
            Refusal::MlirAieMissing { .. } => Sentence::MlirAieMissing,
            Refusal::KernelNotCompiled { .. } => Sentence::KernelNotCompiled,
            Refusal::ExecutionFailed { .. } => Sentence::ExecutionFailed,
            Refusal::HardwareRequired { .. } => Sentence::HardwareRequired,
            Refusal::NotDetected { .. } => Sentence::NotDetected,
            Refusal::BinaryMissing { .. } => Sentence::BinaryMissing,
            Refusal::MemoryExhausted { .. } => Sentence::MemoryExhausted,
            Refusal::WeightMissing { .. } => Sentence::WeightMissing,
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Refusal::MlirAieMissing { .. } => {
                "bennu compiles its kernels itself: leave the request for MLIR-AIE away and run `bennu compile`, \
                 or install MLIR-AIE so that aiecc is on the PATH"
                    .to_owned()
            }
            Refusal::KernelNotCompiled { advice, .. } => advice.remedy(""),
            Refusal::ExecutionFailed { .. } => {
                "run `bennu doctor`; the kernel log (`dmesg | grep amdxdna`) has the firmware's status".to_owned()
            }
            Refusal::HardwareRequired { source } => match source {
                HardwareCause::NotDetected(refusal) => refusal.remedy(),
                HardwareCause::Checks(unusable) => unusable.remedy().to_owned(),
                HardwareCause::Driver { .. } => "run `bennu doctor` and follow its remedies".to_owned(),
            },
            Refusal::NotDetected { source } => source.remedy().to_owned(),
            Refusal::BinaryMissing { .. } => "run `bennu compile`, and give its output directory".to_owned(),
            Refusal::MemoryExhausted { source } => source.remedy(),
            Refusal::WeightMissing { .. } => {
                "use config.json and weights of the same checkpoint; run `bennu inspect` on it".to_owned()
            }
        }
    }

    /// A machine that is not ready: no device, or one that cannot be used. Both head the error, since both hold.
    pub fn not_ready(cause: NotReady) -> Self {
        let source = match cause {
            NotReady::Absent(source) => HardwareCause::NotDetected(Box::new(Refusal::NotDetected { source })),
            NotReady::Unusable(unusable) => HardwareCause::Checks(unusable),
        };
        Refusal::HardwareRequired { source }
    }

    /// A kernel package that lacks what is asked of it; other errors are given back.
    pub fn from_package(error: PackageError) -> Result<Self, PackageError> {
        let path = match &error {
            PackageError::NoKernel { seq, .. } => {
                let advice = CompileAdvice::Options(format!(" --seq {seq}"));
                return Ok(Refusal::KernelNotCompiled { source: error, advice: Box::new(advice) });
            }
            PackageError::NoContext { seq, history, .. } => {
                let advice = CompileAdvice::Options(format!(" --seq {seq} --history {history}"));
                return Ok(Refusal::KernelNotCompiled { source: error, advice: Box::new(advice) });
            }
            PackageError::NotAPackage { path, kind: PackageKind::Kernels, file } => path.join(file),
            PackageError::MissingFile { package, name } => package.join(name),
            _ => return Err(error),
        };
        Ok(Refusal::BinaryMissing { path, source: BinaryCause::Package(Box::new(error)) })
    }

    /// A binary that cannot be read; other errors than its absence are given back.
    pub fn from_binary(path: &Path, error: io::Error) -> Result<Self, io::Error> {
        match error.kind() {
            io::ErrorKind::NotFound => {
                Ok(Refusal::BinaryMissing { path: path.to_owned(), source: BinaryCause::Io(error) })
            }
            _ => Err(error),
        }
    }

    /// A checkpoint without a tensor of attention; other errors are given back.
    pub fn from_checkpoint(error: Error) -> Result<Self, Error> {
        match &error {
            Error::MissingTensor { tensor, .. } if is_attention_weight(tensor) => {
                let name = tensor.clone();
                Ok(Refusal::WeightMissing { name, source: Box::new(error) })
            }
            _ => Err(error),
        }
    }
}

impl MemoryCause {
    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            MemoryCause::Plan { largest_context: Some(tokens), .. } => {
                format!(
                    "ask for a context of at most {tokens} tokens, or free memory; `bennu plan` shows what lives where"
                )
            }
            MemoryCause::Plan { largest_context: None, .. } => {
                "this model does not fit this machine: add memory; `bennu plan` shows what lives where".to_owned()
            }
            MemoryCause::Heap { .. } => "compile for fewer sequence lengths: `bennu compile --seq 1,512`".to_owned(),
            MemoryCause::Allocation { .. } => {
                "free memory, raise the limit of locked memory (`bennu doctor` tells how), or ask for a smaller context"
                    .to_owned()
            }
        }
    }
}

/// Whether a tensor is a weight of attention, under whatever prefix.
fn is_attention_weight(tensor: &str) -> bool {
    Prefix::ALL.iter().any(|&prefix| matches!(Role::of(tensor, prefix), Role::Weight(module) if is_attention(module)))
}
