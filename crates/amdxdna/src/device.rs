//! An open NPU: its buffers, contexts and queries.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::bo::{Bo, BoKind, Buffer, Handles, Parts, unsupported};
use crate::discover::{self, Node};
use crate::dmabuf::{DmaBuf, DmaBufMap};
use crate::error::{Error, Feature, Refusal};
use crate::ioctl::create_bo::Type;
use crate::ioctl::version::DriverVersion;
use crate::ioctl::{self, File, Ioctl, bad};
use crate::kernel::{Kernel, Mapping, Region};
use crate::query::{self, AieMetadata, AieStatus, AieVersion, AsyncError, Clocks, ContextInfo, FirmwareVersion};
use crate::query::{PowerMode, ResourceInfo, Sensor};
use crate::{BadReply, Errno, Sys};

/// First device address of the heap.
// SOURCE: AIE2_DEVM_BASE in drivers/accel/amdxdna/npu1_regs.c
pub const HEAP_ADDRESS: u64 = 0x0400_0000;
/// Bytes of the heap, which are also its alignment: the firmware maps it as one page of that size.
// SOURCE: AIE2_DEVM_SIZE
pub const HEAP_BYTES: usize = 64 << 20;
/// Alignment of DEV buffers.
// SOURCE: dev_mem_buf_shift 15 in npu1_regs.c
pub const DEV_ALIGN: u64 = 32 << 10;
/// Longest operand: the address space of a process has 47 bits.
const MAX_BYTES: u64 = 1 << 46;
/// The driver's name for itself.
// SOURCE: DRM driver name in drivers/accel/amdxdna/amdxdna_pci_drv.c
const DRIVER: &str = "amdxdna_accel_driver";
/// Most contexts and sensors a query has room for; the firmware has 6 contexts, the driver about ten sensors.
const MANY: usize = 64;

const PAGE: u64 = 4096;

/// How a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether buffers are locked in memory when they are mapped (`MAP_LOCKED`), as AMD's runtime does. It counts against
    /// `RLIMIT_MEMLOCK`. Without it the driver has to fault pages in when a command needs them.
    pub lock_pages: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { lock_pages: true }
    }
}

/// What a device, its buffers and its contexts share; closed with the last of them.
pub(crate) struct Shared<K: Kernel> {
    /// Device memory. Before `file`, to be unmapped first; its handle is closed with the file. Every DEV buffer holds this structure.
    heap: Mutex<Option<K::Region>>,
    pub(crate) file: File<K>,
    pub(crate) metadata: AieMetadata,
    node: PathBuf,
    version: DriverVersion,
    options: Options,
    handles: Mutex<Handles<K>>,
    drop_errors: Mutex<Vec<Error>>,
}

impl<K: Kernel> Shared<K> {
    pub(crate) fn handles(&self) -> MutexGuard<'_, Handles<K>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the failure of something that cannot return it.
    pub(crate) fn note(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.drop_errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        }
    }

    fn map(
        &self,
        what: &'static str,
        handle: u32,
        bytes: usize,
        align: usize,
    ) -> Result<(K::Region, Option<u64>), Error> {
        let info = ioctl::get_bo_info::get_bo_info(&self.file, handle)?;
        let offset = info.map_offset.ok_or_else(|| {
            let problem = BadReply::Address { what: "no place to map", address: u64::MAX, bytes: bytes as u64 };
            bad(Ioctl::GetBoInfo, &format_args!("buffer {handle}"), problem)
        })?;
        let lock = self.options.lock_pages;
        let region = self
            .file
            .kernel
            .map(&self.file.fd, offset, Mapping { bytes, align, lock })
            .map_err(|errno| Error::Map { what, bytes: bytes as u64, locked: lock, errno })?;
        Ok((region, info.device_address))
    }
}

/// A handle that is given back unless a buffer takes it over.
struct Unowned<'a, K: Kernel> {
    shared: &'a Shared<K>,
    handle: u32,
}

impl<K: Kernel> Unowned<'_, K> {
    fn owned(self) -> u32 {
        let handle = self.handle;
        std::mem::forget(self);
        handle
    }
}

impl<K: Kernel> Drop for Unowned<'_, K> {
    fn drop(&mut self) {
        self.shared.note(ioctl::gem_close::gem_close(&self.shared.file, self.handle));
    }
}

