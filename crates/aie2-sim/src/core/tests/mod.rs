//! Programs run from bytes: control flow, the pipeline's rules, faults, a matrix product.

mod control;
mod gemm;
mod pipeline;

use super::{Core, EarlyReads};
use crate::core_fault::CoreFaultKind;
use crate::fault::Fault;
use crate::port::{CascadeWord, CoreBus, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_isa::{Bundle, Reg, assemble};
use std::collections::VecDeque;

/// The core's own memory, one lock, one stream each way.
pub(super) struct Bus {
    pub bytes: Vec<u8>,
    pub lock: i32,
    pub input: VecDeque<StreamWord>,
    pub output: Vec<StreamWord>,
    pub room: usize,
}

impl Bus {
    pub fn new() -> Self {
        Self { bytes: vec![0; 0x1_0000], lock: 0, input: VecDeque::new(), output: Vec::new(), room: 64 }
    }

    pub fn word(&self, addr: u32) -> u32 {
        let at = (addr - OWN_WINDOW) as usize;
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }
}

impl CoreBus for Bus {
    fn tile(&self) -> TileLoc {
        TileLoc::new(1, 3)
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let at = (addr - OWN_WINDOW) as usize;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        let at = (addr - OWN_WINDOW) as usize;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn lock(&mut self, id: u8, op: LockOp) -> Result<bool, Fault> {
        if id != 48 {
            return Err(Fault::CoreLock { tile: self.tile(), id });
        }
        match op {
            LockOp::Acquire { value } if self.lock < -i32::from(value) => return Ok(false),
            LockOp::Acquire { value } => self.lock += i32::from(value),
            LockOp::Release { value } => self.lock += i32::from(value),
        }
        Ok(true)
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Ok(self.input.pop_front())
    }

    fn stream_write(&mut self, word: StreamWord) -> Result<bool, Fault> {
        if self.output.len() == self.room {
            return Ok(false);
        }
        self.output.push(word);
        Ok(true)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Ok(None)
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Ok(false)
    }
}

pub(super) fn reg(name: &str) -> Reg {
    Reg::from_name(name).expect("register name")
}

/// Bytes of a program, one bundle per line. A line starting with `!` is widened to 16 bytes.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (wide, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let bundle = if line == "nop" { Bundle::new() } else { assemble(line).expect("assembly")[0] };
        let encoded = if wide { bundle.encode_at_least(16).expect("a 16-byte format") } else { bundle.encode() };
        out.extend_from_slice(encoded.as_bytes());
    }
    out
}

/// A core with `text` and `done` loaded, p0 at the own window.
pub(super) fn core(text: &str) -> Core {
    let mut core = Core::new();
    let program = bytes(&format!("{text}\ndone\nnop\nnop\nnop\nnop\nnop\nnop"));
    core.load_program(&program).expect("the program fits");
    core.set_register(reg("p0"), &OWN_WINDOW.to_le_bytes());
    core
}

/// Steps until `done`; the number of steps that issued.
pub(super) fn run(core: &mut Core, bus: &mut Bus) -> Result<u64, Fault> {
    for _ in 0..100_000_000u64 {
        match core.step(bus)? {
            Step::Halted => return Ok(core.stats().bundles),
            Step::Issued { .. } => {}
            Step::Blocked(why) => panic!("blocked: {why}"),
        }
    }
    panic!("the program does not end");
}

/// The fault `text` ends with.
pub(super) fn fault_of(text: &str) -> CoreFaultKind {
    let (mut core, mut bus) = (core(text), Bus::new());
    match run(&mut core, &mut bus) {
        Err(Fault::Core { fault, .. }) => fault.kind,
        other => panic!("no core fault: {other:?}"),
    }
}

/// Value of a 32-bit register after `text`.
pub(super) fn scalar_after(text: &str, name: &str) -> u32 {
    let (mut core, mut bus) = (core(text), Bus::new());
    core.set_early_reads(EarlyReads::Anywhere);
    run(&mut core, &mut bus).expect("the program runs");
    let b = core.register(reg(name)).expect("written");
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}
