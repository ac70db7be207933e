//! Activations in files: `*.safetensors` with a BF16 tensor of two or three dimensions, or, under any other name, the elements alone,
//! little-endian and row-major.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::Error;

/// Ending of names of safetensors files.
const SAFETENSORS: &str = "safetensors";

/// A file that is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TensorProblem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Why a file of activations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(Box<Error>),
    /// It holds something else.
    #[error(transparent)]
    Tensor(#[from] TensorProblem),
}

impl From<Error> for FileError {
    fn from(error: Error) -> Self {
        FileError::File(Box::new(error))
    }
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == SAFETENSORS)
}

pub(crate) fn problem(path: &Path, problem: impl Into<String>) -> TensorProblem {
    TensorProblem { path: path.to_owned(), problem: problem.into() }
}

pub(crate) fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect()
}

pub(crate) fn bytes(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|half| half.to_le_bytes()).collect()
}

/// Reads bfloat16 bits, `[rows][columns]`: from a safetensors file the tensor `name`, or its only one.
///
/// # Errors
/// Another element type, shape or size, or the operating system's refusal.
pub fn read_tensor(path: &Path, name: &str, rows: usize, columns: usize) -> Result<Vec<u16>, FileError> {
    let contents = fs::read(path).map_err(|source| Error::read("read", path, source))?;
    if !is_safetensors(path) {
        let needed = 2 * rows * columns;
        if contents.len() != needed {
            let found = contents.len();
            let rule = format!("{found} bytes; [{rows}, {columns}] of bfloat16 are {needed}");
            return Err(problem(path, rule).into());
        }
        return Ok(halves(&contents));
    }
    let file = open(path, &contents)?;
    let names = file.names();
    let tensor = match (file.tensor(name), &names[..]) {
        (Ok(tensor), _) => tensor,
        (Err(_), [only]) => file.tensor(only).map_err(|error| problem(path, error.to_string()))?,
        (Err(_), _) => return Err(problem(path, format!("no tensor {name:?} among its {}", names.len())).into()),
    };
    let (dtype, shape) = (tensor.dtype(), tensor.shape());
    // A batch of one is the same rows.
    if dtype != Dtype::BF16 || !(shape == [rows, columns] || shape == [1, rows, columns]) {
        return Err(
            problem(path, format!("the tensor is {dtype:?} {shape:?}; BF16 [{rows}, {columns}] is needed")).into()
        );
    }
    Ok(halves(tensor.data()))
}

pub(crate) fn open<'a>(path: &Path, contents: &'a [u8]) -> Result<SafeTensors<'a>, TensorProblem> {
    SafeTensors::deserialize(contents).map_err(|error| problem(path, error.to_string()))
}

/// Writes bfloat16 bits, `[rows][columns]`, in the form that the name of the file asks for. The file appears whole or not at all.
///
/// # Errors
/// The operating system's refusal.
pub fn write_tensor(path: &Path, name: &str, rows: usize, columns: usize, bits: &[u16]) -> Result<(), FileError> {
    let data = bytes(bits);
    if !is_safetensors(path) {
        return replace(path, &data);
    }
    write_safetensors(path, &[(name, Dtype::BF16, vec![rows, columns], &data)], &[])
}

/// Writes tensors and notes about them.
pub(crate) fn write_safetensors(
    path: &Path,
    tensors: &[(&str, Dtype, Vec<usize>, &[u8])],
    notes: &[(&str, String)],
) -> Result<(), FileError> {
    let invalid = |error: safetensors::SafeTensorError| problem(path, error.to_string());
    let mut views = Vec::new();
    for (name, dtype, shape, data) in tensors {
        views.push((name.to_string(), TensorView::new(*dtype, shape.clone(), data).map_err(invalid)?));
    }
    let notes = notes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    replace(path, &safetensors::serialize(views, Some(notes)).map_err(invalid)?)
}

/// Writes beside the file and renames.
fn replace(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let size = contents.len() as u64;
    let fail = |source| FileError::from(Error::write(path, size, source));
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".bennu-").tempfile_in(directory).map_err(fail)?;
    file.write_all(contents).and_then(|()| file.as_file().sync_all()).map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let bits: Vec<u16> = (0..12).map(|i| i * 0x1111).collect();
        for name in ["o.safetensors", "o.bf16"] {
            let path = dir.path().join(name);
            write_tensor(&path, "o", 3, 4, &bits).unwrap();
            assert_eq!(read_tensor(&path, "o", 3, 4).unwrap(), bits);
            // the only tensor needs no name
            assert_eq!(read_tensor(&path, "x", 3, 4).unwrap(), bits);
            assert!(read_tensor(&path, "o", 4, 4).is_err());
        }
        assert_eq!(fs::read(dir.path().join("o.bf16")).unwrap(), bytes(&bits));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_asked_for_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("two.safetensors");
        let of = |name, rows, columns| read_tensor(&path, name, rows, columns).unwrap_err().to_string();
        assert!(of("x", 1, 2).ends_with("no such file or directory"));
        write_safetensors(&path, &[("a", Dtype::BF16, vec![1, 2], &[0; 4]), ("b", Dtype::BF16, vec![2], &[0; 4])], &[])
            .unwrap();
        assert!(of("x", 1, 2).ends_with("no tensor \"x\" among its 2"));
        assert!(of("b", 1, 2).ends_with("the tensor is BF16 [2]; BF16 [1, 2] is needed"));
        fs::write(&path, b"short").unwrap();
        assert!(of("x", 1, 2).contains("two.safetensors: "));
        let raw = dir.path().join("raw");
        fs::write(&raw, [0; 6]).unwrap();
        let refused = read_tensor(&raw, "x", 1, 4).unwrap_err().to_string();
        assert!(refused.ends_with("6 bytes; [1, 4] of bfloat16 are 8"), "{refused}");
        let nowhere = write_tensor(&dir.path().join("no/where"), "o", 1, 1, &[0]).unwrap_err();
        assert!(matches!(&nowhere, FileError::File(error) if matches!(**error, Error::Io { .. })), "{nowhere:?}");
    }
}