/// An open NPU. Clones are the same device; it is closed when they and everything made by them are gone.
///
/// After `fork`, the child must not use it: the NPU keeps reading the memory of the process that opened it.
pub struct Device<K: Kernel = Sys> {
    pub(crate) shared: Arc<Shared<K>>,
}

impl<K: Kernel> Clone for Device<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Kernel> fmt::Debug for Device<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("node", &self.shared.node)
            .field("driver", &self.shared.version)
            .finish_non_exhaustive()
    }
}

impl Device<Sys> {
    /// The NPUs of the machine.
    ///
    /// # Errors
    /// [`Error::NoDevice`] if there is none.
    pub fn discover() -> Result<Vec<Node>, Error> {
        discover::discover(&Sys::new())
    }

    /// Opens the first NPU of the machine.
    ///
    /// # Errors
    /// [`Error::NoDevice`], and those of [`open_node`](Device::open_node).
    pub fn open() -> Result<Self, Error> {
        Self::open_by(Sys::new(), None, Options::default())
    }

    /// Opens a device node.
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::OtherDriver`] if it is not amdxdna's; what the first queries answer.
    pub fn open_node(node: &Path, options: Options) -> Result<Self, Error> {
        Self::open_by(Sys::new(), Some(node), options)
    }
}

impl<K: Kernel> Device<K> {
    /// Opens a node of `kernel`, or its first NPU. Programs use [`open`](Device::open); tests come here with a kernel of their own.
    ///
    /// # Errors
    /// As [`open`](Device::open) and [`open_node`](Device::open_node).
    pub fn open_by(kernel: K, node: Option<&Path>, options: Options) -> Result<Self, Error> {
        let node = match node {
            Some(node) => node.to_path_buf(),
            None => {
                let nodes = discover::discover(&kernel)?;
                nodes.into_iter().next().expect("discovery finds a node or fails").path
            }
        };
        let fd = kernel.open(&node).map_err(|errno| Error::Open { node: node.clone(), errno })?;
        let file = File { kernel, fd };
        let version = ioctl::version::version(&file)?;
        if version.name != DRIVER {
            return Err(Error::OtherDriver { node, driver: version.name });
        }
        let (param, name) = query::info::AIE_METADATA;
        let metadata = info::<K, 64, _>(&file, param, name, AieMetadata::read).map_err(|error| match error {
            // Every driver has this query. It is the first to need the device awake.
            Error::Unsupported { errno, .. } => Error::Start { node: node.clone(), errno },
            error => error,
        })?;
        let shared = Shared {
            file,
            metadata,
            node,
            version,
            options,
            heap: Mutex::new(None),
            handles: Mutex::default(),
            drop_errors: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The node that was opened.
    pub fn node(&self) -> &Path {
        &self.shared.node
    }

    /// What the driver calls itself.
    pub fn driver(&self) -> &DriverVersion {
        &self.shared.version
    }

    /// The array.
    pub fn metadata(&self) -> &AieMetadata {
        &self.shared.metadata
    }

    /// Failures of closing handles and contexts that were dropped since the last call. After [`Error::is_unplugged`] they are expected.
    pub fn take_drop_errors(&self) -> Vec<Error> {
        std::mem::take(&mut self.shared.drop_errors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    // Buffers

    /// Makes the heap if there is none: device memory, mapped at a multiple of its size. Contexts and DEV buffers call it.
    ///
    /// # Errors
    /// Of CREATE_BO, GET_BO_INFO and mmap; [`Cause::LockedMemory`](crate::Cause::LockedMemory) is the usual one.
    pub fn ensure_heap(&self) -> Result<(), Error> {
        self.heap().map(|_| ())
    }

    fn heap(&self) -> Result<MutexGuard<'_, Option<K::Region>>, Error> {
        let mut heap = self.shared.heap.lock().unwrap_or_else(PoisonError::into_inner);
        if heap.is_none() {
            let shared = &*self.shared;
            let handle = ioctl::create_bo::create_bo(&shared.file, Type::DevHeap, HEAP_BYTES as u64)?;
            let handle = self.fresh(Ioctl::CreateBo, handle)?;
            let (region, _) = shared.map("device heap", handle.handle, HEAP_BYTES, HEAP_BYTES)?;
            handle.owned();
            *heap = Some(region);
        }
        Ok(heap)
    }

    /// A handle the kernel has just made; an error if a buffer has it already, which then keeps it.
    fn fresh(&self, ioctl: Ioctl, handle: u32) -> Result<Unowned<'_, K>, Error> {
        if self.shared.handles().get(&handle).is_some_and(|buffer| buffer.strong_count() > 0) {
            return Err(bad(ioctl, &"", BadReply::Handle { what: "second buffer of", handle }));
        }
        Ok(Unowned { shared: &self.shared, handle })
    }

    /// A buffer of device memory, for a PDI or an instruction stream.
    ///
    /// # Errors
    /// [`Refusal::BufferBytes`], those of [`ensure_heap`](Device::ensure_heap), and
    /// [`Cause::DeviceMemory`](crate::Cause::DeviceMemory) when the 64 MiB are full.
    pub fn dev_buffer(&self, bytes: usize) -> Result<Bo<K>, Error> {
        let length = check_bytes(BoKind::Dev, bytes as u64, HEAP_BYTES as u64)?;
        let heap = self.heap()?;
        let region = heap.as_ref().expect("the heap has just been made");
        let handle = ioctl::create_bo::create_bo(&self.shared.file, Type::Dev, length)?;
        let handle = self.fresh(Ioctl::CreateBo, handle)?;
        let info = ioctl::get_bo_info::get_bo_info(&self.shared.file, handle.handle)?;
        // A range outside the heap or inside another buffer would hand out the same memory twice.
        let address = info.device_address.unwrap_or(u64::MAX);
        let window = address
            .checked_sub(HEAP_ADDRESS)
            .filter(|_| address.is_multiple_of(DEV_ALIGN))
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| region.window(offset, bytes))
            .ok_or_else(|| {
                let problem = BadReply::Address { what: "device address", address, bytes: length };
                bad(Ioctl::GetBoInfo, &format_args!("buffer {}", handle.handle), problem)
            })?;
        drop(heap);
        let parts =
            Parts { handle: handle.handle, kind: BoKind::Dev, bytes, device_address: address, window, region: None };
        Ok(self.buffer(handle, parts))
    }

    /// A buffer of host memory that the NPU reads and writes; zero.
    ///
    /// # Errors
    /// [`Refusal::BufferBytes`], and what CREATE_BO, GET_BO_INFO and mmap answer.
    pub fn host_buffer(&self, bytes: usize) -> Result<Bo<K>, Error> {
        self.mapped(BoKind::Shmem, Type::Shmem, bytes)
    }

    /// A buffer for command packets. [`Cmd`](crate::Cmd) makes its own.
    ///
    /// # Errors
    /// As [`host_buffer`](Device::host_buffer).
    pub fn cmd_buffer(&self, bytes: usize) -> Result<Bo<K>, Error> {
        self.mapped(BoKind::Cmd, Type::Cmd, bytes)
    }

    fn mapped(&self, kind: BoKind, kernel_kind: Type, bytes: usize) -> Result<Bo<K>, Error> {
        let length = check_bytes(kind, bytes as u64, MAX_BYTES)?;
        let handle = ioctl::create_bo::create_bo(&self.shared.file, kernel_kind, length)?;
        let handle = self.fresh(Ioctl::CreateBo, handle)?;
        let (region, device_address) = self.shared.map("buffer", handle.handle, bytes, 1)?;
        let parts = whole(&handle, kind, bytes, device_address, region)?;
        Ok(self.buffer(handle, parts))
    }

    /// A buffer over pages of the process itself, pinned where they are; zero. The pages are made here.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the driver has no such buffers; [`Error::Pin`] with
    /// [`Cause::LockedMemory`](crate::Cause::LockedMemory) at the limit of locked memory; those of
    /// [`host_buffer`](Device::host_buffer).
    pub fn user_buffer(&self, bytes: usize) -> Result<Bo<K>, Error> {
        let length = check_bytes(BoKind::User, bytes as u64, MAX_BYTES)?;
        let kernel = &self.shared.file.kernel;
        let mapping = Mapping { bytes, align: 1, lock: false };
        let region = kernel.map_anonymous(mapping).map_err(|errno| Error::Map {
            what: "user memory",
            bytes: length,
            locked: false,
            errno,
        })?;
        self.user(region, bytes, length)
    }

    /// A buffer over a file, mapped shared and pinned where it is: its bytes are the file's, and writing them writes the file. Another process
    /// must not shorten the file meanwhile.
    ///
    /// # Errors
    /// [`Error::Open`]; [`Refusal::Range`] for a shorter file; as [`user_buffer`](Device::user_buffer), and EFAULT or EOPNOTSUPP for a file
    /// whose file system does not let devices keep its pages, which is all but tmpfs and hugetlbfs since Linux 6.5.
    pub fn file_buffer(&self, path: &Path, bytes: usize) -> Result<Bo<K>, Error> {
        let length = check_bytes(BoKind::User, bytes as u64, MAX_BYTES)?;
        let kernel = &self.shared.file.kernel;
        let fd = kernel.open(path).map_err(|errno| Error::Open { node: path.to_path_buf(), errno })?;
        let size = kernel.size(&fd).map_err(|errno| Error::Open { node: path.to_path_buf(), errno })?;
        if size < bytes as u64 {
            return Err(Refusal::Range { offset: 0, bytes: bytes as u64, size }.into());
        }
        let mapping = Mapping { bytes, align: 1, lock: false };
        let region = kernel.map(&fd, 0, mapping).map_err(|errno| Error::Map {
            what: "file",
            bytes: length,
            locked: false,
            errno,
        })?;
        self.user(region, bytes, length)
    }

    fn user(&self, region: K::Region, bytes: usize, length: u64) -> Result<Bo<K>, Error> {
        let address = region.address();
        let handle = ioctl::create_bo::create_user_bo(&self.shared.file, address, length).map_err(|error| {
            match error.errno() {
                Some(errno @ (Errno::ENOMEM | Errno::EPERM)) => Error::Pin { bytes: length, errno },
                // A driver without them has to have flags and addresses zero.
                Some(errno @ (Errno::EINVAL | Errno::EOPNOTSUPP)) => {
                    Error::Unsupported { feature: Feature::UserPointer, ioctl: Ioctl::CreateBo, errno }
                }
                _ => error,
            }
        })?;
        let handle = self.fresh(Ioctl::CreateBo, handle)?;
        let info = ioctl::get_bo_info::get_bo_info(&self.shared.file, handle.handle)?;
        let parts = whole(&handle, BoKind::User, bytes, info.device_address, region)?;
        Ok(self.buffer(handle, parts))
    }

    /// A buffer over the memory of a dma-buf. Importing memory this device has already gives another owner of the same buffer.
    ///
    /// Whoever else has the memory must not write it while its bytes are lent here.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the driver imports nothing, [`Error::DmaBufSize`], and those of [`host_buffer`](Device::host_buffer).
    pub fn import(&self, dma_buf: &DmaBuf<K>) -> Result<Bo<K>, Error> {
        let shared = &self.shared;
        let length = check_bytes(BoKind::Imported, dma_buf.bytes(&shared.file.kernel)?, MAX_BYTES)?;
        // Held throughout: the handle may be one that another thread is closing.
        let mut handles = shared.handles();
        let handle = ioctl::prime_fd_to_handle::prime_fd_to_handle(&shared.file, &dma_buf.fd)
            .map_err(|error| unsupported(error, Feature::DmaBuf, Ioctl::PrimeFdToHandle))?;
        if let Some(buffer) = handles.get(&handle).and_then(Weak::upgrade) {
            let same = match buffer.kind {
                BoKind::Shmem | BoKind::Cmd | BoKind::Imported => {
                    (buffer.bytes as u64).next_multiple_of(PAGE) == length
                }
                BoKind::Dev | BoKind::User => false,
            };
            if !same {
                let arguments = format_args!("{length} bytes");
                let problem = BadReply::Handle { what: "another buffer's", handle };
                // Dropping the buffer takes the lock.
                drop(handles);
                return Err(bad(Ioctl::PrimeFdToHandle, &arguments, problem));
            }
            return Ok(Bo { buffer });
        }
        let handle = Unowned { shared, handle };
        let bytes = usize::try_from(length).map_err(|_| Refusal::BufferBytes {
            kind: BoKind::Imported,
            bytes: length,
            limit: MAX_BYTES,
        })?;
        let (region, device_address) = shared.map("dma-buf", handle.handle, bytes, 1)?;
        let parts = whole(&handle, BoKind::Imported, bytes, device_address, region)?;
        handle.owned();
        Ok(Bo { buffer: Buffer::new(Arc::clone(shared), &mut handles, parts) })
    }

    /// Maps a dma-buf for the CPU, without a buffer.
    ///
    /// # Errors
    /// [`Error::DmaBufSize`] and [`Error::Map`].
    pub fn map_dma_buf(&self, dma_buf: &DmaBuf<K>) -> Result<DmaBufMap<K>, Error> {
        dma_buf.map_by(&self.shared.file.kernel)
    }

    fn buffer(&self, handle: Unowned<'_, K>, parts: Parts<K>) -> Bo<K> {
        handle.owned();
        Bo { buffer: Buffer::new(Arc::clone(&self.shared), &mut self.shared.handles(), parts) }
    }

    // Queries

    /// Version of the firmware.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Ioctl`], [`Error::Reply`]; so for all queries.
    pub fn firmware_version(&self) -> Result<FirmwareVersion, Error> {
        self.info::<16, _>(query::info::FIRMWARE_VERSION, FirmwareVersion::read)
    }

    /// Version of the array.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn aie_version(&self) -> Result<AieVersion, Error> {
        self.info::<8, _>(query::info::AIE_VERSION, AieVersion::read)
    }

    /// The clocks as they are.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn clocks(&self) -> Result<Clocks, Error> {
        self.info::<48, _>(query::info::CLOCK_METADATA, Clocks::read)
    }

    /// The sensors.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn sensors(&self) -> Result<Vec<Sensor>, Error> {
        self.info::<{ 168 * MANY }, _>(query::info::SENSORS, Sensor::read_all)
    }

    /// The power mode.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn power_mode(&self) -> Result<PowerMode, Error> {
        self.info::<8, _>(query::info::POWER_MODE, PowerMode::read)
    }

    /// Sets the power mode, for everybody; needs CAP_SYS_ADMIN, and some drivers refuse some modes while there are contexts.
    ///
    /// # Errors
    /// [`Cause::RootOnly`](crate::Cause::RootOnly); [`Error::Unsupported`] for a mode the driver does not have.
    pub fn set_power_mode(&self, mode: PowerMode) -> Result<(), Error> {
        ioctl::set_state::set_power_mode(&self.shared.file, mode)
            .map_err(|error| unsupported(error, Feature::PowerMode, Ioctl::SetState))
    }

    /// What the device can do and does.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn resource_info(&self) -> Result<ResourceInfo, Error> {
        self.info::<40, _>(query::info::RESOURCE_INFO, ResourceInfo::read)
    }

    /// The contexts the caller may see, in the longest form the driver has.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn contexts(&self) -> Result<Vec<ContextInfo>, Error> {
        match self.context_details() {
            Err(Error::Unsupported { .. }) => {
                self.info::<{ 64 * MANY }, _>(query::info::HW_CONTEXTS, ContextInfo::read_all)
            }
            contexts => contexts,
        }
    }

    /// The contexts by GET_ARRAY alone.
    pub(crate) fn context_details(&self) -> Result<Vec<ContextInfo>, Error> {
        let (param, name) = query::array::HW_CONTEXT_ALL;
        let mut buffer = vec![0; query::CONTEXT_ENTRY_BYTES * MANY];
        let filled = self.array(param, name, query::CONTEXT_ENTRY_BYTES, &mut buffer)?;
        ContextInfo::read_entries(&buffer, filled.element_bytes, filled.elements)
            .map_err(|problem| bad(Ioctl::GetArray, &name, problem))
    }

    /// The last error the array reported on its own, since the driver was loaded.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn last_async_error(&self) -> Result<Option<AsyncError>, Error> {
        let (param, name) = query::array::HW_LAST_ASYNC_ERR;
        let mut buffer = [0; 24];
        let filled = self.array(param, name, 24, &mut buffer)?;
        let read = match filled.elements {
            0 => Ok(None),
            _ => AsyncError::read(&buffer[..filled.element_bytes]),
        };
        read.map_err(|problem| bad(Ioctl::GetArray, &name, problem))
    }

    /// The state of the tiles of columns that contexts own, in the firmware's form.
    ///
    /// # Errors
    /// As [`firmware_version`](Device::firmware_version).
    pub fn aie_status(&self) -> Result<AieStatus, Error> {
        let metadata = self.metadata();
        let name = "AIE_STATUS";
        // More than a mebibyte for a column is not believed: a tile has a few kilobytes of state.
        let column_bytes = metadata.column_bytes as usize;
        if column_bytes == 0 || column_bytes > 1 << 20 {
            let problem = BadReply::Value { what: "bytes of a column", value: column_bytes as u64 };
            return Err(bad(Ioctl::GetInfo, &name, problem));
        }
        let mut bytes = vec![0; column_bytes * usize::from(metadata.columns)];
        let columns = ioctl::get_info::get_aie_status(&self.shared.file, &mut bytes)
            .map_err(|error| unsupported(error, Feature::Query(name), Ioctl::GetInfo))?;
        Ok(AieStatus { columns, bytes })
    }

    fn info<const BYTES: usize, T>(
        &self,
        (param, name): (u32, &'static str),
        read: impl FnOnce(&[u8]) -> Result<T, BadReply>,
    ) -> Result<T, Error> {
        info::<K, BYTES, T>(&self.shared.file, param, name, read)
    }

    fn array(
        &self,
        param: u32,
        name: &'static str,
        element_bytes: usize,
        buffer: &mut [u8],
    ) -> Result<ioctl::get_array::Filled, Error> {
        ioctl::get_array::get_array(&self.shared.file, param, name, element_bytes, buffer).map_err(|error| {
            match error.errno() {
                // A driver from before GET_ARRAY: the DRM core answers EINVAL to a number beyond its table.
                Some(errno @ (Errno::EINVAL | Errno::ENOTTY | Errno::EOPNOTSUPP | Errno::ENOSYS)) => {
                    Error::Unsupported { feature: Feature::Query(name), ioctl: Ioctl::GetArray, errno }
                }
                _ => error,
            }
        })
    }
}

