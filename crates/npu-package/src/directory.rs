//! Directories that appear whole or not at all, and the digests of their files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{PackageError, PackageKind};

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the contents, lowercase hexadecimal.
    pub sha256: String,
}

/// Files by name.
pub(crate) type FileTable = BTreeMap<String, FileEntry>;

/// A directory being written: a temporary sibling of the output that takes its place in the end. Dropped
/// unfinished, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    kind: PackageKind,
    describing_file: &'static str,
    output: PathBuf,
    temporary: PathBuf,
    force: bool,
    finished: bool,
}

impl NewDirectory {
    pub(crate) fn create(
        output: &Path,
        force: bool,
        kind: PackageKind,
        describing_file: &'static str,
    ) -> Result<Self, PackageError> {
        let name = output.file_name().ok_or_else(|| PackageError::OutputPath { path: output.to_owned() })?;
        check_output(output, force, kind, describing_file)?;
        if let Some(parent) = output.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|error| PackageError::io(parent, error))?;
        }
        let temporary = create_sibling(output, name)?;
        Ok(Self { kind, describing_file, output: output.to_owned(), temporary, force, finished: false })
    }

    /// Where it is being written.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Creates a file. The name was checked.
    pub(crate) fn create_file(&self, name: &str) -> Result<FileSink, PackageError> {
        let path = self.temporary.join(name);
        let file = File::create_new(&path).map_err(|error| PackageError::io(&path, error))?;
        Ok(FileSink { path, file, digest: Sha256::new(), bytes: 0, finished: false })
    }

    pub(crate) fn write_file(&self, name: &str, contents: &[u8]) -> Result<FileEntry, PackageError> {
        let mut sink = self.create_file(name)?;
        sink.write(contents)?;
        sink.finish()
    }

    /// Puts the directory in the place of the output.
    pub(crate) fn finish(mut self) -> Result<(), PackageError> {
        // Checked again: writing takes a while, and the output may have appeared since.
        check_output(&self.output, self.force, self.kind, self.describing_file)?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| PackageError::io(&path, error)
        };
        let replaces = self.output.symlink_metadata().is_ok();
        if replaces {
            // The old directory stays complete under another name until the new one is in place.
            let name = self.output.file_name().unwrap_or_default();
            let aside = create_sibling(&self.output, name)?;
            let old = aside.join(name);
            fs::rename(&self.output, &old).map_err(io(&self.output))?;
            if let Err(error) = fs::rename(&self.temporary, &self.output) {
                fs::rename(&old, &self.output).map_err(io(&old))?;
                fs::remove_dir(&aside).map_err(io(&aside))?;
                return Err(PackageError::io(&self.output, error));
            }
            self.finished = true;
            fs::remove_dir_all(&aside).map_err(io(&aside))
        } else {
            fs::rename(&self.temporary, &self.output).map_err(io(&self.output))?;
            self.finished = true;
            Ok(())
        }
    }
}

/// Refuses an output that must not be replaced.
fn check_output(
    output: &Path,
    force: bool,
    kind: PackageKind,
    describing_file: &'static str,
) -> Result<(), PackageError> {
    let path = output.to_owned();
    let metadata = match fs::symlink_metadata(output) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PackageError::io(output, error)),
    };
    if !force {
        return Err(PackageError::OutputExists { path });
    }
    let ours = metadata.is_dir() && (output.join(describing_file).is_file() || is_empty(output)?);
    if ours { Ok(()) } else { Err(PackageError::OutputForeign { path, kind }) }
}

