//! xclbin: no bytes make the reader panic or take more memory than a small multiple of the file, and what it says about a file
//! it accepts holds: sections lie in the file, the PDI of a kernel id is one of the file's. An accepted file whose kernel the
//! builder can express is built, read, and built again to the same bytes.
//!
//! The length in the header is corrected, so that the fuzzer works on sections.

use npu_container::xclbin::{self, Builder, Xclbin};
use npu_container::{detect, pdi};

/// Where the length of the file stands in its header.
const FILE_LENGTH: std::ops::Range<usize> = 0x130..0x138;

/// What [`Builder`] would be given to write this file's first kernel.
fn rebuilt(file: &Xclbin) -> Option<Vec<u8>> {
    let kernel = file.kernels.first()?;
    let kernel_id = u16::try_from(kernel.kernel_id?).ok()?;
    let pdi = &file.pdi_for_kernel(kernel_id)?.image;
    let builder = Builder {
        kernel: &kernel.name,
        instance: kernel.instances.first()?,
        kernel_id,
        pdi,
        columns: file.partition.columns,
        operations_per_cycle: file.partition.operations_per_cycle,
        buffers: kernel.arguments.len().checked_sub(xclbin::ARGUMENTS_BEFORE_BUFFERS as usize)?,
        uuid: file.uuid,
    };
    builder.write().ok()
}

pub fn check(bytes: &[u8]) {
    let _ = detect(bytes);
    let mut sized = bytes.to_vec();
    if sized.len() >= FILE_LENGTH.end {
        let length = sized.len() as u64;
        sized[FILE_LENGTH].copy_from_slice(&length.to_le_bytes());
    }
    for input in [bytes, &sized] {
        let Ok(file) = xclbin::read(input) else { continue };
        for section in &file.sections {
            let start = section.offset as usize;
            assert_eq!(input.get(start..start + section.bytes.len()), Some(&section.bytes[..]), "{}", section.kind);
        }
        let images: usize = file.partition.pdis.iter().map(|image| image.image.len()).sum();
        assert!(images <= input.len(), "{images} bytes of PDIs in a file of {}", input.len());
        for image in &file.partition.pdis {
            let _ = pdi::read(&image.image);
        }
        let Some(built) = rebuilt(&file) else { continue };
        let read = xclbin::read(&built).unwrap_or_else(|error| panic!("the builder's file is refused: {error}"));
        let (kernel, first) = (&read.kernels[0], &file.kernels[0]);
        assert_eq!((&kernel.name, kernel.kernel_id), (&first.name, first.kernel_id));
        assert_eq!(read.uuid, file.uuid);
        assert_eq!(rebuilt(&read).as_ref(), Some(&built));
    }
}
