//! Every ioctl, at offsets written out here.
// SOURCE: include/uapi/drm/{drm,amdxdna_accel}.h; drivers/accel/amdxdna/{amdxdna_ctx,amdxdna_gem,amdxdna_ubuf,aie2_ctx,aie2_pci,aie}.c

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use amdxdna::Errno;
use amdxdna::kernel::{Call, Holder};

use crate::driver::AddressMode;
use crate::execution::{Execution, Outcome};
use crate::memory::Store;
use crate::state::{CMD, Context, DEV, HEAP, HEAP_ADDRESS, HEAP_BYTES, Job, Object, Open, SHARE, State, map_offset};

const INVALID: u64 = u64::MAX;
/// IOVAs are given from here.
const IOVA: u64 = 0xFF00_0000_0000;
const DEV_ALIGN: u64 = 0x8000;
const PAGE: u64 = 4096;
const MAX_IN_FLIGHT: usize = 4;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// The memory whose address stands at byte `at` of the argument: EFAULT if there is none, or less than `bytes`.
fn behind<'c>(call: &'c mut Call<'_, '_>, at: usize, bytes: usize) -> Result<&'c mut [u8], Errno> {
    assert!(u64_at(call.argument, at) == 0, "an address crosses the seam");
    let found = call.pointed.iter_mut().find(|p| p.holder == Holder::Argument && p.at == at);
    match found {
        Some(pointed) if pointed.bytes.len() >= bytes => Ok(&mut pointed.bytes[..bytes]),
        _ if bytes == 0 => Ok(&mut []),
        _ => Err(Errno::EFAULT),
    }
}

fn require(holds: bool, errno: Errno) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(errno) }
}

impl State {
    pub(crate) fn dispatch(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let bytes = call.request >> 16 & 0x3FFF;
        assert_eq!(bytes as usize, call.argument.len(), "the argument of {:#x}", call.request);
        match call.request {
            0xC040_6400 => self.version(call),
            0x4008_6409 => self.gem_close(fd, call),
            0xC010_640C => self.get_cap(call),
            0xC00C_642D => self.prime_handle_to_fd(fd, call),
            0xC00C_642E => self.prime_fd_to_handle(fd, call),
            0xC008_64C0 => self.syncobj_destroy(fd, call),
            0xC028_64CA => self.timeline_wait(fd, call),
            0xC038_6440 => self.create_hwctx(fd, call),
            0xC008_6441 => self.destroy_hwctx(fd, call),
            0xC018_6442 => self.config_hwctx(fd, call),
            0xC020_6443 => self.create_bo(fd, call),
            0xC030_6444 => self.get_bo_info(fd, call),
            0xC018_6445 => self.sync_bo(fd, call),
            0xC038_6446 => self.exec_cmd(fd, call),
            0xC010_6447 => self.get_info(fd, call),
            0xC010_6448 => self.set_state(call),
            0x4010_6449 => self.wait_cmd(fd, call),
            0xC018_644A => self.get_array(fd, call),
            other => panic!("request {other:#x}"),
        }
    }

    fn version(&mut self, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let name = self.driver.name.as_bytes();
        let room = (u64_at(call.argument, 16) as usize).min(name.len());
        behind(call, 24, room)?.copy_from_slice(&name[..room]);
        put_u32(call.argument, 0, self.driver.version.0 as u32);
        put_u32(call.argument, 4, self.driver.version.1 as u32);
        put_u64(call.argument, 16, name.len() as u64);
        Ok(())
    }

    fn get_cap(&mut self, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(u64_at(call.argument, 0) == 0x14, Errno::EINVAL)?;
        put_u64(call.argument, 8, self.driver.timelines.into());
        Ok(())
    }

    fn object(&mut self, fd: i32, handle: u32, missing: Errno) -> Result<Arc<Object>, Errno> {
        self.client(fd)?.handles.get(&handle).cloned().ok_or(missing)
    }

    fn new_handle(&mut self, fd: i32, object: Arc<Object>) -> Result<u32, Errno> {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.client(fd)?.handles.insert(handle, object);
        Ok(handle)
    }

    fn gem_close(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let handle = u32_at(call.argument, 0);
        self.client(fd)?.handles.remove(&handle).map(|_| ()).ok_or(Errno::EINVAL)
    }