fn info<K: Kernel, const BYTES: usize, T>(
    file: &File<K>,
    param: u32,
    name: &'static str,
    read: impl FnOnce(&[u8]) -> Result<T, BadReply>,
) -> Result<T, Error> {
    let mut buffer = vec![0; BYTES];
    ioctl::get_info::get_info(file, param, name, &mut buffer).map_err(|error| match error.errno() {
        Some(errno @ (Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOTTY | Errno::ENOSYS)) => {
            Error::Unsupported { feature: Feature::Query(name), ioctl: Ioctl::GetInfo, errno }
        }
        // The sensors are those of the module amd_pmf, which is not on every machine.
        // MEASURED: amdxdna 0.10 (Linux 7.3.4) without it answers ENODEV, and everything else works.
        Some(errno @ Errno::ENODEV) if param == query::info::SENSORS.0 => {
            Error::Unsupported { feature: Feature::Query(name), ioctl: Ioctl::GetInfo, errno }
        }
        _ => error,
    })?;
    read(&buffer).map_err(|problem| bad(Ioctl::GetInfo, &name, problem))
}

fn check_bytes(kind: BoKind, bytes: u64, limit: u64) -> Result<u64, Refusal> {
    if bytes == 0 || bytes > limit {
        return Err(Refusal::BufferBytes { kind, bytes, limit });
    }
    Ok(bytes.next_multiple_of(PAGE))
}

/// The parts of a buffer with a mapping of its own. The NPU's address is the driver's word, or that of the mapping.
fn whole<K: Kernel>(
    handle: &Unowned<'_, K>,
    kind: BoKind,
    bytes: usize,
    device_address: Option<u64>,
    region: K::Region,
) -> Result<Parts<K>, Error> {
    let wrong = |what, address| {
        let problem = BadReply::Address { what, address, bytes: bytes as u64 };
        bad(Ioctl::GetBoInfo, &format_args!("buffer {}", handle.handle), problem)
    };
    let device_address = device_address.unwrap_or_else(|| region.address());
    if !device_address.is_multiple_of(PAGE) || device_address.checked_add(bytes as u64).is_none() {
        return Err(wrong("device address", device_address));
    }
    let window = region.window(0, bytes).ok_or_else(|| wrong("mapping", region.address()))?;
    Ok(Parts { handle: handle.handle, kind, bytes, device_address, window, region: Some(region) })
}
