//! Register words for small test designs, written out from the register tables and independent of the simulator.
#![allow(dead_code)]

use aie2_sim::port::BlockReason;
use aie2_sim::port::{CoreBus, CoreStats, LockOp, OWN_WINDOW, Step, StreamWord};
use aie2_sim::{BufferId, Config, CoreModel, Fault, MachineOf, RunReport, TileLoc, Timing};
use npu_container::address::addr;
use npu_container::cdo::Command;
use npu_container::txn::{self, Op};
use npu_container::{pdi, txn::Direction};

pub const SHIM: u8 = 0;
pub const MEM: u8 = 1;

/// A core that executes a list of steps, each taking one bundle.
#[derive(Clone, Debug)]
pub enum Act {
    Acquire(u8, i8),
    Release(u8, i8),
    /// Copies words inside the own memory, one per bundle: from, to, words.
    Copy(u32, u32, u32),
    /// Loads a word and faults if it differs.
    Expect(u32, u32),
    /// Bundles without effect, using these banks.
    Spin(u64, u8),
    StreamToMemory(u32, u32),
    MemoryToStream(u32, u32),
    CascadeSend(u32),
    CascadeReceive(u32),
    /// Back to the first act.
    Loop,
    Done,
}

/// Scripted core: program memory holds the number of its script in [`SCRIPTS`].
pub struct Script {
    acts: Vec<Act>,
    at: usize,
    inner: u32,
    stats: CoreStats,
}

