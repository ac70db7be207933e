//! The example `share` across two processes. Its side with a device is asked on the scripted driver; its other side runs as it is, in a process of its own,
//! on shared memory that stands for the dma-buf: a descriptor with a size that can be mapped.

#[allow(dead_code)] // the side with a device needs one
#[path = "../examples/share.rs"]
mod share;

use std::env;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use amdxdna::{Cause, DmaBuf, Options};
use amdxdna_fake::{Driver, FakeKernel};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

const CHILD: &str = "BENNU_TEST_OTHER_PROCESS";
const BYTES: u64 = 4096;

fn shared_memory() -> OwnedFd {
    let memory = memfd_create("dma-buf", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, BYTES).unwrap();
    memory
}

#[test]
fn another_process_reads_and_answers() {
    if env::var_os(CHILD).is_some() {
        return share::child().unwrap();
    }
    let memory = shared_memory();
    let mut owner = File::from(memory.try_clone().unwrap());
    owner.write_all(share::TEXT).unwrap();
    let arguments = ["--exact", "another_process_reads_and_answers", "--nocapture"];
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args(arguments).env(CHILD, "1").stdin(Stdio::from(memory)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (text, said) = (String::from_utf8_lossy(share::TEXT), String::from_utf8_lossy(&output.stdout));
    assert!(said.contains(&*text), "{said}");
    let mut answer = vec![0; share::ANSWER.len()];
    owner.rewind().unwrap();
    owner.read_exact(&mut answer).unwrap();
    assert_eq!(answer, share::ANSWER);
}

#[test]
fn the_descriptor_that_is_sent_is_the_exported_one() {
    for driver in Driver::all() {
        let (has, fake) = (driver.dma_buf, FakeKernel::new(driver));
        let device = fake.open(Options::default()).unwrap();
        let mut buffer = device.host_buffer(BYTES as usize).unwrap();
        buffer.write(0, share::TEXT).unwrap();
        buffer.flush(0..share::TEXT.len()).unwrap();
        let dma_buf = match buffer.export() {
            Ok(dma_buf) => dma_buf,
            Err(error) => {
                assert_eq!((error.cause(), has), (Cause::Unsupported, false), "{error}");
                continue;
            }
        };
        assert!(has);
        let mut map = device.map_dma_buf(&dma_buf).unwrap();
        let mut text = vec![0; share::TEXT.len()];
        map.read(0, &mut text).unwrap();
        assert_eq!((text.as_slice(), map.len() as u64), (share::TEXT, BYTES));
        map.write(0, share::ANSWER).unwrap();
        drop((map, dma_buf));
        let mut answer = vec![0; share::ANSWER.len()];
        buffer.flush(0..answer.len()).unwrap();
        buffer.read(0, &mut answer).unwrap();
        assert_eq!(answer, share::ANSWER);
        drop((buffer, device));
        assert!(fake.counts().is_zero());
    }
}

#[test]
fn what_is_no_memory_is_no_dma_buf() {
    let empty = memfd_create("empty", MemfdFlags::CLOEXEC).unwrap();
    assert!(DmaBuf::from(empty).map().unwrap_err().to_string().starts_with("size of dma-buf"));
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    assert!(DmaBuf::from(null).map().is_err());
}
