//! Pieces of attention on one simulated core, from the bytes of their programs, bit for bit against their specifications.

use aie2_codegen::Program;
use aie2_kernels::attention::{exp2, place, recip};
use aie2_sim::port::{CORE_MEM_BYTES, CascadeWord, CoreBus, LockOp, OWN_WINDOW, Step, StreamWord, TileLoc};
use aie2_sim::{Core, Fault};
use oracle::data::Rng;

/// One tile's memory and nothing else; a byte nobody wrote must not be read.
struct Memory {
    bytes: Vec<u8>,
    written: Vec<bool>,
}

const TILE: TileLoc = TileLoc::new(0, 2);

impl Memory {
    fn new() -> Self {
        Self { bytes: vec![0; CORE_MEM_BYTES], written: vec![false; CORE_MEM_BYTES] }
    }

    fn range(addr: u32, bytes: usize) -> std::ops::Range<usize> {
        let at = (addr.checked_sub(OWN_WINDOW).expect("a core address of its own memory")) as usize;
        at..at + bytes
    }

    fn put(&mut self, addr: u32, data: &[u8]) {
        let at = Self::range(addr, data.len());
        self.bytes[at.clone()].copy_from_slice(data);
        self.written[at].fill(true);
    }

    fn get(&self, addr: u32, bytes: usize) -> &[u8] {
        let at = Self::range(addr, bytes);
        assert!(self.written[at.clone()].iter().all(|w| *w), "a result at {addr:#x} was not written");
        &self.bytes[at]
    }
}

impl CoreBus for Memory {
    fn tile(&self) -> TileLoc {
        TILE
    }

    fn load(&mut self, addr: u32, out: &mut [u8]) -> Result<(), Fault> {
        let at = Self::range(addr, out.len());
        if let Some(bad) = self.written[at.clone()].iter().position(|w| !w) {
            return Err(Fault::CoreUninitialised {
                tile: TILE,
                addr,
                first_bad: addr + bad as u32,
                bytes: out.len() as u32,
            });
        }
        out.copy_from_slice(&self.bytes[at]);
        Ok(())
    }

    fn store(&mut self, addr: u32, data: &[u8]) -> Result<(), Fault> {
        self.put(addr, data);
        Ok(())
    }

