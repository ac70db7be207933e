//! Guest memory by device address: an ordered map from address to a place in a file that the client of vfio-user shares.
//!
//! With a translating IOMMU every page of the guest is an area of its own, so pages that follow each other in address and file
//! become one area. Accesses are reads and writes of the file; nothing is mapped.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What a device may do with an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Reads.
    pub read: bool,
    /// Writes.
    pub write: bool,
}

/// Why a range cannot be accessed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Nothing is mapped at an address of the range.
    #[error("nothing is mapped at {at:#x}")]
    Unmapped {
        /// First such address.
        at: u64,
    },
    /// The area at an address forbids it.
    #[error("the mapping at {at:#x} forbids the {what}")]
    Forbidden {
        /// The address.
        at: u64,
        /// `read` or `write`.
        what: &'static str,
    },
    /// The range passes the end of the address space.
    #[error("{bytes} bytes from {at:#x} pass the end of the address space")]
    Wraps {
        /// Begin of the range.
        at: u64,
        /// Its length.
        bytes: u64,
    },
    /// The file behind an area refuses.
    #[error("the memory behind {at:#x}: {error}")]
    File {
        /// Device address.
        at: u64,
        /// The operating system's reason.
        error: io::Error,
    },
}

/// Why a range cannot be mapped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Part of the range is mapped.
    #[error("{bytes:#x} bytes at {at:#x} overlap a mapping at {other:#x}")]
    Overlap {
        /// Begin of the range.
        at: u64,
        /// Its length.
        bytes: u64,
        /// Begin of the mapping.
        other: u64,
    },
    /// The range is empty or passes the end of the address space or of a file.
    #[error("{bytes:#x} bytes at {at:#x}, file offset {offset:#x}, are no range")]
    Range {
        /// Begin of the range.
        at: u64,
        /// Its length.
        bytes: u64,
        /// Offset in the file.
        offset: u64,
    },
}

struct Area {
    bytes: u64,
    file: Arc<File>,
    offset: u64,
    rights: Rights,
}

impl Area {
    /// Whether `next`, which begins where this area ends, goes on in the same file.
    fn goes_on(&self, next: &Area) -> bool {
        Arc::ptr_eq(&self.file, &next.file) && self.offset + self.bytes == next.offset && self.rights == next.rights
    }

    /// Refuses an access at `at` that needs rights the area does not have.
    fn permits(&self, at: u64, needed: Rights) -> Result<(), AccessError> {
        if needed.read && !self.rights.read {
            return Err(AccessError::Forbidden { at, what: "read" });
        }
        if needed.write && !self.rights.write {
            return Err(AccessError::Forbidden { at, what: "write" });
        }
        Ok(())
    }
}

#[derive(Default)]
struct Areas {
    areas: BTreeMap<u64, Area>,
    /// One descriptor per file, whatever number of them the client sent.
    files: HashMap<(u64, u64), Arc<File>>,
}

/// Guest memory as the device sees it.
#[derive(Default)]
pub struct GuestMemory(RwLock<Areas>);

impl GuestMemory {
    /// A device that reaches nothing.
    pub fn new() -> Self {
        Self::default()
    }

    // A panic while the lock was held can only have come from the allocator: the map is whole.
    fn reader(&self) -> RwLockReadGuard<'_, Areas> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> RwLockWriteGuard<'_, Areas> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `bytes` bytes of `file` from `offset` reachable at address `at`.
    ///
    /// # Errors
    /// [`MapError`]; or the file's identity cannot be asked for.
    pub fn map(&self, at: u64, bytes: u64, file: File, offset: u64, rights: Rights) -> io::Result<()> {
        let bad = |error: MapError| io::Error::new(io::ErrorKind::InvalidInput, error);
        let (Some(end), Some(_)) = (at.checked_add(bytes), offset.checked_add(bytes)) else {
            return Err(bad(MapError::Range { at, bytes, offset }));
        };
        if bytes == 0 {
            return Err(bad(MapError::Range { at, bytes, offset }));
        }
        let identity = file.metadata().map(|m| (m.dev(), m.ino()))?;
        let mut map = self.writer();
        let Areas { areas, files } = &mut *map;
        if let Some((&other, _)) = areas.range(..end).next_back().filter(|(start, area)| **start + area.bytes > at) {
            return Err(bad(MapError::Overlap { at, bytes, other }));
        }
        let file = Arc::clone(files.entry(identity).or_insert_with(|| Arc::new(file)));
        let mut area = Area { bytes, file, offset, rights };
        if let Some(next) = areas.get(&end).filter(|next| area.goes_on(next)) {
            area.bytes += next.bytes;
            areas.remove(&end);
        }
        match areas.range_mut(..at).next_back() {
            Some((&start, before)) if start + before.bytes == at && before.goes_on(&area) => before.bytes += area.bytes,
            _ => {
                areas.insert(at, area);
            }
        }
        Ok(())
    }