std::thread_local! {
    /// Scripts by number; the program word at address 0 selects one.
    pub static SCRIPTS: std::cell::RefCell<Vec<Vec<Act>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Registers a script; returns the program word for it.
pub fn script(acts: &[Act]) -> u32 {
    SCRIPTS.with_borrow_mut(|s| {
        s.push(acts.to_vec());
        s.len() as u32 - 1
    })
}

fn word<B: CoreBus>(bus: &mut B, at: u32) -> Result<u32, Fault> {
    let mut b = [0; 4];
    bus.load(at, &mut b)?;
    Ok(u32::from_le_bytes(b))
}

impl CoreModel for Script {
    fn new() -> Self {
        Self { acts: Vec::new(), at: 0, inner: 0, stats: CoreStats::default() }
    }
    fn reset(&mut self) {
        (self.at, self.inner) = (0, 0);
    }
    fn write_program(&mut self, _: TileLoc, _: usize, data: &[u8]) -> Result<(), Fault> {
        let n = u32::from_le_bytes([data[0], data[1], data[2], data[3]]);
        self.acts = SCRIPTS.with_borrow(|s| s[n as usize].clone());
        Ok(())
    }
    fn step<B: CoreBus>(&mut self, bus: &mut B) -> Result<Step, Fault> {
        let act = self.acts.get(self.at).cloned().unwrap_or(Act::Done);
        let mut next = true;
        let mut banks = 0;
        let blocked = |reason| Ok(Step::Blocked(reason));
        match act {
            Act::Acquire(id, value) => {
                let op = LockOp::Acquire { value };
                if !bus.lock(id, op)? {
                    return blocked(BlockReason::Lock { id, op });
                }
            }
            Act::Release(id, value) => {
                let op = LockOp::Release { value };
                if !bus.lock(id, op)? {
                    return blocked(BlockReason::Lock { id, op });
                }
            }
            Act::Copy(from, to, words) => {
                let w = word(bus, OWN_WINDOW + from + 4 * self.inner)?;
                bus.store(OWN_WINDOW + to + 4 * self.inner, &w.to_le_bytes())?;
                self.inner += 1;
                next = self.inner == words;
            }
            Act::Expect(at, want) => {
                let got = word(bus, at)?;
                assert_eq!(got, want, "word at {at:#x}");
            }
            Act::Spin(n, b) => {
                banks = b;
                self.inner += 1;
                next = u64::from(self.inner) == n;
            }
            Act::StreamToMemory(at, words) => {
                let Some(w) = bus.stream_read()? else { return blocked(BlockReason::StreamRead) };
                bus.store(OWN_WINDOW + at + 4 * self.inner, &w.data.to_le_bytes())?;
                self.inner += 1;
                next = self.inner == words;
            }
            Act::MemoryToStream(at, words) => {
                let data = word(bus, OWN_WINDOW + at + 4 * self.inner)?;
                let last = self.inner + 1 == words;
                if !bus.stream_write(StreamWord { data, last })? {
                    return blocked(BlockReason::StreamWrite);
                }
                self.inner += 1;
                next = self.inner == words;
            }
            Act::CascadeSend(n) => {
                if !bus.cascade_write([self.inner; 16])? {
                    return blocked(BlockReason::CascadeWrite);
                }
                self.inner += 1;
                next = self.inner == n;
            }
            Act::CascadeReceive(n) => {
                let Some(w) = bus.cascade_read()? else { return blocked(BlockReason::CascadeRead) };
                assert_eq!(w, [self.inner; 16]);
                self.inner += 1;
                next = self.inner == n;
            }
            Act::Loop => self.at = usize::MAX,
            Act::Done => return Ok(Step::Halted),
        }
        self.stats.bundles += 1;
        if next {
            self.inner = 0;
            self.at = self.at.wrapping_add(1);
        }
        Ok(Step::Issued { banks, stall_cycles: 0 })
    }
    fn pc(&self) -> u32 {
        16 * self.at as u32
    }
    fn stats(&self) -> CoreStats {
        self.stats
    }
}

pub type TestMachine = MachineOf<Script>;

/// BD fields in plain units: byte address, words; dims are (step, wrap) in words.
#[derive(Clone, Default)]
pub struct TestBd {
    pub base: u64,
    pub length: u32,
    pub dims: Vec<(u32, u32)>,
    pub pad: [(u32, u32); 3],
    pub iteration: Option<(u32, u32)>,
    pub next: Option<u32>,
    pub acquire: Option<(u32, i32)>,
    pub release: Option<(u32, i32)>,
    pub packet: Option<(u32, u32)>,
    pub tlast_suppress: bool,
}

pub fn bd(base: u64, length: u32) -> TestBd {
    TestBd { base, length, ..TestBd::default() }
}

impl TestBd {
    pub fn dims(mut self, dims: &[(u32, u32)]) -> Self {
        self.dims = dims.to_vec();
        self
    }
    pub fn locks(mut self, acquire: (u32, i32), release: (u32, i32)) -> Self {
        (self.acquire, self.release) = (Some(acquire), Some(release));
        self
    }
    /// Header with this stream id, type 0.
    pub fn packet(mut self, id: u32) -> Self {
        self.packet = Some((id, 0));
        self
    }
    pub fn release(mut self, lock: u32, value: i32) -> Self {
        self.release = Some((lock, value));
        self
    }
    pub fn next(mut self, next: u32) -> Self {
        self.next = Some(next);
        self
    }
    fn dim(&self, k: usize) -> (u32, u32) {
        let (step, wrap) = self.dims.get(k).copied().unwrap_or((1, 0));
        (step - 1, wrap)
    }
    fn tail(&self) -> u32 {
        let (rel, rel_v) = self.release.unwrap_or((0, 0));
        let (acq, acq_v) = self.acquire.unwrap_or((0, 0));
        self.next.map_or(0, |n| 1 << 26 | n << 27)
            | 1 << 25
            | u32::from(self.tlast_suppress) << 31
            | (rel_v as u32 & 0x7f) << 18
            | rel << 13
            | u32::from(self.acquire.is_some()) << 12
            | (acq_v as u32 & 0x7f) << 5
            | acq
    }
    pub fn words(&self, row: u8) -> Vec<u32> {
        let ((s0, w0), (s1, w1), (s2, w2), (s3, _)) = (self.dim(0), self.dim(1), self.dim(2), self.dim(3));
        let (it_step, it_wrap) = self.iteration.map_or((0, 0), |(s, w)| (s - 1, w - 1));
        let (pid, ptype) = self.packet.unwrap_or((0, 0));
        let pk = u32::from(self.packet.is_some());
        match row {
            SHIM => vec![
                self.length,
                self.base as u32,
                (self.base >> 32) as u32 | pk << 30 | pid << 19 | ptype << 16,
                w0 << 20 | s0,
                0x8000_0000 | w1 << 20 | s1,
                0x0200_0000 | s2,
                it_wrap << 20 | it_step,
                self.tail(),
            ],
            MEM => {
                let [(b0, a0), (b1, a1), (b2, a2)] = self.pad;
                let (rel, rel_v) = self.release.unwrap_or((0, 0));
                let (acq, acq_v) = self.acquire.unwrap_or((0, 0));
                vec![
                    self.length | pk << 31 | ptype << 28 | pid << 23,
                    b0 << 26 | self.next.map_or(0, |n| 1 << 19 | n << 20) | (self.base / 4) as u32,
                    w0 << 17 | s0 | u32::from(self.tlast_suppress) << 31,
                    b1 << 27 | w1 << 17 | s1,
                    b2 << 27 | w2 << 17 | s2,
                    a2 << 28 | a1 << 23 | a0 << 17 | s3,
                    it_wrap << 17 | it_step,
                    1 << 31
                        | (rel_v as u32 & 0x7f) << 24
                        | rel << 16
                        | u32::from(self.acquire.is_some()) << 15
                        | (acq_v as u32 & 0x7f) << 8
                        | acq,
                ]
            }
            _ => vec![
                ((self.base / 4) as u32) << 14 | self.length,
                pk << 30 | pid << 19 | ptype << 16,
                s1 << 13 | s0,
                w1 << 21 | w0 << 13 | s2,
                it_wrap << 13 | it_step,
                self.tail(),
            ],
        }
    }
}

/// Offset of BD `b` in a tile of this row.
pub fn bd_offset(row: u8, b: u32) -> u32 {
    (if row == MEM { 0xA_0000 } else { 0x1_D000 }) + 0x20 * b
}

pub fn lock_offset(row: u8, lock: u32) -> u32 {
    0x10 * lock
        + match row {
            SHIM => 0x1_4000,
            MEM => 0xC_0000,
            _ => 0x1_F000,
        }
}

/// Offset of the task queue of a channel.
pub fn queue_offset(row: u8, dir: Direction, channel: u32) -> u32 {
    let (s2mm, mm2s) = match row {
        SHIM => (0x1_D204, 0x1_D214),
        MEM => (0xA_0604, 0xA_0634),
        _ => (0x1_DE04, 0x1_DE14),
    };
    8 * channel + if dir == Direction::S2mm { s2mm } else { mm2s }
}

/// A configuration and a stream under construction.
#[derive(Default)]
pub struct Design {
    pub cdo: Vec<Command>,
    pub ops: Vec<Op>,
}

impl Design {
    pub fn write(&mut self, col: u8, row: u8, offset: u32, value: u32) -> &mut Self {
        self.cdo.push(Command::Write { addr: addr(col, row, offset), value });
        self
    }
    pub fn bd(&mut self, col: u8, row: u8, b: u32, bd: &TestBd) -> &mut Self {
        self.cdo.push(Command::DmaWrite { addr: addr(col, row, bd_offset(row, b)), data: bd.words(row) });
        self
    }
    pub fn lock(&mut self, col: u8, row: u8, lock: u32, value: u32) -> &mut Self {
        self.write(col, row, lock_offset(row, lock), value)
    }
    pub fn start(&mut self, col: u8, row: u8, dir: Direction, channel: u32, bd: u32) -> &mut Self {
        self.write(col, row, queue_offset(row, dir, channel), bd)
    }
    /// Circuit connection inside one switch, by register index.
    pub fn connect(&mut self, col: u8, row: u8, slave: u32, master: u32) -> &mut Self {
        let base = if row == MEM { 0xB_0000 } else { 0x3_F000 };
        self.write(col, row, base + 0x100 + 4 * slave, 0x8000_0000);
        self.write(col, row, base + 4 * master, 0x8000_0000 | slave)
    }
    /// Packet-switched slave whose slot `slot` takes `id` under `mask` to (arbiter, msel).
    #[allow(clippy::too_many_arguments, reason = "one per register field")]
    pub fn slot(&mut self, col: u8, row: u8, slave: u32, slot: u32, id: u32, mask: u32, to: (u32, u32)) -> &mut Self {
        let base = if row == MEM { 0xB_0000 } else { 0x3_F000 };
        self.write(col, row, base + 0x100 + 4 * slave, 0xC000_0000);
        let word = id << 24 | mask << 16 | 1 << 8 | to.1 << 4 | to.0;
        self.write(col, row, base + 0x200 + 0x10 * slave + 4 * slot, word)
    }
    /// Packet-switched master of `arbiter` for the mask `msels`.
    pub fn master(&mut self, col: u8, row: u8, master: u32, arbiter: u32, msels: u32, drop: bool) -> &mut Self {
        let base = if row == MEM { 0xB_0000 } else { 0x3_F000 };
        self.write(col, row, base + 4 * master, 0xC000_0000 | u32::from(drop) << 7 | msels << 3 | arbiter)
    }
    /// Words of data memory, by byte offset.
    pub fn data(&mut self, col: u8, row: u8, at: u32, words: &[u32]) -> &mut Self {
        for (i, &word) in (0u32..).zip(words) {
            self.write(col, row, at + 4 * i, word);
        }
        self
    }
    /// Ends the stream when a lock has this value.
    pub fn op_poll_lock(&mut self, col: u8, row: u8, lock: u32, value: u32) -> &mut Self {
        self.ops.push(Op::MaskPoll { addr: addr(col, row, lock_offset(row, lock)), value, mask: 0x3f });
        self
    }
    /// Queue push of any tile by the runtime stream.
    pub fn op_start(&mut self, col: u8, row: u8, dir: Direction, channel: u32, value: u32) -> &mut Self {
        self.ops.push(Op::Write { addr: addr(col, row, queue_offset(row, dir, channel)), value });
        self
    }
    /// Mux and demux of a shim to all four DMA channels, token route in circuit form.
    pub fn shim(&mut self, col: u8) -> &mut Self {
        self.write(col, 0, 0x1_F000, 1 << 10 | 1 << 14).write(col, 0, 0x1_F004, 1 << 4 | 1 << 6);
        self.connect(col, 0, 0, 2)
    }
    /// Loads a script and enables the core.
    pub fn core(&mut self, col: u8, row: u8, acts: &[Act]) -> &mut Self {
        self.write(col, row, 0x2_0000, script(acts));
        self.write(col, row, 0x3_2000, 2).write(col, row, 0x3_2000, 0).write(col, row, 0x3_2000, 1)
    }

    pub fn op_bd(&mut self, col: u8, b: u32, bd: &TestBd, arg: u32, plus: u32) -> &mut Self {
        let at = addr(col, 0, bd_offset(0, b));
        self.ops.push(Op::BlockWrite { addr: at, data: bd.words(0) });
        self.ops.push(Op::DdrPatch { register: at + 4, arg_index: arg, arg_plus: plus });
        self
    }
    pub fn op_push(&mut self, col: u8, dir: Direction, channel: u32, bd: u32, runs: u32, token: bool) -> &mut Self {
        let value = u32::from(token) << 31 | (runs - 1) << 16 | bd;
        self.ops.push(Op::Write { addr: addr(col, 0, queue_offset(0, dir, channel)), value });
        self
    }
    pub fn op_wait(&mut self, col: u8, dir: Direction, channel: u8) -> &mut Self {
        self.ops.push(Op::Tct { direction: dir, col, row: 0, cols: 1, rows: 1, channel });
        self
    }
    /// Linear transfer on a shim channel: BD, patch, push.
    pub fn op_transfer(&mut self, col: u8, dir: Direction, ch: u32, b: u32, words: u32, arg: u32) -> &mut Self {
        self.op_bd(col, b, &bd(0, words), arg, 0);
        self.op_push(col, dir, ch, b, 1, dir == Direction::S2mm)
    }

    pub fn pdi(&self) -> Vec<u8> {
        pdi::write(&self.cdo)
    }
    pub fn txn(&self) -> Vec<u8> {
        txn::write(&txn::Header::npu1(4), &self.ops)
    }
    pub fn machine(&self) -> Result<TestMachine, Fault> {
        let mut m = TestMachine::new(fast());
        m.load_pdi(&self.pdi())?;
        Ok(m)
    }
    /// Loads, fills the buffers (`Err(n)`: n bytes never written) and runs once.
    pub fn run(&self, buffers: &[Result<&[u8], usize>]) -> Result<(TestMachine, Vec<BufferId>, RunReport), Fault> {
        let mut m = self.machine()?;
        let ids = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| {
                let id = m.alloc(&format!("arg{i}"), b.map_or_else(|n| n, <[u8]>::len));
                if let Ok(data) = b {
                    m.write_buffer(id, 0, data)?;
                }
                Ok(id)
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let report = m.run(&self.txn(), &ids)?;
        Ok((m, ids, report))
    }
}

/// The text of the fault a run ends with.
pub fn message(design: &Design, buffers: &[Result<&[u8], usize>]) -> String {
    match design.run(buffers) {
        Ok((.., report)) => panic!("no fault: {report:?}"),
        Err(fault) => fault.to_string(),
    }
}

/// Asserts that a run ends with a fault whose text has all these parts.
#[track_caller]
pub fn expect_fault(design: &Design, buffers: &[Result<&[u8], usize>], parts: &[&str]) {
    let text = message(design, buffers);
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// Header word of a packet from a tile, type 0.
// SOURCE: AM020 ch. 2 table 2.
pub fn header(id: u32, col: u8, row: u8) -> u32 {
    let word = id | u32::from(row) << 16 | u32::from(col) << 21;
    if word.count_ones().is_multiple_of(2) { word | 1 << 31 } else { word }
}

/// Limits that end a hanging test soon.
pub fn fast() -> Config {
    Config { cycle_limit: 2_000_000, stall_limit: 50_000, timing: Timing::default(), ..Config::default() }
}

/// Distinct words 0, 1, 2, .. as bytes.
pub fn ramp(words: u32) -> Vec<u8> {
    (0..words).flat_map(|w| (w | 0xab00_0000).to_le_bytes()).collect()
}

pub fn words_of(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