    fn lock(&mut self, id: u8, _: LockOp) -> Result<bool, Fault> {
        Err(Fault::CoreLock { tile: TILE, id })
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

/// Runs a program to its end; the cycles it took, bank conflicts included.
fn run(program: &Program, memory: &mut Memory) -> u64 {
    let mut core = Core::new();
    core.load_program(&program.bytes).expect("the program fits");
    core.allow_early_reads(program.early_reads.iter().copied());
    core.set_pc(program.entry);
    let mut cycles = 0;
    loop {
        match core.step(memory).unwrap_or_else(|fault| panic!("{fault}")) {
            Step::Issued { stall_cycles, .. } => cycles += 1 + u64::from(stall_cycles),
            Step::Blocked(why) => panic!("blocked: {why}"),
            Step::Halted => return cycles,
        }
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
}

/// Declared and reached interval of the program's only pipelined loop.
fn interval(program: &Program) -> (Option<u32>, u32) {
    let [l] = &program.loops[..] else { panic!("{} loops", program.loops.len()) };
    (l.ii_declared, l.ii_reached)
}

/// Values that fill the input buffer.
const FULL: usize = place::BYTES as usize / 4;

/// exp2 of any number of values on the core.
fn exp2_on_core(program: &Program, values: &[f32]) -> Vec<u16> {
    let mut out = Vec::new();
    for chunk in values.chunks(FULL) {
        let mut memory = Memory::new();
        let mut padded = chunk.to_vec();
        padded.resize(FULL, 0.0);
        memory.put(place::IN, &bytes(&padded));
        run(program, &mut memory);
        out.extend(&halves(memory.get(place::OUT, 2 * FULL))[..chunk.len()]);
    }
    out
}

fn same_exp2(values: &[f32]) {
    let program = exp2::program(FULL as u32 / exp2::LANES).expect("exp2 compiles");
    let got = exp2_on_core(&program, values);
    for (x, p) in values.iter().zip(&got) {
        assert_eq!(*p, oracle::exp2::exp2(*x), "exp2({x})");
    }
}

#[test]
fn exp2_is_its_specification_on_every_point_of_its_grid() {
    let steps = oracle::exp2::STEPS;
    let values: Vec<f32> = (-130 * steps..steps).map(|k| k as f32 / steps as f32).collect();
    same_exp2(&values);
}

#[test]
fn exp2_is_its_specification_on_every_bfloat16_up_to_zero() {
    // From minus zero down to minus infinity.
    let values: Vec<f32> = (0x8000..=0xFF80u32).map(|b| f32::from_bits(b << 16)).collect();
    same_exp2(&values);
}

#[test]
fn exp2_is_its_specification_between_the_points() {
    let mut rng = Rng::new(11);
    let mut uniform = || rng.next_u64() as u32 as f32 / u32::MAX as f32;
    let mut values: Vec<f32> = (0..40_000).map(|_| -130.0 * uniform()).collect();
    // ties of the grid, and patterns of any size
    values.extend((0..20_000).map(|k| -(2 * k + 1) as f32 / 1024.0));
    values.extend((0..20_000).map(|k| f32::from_bits(0x8000_0000 | 0x7F80_0000 / 20_000 * k)));
    same_exp2(&values);
}

#[test]
fn exp2_takes_three_cycles_for_sixteen_values() {
    let trips = FULL as u32 / exp2::LANES;
    let program = exp2::program(trips).expect("exp2 compiles");
    assert_eq!(interval(&program), (Some(exp2::II), exp2::II));
    let mut memory = Memory::new();
    memory.put(place::IN, &bytes(&vec![-1.5; FULL]));
    let cycles = run(&program, &mut memory);
    println!("exp2: {cycles} cycles for {FULL} values, modelled");
    assert!(cycles <= u64::from(trips * exp2::II) + 150, "{cycles}");
}

fn same_recip(function: recip::Function, spec: fn(f32) -> f32, values: &[f32]) {
    let program = recip::program(function, FULL as u32 / recip::LANES).expect("the function compiles");
    let (declared, reached) = interval(&program);
    assert_eq!(declared, Some(reached));
    for chunk in values.chunks(FULL) {
        let mut memory = Memory::new();
        let mut padded = chunk.to_vec();
        padded.resize(FULL, 1.0);
        memory.put(place::IN, &bytes(&padded));
        run(&program, &mut memory);
        for (l, y) in chunk.iter().zip(words(memory.get(place::OUT, 4 * FULL))) {
            assert_eq!(y, spec(*l).to_bits(), "{function:?} of {l}");
        }
    }
}

/// Every bfloat16 fraction at every exponent of the domain, random float32 across it, and values next to powers of two.
fn recip_values() -> Vec<f32> {
    let mut rng = Rng::new(5);
    let least = 2f32.powi(-60).to_bits();
    let mut values: Vec<f32> = (0..120 * 128).map(|k| f32::from_bits(least + (k << 16))).collect();
    values.extend((0..40_000).map(|_| f32::from_bits(least + (rng.next_u64() % (120 << 23)) as u32)));
    values.extend(
        (1..120).flat_map(|e| [-1i32, 0, 1].map(|d| f32::from_bits((least + (e << 23)).wrapping_add_signed(d)))),
    );
    values
}

#[test]
fn the_reciprocal_is_its_specification_across_its_domain() {
    same_recip(recip::Function::Reciprocal, oracle::recip::reciprocal, &recip_values());
}

#[test]
fn the_inverse_root_is_its_specification_across_its_domain() {
    same_recip(recip::Function::Rsqrt, oracle::recip::rsqrt, &recip_values());
}