    /// Takes a range away, whatever was mapped there.
    pub fn unmap(&self, at: u64, bytes: u64) {
        let end = at.saturating_add(bytes);
        let mut map = self.writer();
        let Areas { areas, files } = &mut *map;
        while let Some((&start, _)) = areas.range(..end).next_back().filter(|(start, area)| **start + area.bytes > at) {
            let Some(area) = areas.remove(&start) else { break };
            let area_end = start + area.bytes;
            if area_end > end {
                let skipped = end - start;
                let rest = Area {
                    bytes: area_end - end,
                    offset: area.offset + skipped,
                    file: Arc::clone(&area.file),
                    rights: area.rights,
                };
                areas.insert(end, rest);
            }
            if start < at {
                areas.insert(start, Area { bytes: at - start, ..area });
            }
        }
        files.retain(|_, file| Arc::strong_count(file) > 1);
    }

    /// Takes everything away.
    pub fn clear(&self) {
        *self.writer() = Areas::default();
    }

    /// Areas after merging, for counting.
    pub fn areas(&self) -> usize {
        self.reader().areas.len()
    }

    /// Whether every byte of the range is mapped with at least these rights.
    ///
    /// # Errors
    /// [`AccessError`] of the first byte that is not.
    pub fn covers(&self, at: u64, bytes: u64, rights: Rights) -> Result<(), AccessError> {
        self.reader().each(at, bytes, |now, area, _, _| area.permits(now, rights))
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// [`AccessError`]; `out` may then be filled in part.
    pub fn read(&self, at: u64, out: &mut [u8]) -> Result<(), AccessError> {
        let mut filled = 0;
        self.reader().each(at, out.len() as u64, |now, area, offset, bytes| {
            area.permits(now, Rights { read: true, write: false })?;
            let piece = &mut out[filled..filled + bytes as usize];
            filled += bytes as usize;
            area.file.read_exact_at(piece, offset).map_err(|error| AccessError::File { at: now, error })
        })
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// [`AccessError`]; nothing was written if a byte of the range is not mapped for writing.
    pub fn write(&self, at: u64, data: &[u8]) -> Result<(), AccessError> {
        let bytes = data.len() as u64;
        // One lock for both passes: no mapping goes in between.
        let map = self.reader();
        map.each(at, bytes, |now, area, _, _| area.permits(now, Rights { read: false, write: true }))?;
        let mut done = 0;
        map.each(at, bytes, |now, area, offset, bytes| {
            let piece = &data[done..done + bytes as usize];
            done += bytes as usize;
            area.file.write_all_at(piece, offset).map_err(|error| AccessError::File { at: now, error })
        })
    }
}

impl Areas {
    /// Calls `each` with address, area, offset in the file and length of every piece of a range.
    fn each(
        &self,
        at: u64,
        bytes: u64,
        mut each: impl FnMut(u64, &Area, u64, u64) -> Result<(), AccessError>,
    ) -> Result<(), AccessError> {
        let end = at.checked_add(bytes).ok_or(AccessError::Wraps { at, bytes })?;
        let mut now = at;
        while now < end {
            let (&start, area) = self
                .areas
                .range(..=now)
                .next_back()
                .filter(|(start, area)| now - **start < area.bytes)
                .ok_or(AccessError::Unmapped { at: now })?;
            let piece = (start + area.bytes).min(end) - now;
            each(now, area, area.offset + (now - start), piece)?;
            now += piece;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Rights = Rights { read: true, write: true };
    const PAGE: u64 = 4096;

    fn ram(pages: u64) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(pages * PAGE).expect("its length");
        file
    }

    fn share(file: &File) -> File {
        file.try_clone().expect("a second descriptor")
    }

    #[test]
    fn pages_that_follow_each_other_are_one_area() {
        let (memory, file) = (GuestMemory::new(), ram(64));
        for page in (0..64).rev() {
            memory.map(0x10_0000 + page * PAGE, PAGE, share(&file), page * PAGE, ALL).expect("maps");
        }
        assert_eq!(memory.areas(), 1);
        memory.write(0x10_0ffe, &[1, 2, 3, 4]).expect("writes over a page end");
        let mut back = [0; 4];
        file.read_exact_at(&mut back, 0xffe).expect("the file holds it");
        assert_eq!(back, [1, 2, 3, 4]);
        memory.unmap(0x10_0000 + 3 * PAGE, PAGE);
        assert_eq!(memory.areas(), 2);
        assert!(matches!(memory.read(0x10_0000 + 3 * PAGE, &mut back), Err(AccessError::Unmapped { .. })));
        memory.read(0x10_0000 + 4 * PAGE, &mut back).expect("the pages behind are still there");
    }

    #[test]
    fn scattered_pages_of_a_file_stay_apart() {
        let (memory, file) = (GuestMemory::new(), ram(4));
        for (at, page) in [(0, 3), (1, 1), (2, 2), (3, 0)] {
            memory.map(at * PAGE, PAGE, share(&file), page * PAGE, ALL).expect("maps");
        }
        assert_eq!(memory.areas(), 3);
        let data: Vec<u8> = (0..4 * PAGE).map(|i| (i / PAGE) as u8).collect();
        memory.write(0, &data).expect("writes");
        let mut page = vec![0; PAGE as usize];
        file.read_exact_at(&mut page, 3 * PAGE).expect("reads");
        assert!(page.iter().all(|&b| b == 0));
        let mut back = vec![9; data.len()];
        memory.read(0, &mut back).expect("reads");
        assert_eq!(back, data);
    }

    #[test]
    fn rights_and_overlaps_are_kept() {
        let (memory, file) = (GuestMemory::new(), ram(4));
        memory.map(PAGE, PAGE, share(&file), 0, Rights { read: true, write: false }).expect("maps");
        assert!(memory.map(0, 2 * PAGE, share(&file), 0, ALL).is_err());
        assert!(memory.map(PAGE, PAGE, share(&file), 0, ALL).is_err());
        assert!(memory.map(u64::MAX - 1, PAGE, share(&file), 0, ALL).is_err());
        memory.map(0, PAGE, share(&file), PAGE, ALL).expect("the page below is free");
        assert!(matches!(memory.write(PAGE - 1, &[1, 1]), Err(AccessError::Forbidden { at: PAGE, .. })));
        let mut first = [0];
        memory.read(PAGE - 1, &mut first).expect("reads");
        assert_eq!(first, [0], "a refused write leaves nothing behind");
        let reads = Rights { read: true, write: false };
        memory.covers(0, 2 * PAGE, reads).expect("both can be read");
        assert!(matches!(memory.covers(0, 2 * PAGE, ALL), Err(AccessError::Forbidden { at: PAGE, what: "write" })));
        assert!(matches!(memory.covers(0, 3 * PAGE, reads), Err(AccessError::Unmapped { at }) if at == 2 * PAGE));
        memory.clear();
        assert_eq!(memory.areas(), 0);
    }

    /// A mapping that comes and goes beside a writer: a refused write leaves nothing behind.
    #[test]
    fn no_mapping_changes_inside_a_write() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (memory, file, done) = (GuestMemory::new(), ram(3), AtomicBool::new(false));
        memory.map(0, PAGE, share(&file), 0, ALL).expect("maps");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    memory.map(PAGE, PAGE, share(&file), 2 * PAGE, ALL).expect("maps");
                    memory.unmap(PAGE, PAGE);
                }
            });
            let (mut last, mut refused, mut written) = (0u8, 0, 0);
            let start = std::time::Instant::now();
            while (refused < 5000 || written < 5000) && start.elapsed().as_secs() < 20 {
                let next = last.wrapping_add(1);
                match memory.write(PAGE - 1, &[next, next]) {
                    Ok(()) => {
                        last = next;
                        written += 1;
                    }
                    Err(_) => refused += 1,
                }
                let mut now = [0];
                file.read_exact_at(&mut now, PAGE - 1).expect("reads");
                if now != [last] {
                    done.store(true, Ordering::Relaxed);
                }
                assert_eq!(now, [last], "a refused write was carried out in part");
            }
            done.store(true, Ordering::Relaxed);
            assert!(refused > 0 && written > 0, "{refused} refused, {written} written: nothing was tried");
        });
    }

    proptest! {
        /// The map against a table of pages.
        #[test]
        fn the_map_is_a_table_of_pages(steps in prop::collection::vec((any::<bool>(), 0u64..32, 1u64..8, 0u64..32), 1..60)) {
            let (memory, file) = (GuestMemory::new(), ram(64));
            for page in 0..64u64 {
                file.write_all_at(&page.to_le_bytes(), page * PAGE).expect("writes");
            }
            let mut table = [None; 64];
            for (map, at, pages, offset) in steps {
                let range = at as usize..(at + pages) as usize;
                if map {
                    let free = table[range.clone()].iter().all(Option::is_none);
                    prop_assert_eq!(memory.map(at * PAGE, pages * PAGE, share(&file), offset * PAGE, ALL).is_ok(), free);
                    if free {
                        for (slot, page) in table[range].iter_mut().zip(offset..) {
                            *slot = Some(page);
                        }
                    }
                } else {
                    memory.unmap(at * PAGE, pages * PAGE);
                    table[range].fill(None);
                }
                for (page, expected) in (0u64..).zip(table) {
                    let mut word = [0; 8];
                    let read = memory.read(page * PAGE, &mut word).is_ok().then_some(u64::from_le_bytes(word));
                    prop_assert_eq!(read, expected);
                }
            }
        }
    }
}
