//! A core with everything written, a memory of noise, and two ways to judge a distance.

use aie2_isa::{Atom, Bundle, File, Reg};
use aie2_sim::core::EarlyReads;
use aie2_sim::core_fault::CoreFaultKind;
use aie2_sim::port::{CORE_MEM_BYTES, CascadeWord, CoreBus, CoreStats, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_sim::{Core, Fault};

/// Bundles behind which nothing is in flight.
pub const QUIET: usize = 20;

/// Own memory, and locks that grant when the count allows.
pub struct Bus {
    pub memory: Vec<u8>,
    pub lock: i32,
}

impl CoreBus for Bus {
    fn tile(&self) -> TileLoc {
        TileLoc::new(0, 2)
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let at = (addr - OWN_WINDOW) as usize;
        out.copy_from_slice(&self.memory[at..at + out.len()]);
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        let at = (addr - OWN_WINDOW) as usize;
        self.memory[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn lock(&mut self, _: u8, op: LockOp) -> Result<bool, Fault> {
        match op {
            LockOp::Acquire { value } if self.lock < -i32::from(value) => return Ok(false),
            LockOp::Acquire { value } | LockOp::Release { value } => self.lock += i32::from(value),
        }
        Ok(true)
    }

    fn stream_read(&mut self) -> Result<Option<StreamWord>, Fault> {
        Ok(None)
    }

    fn stream_write(&mut self, _: StreamWord) -> Result<bool, Fault> {
        Ok(false)
    }

    fn cascade_read(&mut self) -> Result<Option<CascadeWord>, Fault> {
        Ok(None)
    }

    fn cascade_write(&mut self, _: CascadeWord) -> Result<bool, Fault> {
        Ok(false)
    }
}

pub fn reg(name: &str) -> Reg {
    Reg::from_name(name).unwrap_or_else(|| panic!("no register {name}"))
}

pub fn nops(n: usize) -> String {
    "nop\n".repeat(n)
}

/// Bytes of a program, one bundle per line; a line starting with `!` takes 16 bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (least, line) = line.strip_prefix('!').map_or((2, line), |rest| (16, rest));
        let bundle = Bundle::parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        out.extend_from_slice(&bundle.encode_at_least(least).expect("at most 16 bytes"));
    }
    out
}

/// Noise, the same every time.
fn noise(seed: u32) -> impl FnMut() -> u8 {
    let mut x = seed.wrapping_mul(0x9e37_79b9) | 1;
    move || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 11) as u8
    }
}

/// What a register holds at the start: pointers into own memory, configurations of int8 (r8) and bf16 (r9, r13) products, noise elsewhere.
fn content(atom: Atom) -> Vec<u8> {
    let mut next = noise(atom.as_usize() as u32 + 1);
    let word = match (atom.file(), atom.reg().name()) {
        (File::P, _) => OWN_WINDOW + 0x1000 * u32::from(atom.index()),
        (File::M, _) => 64,
        (File::Dn, _) => 3,
        (File::Dj, _) => 32,
        (File::Dc, _) => 0,
        (File::S, _) => 4 + u32::from(atom.index()),
        (File::Cr | File::Sr, _) => 0,
        (_, "r8") => 0x308,
        (_, "r9" | "r13") => 0x1c,
        (_, "r10") => 4,
        (_, "r11") => 12,
        (_, "r14") => 0,
        (_, "r15") => 1,
        (File::W | File::Am, _) => return (0..32).map(|_| next()).collect(),
        _ => return (0..4).map(|_| next()).collect(),
    };
    word.to_le_bytes().to_vec()
}

fn written(atom: &Atom) -> bool {
    !matches!(atom.file(), File::Ls | File::Le | File::Lc | File::CoreId | File::Cntr | File::Dp)
}

/// Everything a program leaves behind.
#[derive(Clone, PartialEq)]
pub struct State {
    pub registers: Vec<(Atom, Option<Vec<u8>>)>,
    pub memory: Vec<u8>,
    pub stats: CoreStats,
    /// Cycles lost, bundle by bundle.
    pub stalls: Vec<u8>,
}

impl State {
    pub fn scalar(&self, name: &str) -> u32 {
        let found = self.registers.iter().find(|(a, _)| a.reg() == reg(name)).and_then(|(_, v)| v.as_deref());
        let b = found.unwrap_or_else(|| panic!("{name} holds nothing"));
        u32::from_le_bytes([b[0], b[1], b[2], b[3]])
    }

