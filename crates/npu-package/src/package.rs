//! Kernel packages: writing and reading.

use std::path::{Path, PathBuf};

use crate::directory::{self, FileTable, NewDirectory};
use crate::error::{PackageError, PackageKind, PartFault};
use crate::manifest::{Context, Files, Kernel, Layer, Manifest, PART_ALIGN};

/// The file that describes a package.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Writes a package. It appears at its place when [`PackageWriter::finish`] succeeds, and not before.
#[derive(Debug)]
pub struct PackageWriter {
    directory: NewDirectory,
    files: FileTable,
}

impl PackageWriter {
    /// Begins a package at `output`. An existing package there is refused unless `force`, which replaces it;
    /// anything else that exists there is always refused.
    pub fn create(output: impl AsRef<Path>, force: bool) -> Result<Self, PackageError> {
        let directory = NewDirectory::create(output.as_ref(), force, PackageKind::Kernels, MANIFEST_FILE)?;
        Ok(Self { directory, files: FileTable::new() })
    }

    /// The directory that becomes the package, for programs that read its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a file.
    pub fn add_file(&mut self, name: &str, contents: &[u8]) -> Result<(), PackageError> {
        directory::check_name(name)?;
        if name == MANIFEST_FILE || self.files.contains_key(name) {
            return Err(PackageError::DuplicateFile { name: name.to_owned() });
        }
        let entry = self.directory.write_file(name, contents)?;
        self.files.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Writes the manifest, with format version and digests filled in, and moves the package to its place.
    /// Returns the manifest as written.
    pub fn finish(self, mut manifest: Manifest) -> Result<Manifest, PackageError> {
        manifest.format_version = crate::FORMAT_VERSION;
        manifest.digests = self.files;
        check_kernels(&manifest)?;
        self.directory.write_file(MANIFEST_FILE, &manifest.text())?;
        self.directory.finish()?;
        Ok(manifest)
    }
}

/// A package, opened.
#[derive(Debug, Clone)]
pub struct Package {
    path: PathBuf,
    manifest: Manifest,
}

impl Package {
    /// Opens a package: reads its manifest and checks that every listed file is there with its size.
    /// Contents are checked by [`Package::read_file`] and [`Package::verify`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PackageError> {
        let path = path.as_ref().to_owned();
        let manifest: Manifest =
            directory::read_description(&path, PackageKind::Kernels, MANIFEST_FILE, crate::FORMAT_VERSION)?;
        for (name, entry) in &manifest.digests {
            directory::locate(&path, name, entry)?;
        }
        check_kernels(&manifest)?;
        Ok(Self { path, manifest })
    }

    /// Where the package lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The kernel of a name and sequence length.
    pub fn kernel(&self, kernel: &str, seq: usize) -> Result<&Kernel, PackageError> {
        let kernels = &self.manifest.kernels;
        kernels.iter().find(|candidate| candidate.kernel == kernel && candidate.seq == seq).ok_or_else(|| {
            let available = kernels.iter().map(|candidate| (candidate.kernel.clone(), candidate.seq)).collect();
            PackageError::NoKernel { kernel: kernel.to_owned(), seq, available }
        })
    }

    /// The kernel of a name and sequence length for a kind of layer and so many positions before the new ones.
    pub fn kernel_at(
        &self,
        kernel: &str,
        seq: usize,
        layer: Layer,
        history: usize,
    ) -> Result<(&Kernel, Context), PackageError> {
        let first = self.kernel(kernel, seq)?;
        let same = |candidate: &&Kernel| candidate.kernel == first.kernel && candidate.seq == seq;
        let places = || self.manifest.kernels.iter().filter(same).filter_map(|kernel| Some((kernel, kernel.context?)));
        places().find(|(_, at)| (at.layer, at.history) == (layer, history)).ok_or_else(|| {
            let available = places().map(|(_, at)| at).collect();
            PackageError::NoContext { kernel: kernel.to_owned(), seq, layer, history, available }
        })
    }

    /// Contents of a listed file, checked against its digest.
    pub fn read_file(&self, name: &str) -> Result<Vec<u8>, PackageError> {
        let missing = || PackageError::MissingFile { package: self.path.clone(), name: name.to_owned() };
        let entry = self.manifest.digests.get(name).ok_or_else(missing)?;
        directory::read_verified(&self.path, name, entry)
    }

    /// Checks the digest of every file, and that the files of every kernel are what they are listed as.
    pub fn verify(&self) -> Result<(), PackageError> {
        for (name, entry) in &self.manifest.digests {
            directory::verify(&self.path, name, entry)?;
        }
        self.manifest.kernels.iter().try_for_each(|kernel| self.verify_kernel(kernel))
    }

