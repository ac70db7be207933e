//! The device behind its socket, asked by another vfio-user client than QEMU.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;
use vfio_bindings::bindings::vfio::{VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD};
use vfio_user::Client;
use virtual_phoenix::{Backend, Journal, Protocol, Shared};

const BAR0: u32 = 0;
const BAR2: u32 = 2;
const BAR4: u32 = 4;
const CONFIG: u32 = 7;
const MSIX: u32 = 2;
const VECTOR: u32 = 14;

fn read(client: &mut Client, region: u32, offset: u64) -> u32 {
    let mut word = [0; 4];
    client.region_read(region, offset, &mut word).expect("reads");
    u32::from_le_bytes(word)
}

fn write(client: &mut Client, region: u32, offset: u64, value: u32) {
    client.region_write(region, offset, &value.to_le_bytes()).expect("writes");
}

#[test]
fn a_client_sees_the_function_and_its_firmware_answers_by_interrupt() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vdev");
    let device = Shared::new(Protocol::V5_8, Journal::new(None));
    let server = virtual_phoenix::listen(&path).expect("listens");
    assert!(virtual_phoenix::listen(&path).is_err(), "the path is taken");
    let mut backend = Backend::new(device.clone());
    let served = thread::spawn(move || server.run(&mut backend));

    let mut client = Client::new(&path).expect("connects");
    let sizes: Vec<u64> = (0..9).map(|region| client.region(region).map_or(0, |region| region.size)).collect();
    assert_eq!(sizes, [512 << 10, 8 << 10, 256 << 10, 0, 256 << 10, 0, 0, 4096, 0]);
    assert_eq!(client.get_irq_info(MSIX).map(|irq| irq.count).ok(), Some(16));
    assert_eq!(read(&mut client, CONFIG, 0), 0x1502_1022);

    let ram = tempfile::tempfile().expect("a file");
    ram.set_len(1 << 20).expect("its length");
    for page in 0..256 {
        client.dma_map(page << 12, 0x10_0000 + (page << 12), 4096, ram.as_raw_fd()).expect("maps");
    }
    assert_eq!(device.lock().memory().areas(), 1);
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let eventfd = File::from(OwnedFd::from(theirs));
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    client.set_irqs(MSIX, flags, VECTOR, 1, &[eventfd.as_raw_fd()]).expect("a vector");

    for (command, arguments) in [(1, [0x1000, 0, 0x1_0000]), (2, [1, 0, 0])] {
        write(&mut client, BAR0, 0x100a0, command);
        for (offset, argument) in [0x100a4, 0x100a8, 0x100bc].into_iter().zip(arguments) {
            write(&mut client, BAR0, offset, argument);
        }
        write(&mut client, BAR0, 0x10090, 0);
        write(&mut client, BAR0, 0x10090, 1);
        assert_eq!(read(&mut client, BAR0, 0x100a4), 0);
    }
    assert_eq!(read(&mut client, BAR2, 0x3_f000), 0x030b_b000);
    // GET_FIRMWARE_VERSION into the ring of channel 14, then its doorbell.
    for (place, word) in (0u64..).zip([4, 4 | 1 << 16, 0x1d00_0000, 0x108, 0]) {
        write(&mut client, BAR2, 0x3_c000 + 4 * place, word);
    }
    write(&mut client, BAR4, 0x1_0000 + 0x2000 * u64::from(VECTOR), 20);
    ours.read_exact(&mut [0; 8]).expect("an interrupt");
    let answer: Vec<u32> = (0..9).map(|word| read(&mut client, BAR2, 0x3_d000 + 4 * word)).collect();
    assert_eq!(answer, [20, 20 | 1 << 16, 0x1d00_0000, 0x108, 0, 1, 5, 5, 391]);

    client.dma_unmap(0x10_0000, 0x8_0000).expect("unmaps");
    assert_eq!(device.lock().memory().areas(), 1);
    client.reset().expect("resets");
    assert_eq!(read(&mut client, BAR2, 0x3_f000), 0);
    client.shutdown().expect("leaves");
    served.join().expect("no panic").expect("an orderly end");
}
