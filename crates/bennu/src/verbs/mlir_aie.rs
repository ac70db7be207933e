//! Kernels as modules of MLIR-AIE, and what its compiler makes of them.
//!
//! ```text
//! KERNEL.mlir, KERNEL.N.core.elf          beside the kernel's other files, with `--emit mlir`
//! KERNEL.mlir-aie.xclbin, ...insts.bin    by aiecc, with `--toolchain mlir-aie`
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use aie2_kernels::{Compiled, KernelError};
use clap::ValueEnum;
use gemma::{Refusal, ToolchainMissing};
use npu_container::{elf, txn, xclbin};
use npu_package::{Manifest, PackageError, PackageWriter, Program};
use serde_json::{Value, json};

use super::compile::{INSTANCE, Sink, kernel, package};
use crate::failure::Failure;
use crate::npu;

/// What `compile` writes beside the package's own files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Emit {
    /// A module of MLIR-AIE for each kernel, and its programs as ELF
    Mlir,
}

/// Another compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Toolchain {
    /// aiecc of MLIR-AIE, which compiles the emitted modules
    MlirAie,
}

/// A package being written, with its modules if they are wanted.
pub(super) struct Output {
    writer: PackageWriter,
    emit: bool,
    aiecc: Option<PathBuf>,
    emitted: Vec<Emitted>,
    unsayable: Vec<Unsayable>,
}

/// A module.
#[derive(Debug, serde::Serialize)]
struct Emitted {
    module: String,
    /// What aiecc made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    aiecc: Option<Built>,
}

/// Files by aiecc.
#[derive(Debug, serde::Serialize)]
struct Built {
    xclbin: String,
    instructions: String,
    /// Its runtime stream has the operations of bennu's; another one is an error.
    same_stream: bool,
}

/// A kernel that the dialects cannot say, and why.
#[derive(Debug, serde::Serialize)]
struct Unsayable {
    kernel: String,
    reason: String,
}

/// What is to be told of modules.
#[derive(Debug, Default)]
pub(super) struct Modules {
    asked: bool,
    emitted: Vec<Emitted>,
    unsayable: Vec<Unsayable>,
}

/// aiecc did not do its part.
#[derive(Debug, thiserror::Error)]
enum AieccError {
    #[error("{} cannot be started", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("{} refused {module}: {status}{said}", program.display())]
    Exit { program: PathBuf, module: String, status: ExitStatus, said: String },
    #[error("{} ended well and did not write {file} for {module}", program.display())]
    Missing { program: PathBuf, module: String, file: String, source: io::Error },
    #[error("{} wrote no {what} for {module}", program.display())]
    Damaged { program: PathBuf, module: String, what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{} wrote another runtime stream for {module} than bennu's: {theirs} operations against {ours}, the first that differs is {first}", program.display())]
    OtherStream { program: PathBuf, module: String, theirs: usize, ours: usize, first: usize },
    #[error("cannot remove {}", path.display())]
    CleanUp { path: PathBuf, source: io::Error },
}

/// Lines of aiecc's that an error repeats.
const LINES: usize = 12;
/// Where aiecc works, below the package.
const WORK: &str = "aiecc.work";
/// What XRT calls the kernel's functional unit, as MLIR-AIE does.
// SOURCE: Xilinx/mlir-aie tools/aiecc/CommandLineOptions.h.
const KERNEL_ID: &str = "0x901";

impl Output {
    /// Begins a package. The toolchain is looked for before anything is written.
    pub(super) fn create(
        out: &Path,
        force: bool,
        emit: Option<Emit>,
        toolchain: Option<Toolchain>,
    ) -> Result<Self, Failure> {
        let aiecc = match toolchain {
            None => None,
            Some(Toolchain::MlirAie) => {
                let missing =
                    |evidence| Failure::of(&Refusal::MlirAieMissing { source: ToolchainMissing { evidence } });
                let found = npu_host::aiecc(&npu::host(), &npu::mlir_aie_places()).map_err(missing)?;
                // It is started in another directory.
                Some(
                    std::path::absolute(&found)
                        .map_err(|source| refused(AieccError::Start { program: found, source }))?,
                )
            }
        };
        let emit = match emit {
            Some(Emit::Mlir) => true,
            None => aiecc.is_some(),
        };
        let writer = PackageWriter::create(out, force).map_err(package)?;
        Ok(Output { writer, emit, aiecc, emitted: Vec::new(), unsayable: Vec::new() })
    }

    pub(super) fn finish(self, manifest: Manifest) -> Result<(Manifest, Modules), PackageError> {
        let modules = Modules { asked: self.emit, emitted: self.emitted, unsayable: self.unsayable };
        Ok((self.writer.finish(manifest)?, modules))
    }