/// Creates a directory beside `output`, under a name that no other writer and no leftover has.
fn create_sibling(output: &Path, name: &std::ffi::OsStr) -> Result<PathBuf, PackageError> {
    for attempt in 0u32.. {
        let mut sibling = std::ffi::OsString::from(".");
        sibling.push(name);
        sibling.push(format!(".partial-{}-{attempt}", std::process::id()));
        let sibling = output.with_file_name(sibling);
        match fs::create_dir(&sibling) {
            Ok(()) => return Ok(sibling),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(PackageError::io(&sibling, error)),
        }
    }
    unreachable!("four thousand million leftovers beside the output")
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be reported from here; the caller already has the error that ended the writing.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// A file being written and digested. Dropped unfinished, it is removed.
pub(crate) struct FileSink {
    path: PathBuf,
    file: File,
    digest: Sha256,
    bytes: u64,
    finished: bool,
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if !self.finished {
            // As for the directory: the caller already has the error.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl FileSink {
    pub(crate) fn write(&mut self, contents: &[u8]) -> Result<(), PackageError> {
        self.file.write_all(contents).map_err(|error| PackageError::io(&self.path, error))?;
        self.digest.update(contents);
        self.bytes += contents.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<FileEntry, PackageError> {
        // A full disk may show only now, when the data leaves the page cache.
        self.file.sync_all().map_err(|error| PackageError::io(&self.path, error))?;
        self.finished = true;
        Ok(FileEntry { bytes: self.bytes, sha256: hexadecimal(&self.digest.finalize_reset()) })
    }
}

/// Accepts names that mean the same file on every system and cannot leave the directory.
pub(crate) fn check_name(name: &str) -> Result<(), PackageError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.is_empty() && name.bytes().all(plain) && !name.starts_with(['.', '-']) {
        Ok(())
    } else {
        Err(PackageError::FileName { name: name.to_owned() })
    }
}

/// Reads the describing file.
pub(crate) fn read_description<T: serde::de::DeserializeOwned>(
    directory: &Path,
    kind: PackageKind,
    file: &'static str,
    version: u32,
) -> Result<T, PackageError> {
    let path = directory.join(file);
    let contents = match fs::read(&path) {
        Ok(contents) => contents,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Err(PackageError::NotAPackage { path: directory.to_owned(), kind, file });
        }
        Err(error) => return Err(PackageError::io(&path, error)),
    };
    parse_description(&path, &contents, version)
}

/// Parses a describing file after its version alone was checked; `path` names it in errors.
pub(crate) fn parse_description<T: serde::de::DeserializeOwned>(
    path: &Path,
    contents: &[u8],
    version: u32,
) -> Result<T, PackageError> {
    #[derive(Deserialize)]
    struct Versioned {
        format_version: u64,
    }
    let json_error = |source| PackageError::Json { path: path.to_owned(), source };
    let versioned: Versioned = serde_json::from_slice(contents).map_err(json_error)?;
    if versioned.format_version != u64::from(version) {
        return Err(PackageError::Version {
            found: versioned.format_version,
            supported: version,
            path: path.to_owned(),
        });
    }
    serde_json::from_slice(contents).map_err(json_error)
}

/// The description as text: two-space indentation and a final newline, the same bytes for the same value.
pub(crate) fn description_text<T: Serialize>(value: &T) -> Vec<u8> {
    // PANIC: our own structures have string keys and no non-finite numbers, which is all JSON can refuse.
    let mut text = serde_json::to_vec_pretty(value).expect("description serialises");
    text.push(b'\n');
    text
}

/// Checks that a listed file is there and has its size; returns its path.
pub(crate) fn locate(directory: &Path, name: &str, entry: &FileEntry) -> Result<PathBuf, PackageError> {
    check_name(name)?;
    let path = directory.join(name);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Err(PackageError::MissingFile { package: directory.to_owned(), name: name.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PackageError::MissingFile { package: directory.to_owned(), name: name.to_owned() });
        }
        Err(error) => return Err(PackageError::io(&path, error)),
    };
    if metadata.len() != entry.bytes {
        return Err(PackageError::FileSize {
            name: name.to_owned(),
            found_bytes: metadata.len(),
            listed_bytes: entry.bytes,
        });
    }
    Ok(path)
}

/// Reads a listed file and checks its size and digest.
pub(crate) fn read_verified(directory: &Path, name: &str, entry: &FileEntry) -> Result<Vec<u8>, PackageError> {
    let path = locate(directory, name, entry)?;
    let contents = fs::read(&path).map_err(|error| PackageError::io(&path, error))?;
    compare(name, entry, hexadecimal(&Sha256::digest(&contents)))?;
    Ok(contents)
}

/// Checks size and digest of a listed file without holding it in memory.
pub(crate) fn verify(directory: &Path, name: &str, entry: &FileEntry) -> Result<(), PackageError> {
    let path = locate(directory, name, entry)?;
    let io = |error| PackageError::io(&path, error);
    let mut file = File::open(&path).map_err(io)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let bytes = file.read(&mut buffer).map_err(io)?;
        if bytes == 0 {
            break;
        }
        digest.update(&buffer[..bytes]);
    }
    compare(name, entry, hexadecimal(&digest.finalize()))
}

fn compare(name: &str, entry: &FileEntry, found: String) -> Result<(), PackageError> {
    if found == entry.sha256 {
        return Ok(());
    }
    Err(PackageError::Digest { name: name.to_owned(), found, listed: entry.sha256.clone() })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_empty(path: &Path) -> Result<bool, PackageError> {
    let mut entries = fs::read_dir(path).map_err(|error| PackageError::io(path, error))?;
    Ok(entries.next().is_none())
}
