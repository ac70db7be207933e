//! The fake keeps the CPU's caches apart from memory, as the NPU sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use amdxdna::kernel::{Call, Kernel, Mapping, Pointed, Region, Window};
use amdxdna_fake::{Driver, FakeFd, FakeKernel, FakeWindow, NODE, Outcome};

/// The kernel driven by hand, as a program without the amdxdna crate would.
struct Program {
    kernel: FakeKernel,
    fd: FakeFd,
}

impl Program {
    fn call(&self, request: u32, words: &[u32], at: usize, pointed: &[u32]) -> Vec<u8> {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let (mut argument, mut behind) = (bytes(words), bytes(pointed));
        let mut pointed = [Pointed::by_argument(at, &mut behind)];
        let count = usize::from(!pointed[0].bytes.is_empty());
        let mut call = Call { request, argument: &mut argument, pointed: &mut pointed[..count] };
        self.kernel.ioctl(&self.fd, &mut call).expect("is taken");
        argument
    }

    /// A buffer of one page, or the heap, mapped.
    fn buffer(&self, kind: u32, bytes: u32) -> (u32, FakeWindow) {
        let created = self.call(0xC020_6443, &[0, 0, 0, 0, bytes, 0, kind, 0], 0, &[]);
        let handle = u32::from_le_bytes(created[28..32].try_into().expect("four bytes"));
        let info = self.call(0xC030_6444, &[0, 0, 0, 0, handle, 0, 0, 0, 0, 0, 0, 0], 0, &[]);
        let offset = u64::from_le_bytes(info[24..32].try_into().expect("eight bytes"));
        let mapping = Mapping { bytes: bytes as usize, align: bytes as usize, lock: false };
        let region = self.kernel.map(&self.fd, offset, mapping).expect("maps");
        (handle, region.window(0, bytes as usize).expect("all of it"))
    }
}

#[test]
fn a_device_that_runs_ahead_of_a_flush_is_caught() {
    let kernel = FakeKernel::new(Driver::current());
    let fd = Kernel::open(&kernel, Path::new(NODE)).expect("opens");
    let program = Program { kernel: kernel.clone(), fd };
    let (_heap, _heap_window) = program.buffer(2, 64 << 20);
    let context =
        program.call(0xC038_6440, &[0, 0, 0, 0, 0, 0, 0, 0, 2048, 4, 0, 0, 0, 0], 16, &[0, 0, 0, 0, 0, 0, 255, 0]);
    let context = u32::from_le_bytes(context[48..52].try_into().expect("four bytes"));
    let pdi = program.call(0xC020_6443, &[0, 0, 0, 0, 4096, 0, 3, 0], 0, &[]);
    let pdi = u32::from_le_bytes(pdi[28..32].try_into().expect("four bytes"));
    program.call(0xC018_6442, &[context, 0, 0, 0, 16, 0], 8, &[1, 0, pdi, 0]);
    let (host, mut window) = program.buffer(1, 4096);
    let (command, packet) = program.buffer(4, 4096);

    let info = program.call(0xC030_6444, &[0, 0, 0, 0, host, 0, 0, 0, 0, 0, 0, 0], 0, &[]);
    let address: [u8; 8] = info[40..48].try_into().expect("eight bytes");
    let mut bytes = packet.lend();
    bytes[..8].copy_from_slice(&[0x01, 0x00, 0x01, 0x30, 1, 0, 0, 0]);
    bytes[28..36].copy_from_slice(&address);
    let mut packet = FakeWindow::restore(bytes);
    let mut submit = || {
        packet.poke(0, &[0x01, 0x00, 0x01, 0x30]);
        // A device that panicked is gone.
        kernel.on_execute(|run| {
            run.read(run.host_address(0) + 64, 8);
            Outcome::completed()
        });
        let argument = [0, 0, 0, 0, context, 0, command, 0, 0, 0, 1, 1, 0, 0];
        catch_unwind(AssertUnwindSafe(|| program.call(0xC038_6446, &argument, 32, &[host])))
    };
    let flushed = |result: std::thread::Result<Vec<u8>>| match result {
        Ok(_) => true,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            assert!(text.contains("has not been flushed"), "{text}");
            false
        }
    };
    // Fresh pages, then a flush beside them, then of half of them.
    assert!(!flushed(submit()));
    window.flush(0, 64);
    window.flush(72, 4096 - 72);
    assert!(!flushed(submit()));
    window.flush(64, 4);
    assert!(!flushed(submit()));
    window.flush(68, 4);
    assert!(flushed(submit()));
    // Writes behind the flush, by a store and by lent bytes.
    window.poke(71, &[1]);
    assert!(!flushed(submit()));
    let mut lent = window.lend();
    lent[0] = 1;
    let window = FakeWindow::restore(lent);
    window.flush(0, 1);
    assert!(!flushed(submit()));
    window.flush(71, 1);
    assert!(flushed(submit()));
}
