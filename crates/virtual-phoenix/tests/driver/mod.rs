//! A driver of few lines: what amdxdna does with registers, rings and guest memory, through the same calls that QEMU's requests
//! become.
#![allow(dead_code, reason = "every test file uses another part")]

pub mod copying;
pub mod design;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_DATA_EVENTFD;
use vfio_user::{DmaMapFlags, ServerBackend};
use virtual_phoenix::message::Opcode;
use virtual_phoenix::{Backend, Journal, Protocol, Shared};

pub const BAR0: u32 = 0;
pub const BAR2: u32 = 2;
pub const BAR4: u32 = 4;
const MSIX: u32 = 2;
const SRAM_BASE: u32 = 0x0308_0000;
const REGISTER_BASE: u32 = 0x030c_0000;
const TOMBSTONE: u32 = 0xdead_face;

/// Bytes of the heap.
pub const HEAP_BYTES: u64 = 64 << 20;
/// Device address of the heap.
pub const HEAP: u64 = 0x0400_0000;
/// Where the heap is mapped: so high that an aperture above it passes 48 bits, as the driver's IOVAs are.
pub const HEAP_AT: u64 = 0xffff_f800_0000;
/// Where buffers are mapped.
pub const BUFFERS_AT: u64 = 0xffff_e000_0000;
pub const BUFFERS_BYTES: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the device logs.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("the log").clone()).expect("text")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub id: u32,
    pub opcode: u32,
    pub payload: Vec<u8>,
}

impl Received {
    pub fn words(&self) -> Vec<u32> {
        words_of(&self.payload)
    }
}