    /// Registers and memory.
    fn seen(&self) -> (&[(Atom, Option<Vec<u8>>)], &[u8]) {
        (&self.registers, &self.memory)
    }
}

/// A core with `text`, silence and `done`.
pub fn core(text: &str) -> Core {
    let mut core = Core::new();
    Atom::all().filter(written).for_each(|a| core.set_register(a.reg(), &content(a)));
    core.load_program(&bytes(&format!("{text}\n{}done\n{}", nops(QUIET), nops(6)))).expect("the program fits");
    core
}

pub fn bus() -> Bus {
    let mut next = noise(0x5eed);
    Bus { memory: (0..CORE_MEM_BYTES).map(|_| next()).collect(), lock: 0 }
}

pub fn run(core: &mut Core, bus: &mut Bus) -> Result<State, CoreFaultKind> {
    let mut stalls = Vec::new();
    for _ in 0..10_000 {
        match core.step(bus) {
            Ok(Step::Issued { stall_cycles, .. }) => stalls.push(stall_cycles),
            Ok(Step::Halted) => {
                let registers = Atom::all().map(|a| (a, core.register(a.reg()))).collect();
                return Ok(State { registers, memory: bus.memory.clone(), stats: core.stats(), stalls });
            }
            Ok(Step::Blocked(why)) => panic!("blocked: {why}"),
            Err(Fault::Core { fault, .. }) => return Err(fault.kind),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the program does not end")
}

pub fn outcome(text: &str) -> Result<State, CoreFaultKind> {
    run(&mut core(text), &mut bus())
}

/// The fault a program ends with.
pub fn fault(text: &str) -> CoreFaultKind {
    outcome(text).err().unwrap_or_else(|| panic!("no fault:\n{text}"))
}

/// The outcome without faults.
pub fn fine(text: &str) -> State {
    outcome(text).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}

/// The outcome where old values are read as on hardware.
pub fn with_old_values(text: &str) -> State {
    let mut core = core(text);
    core.set_early_reads(EarlyReads::Anywhere);
    run(&mut core, &mut bus()).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}

/// `second` in the bundle `distance` behind `first`.
pub fn apart(first: &str, second: &str, distance: usize) -> String {
    match distance {
        0 => format!("{first}; {second}\n"),
        n => format!("{first}\n{}{second}\n", nops(n - 1)),
    }
}

/// Read after write: from `distance` on, the reader sees the writer's result. One bundle earlier it sees the old value: a fault that names the
/// register and the cycle of the read, or the old value itself where the program declares it.
pub fn read_after_write(writer: &str, reader: &str, distance: usize) {
    let new = fine(&apart(writer, reader, QUIET));
    // The old value: the reader comes first.
    let old = fine(&apart(reader, writer, QUIET));
    assert!(new.seen() != old.seen(), "{writer} -> {reader} cannot be told apart");
    for d in distance..distance + 4 {
        assert!(fine(&apart(writer, reader, d)).seen() == new.seen(), "{writer} -> {reader}: {d} bundles");
    }
    match distance {
        0 => {}
        // Reads of a bundle come before its writes, where the two have slots of their own.
        1 if Bundle::parse(&format!("{writer}; {reader}")).is_err() => {}
        1 => assert!(fine(&apart(writer, reader, 0)).seen() == old.seen(), "{writer} -> {reader}: one bundle"),
        _ => {
            let text = apart(writer, reader, distance - 1);
            assert!(with_old_values(&text).seen() == old.seen(), "{writer} -> {reader}: {} bundles", distance - 1);
            let kind = fault(&text);
            assert!(matches!(kind, CoreFaultKind::EarlyRead { bundles_short: 1, .. }), "{writer} -> {reader}: {kind}");
        }
    }
}

/// Write after read: from `distance` on, a reader issued first keeps the old value; a bundle earlier the writer overtakes its late read, which
/// hardware defines: the new value is read.
pub fn write_after_read(reader: &str, writer: &str, distance: usize) {
    let old = fine(&apart(reader, writer, QUIET));
    let new = fine(&apart(writer, reader, QUIET));
    assert!(new.seen() != old.seen(), "{reader} <- {writer} cannot be told apart");
    for d in distance..distance + 4 {
        assert!(fine(&apart(reader, writer, d)).seen() == old.seen(), "{reader} <- {writer}: {d} bundles");
    }
    for d in 1..distance {
        assert!(fine(&apart(reader, writer, d)).seen() == new.seen(), "{reader} <- {writer}: {d} bundles");
    }
}
