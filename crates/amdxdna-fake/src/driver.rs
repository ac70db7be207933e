//! Which driver is modelled.

use amdxdna::Errno;

/// How the NPU addresses host memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressMode {
    /// By the process's addresses; a buffer has none before it is mapped.
    Process,
    /// By addresses the driver gives, known from the start.
    Iova,
}

/// What a driver has and how it answers. Fields may be changed to make one that does not exist.
#[derive(Debug, Clone)]
pub struct Driver {
    /// What VERSION answers as a name.
    pub name: &'static str,
    /// Major and minor number.
    pub version: (i32, i32),
    /// Whether contexts have a timeline syncobj.
    pub timelines: bool,
    /// Whether WAIT_CMD is there.
    pub wait_cmd: bool,
    /// Bytes of an element of HW_CONTEXT_ALL; `None` without GET_ARRAY.
    pub context_entry_bytes: Option<usize>,
    /// Whether GET_ARRAY has the last asynchronous error.
    pub async_error: bool,
    /// Parameters of GET_INFO.
    pub info: &'static [u32],
    /// Whether buffers may lie over user memory.
    pub user_pointer: bool,
    /// Whether dma-bufs are imported and exported.
    pub dma_buf: bool,
    /// How host memory is addressed.
    pub addresses: AddressMode,
    /// What a DEV buffer or context answers while the heap is not mapped.
    pub heap_not_mapped: Errno,
    /// What a second heap answers.
    pub second_heap: Errno,
    /// Whether SYNC_BO takes the direction from the device.
    pub sync_from_device: bool,
    /// Power modes that can be set.
    pub power_modes: &'static [u8],
    /// Words of a register map that it passes on, where it knows no command lists. A command with more is never run.
    // SOURCE: drivers/accel/amdxdna/aie2_msg_priv.h, payload of EXECUTE_BUFFER_CF.
    pub register_map_words: Option<usize>,
    /// Whether the program is root.
    pub root: bool,
    /// Contexts the firmware has.
    pub contexts: usize,
    /// Locked and pinned bytes a process may have.
    pub memlock: u64,
}

impl Driver {
    /// The first driver in the kernel tree: no GET_ARRAY, no user memory.
    pub fn mainline_6_14() -> Self {
        Self {
            name: "amdxdna_accel_driver",
            version: (0, 0),
            timelines: true,
            wait_cmd: false,
            context_entry_bytes: None,
            async_error: false,
            info: &[0, 1, 2, 3, 4, 5, 8, 9],
            user_pointer: false,
            dma_buf: false,
            addresses: AddressMode::Process,
            heap_not_mapped: Errno::EINVAL,
            second_heap: Errno::EBUSY,
            sync_from_device: true,
            power_modes: &[0, 3, 4],
            register_map_words: Some(19),
            root: false,
            contexts: 6,
            memlock: u64::MAX,
        }
    }

    /// The head of development of the driver in the kernel tree.
    pub fn current() -> Self {
        Self {
            version: (0, 16),
            context_entry_bytes: Some(160),
            async_error: true,
            info: &[0, 1, 2, 3, 4, 5, 8, 9, 12],
            user_pointer: true,
            dma_buf: true,
            heap_not_mapped: Errno::EAGAIN,
            second_heap: Errno::ENOSPC,
            sync_from_device: false,
            power_modes: &[0, 1, 2, 3, 4],
            register_map_words: None,
            ..Self::mainline_6_14()
        }
    }

    /// AMD's driver out of the tree, in a build without syncobjs.
    pub fn out_of_tree() -> Self {
        Self { version: (1, 0), timelines: false, wait_cmd: true, context_entry_bytes: Some(144), ..Self::current() }
    }

    /// The three of them.
    pub fn all() -> [Self; 3] {
        [Self::mainline_6_14(), Self::current(), Self::out_of_tree()]
    }
}
