//! A core on a flat memory in which every byte is known or not.

use aie2_isa::{Reg, assemble};
use aie2_sim::core::{Core, EarlyReads};
use aie2_sim::port::{CascadeWord, CoreBus, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_sim::{CoreFault, Fault};

/// Input buffer of the recorded programs (p0).
pub const INPUT: u32 = OWN_WINDOW;
/// Output buffer (p1), in another bank.
pub const OUTPUT: u32 = OWN_WINDOW + 0x8000;
const BYTES: usize = 0x1_0000;

/// The core's own 64 KiB.
pub struct Memory {
    bytes: Vec<Option<u8>>,
}

impl Memory {
    pub fn new() -> Self {
        Self { bytes: vec![None; BYTES] }
    }

    pub fn set(&mut self, addr: u32, data: &[u8]) {
        for (i, b) in data.iter().enumerate() {
            self.bytes[(addr - OWN_WINDOW) as usize + i] = Some(*b);
        }
    }

    pub fn get(&self, addr: u32, n: usize) -> Vec<Option<u8>> {
        self.bytes[(addr - OWN_WINDOW) as usize..][..n].to_vec()
    }

    /// Bytes that must have been stored.
    pub fn stored(&self, addr: u32, n: usize) -> Vec<u8> {
        self.get(addr, n).into_iter().map(|b| b.expect("the program stored this byte")).collect()
    }
}

impl CoreBus for Memory {
    fn tile(&self) -> TileLoc {
        TileLoc::new(0, 2)
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let (tile, bytes) = (self.tile(), out.len() as u32);
        let at = addr.checked_sub(OWN_WINDOW).ok_or(Fault::CoreAddress { tile, addr, bytes })?;
        for (i, o) in out.iter_mut().enumerate() {
            let known = self.bytes.get(at as usize + i).copied().flatten();
            *o = known.ok_or(Fault::CoreUninitialised { tile, addr, bytes, first_bad: addr + i as u32 })?;
        }
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        if addr < OWN_WINDOW {
            return Err(Fault::CoreAddress { tile: self.tile(), addr, bytes: data.len() as u32 });
        }
        self.set(addr, data);
        Ok(())
    }

    fn lock(&mut self, id: u8, _: LockOp) -> Result<bool, Fault> {
        Err(Fault::CoreLock { tile: self.tile(), id })
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Err(Fault::CorePortUnconnected { tile: self.tile(), what: "stream input" })
    }

    fn stream_write(&mut self, _: StreamWord) -> Result<bool, Fault> {
        Err(Fault::CorePortUnconnected { tile: self.tile(), what: "stream output" })
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Err(Fault::CorePortUnconnected { tile: self.tile(), what: "cascade input" })
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Err(Fault::CorePortUnconnected { tile: self.tile(), what: "cascade output" })
    }
}

/// Control registers at their reset value.
// SOURCE: the recordings wrote none of them; FIM43-Redeye/xdna-emu takes them as 0, the reset value.
const CONTROL: [&str; 8] =
    ["crVaddSign", "crPackSign", "crRnd", "crSRSSign", "crSat", "crUPSSign", "crUnpackSign", "crFPMask"];

pub fn reg(name: &str) -> Reg {
    Reg::from_name(name).unwrap_or_else(|| panic!("register {name}"))
}

/// A core with p0, p1 and the control registers set.
pub fn core() -> Core {
    let mut core = Core::new();
    core.set_early_reads(EarlyReads::Anywhere);
    for name in CONTROL {
        core.set_register(reg(name), &[0; 4]);
    }
    core.set_register(reg("p0"), &INPUT.to_le_bytes());
    core.set_register(reg("p1"), &OUTPUT.to_le_bytes());
    core
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The text is not a program.
    #[error("assembly: {0}")]
    Assembly(String),
    /// The bytes do not fit.
    #[error("{0}")]
    Program(#[from] CoreFault),
    /// A bundle faulted.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// Nothing here blocks.
    #[error("blocked: {0}")]
    Blocked(String),
    /// `done` was never reached.
    #[error("the program did not end")]
    Endless,
}

/// Runs `text` (one bundle per line) from bytes until `done` has taken effect.
pub fn run(core: &mut Core, memory: &mut Memory, text: &str) -> Result<(), Failure> {
    let bundles = assemble(&format!("{text}\ndone\n{}", "nop\n".repeat(12)));
    let bundles = bundles.map_err(|e| Failure::Assembly(e.to_string()))?;
    let mut program = Vec::new();
    for b in &bundles {
        program.extend_from_slice(b.encode().as_bytes());
    }
    core.load_program(&program)?;
    for _ in 0..bundles.len() {
        match core.step(memory)? {
            Step::Halted => return Ok(()),
            Step::Issued { .. } => {}
            Step::Blocked(why) => return Err(Failure::Blocked(why.to_string())),
        }
    }
    Err(Failure::Endless)
}
