//! The vfio-user side: regions, interrupts and DMA maps of the one client.

use crate::config::{BAR0_BYTES, BAR1_BYTES, BAR2_BYTES, BAR4_BYTES, CONFIG_BYTES, VECTORS};
use crate::device::Shared;
use crate::guest::Rights;
use crate::journal::Line;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_NORESIZE, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR1_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX, VFIO_PCI_BAR4_REGION_INDEX,
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS,
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

/// Serves the one client of a vfio-user socket with a device.
pub struct Backend(Arc<Shared>);

impl Backend {
    /// A backend of a device.
    pub fn new(device: Arc<Shared>) -> Self {
        Self(device)
    }
}

fn size_of_region(index: u32) -> u64 {
    match index {
        VFIO_PCI_BAR0_REGION_INDEX => BAR0_BYTES,
        VFIO_PCI_BAR1_REGION_INDEX => BAR1_BYTES,
        VFIO_PCI_BAR2_REGION_INDEX => BAR2_BYTES,
        VFIO_PCI_BAR4_REGION_INDEX => BAR4_BYTES,
        VFIO_PCI_CONFIG_REGION_INDEX => CONFIG_BYTES as u64,
        _ => 0,
    }
}

/// Listens on `path`.
///
/// # Errors
/// The path exists, or the socket cannot be bound.
pub fn listen(path: &Path) -> Result<Server, vfio_user::Error> {
    let regions = (0..VFIO_PCI_NUM_REGIONS).map(|index| {
        let size = size_of_region(index);
        let flags = if size == 0 { 0 } else { VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE };
        let argsz = size_of::<vfio_region_info>() as u32;
        let region_info = vfio_region_info { argsz, index, size, flags, ..Default::default() };
        ServerRegion { region_info, sparse_areas: Vec::new(), mmap_fd: None }
    });
    let interrupts = (0..VFIO_PCI_NUM_IRQS).map(|index| match index {
        VFIO_PCI_MSIX_IRQ_INDEX => {
            IrqInfo { index, flags: VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, count: VECTORS as u32 }
        }
        _ => IrqInfo { index, flags: 0, count: 0 },
    });
    Server::new(path, true, interrupts.collect(), regions.collect())
}

/// Words that an access touches: offset of the word, range of its bytes in the access.
fn words_of(offset: u64, bytes: usize) -> impl Iterator<Item = (u32, std::ops::Range<usize>, usize)> {
    let end = offset.saturating_add(bytes as u64);
    let first = offset & !3;
    (first..end).step_by(4).map_while(move |word| {
        let at = u32::try_from(word).ok()?;
        let (from, to) = (word.max(offset), (word + 4).min(end));
        Some((at, (from - offset) as usize..(to - offset) as usize, (from - word) as usize))
    })
}

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let device = self.0.lock();
        data.fill(0);
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => device.read_config(offset, data),
            VFIO_PCI_BAR2_REGION_INDEX => device.read_sram(offset, data),
            VFIO_PCI_BAR0_REGION_INDEX | VFIO_PCI_BAR4_REGION_INDEX => {
                for (at, range, skip) in words_of(offset, data.len()) {
                    let word =
                        if region == VFIO_PCI_BAR0_REGION_INDEX { device.read_bar0(at) } else { device.read_bar4(at) };
                    let bytes = range.len();
                    data[range].copy_from_slice(&word.to_le_bytes()[skip..skip + bytes]);
                }
            }
            // The MSI-X table is the client's.
            _ => {}
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut device = self.0.lock();
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => device.write_config(offset, data),
            VFIO_PCI_BAR2_REGION_INDEX => device.write_sram(offset, data),
            VFIO_PCI_BAR0_REGION_INDEX | VFIO_PCI_BAR4_REGION_INDEX => {
                for (at, range, skip) in words_of(offset, data.len()) {
                    let is_bar0 = region == VFIO_PCI_BAR0_REGION_INDEX;
                    let bytes = range.len();
                    let mut word = match bytes {
                        4 => [0; 4],
                        _ => if is_bar0 { device.read_bar0(at) } else { device.read_bar4(at) }.to_le_bytes(),
                    };
                    word[skip..skip + bytes].copy_from_slice(&data[range]);
                    let value = u32::from_le_bytes(word);
                    if is_bar0 { device.write_bar0(at, value) } else { device.write_bar4(at, value) }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn dma_map(&mut self, flags: DmaMapFlags, offset: u64, at: u64, bytes: u64, file: Option<File>) -> io::Result<()> {
        // A mapping without a file is memory the client keeps to itself.
        let Some(file) = file else { return Ok(()) };
        let rights = Rights { read: flags.contains(DmaMapFlags::READ), write: flags.contains(DmaMapFlags::WRITE) };
        let mut device = self.0.lock();
        let mapped = device.map(at, bytes, file, offset, rights);
        if let Err(error) = &mapped {
            device.journal().refused(Line::Device, format_args!("DMA map: {error}"));
        }
        mapped
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, at: u64, bytes: u64) -> io::Result<()> {
        let memory = Arc::clone(self.0.lock().memory());
        if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            memory.clear();
        } else {
            memory.unmap(at, bytes);
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.0.lock().reset("reset by the client");
        Ok(())
    }

    fn set_irqs(&mut self, index: u32, flags: u32, start: u32, count: u32, files: Vec<File>) -> io::Result<()> {
        if index != VFIO_PCI_MSIX_IRQ_INDEX {
            return Ok(());
        }
        let mut device = self.0.lock();
        if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 {
            let mut files = files.into_iter();
            let end = start.saturating_add(count).min(VECTORS as u32);
            for vector in start..end {
                device.set_interrupt(vector as usize, files.next());
            }
        } else if flags & VFIO_IRQ_SET_DATA_NONE != 0 && count == 0 {
            for vector in 0..VECTORS {
                device.set_interrupt(vector, None);
            }
        }
        Ok(())
    }
}