    /// Has aiecc compile a module, and takes what it makes into the package.
    fn compile(&mut self, program: &Path, stem: &str, compiled: &Compiled) -> Result<Built, Failure> {
        let work = self.writer.directory().join(WORK);
        // On failure the package is given up, and its directory with it.
        let [container, stream] = run(program, self.writer.directory(), stem, compiled.kernel).map_err(refused)?;
        fs::remove_dir_all(&work).map_err(|source| refused(AieccError::CleanUp { path: work, source }))?;
        let damaged = |what, source| {
            refused(AieccError::Damaged { program: program.to_owned(), module: format!("{stem}.mlir"), what, source })
        };
        xclbin::read(&container).map_err(|error| damaged("xclbin", error.into()))?;
        let theirs = txn::read(&stream).map_err(|error| damaged("runtime stream", error.into()))?;
        let ours = txn::read(&compiled.txn).map_err(Failure::refused)?;
        if theirs.ops != ours.ops {
            let first = theirs.ops.iter().zip(&ours.ops).take_while(|(theirs, ours)| theirs == ours).count();
            return Err(refused(AieccError::OtherStream {
                program: program.to_owned(),
                module: format!("{stem}.mlir"),
                theirs: theirs.ops.len(),
                ours: ours.ops.len(),
                first,
            }));
        }
        let built = Built {
            xclbin: format!("{stem}.mlir-aie.xclbin"),
            instructions: format!("{stem}.mlir-aie.insts.bin"),
            same_stream: true,
        };
        self.add(&built.xclbin, &container).map_err(package)?;
        self.add(&built.instructions, &stream).map_err(package)?;
        Ok(built)
    }
}

impl Sink for Output {
    fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), PackageError> {
        self.writer.add_file(name, contents)
    }

    /// Writes the module of a kernel, if modules are wanted, and has it compiled.
    fn module(&mut self, stem: &str, compiled: &Compiled, programs: &[Program]) -> Result<(), Failure> {
        if !self.emit {
            return Ok(());
        }
        let file = |program: &Program| format!("{}.elf", program.file.trim_end_matches(".bin"));
        let of = |core: (u8, u8)| programs.iter().find(|program| program.tile == [core.0, core.1]).map(file);
        let text = match compiled.mlir(of) {
            Ok(text) => text,
            // A core without a file is no matter of the dialects.
            Err(KernelError::Mlir(error)) if !matches!(error, aie2_array::mlir::Error::NoElf { .. }) => {
                self.unsayable.push(Unsayable { kernel: stem.to_owned(), reason: error.to_string() });
                return Ok(());
            }
            Err(error) => return Err(kernel(error)),
        };
        let module = format!("{stem}.mlir");
        self.add(&module, text.as_bytes()).map_err(package)?;
        let mut written = Vec::new();
        for program in programs {
            let file = file(program);
            if !written.contains(&file) {
                let core = &compiled.cores[&(program.tile[0], program.tile[1])];
                self.add(&file, &elf::write(&core.bytes).map_err(Failure::refused)?).map_err(package)?;
                written.push(file);
            }
        }
        let aiecc = match self.aiecc.clone() {
            Some(program) => Some(self.compile(&program, stem, compiled)?),
            None => None,
        };
        self.emitted.push(Emitted { module, aiecc });
        Ok(())
    }
}

fn refused(error: AieccError) -> Failure {
    Failure::refused(error).with_remedy(
        "run aiecc by hand on what `bennu compile --emit mlir` writes, in that directory; bennu's own compiler does not need it",
    )
}

/// Runs aiecc in `directory` and returns the xclbin and the runtime stream that it wrote.
fn run(program: &Path, directory: &Path, stem: &str, kernel: &str) -> Result<[Vec<u8>; 2], AieccError> {
    let module = format!("{stem}.mlir");
    let names = [format!("{stem}.xclbin"), format!("{stem}.insts.bin")];
    let script = program.extension() == Some(OsStr::new("py"));
    let mut command = Command::new(if script { Path::new("python3") } else { program });
    if script {
        command.arg(program);
    }
    // SOURCE: Xilinx/mlir-aie tools/aiecc/CommandLineOptions.h. Names of ELF files are taken from the working directory.
    command.current_dir(directory).args(["--get-xclbin", "--get-npu-insts"]);
    command.arg(format!("--output-dir={WORK}")).arg(format!("--tmpdir={WORK}/prj"));
    command.arg(format!("--xclbin-name={}", names[0])).arg(format!("--npu-insts-name={}", names[1]));
    command.arg(format!("--xclbin-kernel-name={kernel}")).arg(format!("--xclbin-instance-name={INSTANCE}"));
    command.arg(format!("--xclbin-kernel-id={KERNEL_ID}")).arg(&module);
    let output = command.output().map_err(|source| AieccError::Start { program: program.to_owned(), source })?;
    if !output.status.success() {
        let said = last_lines(&output.stderr).or_else(|| last_lines(&output.stdout));
        let said = said.map_or_else(String::new, |lines| format!("; it said:\n{lines}"));
        return Err(AieccError::Exit { program: program.to_owned(), module, status: output.status, said });
    }
    let read = |name: &String| {
        fs::read(directory.join(WORK).join(name)).map_err(|source| AieccError::Missing {
            program: program.to_owned(),
            module: module.clone(),
            file: name.clone(),
            source,
        })
    };
    Ok([read(&names[0])?, read(&names[1])?])
}

fn last_lines(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"))
}

impl Modules {
    /// Adds what is to be told to a report, if modules were asked for.
    pub(super) fn tell(&self, report: &mut Value) {
        if self.asked {
            report["modules"] = json!(self.emitted);
            report["no_module"] = json!(self.unsayable);
        }
    }

    /// The same for people.
    pub(super) fn lines(&self) -> String {
        let mut text = String::new();
        for Emitted { module, aiecc } in &self.emitted {
            let built = aiecc.as_ref().map_or_else(String::new, |built| {
                format!("; by aiecc: {}, {}, the runtime stream is bennu's", built.xclbin, built.instructions)
            });
            text.push_str(&format!("\nmodule {module}{built}"));
        }
        for Unsayable { kernel, reason } in &self.unsayable {
            text.push_str(&format!("\nno module: {kernel}: {reason}"));
        }
        if text.is_empty() { text } else { text + "\n" }
    }
}
