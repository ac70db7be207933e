//! Output directories that appear whole or not at all.
//!
//! Files are written into a hidden directory inside the destination (same file system, so a rename moves no data)
//! and renamed into place after the last byte of the last file is on disk. The file that makes the directory readable
//! as what it is (config.json, the manifest) goes last and, when replacing, its predecessor goes first: whatever
//! interrupts the renames leaves a directory that readers refuse, never a mixture they accept.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};

/// A destination being filled. Dropping it without [`Staging::publish`] removes every trace.
#[derive(Debug)]
pub(crate) struct Staging {
    destination: PathBuf,
    /// `None` only inside `publish`.
    staged: Option<TempDir>,
    created: bool,
    obsolete: Vec<String>,
    names: Vec<String>,
}

impl Staging {
    /// Prepares `destination`. `belongs` recognises the file names that an earlier output of the same kind would have
    /// left there: without `force` the first of them is in the way, with it they are replaced.
    pub(crate) fn begin(destination: &Path, force: bool, belongs: impl Fn(&str) -> bool) -> Result<Self> {
        let fail = |source| Error::write(destination, 0, source);
        let created = match fs::create_dir(destination) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = destination.parent().unwrap_or(destination);
                return Err(Error::Missing { path: parent.to_owned() });
            }
            Err(error) => return Err(fail(error)),
        };
        if !destination.is_dir() {
            return Err(Error::NotADirectory { path: destination.to_owned() });
        }
        let mut obsolete = Vec::new();
        for entry in fs::read_dir(destination).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            if belongs(&name) {
                obsolete.push(name);
            }
        }
        obsolete.sort();
        if let Some(first) = obsolete.first()
            && !force
        {
            return Err(Error::Exists { path: destination.join(first) });
        }
        let mut staging =
            Staging { destination: destination.to_owned(), staged: None, created, obsolete, names: Vec::new() };
        // On failure `staging` is dropped and takes a directory it created with it.
        staging.staged = Some(tempfile::Builder::new().prefix(".bennu-").tempdir_in(destination).map_err(fail)?);
        Ok(staging)
    }

    /// The directory the user asked for.
    pub(crate) fn destination(&self) -> &Path {
        &self.destination
    }

    fn staged_path(&self, name: &str) -> PathBuf {
        // PANIC: `staged` is taken by `publish`, which consumes self.
        self.staged.as_ref().expect("staging is open").path().join(name)
    }

    /// Creates a file of a known length and announces it for publication.
    pub(crate) fn create(&mut self, name: &str, bytes: u64) -> Result<StagedFile> {
        let shown = self.destination.join(name);
        let fail = |source| Error::write(&shown, bytes, source);
        let file =
            OpenOptions::new().write(true).read(true).create_new(true).open(self.staged_path(name)).map_err(fail)?;
        file.set_len(bytes).map_err(fail)?;
        self.names.push(name.to_owned());
        Ok(StagedFile { file, shown, bytes })
    }

    /// Writes a small file whole.
    pub(crate) fn write(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let file = self.create(name, content.len() as u64)?;
        file.write_at(0, content)?;
        file.finish()
    }

    /// Moves everything into place; the file announced last makes the directory valid.
    pub(crate) fn publish(mut self) -> Result<()> {
        let destination = self.destination.clone();
        let fail = |path: &Path, source| Error::write(path, 0, source);
        if let Some(last) = self.names.last() {
            let path = destination.join(last);
            if self.obsolete.contains(last) {
                fs::remove_file(&path).map_err(|source| fail(&path, source))?;
            }
        }
        for name in self.obsolete.iter().filter(|name| !self.names.contains(name)) {
            let path = destination.join(name);
            fs::remove_file(&path).map_err(|source| fail(&path, source))?;
        }
        for name in &self.names {
            let path = destination.join(name);
            fs::rename(self.staged_path(name), &path).map_err(|source| fail(&path, source))?;
        }
        self.created = false;
        if let Some(staged) = self.staged.take() {
            staged.close().map_err(|source| fail(&destination, source))?;
        }
        // Directory entries reach the disk with the directory.
        File::open(&destination).and_then(|dir| dir.sync_all()).map_err(|source| fail(&destination, source))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nothing can be reported from here, and a left-over hidden directory harms no reader.
        if let Some(staged) = self.staged.take() {
            let _ = staged.close();
        }
        if self.created {
            let _ = fs::remove_dir(&self.destination);
        }
    }
}

/// A file of a [`Staging`].
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: File,
    shown: PathBuf,
    bytes: u64,
}

impl StagedFile {
    /// Writes at an offset.
    pub(crate) fn write_at(&self, offset: u64, content: &[u8]) -> Result<()> {
        self.file.write_all_at(content, offset).map_err(|source| Error::write(&self.shown, self.bytes, source))
    }

    /// Brings the file to disk.
    pub(crate) fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(|source| Error::write(&self.shown, self.bytes, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_remains_of_an_abandoned_output() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("out");
        let mut staging = Staging::begin(&out, false, |_| true).unwrap();
        staging.write("a", b"text").unwrap();
        drop(staging);
        assert_eq!(names(parent.path()), [""; 0]);
    }

    #[test]
    fn an_existing_directory_keeps_what_it_had() {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("notes"), "mine").unwrap();
        let mut staging = Staging::begin(out.path(), false, |name| name == "a").unwrap();
        staging.write("a", b"text").unwrap();
        drop(staging);
        assert_eq!(names(out.path()), ["notes"]);
    }

    #[test]
    fn replacing_needs_force_and_removes_only_what_belongs() {
        let out = tempfile::tempdir().unwrap();
        for name in ["a", "old", "notes"] {
            fs::write(out.path().join(name), "before").unwrap();
        }
        let belongs = |name: &str| name != "notes";
        let refused = Staging::begin(out.path(), false, belongs).unwrap_err().to_string();
        assert!(refused.ends_with("a: already exists"), "{refused}");
        let mut staging = Staging::begin(out.path(), true, belongs).unwrap();
        staging.write("b", b"after").unwrap();
        staging.write("a", b"after").unwrap();
        assert_eq!(fs::read(out.path().join("a")).unwrap(), b"before");
        staging.publish().unwrap();
        assert_eq!(names(out.path()), ["a", "b", "notes"]);
        assert_eq!(fs::read(out.path().join("a")).unwrap(), b"after");
    }

    #[test]
    fn a_full_disk_is_told_with_file_and_size() {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let staged = StagedFile { file, shown: "out/model.safetensors".into(), bytes: 4096 };
        let error = staged.write_at(0, &[0; 16]).unwrap_err();
        assert!(matches!(error, Error::DiskFull { needed_bytes: 4096, .. }), "{error:?}");
        assert!(error.to_string().starts_with("out/model.safetensors: no space left for 4096 bytes"), "{error}");
    }

    #[test]
    fn an_output_that_cannot_be_created_or_is_a_file() {
        let refused = |path: &Path| Staging::begin(path, true, |_| true).unwrap_err();
        let error = refused(Path::new("/sys/bennu-output"));
        assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(refused(file.path()), Error::NotADirectory { .. }));
        let orphan = file.path().with_file_name("no-such-parent-of-bennu").join("out");
        assert!(matches!(refused(&orphan), Error::Missing { .. }));
    }
}