    fn verify_kernel(&self, kernel: &Kernel) -> Result<(), PackageError> {
        let name = |name: &String| name.clone();
        let Files { pdi, xclbin, txn } = &kernel.files;

        let pdi_bytes = self.read_file(pdi)?;
        npu_container::pdi::read(&pdi_bytes).map_err(|source| PackageError::Pdi { name: name(pdi), source })?;

        let txn_bytes = self.read_file(txn)?;
        npu_container::txn::read(&txn_bytes).map_err(|source| PackageError::Txn { name: name(txn), source })?;
        if txn_bytes.len() != 4 * kernel.instruction_words {
            return Err(PackageError::InstructionWords {
                name: name(txn),
                found_bytes: txn_bytes.len(),
                listed_words: kernel.instruction_words,
            });
        }

        let container = npu_container::xclbin::read(&self.read_file(xclbin)?)
            .map_err(|source| PackageError::Xclbin { name: name(xclbin), source })?;
        if !container.partition.pdis.iter().any(|image| image.image == pdi_bytes) {
            return Err(PackageError::XclbinPdi { name: name(xclbin), pdi: name(pdi) });
        }
        for operand in kernel.operands() {
            let Some(file) = operand.file else { continue };
            let (found, bytes) = (self.read_file(file)?.len() as u64, operand.bytes);
            if found != bytes {
                return Err(PackageError::ArgumentFile { name: file.to_owned(), found, bytes });
            }
        }
        Ok(())
    }
}

impl Manifest {
    /// Parses the text of a manifest and checks all that needs no file of the package; `path` names it in errors.
    pub fn parse(path: &Path, contents: &[u8]) -> Result<Self, PackageError> {
        let manifest: Self = directory::parse_description(path, contents, crate::FORMAT_VERSION)?;
        manifest.digests.keys().try_for_each(|name| directory::check_name(name))?;
        check_kernels(&manifest)?;
        Ok(manifest)
    }

    /// The text of `manifest.json`.
    pub fn text(&self) -> Vec<u8> {
        directory::description_text(self)
    }
}

fn check_kernels(manifest: &Manifest) -> Result<(), PackageError> {
    for (index, kernel) in manifest.kernels.iter().enumerate() {
        let place = |kernel: &Kernel| kernel.context.map(|context| (context.layer, context.history));
        let same =
            |other: &Kernel| other.kernel == kernel.kernel && other.seq == kernel.seq && place(other) == place(kernel);
        if manifest.kernels[..index].iter().any(same) {
            return Err(PackageError::DuplicateKernel { kernel: kernel.kernel.clone(), seq: kernel.seq });
        }
        if let Some((position, argument)) = kernel.args.iter().enumerate().find(|(at, argument)| argument.index != *at)
        {
            let (kernel, index) = (kernel.kernel.clone(), argument.index);
            return Err(PackageError::ArgumentIndex { kernel, position, index });
        }
        check_parts(kernel)?;
        for name in kernel.file_names() {
            if !manifest.digests.contains_key(name) {
                return Err(PackageError::UnlistedFile { kernel: kernel.kernel.clone(), name: name.to_owned() });
            }
        }
    }
    Ok(())
}

/// Parts of buffers in order, apart and inside; names of operands once.
fn check_parts(kernel: &Kernel) -> Result<(), PackageError> {
    for argument in &kernel.args {
        let mut end = 0;
        for part in &argument.parts {
            let &crate::Part { offset, bytes, .. } = part;
            let buffers = kernel.args.iter().map(|argument| &argument.name);
            let parts = kernel.args.iter().flat_map(|argument| &argument.parts).map(|part| &part.name);
            let fault = if argument.file.is_some() {
                Some(PartFault::File)
            } else if buffers.chain(parts).filter(|name| **name == part.name).count() > 1 {
                Some(PartFault::Name)
            } else if !offset.is_multiple_of(PART_ALIGN) {
                Some(PartFault::Unaligned { offset })
            } else if offset < end {
                Some(PartFault::Overlap { offset, end })
            } else {
                let inside = offset.checked_add(bytes).is_some_and(|end| end <= argument.bytes);
                (!inside).then_some(PartFault::Outside { offset, bytes, buffer: argument.bytes })
            };
            if let Some(fault) = fault {
                let (kernel, argument, part) = (kernel.kernel.clone(), argument.name.clone(), part.name.clone());
                return Err(PackageError::Part { kernel, argument, part, fault });
            }
            end = offset + bytes;
        }
    }
    Ok(())
}