pub fn words_of(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

pub fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The driver's side of a channel.
pub struct Channel {
    vector: usize,
    x2i_tail_register: u32,
    x2i_head_register: u32,
    x2i: u32,
    i2x_tail_register: u32,
    i2x_head_register: u32,
    i2x: u32,
    ring_bytes: u32,
    tail: u32,
    head: u32,
    next_id: u32,
}

/// A context the device made.
pub struct Context {
    pub id: u32,
    pub channel: Channel,
}

/// The machine around the device.
pub struct Driver {
    pub device: Arc<Shared>,
    pub backend: Backend,
    pub log: Log,
    pub heap: File,
    pub buffers: File,
    vectors: Vec<UnixStream>,
    management: Option<Channel>,
}

impl Driver {
    /// A machine whose function is not started.
    pub fn new(protocol: Protocol) -> Self {
        let log = Log::default();
        let device = Shared::new(protocol, Journal::new(Some(Box::new(log.clone()))));
        let mut backend = Backend::new(Arc::clone(&device));
        let file = |bytes| {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(bytes).expect("its length");
            file
        };
        let (heap, buffers) = (file(HEAP_BYTES), file(BUFFERS_BYTES));
        for (file, at, bytes) in [(&heap, HEAP_AT, HEAP_BYTES), (&buffers, BUFFERS_AT, BUFFERS_BYTES)] {
            let file = file.try_clone().expect("a second descriptor");
            backend.dma_map(DmaMapFlags::READ_WRITE, 0, at, bytes, Some(file)).expect("maps");
        }
        let mut vectors = Vec::new();
        for vector in 0..16 {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            backend
                .set_irqs(MSIX, VFIO_IRQ_SET_DATA_EVENTFD, vector, 1, vec![File::from(OwnedFd::from(theirs))])
                .expect("a vector");
            vectors.push(ours);
        }
        Self { device, backend, log, heap, buffers, vectors, management: None }
    }

    /// A machine whose firmware runs.
    pub fn booted(protocol: Protocol) -> Self {
        let mut driver = Self::new(protocol);
        driver.boot().expect("boots");
        driver
    }

    pub fn read(&mut self, region: u32, offset: u32) -> u32 {
        let mut word = [0; 4];
        self.backend.region_read(region, offset.into(), &mut word).expect("reads");
        u32::from_le_bytes(word)
    }

    pub fn write(&mut self, region: u32, offset: u32, value: u32) {
        self.backend.region_write(region, offset.into(), &value.to_le_bytes()).expect("writes");
    }

    /// A PSP command. Its response.
    pub fn psp(&mut self, command: u32, arguments: [u32; 3]) -> u32 {
        assert_eq!(self.read(BAR0, 0x100a0) >> 31, 1, "ready before");
        for (offset, value) in
            [0x100a0, 0x100a4, 0x100a8, 0x100bc].into_iter().zip([command].into_iter().chain(arguments))
        {
            self.write(BAR0, offset, value);
        }
        self.write(BAR0, 0x10090, 0);
        self.write(BAR0, 0x10090, 1);
        assert_eq!(self.read(BAR0, 0x100a0) >> 31, 1, "ready after");
        self.read(BAR0, 0x100a4)
    }

    /// An SMU command. Its response and output.
    pub fn smu(&mut self, command: u32, argument: u32) -> (u32, u32) {
        assert_eq!(self.read(BAR0, 0x10094) & 2, 0);
        self.write(BAR0, 0x100b0, 0);
        self.write(BAR0, 0x100b4, argument);
        self.write(BAR0, 0x100ac, command);
        self.write(BAR0, 0x10094, 1);
        (self.read(BAR0, 0x100b0), self.read(BAR0, 0x100b4))
    }

    /// Power, firmware, the alive record. The protocol's version.
    pub fn start(&mut self) -> (u32, u32) {
        assert_eq!(self.smu(4, 0).0, 1);
        assert_eq!(self.smu(3, 0).0, 1);
        assert_eq!(self.psp(1, [0x0080_0000, 0, 0x1_0000]), 0);
        assert_eq!(self.psp(2, [1, 0, 0]), 0);
        let record = self.read(BAR2, 0x3f000);
        let at = record - SRAM_BASE;
        let words: Vec<u32> = (0..16).map(|i| self.read(BAR2, at + 4 * i)).collect();
        self.write(BAR2, 0x3f000, 0);
        assert_eq!(words[8], 0x5550_4e5f, "the magic");
        let [x2i_tail, x2i_head, x2i, x2i_bytes, i2x_tail, i2x_head, i2x, i2x_bytes] = words[..8] else {
            unreachable!()
        };
        assert!(x2i_bytes.is_power_of_two() && x2i_bytes == i2x_bytes);
        self.management = Some(Channel::new(
            words[9] as usize,
            [x2i_head, x2i_tail, x2i, x2i_bytes],
            [i2x_head, i2x_tail, i2x, i2x_bytes],
        ));
        (words[10], words[11])
    }

    /// The whole boot conversation.
    pub fn boot(&mut self) -> Result<(), String> {
        let (major, minor) = self.start();
        if (major, minor) < (5, 7) {
            return Err(format!("protocol {major}.{minor}"));
        }
        for (kind, value) in [(2, 1), (4, 1)] {
            assert_eq!(self.manage(0x10a, &[kind, value, 0]).words(), [0]);
        }
        assert_eq!(self.manage(0x103, &[0]).words(), [0]);
        assert_eq!(self.manage(0x101, &[0]).words(), [0]);
        assert_eq!(self.read(BAR0, 0x10034) & 1, 1, "asleep");
        assert_eq!(self.manage(0x102, &[0]).words(), [0]);
        assert_eq!(self.read(BAR0, 0x10034) & 1, 0, "awake");
        assert_eq!(self.smu(5, 847), (1, 847));
        assert_eq!(self.smu(6, 1600), (1, 1600));
        assert_eq!(self.manage(0x10a, &[1, 1, 0]).words(), [0]);
        assert_eq!(self.manage(0x108, &[0]).words(), [0, 1, 5, 5, 391]);
        assert_eq!(self.manage(0x0f, &[0]).payload.len(), 8);
        assert_eq!(self.manage(0x0e, &[0]).payload.len(), 48);
        for column in 0..5 {
            let buffer = BUFFERS_AT + 0x8_0000 + 0x2000 * column;
            self.send_management(0x10c, &[buffer as u32, (buffer >> 32) as u32, 0x2000]);
        }
        Ok(())
    }

    pub fn management(&mut self) -> &mut Channel {
        self.management.as_mut().expect("the firmware runs")
    }

    /// Sends on the management channel. The id.
    pub fn send_management(&mut self, opcode: u32, words: &[u32]) -> u32 {
        let mut channel = self.management.take().expect("the firmware runs");
        let id = channel.send(self, opcode, &bytes_of(words));
        self.management = Some(channel);
        id
    }

    /// The next message of the management channel.
    pub fn receive_management(&mut self) -> Received {
        let mut channel = self.management.take().expect("the firmware runs");
        let received = channel.receive(self);
        self.management = Some(channel);
        received
    }

    /// A request of the management channel and its answer.
    pub fn manage(&mut self, opcode: u32, words: &[u32]) -> Received {
        let id = self.send_management(opcode, words);
        let answer = self.receive_management();
        assert_eq!((answer.id, answer.opcode), (id, opcode));
        answer
    }

    /// Makes a context; the status if there is none.
    pub fn create(&mut self, start: u32, columns: u32) -> Result<Context, u32> {
        let answer = self.manage(0x02, &[1, start | columns << 8, 1, 0, 0, 0, 2]);
        let words = answer.words();
        assert_eq!(words.len(), 19);
        if words[0] != 0 {
            return Err(words[0]);
        }
        assert_eq!(words[2] >> 16, 1, "one pair");
        let x2i = [words[3], words[4], words[5], words[6]];
        let i2x = [words[7], words[8], words[9], words[10]];
        Ok(Context { id: words[1], channel: Channel::new((words[2] & 0xffff) as usize, x2i, i2x) })
    }

    /// A context with heap and one unit, whose PDI stands at the heap's begin.
    pub fn context(&mut self, start: u32, columns: u32) -> Context {
        let mut context = self.create(start, columns).expect("a context");
        self.map_heap(&context);
        assert_eq!(self.configure(&mut context, &[design::PDI_AT]), [0]);
        context
    }

    pub fn map_heap(&mut self, context: &Context) {
        let words = [context.id, HEAP_AT as u32, (HEAP_AT >> 32) as u32, HEAP_BYTES as u32, 0];
        assert_eq!(self.manage(0x106, &words).words(), [0]);
    }

    pub fn configure(&mut self, context: &mut Context, pdis: &[u64]) -> Vec<u32> {
        let mut words = vec![0; 33];
        words[0] = pdis.len() as u32;
        for (word, pdi) in words[1..].iter_mut().zip(pdis) {
            *word = (pdi >> 15) as u32;
        }
        self.ask(context, 0x11, &words)
    }

    pub fn destroy(&mut self, context: Context) {
        assert_eq!(self.manage(0x03, &[context.id]).words(), [0]);
    }

    /// A request of a context and its answer.
    pub fn ask(&mut self, context: &mut Context, opcode: u32, words: &[u32]) -> Vec<u32> {
        let id = context.channel.send(self, opcode, &bytes_of(words));
        let answer = context.channel.receive(self);
        assert_eq!((answer.id, answer.opcode), (id, opcode));
        answer.words()
    }

    /// Waits for an interrupt of a vector.
    pub fn wait(&mut self, vector: usize) {
        let mut count = [0; 8];
        self.vectors[vector].read_exact(&mut count).expect("an interrupt");
    }

    /// Whether an interrupt of a vector comes in some time.
    pub fn interrupted_within(&mut self, vector: usize, time: Duration) -> bool {
        self.vectors[vector].set_read_timeout(Some(time)).expect("a timeout");
        let came = self.vectors[vector].read_exact(&mut [0; 8]).is_ok();
        self.vectors[vector].set_read_timeout(Some(PATIENCE)).expect("a timeout");
        came
    }

    pub fn put_heap(&self, device: u64, data: &[u8]) {
        self.heap.write_all_at(data, device - HEAP).expect("writes");
    }

    pub fn put(&self, buffer: u64, data: &[u8]) {
        self.buffers.write_all_at(data, buffer - BUFFERS_AT).expect("writes");
    }

    pub fn get(&self, buffer: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        self.buffers.read_exact_at(&mut data, buffer - BUFFERS_AT).expect("reads");
        data
    }

    pub fn count(&self, name: &str) -> u64 {
        self.device.lock().counts()[name].as_u64().unwrap_or_else(|| panic!("no count {name}"))
    }

    /// Waits until a count is reached.
    pub fn wait_for(&self, name: &str, at_least: u64) {
        let start = Instant::now();
        while self.count(name) < at_least {
            assert!(
                start.elapsed() < PATIENCE,
                "{name} stays at {} of {at_least}\n{}",
                self.count(name),
                self.log.text()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn inject(&self, text: &str) {
        self.device.lock().inject(text.parse().expect("a fault"));
    }

    pub fn status(&self, opcode: Opcode) -> u64 {
        self.device.lock().counts()["messages"][opcode.name()].as_u64().unwrap_or_default()
    }
}

impl Channel {
    /// Head, tail, ring and its bytes by device address, for each direction.
    pub fn new(vector: usize, x2i: [u32; 4], i2x: [u32; 4]) -> Self {
        Self {
            vector,
            x2i_head_register: x2i[0] - REGISTER_BASE,
            x2i_tail_register: x2i[1] - REGISTER_BASE,
            x2i: x2i[2] - SRAM_BASE,
            i2x_head_register: i2x[0] - REGISTER_BASE,
            i2x_tail_register: i2x[1] - REGISTER_BASE,
            i2x: i2x[2] - SRAM_BASE,
            ring_bytes: x2i[3],
            tail: 0,
            head: 0,
            next_id: 0,
        }
    }

    pub fn vector(&self) -> usize {
        self.vector
    }

    pub fn x2i_tail_register(&self) -> u32 {
        self.x2i_tail_register
    }

    pub fn x2i(&self) -> u32 {
        self.x2i
    }

    pub fn send(&mut self, driver: &mut Driver, opcode: u32, payload: &[u8]) -> u32 {
        let bytes = payload.len() as u32;
        let head = driver.read(BAR4, self.x2i_head_register);
        assert_eq!(head, self.tail, "all before was taken inside the doorbell");
        if self.tail + 16 + bytes > self.ring_bytes - 4 {
            driver.write(BAR2, self.x2i + self.tail, TOMBSTONE);
            self.tail = 0;
        }
        let id = 0x1d00_0000 | self.next_id;
        self.next_id = (self.next_id + 1) % 256;
        let header = [bytes, bytes | 1 << 16, id, opcode];
        for (i, word) in (0..).zip(header.into_iter().chain(words_of(payload))) {
            driver.write(BAR2, self.x2i + self.tail + 4 * i, word);
        }
        self.tail += 16 + bytes;
        driver.write(BAR4, self.x2i_tail_register, self.tail);
        id
    }

    /// The next message, after its interrupt.
    pub fn receive(&mut self, driver: &mut Driver) -> Received {
        loop {
            if let Some(received) = self.poll(driver) {
                return received;
            }
            driver.wait(self.vector);
        }
    }

    /// The next message if one is in the ring.
    pub fn poll(&mut self, driver: &mut Driver) -> Option<Received> {
        driver.write(BAR4, self.i2x_head_register + 4, 0);
        let tail = driver.read(BAR4, self.i2x_tail_register);
        assert!(tail <= self.ring_bytes && tail.is_multiple_of(4));
        if self.head == tail {
            return None;
        }
        if self.head == self.ring_bytes {
            self.head = 0;
        }
        let mut bytes = driver.read(BAR2, self.i2x + self.head);
        if bytes == TOMBSTONE {
            assert!(self.head >= tail);
            self.head = 0;
            bytes = driver.read(BAR2, self.i2x);
        }
        assert!(bytes > 0 && bytes.is_multiple_of(4) && self.head + 16 + bytes <= self.ring_bytes);
        let word = |driver: &mut Driver, i: u32| driver.read(BAR2, self.i2x + self.head + 4 * i);
        let (id, opcode) = (word(driver, 2), word(driver, 3));
        assert_eq!(word(driver, 1), bytes | 1 << 16);
        let payload: Vec<u32> = (0..bytes / 4).map(|i| word(driver, 4 + i)).collect();
        self.head += 16 + bytes;
        driver.write(BAR4, self.i2x_head_register, self.head);
        Some(Received { id, opcode, payload: bytes_of(&payload) })
    }
}