    fn prime_handle_to_fd(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(self.driver.dma_buf, Errno::EOPNOTSUPP)?;
        require(u32_at(call.argument, 4) == 0x80002, Errno::EINVAL)?;
        let object = self.object(fd, u32_at(call.argument, 0), Errno::ENOENT)?;
        require(object.kind != DEV && !object.user, Errno::EOPNOTSUPP)?;
        let exported = self.new_fd(Open::DmaBuf(object));
        put_u32(call.argument, 8, exported as u32);
        Ok(())
    }

    fn prime_fd_to_handle(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(self.driver.dma_buf, Errno::EOPNOTSUPP)?;
        let object = match self.fds.get(&(u32_at(call.argument, 8) as i32)) {
            Some(Open::DmaBuf(object)) => Arc::clone(object),
            Some(Open::Node(_)) => return Err(Errno::EINVAL),
            None => return Err(Errno::EBADF),
        };
        let known = self.client(fd)?.handles.iter().find(|(_, known)| known.id == object.id).map(|(&handle, _)| handle);
        let handle = match known {
            Some(handle) => handle,
            None => self.new_handle(fd, object)?,
        };
        put_u32(call.argument, 0, handle);
        Ok(())
    }

    fn syncobj_destroy(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(u32_at(call.argument, 4) == 0, Errno::EINVAL)?;
        let handle = u32_at(call.argument, 0);
        let syncobjs = &mut self.client(fd)?.syncobjs;
        let place = syncobjs.iter().position(|&known| known == handle).ok_or(Errno::EINVAL)?;
        syncobjs.remove(place);
        Ok(())
    }

    fn create_bo(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let (size, kind) = (u64_at(call.argument, 16), u32_at(call.argument, 24));
        require(u64_at(call.argument, 0) == 0, Errno::EINVAL)?;
        require(size > 0, Errno::EINVAL)?;
        let bytes = size.next_multiple_of(PAGE);
        let table = call.pointed.iter().any(|p| p.holder == Holder::Argument && p.at == 8);
        let id = self.next_id;
        self.next_id += 1;
        let address = OnceLock::new();
        let mut object = match kind {
            SHARE | CMD if table => self.user_bo(call, id)?,
            SHARE | CMD => Object { id, kind, bytes, store: Store::new(bytes as usize), address, user: false },
            HEAP => {
                let heap = self.client(fd)?.heap.as_ref().and_then(std::sync::Weak::upgrade);
                require(heap.is_none(), self.driver.second_heap)?;
                require(size == HEAP_BYTES, Errno::EINVAL)?;
                Object { id, kind, bytes, store: Store::new(bytes as usize), address, user: false }
            }
            DEV => {
                let heap = self.mapped_heap(fd)?;
                let address = OnceLock::from(self.heap_space(fd, bytes)?);
                Object { id, kind, bytes, store: Arc::clone(&heap.store), address, user: false }
            }
            _ => return Err(Errno::EINVAL),
        };
        if self.driver.addresses == AddressMode::Iova && kind != DEV {
            object.address = OnceLock::from(IOVA + (id << 28));
        }
        let object = Arc::new(object);
        if object.user {
            self.pinned.insert(id, (Arc::downgrade(&object), object.bytes));
        }
        if kind == HEAP {
            self.client(fd)?.heap = Some(Arc::downgrade(&object));
        }
        let handle = self.new_handle(fd, object)?;
        put_u32(call.argument, 28, handle);
        Ok(())
    }

