//! Commands on a host's memory: addresses, aperture and its wrap, what is stored and when, what cannot be accessed.

mod support;

use Direction::{Mm2s, S2mm};
use aie2_isa::Bundle;
use aie2_sim::{Config, Fault, HostMemory, Machine};
use npu_container::address::addr;
use npu_container::cdo::Command;
use npu_container::txn::Direction;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Design, SHIM, bd, fast, ramp, words_of};

const MEMORY_BYTES: usize = 1 << 20;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    reads: Vec<(u64, usize)>,
    writes: Vec<(u64, usize)>,
}

/// 1 MiB at `base`; nothing else can be accessed.
#[derive(Clone)]
struct Host {
    base: u64,
    state: Arc<Mutex<State>>,
}

impl Host {
    fn new(base: u64) -> Self {
        let state = State { bytes: vec![0; MEMORY_BYTES], ..State::default() };
        Self { base, state: Arc::new(Mutex::new(state)) }
    }

    fn put(&self, at: usize, data: &[u8]) {
        self.state.lock().unwrap().bytes[at..at + data.len()].copy_from_slice(data);
    }

    fn get(&self, at: usize, len: usize) -> Vec<u8> {
        self.state.lock().unwrap().bytes[at..at + len].to_vec()
    }

    fn offset(&self, addr: u64, len: usize) -> Result<usize, String> {
        let offset = addr.checked_sub(self.base).filter(|at| at + len as u64 <= MEMORY_BYTES as u64);
        offset.map(|at| at as usize).ok_or_else(|| format!("nothing at {addr:#x}"))
    }
}

impl HostMemory for Host {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), String> {
        let at = self.offset(addr, out.len())?;
        let mut state = self.state.lock().unwrap();
        state.reads.push((addr, out.len()));
        out.copy_from_slice(&state.bytes[at..at + out.len()]);
        Ok(())
    }

    fn write(&mut self, addr: u64, data: &[u8]) -> Result<(), String> {
        let at = self.offset(addr, data.len())?;
        let mut state = self.state.lock().unwrap();
        state.writes.push((addr, data.len()));
        state.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// Argument 0 to argument 1, `words` words.
fn copy(words: u32) -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 4);
    d.op_bd(0, 3, &bd(0, words), 1, 0).op_bd(0, 1, &bd(0, words), 0, 0);
    d.op_push(0, S2mm, 0, 3, 1, true).op_push(0, Mm2s, 0, 1, 1, false).op_wait(0, S2mm, 0);
    d
}

fn machine(design: &Design, host: &Host) -> Machine {
    let mut m = Machine::new(fast());
    m.load_pdi(&design.pdi()).unwrap();
    m.attach(Box::new(host.clone()));
    m
}

#[test]
fn data_move_between_host_addresses_and_nothing_else_is_touched() {
    for base in [0x1_0000_0000, 0xffff_f800_0000, 0] {
        let (design, host) = (copy(1500), Host::new(base));
        host.put(0x1004, &ramp(1500));
        host.put(0x8_0000, &[0xee; 8192]);
        let mut m = machine(&design, &host);
        let report = m.run_at(&design.txn(), &[base + 0x1004, base + 0x8_0100]).unwrap();
        assert_eq!(host.get(0x8_0100, 6000), ramp(1500), "base {base:#x}");
        assert_eq!(host.get(0x8_0000, 0x100), [0xee; 0x100]);
        assert_eq!(host.get(0x8_0100 + 6000, 64), [0xee; 64]);
        assert_eq!((report.ddr_read_bytes(), report.ddr_written_bytes()), (6000, 6000));
        let state = host.state.lock().unwrap();
        let pages: Vec<u64> = [0x1000, 0x2000, 0x8_0000, 0x8_1000].map(|at| base + at).into();
        let mut fetched: Vec<_> = state.reads.iter().map(|&(addr, _)| addr).collect();
        fetched.sort_unstable();
        assert_eq!(fetched, pages, "each page once");
        assert_eq!(state.writes, [(base + 0x8_0100, 0xf00), (base + 0x8_1000, 6000 - 0xf00)]);
    }
}

#[test]
fn a_run_sees_what_the_host_wrote_since_the_last() {
    let (design, host) = (copy(16), Host::new(0x1_0000_0000));
    let mut m = machine(&design, &host);
    for seed in 1..4 {
        host.put(0, &[seed; 64]);
        m.run_at(&design.txn(), &[host.base, host.base + 64]).unwrap();
        assert_eq!(host.get(64, 64), [seed; 64]);
    }
}

#[test]
fn an_address_of_nothing_is_named() {
    let (design, host) = (copy(16), Host::new(0x1_0000_0000));
    let fault = machine(&design, &host).run_at(&design.txn(), &[0x5000, host.base]).unwrap_err();
    assert!(matches!(fault, Fault::HostAddress { bd: 1, addr: 0x8000_5000, host: 0x5000, .. }), "{fault}");
    assert!(fault.to_string().contains("nothing at 0x5000"));
    let fault = machine(&design, &host).run_at(&design.txn(), &[host.base]).unwrap_err();
    assert!(matches!(fault, Fault::PatchArgument { argument: 1, arguments: 1, .. }), "{fault}");
    let fault = Machine::new(fast()).run_at(&design.txn(), &[0, 0]).unwrap_err();
    assert!(matches!(fault, Fault::NoHostMemory));
}

#[test]
fn what_was_written_is_there_also_after_a_fault() {
    let mut design = copy(16);
    design.op_bd(0, 3, &bd(0, 16), 0, 0x10_0000).op_push(0, S2mm, 0, 3, 1, true);
    design.op_push(0, Mm2s, 0, 1, 1, false).op_wait(0, S2mm, 0);
    let host = Host::new(0x1_0000_0000);
    host.put(0, &[7; 64]);
    let fault = machine(&design, &host).run_at(&design.txn(), &[host.base, host.base + 0x1000]).unwrap_err();
    assert!(matches!(fault, Fault::HostAddress { .. }), "{fault}");
    assert_eq!(host.get(0x1000, 64), [7; 64]);
}

#[test]
fn a_run_is_called_off() {
    let text = format!("nop\nnop\nj #0\n{}", "nop\n".repeat(5));
    let line = |line: &str| Bundle::parse(line).unwrap().encode_at_least(16).unwrap().as_bytes().to_vec();
    let program = words_of(&text.lines().flat_map(line).collect::<Vec<u8>>());
    let mut d = Design::default();
    d.cdo.push(Command::DmaWrite { addr: addr(0, 2, 0x2_0000), data: program });
    d.write(0, 2, 0x3_2000, 1).op_wait(0, S2mm, 0);
    // The core goes round for ever, so the wait is no deadlock by itself.
    let mut m = Machine::new(Config { cycle_limit: u64::MAX, stall_limit: u64::MAX, ..Config::default() });
    m.load_pdi(&d.pdi()).unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    m.call_off_on(Arc::clone(&flag));
    let setter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        flag.store(true, Ordering::Relaxed);
    });
    let ended = m.run(&d.txn(), &[]);
    assert!(matches!(ended, Err(Fault::CalledOff { op: 0 })), "{ended:?}");
    setter.join().unwrap();
}
