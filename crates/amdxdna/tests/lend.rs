//! The example `lend`: descriptors over a socket, and a kernel on buffers of another owner.

mod common;
#[allow(dead_code)] // its main needs a device
#[path = "../examples/lend.rs"]
mod lend;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use amdxdna::{Cause, Options};
use amdxdna_fake::{Driver, FakeKernel, Outcome};
use rustix::fs::{MemfdFlags, memfd_create};

fn memory(text: &[u8]) -> OwnedFd {
    let mut file = File::from(memfd_create("lent", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(text).unwrap();
    file.rewind().unwrap();
    file.into()
}

#[test]
fn descriptors_arrive_in_their_order() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    lend::send(&ours, &[memory(b"first"), memory(b"second"), memory(b"third")]).unwrap();
    let texts = lend::receive(&theirs).unwrap().into_iter().map(|received| {
        let mut text = String::new();
        File::from(received).read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["first", "second", "third"]);
}

#[test]
fn nothing_sent_and_too_much_are_errors() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let many: Vec<OwnedFd> = (0..17).map(|_| memory(b"")).collect();
    assert_eq!(lend::send(&ours, &many).unwrap_err().to_string(), "17 buffers: 16 go into a message");
    drop(ours);
    assert_eq!(lend::receive(&theirs).unwrap_err().to_string(), "the other process sent no buffers");
}

#[test]
fn a_kernel_runs_on_buffers_of_another_owner() {
    for driver in Driver::all() {
        let (has, fake) = (driver.dma_buf, common::machine(driver));
        let (owner, borrower) = (fake.open(Options::default()).unwrap(), fake.open(Options::default()).unwrap());
        let mut input = owner.host_buffer(4096).unwrap();
        input.write(0, b"sixteen bytes in").unwrap();
        input.flush(0..4096).unwrap();
        let output = owner.host_buffer(4096).unwrap();
        let lent = match (input.export(), output.export()) {
            (Ok(input), Ok(output)) => [input, output],
            (Err(error), _) | (_, Err(error)) => {
                assert_eq!((error.cause(), has), (Cause::Unsupported, false), "{error}");
                continue;
            }
        };
        assert!(has);
        lend::run(&borrower, &lent, b"a PDI", &[7; 64]).unwrap();
        output.flush(0..16).unwrap();
        assert_eq!(&output.bytes().unwrap()[..16], b"sixteen bytes in");
        drop((lent, input, output, owner, borrower));
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn a_command_that_fails_leaves_nothing_with_the_borrower() {
    let fake = FakeKernel::new(Driver::current());
    fake.on_execute(|_| Outcome::state(5));
    let (owner, borrower) = (fake.open(Options::default()).unwrap(), fake.open(Options::default()).unwrap());
    let lent = [owner.host_buffer(4096).unwrap().export().unwrap()];
    let before = fake.counts();
    assert!(lend::run(&borrower, &lent, b"a PDI", &[7; 64]).unwrap_err().to_string().contains("ERROR"));
    assert_eq!(fake.counts().contexts, before.contexts);
    drop((lent, owner, borrower));
    assert!(fake.counts().is_zero());
}