    fn user_bo(&mut self, call: &mut Call<'_, '_>, id: u64) -> Result<Object, Errno> {
        require(self.driver.user_pointer, Errno::EINVAL)?;
        let entries = u32_at(behind(call, 8, 8)?, 4) as usize;
        assert_eq!(entries, 1, "a user buffer here has one range");
        let entry = behind(call, 8, 24)?;
        let (address, bytes) = (u64_at(entry, 8), u64_at(entry, 16));
        require(address.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE) && bytes > 0, Errno::EINVAL)?;
        let region = self.regions.values().find(|(mapped, _)| mapped.address == address);
        let mapped =
            region.map(|(mapped, _)| mapped).filter(|mapped| bytes <= mapped.bytes as u64).ok_or(Errno::EFAULT)?;
        let store = Arc::clone(&mapped.store);
        require(self.locked() + bytes <= self.driver.memlock, Errno::ENOMEM)?;
        Ok(Object { id, kind: SHARE, bytes, store, address: OnceLock::from(address), user: true })
    }

    fn mapped_heap(&mut self, fd: i32) -> Result<Arc<Object>, Errno> {
        let errno = self.driver.heap_not_mapped;
        let heap = self.client(fd)?.heap.as_ref().and_then(std::sync::Weak::upgrade).ok_or(errno)?;
        let mapped = self.regions.values().find(|(mapped, _)| Arc::ptr_eq(&mapped.store, &heap.store)).ok_or(errno)?;
        assert!(mapped.0.address.is_multiple_of(HEAP_BYTES), "the heap lies at {:#x}", mapped.0.address);
        Ok(heap)
    }

    /// The first free place of the heap.
    fn heap_space(&mut self, fd: i32, bytes: u64) -> Result<u64, Errno> {
        let mut taken: Vec<(u64, u64)> = self
            .client(fd)?
            .handles
            .values()
            .filter(|object| object.kind == DEV)
            .filter_map(|object| object.address.get().map(|&address| (address, address + object.bytes)))
            .collect();
        taken.sort_unstable();
        let mut start = HEAP_ADDRESS;
        for (from, to) in taken {
            if start + bytes <= from {
                break;
            }
            start = to.next_multiple_of(DEV_ALIGN);
        }
        require(start + bytes <= HEAP_ADDRESS + HEAP_BYTES, Errno::ENOSPC)?;
        Ok(start)
    }

    fn get_bo_info(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let zero = [0, 8].iter().all(|&at| u64_at(call.argument, at) == 0) && u32_at(call.argument, 20) == 0;
        require(zero, Errno::EINVAL)?;
        let object = self.object(fd, u32_at(call.argument, 16), Errno::ENOENT)?;
        let address = match object.kind {
            HEAP => HEAP_ADDRESS,
            _ => object.address.get().copied().unwrap_or(INVALID),
        };
        put_u64(call.argument, 24, map_offset(&object).unwrap_or(INVALID));
        put_u64(call.argument, 32, object.address.get().copied().unwrap_or(0));
        put_u64(call.argument, 40, address);
        Ok(())
    }

    fn sync_bo(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let object = self.object(fd, u32_at(call.argument, 0), Errno::ENOENT)?;
        let (direction, offset, size) = (u32_at(call.argument, 4), u64_at(call.argument, 8), u64_at(call.argument, 16));
        require(offset < object.bytes && size <= object.bytes - offset, Errno::EINVAL)?;
        match direction {
            0 => Ok(()),
            1 => require(self.driver.sync_from_device, Errno::EINVAL),
            _ => Err(Errno::EINVAL),
        }
    }

    fn create_hwctx(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let zero = [0, 8].iter().all(|&at| u64_at(call.argument, at) == 0)
            && [24, 28, 40].iter().all(|&at| u32_at(call.argument, at) == 0);
        require(zero, Errno::EINVAL)?;
        let qos = behind(call, 16, 32)?;
        require(u32_at(qos, 24) == 0xFF && u32_at(qos, 28) == 0, Errno::EINVAL)?;
        let tiles = u32_at(call.argument, 36);
        require(tiles > 0 && tiles.is_multiple_of(4) && tiles / 4 <= 4, Errno::EINVAL)?;
        self.mapped_heap(fd)?;
        let contexts: usize = self.counts().contexts;
        require(contexts < self.driver.contexts, Errno::ENODEV)?;
        let handle = self.next_context;
        self.next_context += 1;
        let timelines = self.driver.timelines;
        let client = self.client(fd)?;
        let syncobj = if timelines {
            client.next_syncobj += 1;
            client.syncobjs.push(client.next_syncobj);
            client.next_syncobj
        } else {
            0
        };
        client.contexts.insert(handle, Context { columns: tiles / 4, syncobj, ..Context::default() });
        put_u32(call.argument, 44, u32::MAX);
        put_u32(call.argument, 48, handle);
        put_u32(call.argument, 52, syncobj);
        Ok(())
    }

    fn destroy_hwctx(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(u32_at(call.argument, 4) == 0, Errno::EINVAL)?;
        let handle = u32_at(call.argument, 0);
        let mut context = self.client(fd)?.contexts.remove(&handle).ok_or(Errno::EINVAL)?;
        for job in context.jobs.values_mut().filter(|job| !job.ended) {
            job.outcome = Outcome::state(6);
            job.finish();
        }
        Ok(())
    }

    fn config_hwctx(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let (handle, param, bytes) =
            (u32_at(call.argument, 0), u32_at(call.argument, 4), u32_at(call.argument, 16) as usize);
        require(u32_at(call.argument, 20) == 0 && param == 0, Errno::EINVAL)?;
        require(bytes <= 4096, Errno::E2BIG)?;
        let value = behind(call, 8, bytes)?.to_vec();
        let count = usize::from(value[0]) | usize::from(value[1]) << 8;
        require(value[2..8].iter().all(|&pad| pad == 0), Errno::EINVAL)?;
        require((1..=32).contains(&count) && value.len() >= 8 + 8 * count, Errno::EINVAL)?;
        let (mut units, mut pdis) = (Vec::new(), Vec::new());
        for entry in value[8..8 + 8 * count].chunks_exact(8) {
            require(entry[5..8] == [0; 3], Errno::EINVAL)?;
            let object = self.object(fd, u32_at(entry, 0), Errno::EINVAL)?;
            require(object.kind == DEV, Errno::EINVAL)?;
            units.push((*object.address.get().expect("a DEV buffer has an address"), entry[4]));
            pdis.push(object);
        }
        let context = self.client(fd)?.contexts.get_mut(&handle).ok_or(Errno::EINVAL)?;
        require(context.units.is_empty(), Errno::EINVAL)?;
        (context.units, context.pdis) = (units, pdis);
        Ok(())
    }

    fn exec_cmd(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let zero = [0, 8].iter().all(|&at| u64_at(call.argument, at) == 0) && u32_at(call.argument, 20) == 0;
        require(zero, Errno::EINVAL)?;
        let (handle, command) = (u32_at(call.argument, 16), u64_at(call.argument, 24));
        let (commands, count) = (u32_at(call.argument, 40), u32_at(call.argument, 44) as usize);
        require(count <= 4095 && commands == 1, Errno::EINVAL)?;
        let listed: Vec<u32> = behind(call, 32, 4 * count)?.chunks_exact(4).map(|word| u32_at(word, 0)).collect();
        let command = u32::try_from(command).map_err(|_| Errno::EINVAL)?;
        let command = self.object(fd, command, Errno::EINVAL)?;
        require(matches!(command.kind, SHARE | CMD), Errno::EINVAL)?;
        let arguments: Vec<Arc<Object>> =
            listed.iter().map(|&handle| self.object(fd, handle, Errno::ENOENT)).collect::<Result<_, _>>()?;
        let context = self.client(fd)?.contexts.get(&handle).ok_or(Errno::EINVAL)?;
        require(!context.units.is_empty(), Errno::EINVAL)?;
        let unique: BTreeSet<u64> = arguments.iter().map(|object| object.id).collect();
        require(unique.len() == arguments.len(), Errno::EALREADY)?;
        let under_way = context.jobs.values().filter(|job| !job.ended).count();
        assert!(under_way < MAX_IN_FLIGHT, "a command more would block");

        let (sequence, columns, units) = (context.next_sequence, context.columns, context.units.clone());
        // What the driver and the firmware check of a packet.
        let packet = command.store.access(0..command.bytes as usize, |packet| {
            let words = 1 + (u32_at(packet, 0) >> 12 & 0x7FF) as usize;
            let fits = words > 2 && 4 * words <= packet.len();
            fits.then(|| packet[..4 * words].to_vec())
        });
        let view = self.view(fd)?;
        let most = self.driver.register_map_words;
        let too_long = |packet: &[u8]| most.is_some_and(|words| packet.len() / 4 - 2 > words);
        let mut executor = self.executor.take();
        let outcome = match packet {
            // the job fails before the firmware hears of it
            Some(packet) if too_long(&packet) => Outcome::state(1),
            Some(packet) if u32_at(&packet, 0) >> 23 & 0x1F == 0 => {
                assert_eq!(u32_at(&packet, 0) & 0xF, 1, "a command starts in state NEW");
                let mut execution = Execution {
                    context: handle,
                    sequence,
                    columns,
                    pdis: &units,
                    packet,
                    arguments: listed,
                    view: &view,
                };
                assert!(execution.cu() < units.len(), "compute unit {}", execution.cu());
                executor.as_mut().map_or_else(Outcome::completed, |executor| executor(&mut execution))
            }
            Some(_) | None => Outcome::state(5),
        };
        self.executor = executor;
        let due = outcome.after.map(|after| self.clock + after.as_nanos() as i64);
        let context = self.client(fd)?.contexts.get_mut(&handle).expect("looked up above");
        context.next_sequence += 1;
        context.submissions += 1;
        context.jobs.insert(sequence, Job { command, arguments, outcome, due, ended: false });
        put_u64(call.argument, 48, sequence);
        self.advance(0);
        Ok(())
    }

    /// Waits until all jobs of a context that `which` names have ended; moves the clock.
    /// Nanoseconds that a wait would last, where waits block and its commands have not ended.
    pub(crate) fn blocked(&mut self, fd: i32, call: &Call<'_, '_>) -> Option<i64> {
        let deadline = match call.request {
            0xC028_64CA => u64_at(call.argument, 16) as i64,
            0x4010_6449 => self.clock + i64::from(u32_at(call.argument, 4)) * 1_000_000,
            _ => return None,
        };
        let (blocks, left) = (self.blocks, deadline - self.clock);
        let waiting = |context: &Context| context.jobs.values().any(|job| !job.ended);
        let waits = blocks && self.client(fd).ok()?.contexts.values().any(waiting);
        (waits && left > 0).then_some(left)
    }

    fn wait(&mut self, fd: i32, handle: u32, deadline: i64, which: impl Fn(u64) -> bool) -> Result<(), Errno> {
        let context = self.client(fd)?.contexts.get(&handle).ok_or(Errno::EINVAL)?;
        let open = context.jobs.iter().filter(|(sequence, job)| which(**sequence) && !job.ended);
        let due = open.map(|(_, job)| job.due).try_fold(i64::MIN, |latest, due| due.map(|due| due.max(latest)));
        let (until, result) = match due {
            Some(due) if due <= deadline.max(self.clock) => (due, Ok(())),
            Some(_) | None => (deadline, Err(Errno::ETIME)),
        };
        self.advance((until.max(self.clock)) - self.clock);
        result
    }

    fn timeline_wait(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(u32_at(call.argument, 24) == 1 && u32_at(call.argument, 28) & !7 == 0, Errno::EINVAL)?;
        let deadline = u64_at(call.argument, 16) as i64;
        let syncobj = u32_at(behind(call, 0, 4)?, 0);
        let point = u64_at(behind(call, 8, 8)?, 0);
        let client = self.client(fd)?;
        require(client.syncobjs.contains(&syncobj), Errno::ENOENT)?;
        let handle = client.contexts.iter().find(|(_, context)| context.syncobj == syncobj).map(|(&handle, _)| handle);
        let handle = handle.ok_or(Errno::ENOENT)?;
        // Point 0 stands for the latest fence.
        self.wait(fd, handle, deadline, |sequence| point == 0 || sequence <= point)
    }

    fn wait_cmd(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(self.driver.wait_cmd, Errno::EOPNOTSUPP)?;
        let (handle, milliseconds, sequence) =
            (u32_at(call.argument, 0), u32_at(call.argument, 4), u64_at(call.argument, 8));
        assert!(milliseconds > 0, "a wait without an end");
        let deadline = self.clock + i64::from(milliseconds) * 1_000_000;
        self.wait(fd, handle, deadline, |other| other == sequence)
    }

    fn get_info(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let (param, bytes) = (u32_at(call.argument, 0), u32_at(call.argument, 4) as usize);
        require(self.driver.info.contains(&param), Errno::EOPNOTSUPP)?;
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let answer = match param {
            0 => return self.aie_status(call),
            1 => {
                let tile =
                    |tile: [u16; 5]| tile.iter().chain(&[0; 3]).flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
                let mut answer = words(&[816, 5 | 6 << 16, 1, 1]);
                answer.extend(tile([4, 2, 2, 16, 12]));
                answer.extend(tile([1, 1, 6, 64, 12]));
                answer.extend(tile([1, 0, 2, 16, 12]));
                answer
            }
            2 => words(&[1, 1]),
            3 => {
                let mut answer = vec![0; 48];
                answer[..12].copy_from_slice(b"MP-NPU Clock");
                put_u32(&mut answer, 16, 400);
                answer[24..31].copy_from_slice(b"H Clock");
                put_u32(&mut answer, 40, 800);
                answer
            }
            4 => {
                let mut answer = vec![0; 168];
                answer[..11].copy_from_slice(b"Total Power");
                put_u32(&mut answer, 64, 1250);
                answer[144] = b'W';
                answer[160] = 0xFD;
                answer
            }
            5 => self.contexts(64),
            8 => words(&[1, 5, 5, 391]),
            9 => vec![self.power_mode, 0, 0, 0, 0, 0, 0, 0],
            12 => [1600u64, 10, 6, 5, self.counts().contexts as u64].iter().flat_map(|v| v.to_le_bytes()).collect(),
            other => panic!("no answer to GET_INFO {other}"),
        };
        self.client(fd)?;
        let fits = answer.len().min(bytes);
        behind(call, 8, bytes)?[..fits].copy_from_slice(&answer[..fits]);
        if param == 5 {
            // What is left, not what was written.
            put_u32(call.argument, 4, (bytes - fits) as u32);
        }
        Ok(())
    }

    fn aie_status(&mut self, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        let status = behind(call, 8, 16)?;
        let bytes = u32_at(status, 8) as usize;
        put_u32(status, 12, 0b11110);
        let blob =
            call.pointed.iter_mut().find(|p| p.holder == Holder::Pointed(0) && p.at == 0).ok_or(Errno::EFAULT)?;
        require(blob.bytes.len() >= bytes, Errno::EFAULT)?;
        for (place, byte) in blob.bytes[..bytes].iter_mut().enumerate() {
            *byte = place as u8;
        }
        Ok(())
    }

    /// All contexts, in elements of at most 160 bytes.
    fn contexts(&self, element: usize) -> Vec<u8> {
        let mut answer = Vec::new();
        let clients = self.fds.values().filter_map(|open| match open {
            Open::Node(client) => Some(client),
            Open::DmaBuf(_) => None,
        });
        for (&handle, context) in clients.flat_map(|client| &client.contexts) {
            let mut entry = vec![0; 160];
            put_u32(&mut entry, 0, handle);
            put_u32(&mut entry, 4, 1);
            put_u32(&mut entry, 8, context.columns);
            put_u64(&mut entry, 16, 4242);
            put_u64(&mut entry, 24, context.submissions);
            put_u64(&mut entry, 32, context.completions);
            put_u32(&mut entry, 88, (context.submissions > context.completions).into());
            entry[144..148].copy_from_slice(b"test");
            answer.extend_from_slice(&entry[..element]);
        }
        answer
    }

    fn get_array(&mut self, fd: i32, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        // The DRM core's answer to a number beyond the driver's table.
        let known = self.driver.context_entry_bytes.ok_or(Errno::EINVAL)?;
        let (param, element, elements) =
            (u32_at(call.argument, 0), u32_at(call.argument, 4) as usize, u32_at(call.argument, 8) as usize);
        require(u32_at(call.argument, 12) == 0 && element > 0 && elements > 0, Errno::EINVAL)?;
        require(element <= 4096 && elements <= 1024, Errno::EINVAL)?;
        self.client(fd)?;
        let (element_out, answer) = match param {
            0 => (element.min(known), self.contexts(element.min(known))),
            2 if self.driver.async_error => (element.min(24), vec![0; 24]),
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let room = element * elements;
        let fits = answer.len().min(room / element_out * element_out);
        behind(call, 16, room)?[..fits].copy_from_slice(&answer[..fits]);
        put_u32(call.argument, 4, element_out as u32);
        put_u32(call.argument, 8, (fits / element_out) as u32);
        Ok(())
    }

    fn set_state(&mut self, call: &mut Call<'_, '_>) -> Result<(), Errno> {
        require(self.driver.root, Errno::EACCES)?;
        require(u32_at(call.argument, 0) == 0, Errno::EOPNOTSUPP)?;
        let bytes = u32_at(call.argument, 4) as usize;
        let mode = behind(call, 8, bytes)?;
        require(mode.len() == 8 && mode[1..].iter().all(|&pad| pad == 0) && mode[0] <= 4, Errno::EINVAL)?;
        let mode = mode[0];
        require(self.driver.power_modes.contains(&mode), Errno::EOPNOTSUPP)?;
        self.power_mode = mode;
        Ok(())
    }
}
