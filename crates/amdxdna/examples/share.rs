//! Shares a buffer with another process as a dma-buf: this program starts itself again with the descriptor as standard input.

use std::error::Error;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};

use amdxdna::{Device, DmaBuf};

pub(crate) const TEXT: &[u8] = b"written by the owner of the NPU buffer";
pub(crate) const ANSWER: &[u8] = b"answered by the other process";

fn main() -> ExitCode {
    let result = if std::env::args().nth(1).as_deref() == Some("child") { child() } else { parent() };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<amdxdna::Error>() {
                Some(error) => eprintln!("{}", error.explain()),
                None => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn parent() -> Result<(), Box<dyn Error>> {
    let device = Device::open()?;
    let mut buffer = device.host_buffer(4096)?;
    buffer.write(0, TEXT)?;
    buffer.flush(0..TEXT.len())?;
    let dma_buf = buffer.export()?;
    let status = Command::new(std::env::current_exe()?).arg("child").stdin(dma_buf.into_fd()).status()?;
    if !status.success() {
        return Err("the other process failed".into());
    }
    let mut answer = [0; ANSWER.len()];
    buffer.flush(0..answer.len())?;
    buffer.read(0, &mut answer)?;
    println!("{}", String::from_utf8_lossy(&answer));
    Ok(())
}

pub(crate) fn child() -> Result<(), Box<dyn Error>> {
    let dma_buf = DmaBuf::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut map = dma_buf.map()?;
    let mut text = [0; TEXT.len()];
    map.read(0, &mut text)?;
    println!("{}", String::from_utf8_lossy(&text));
    map.write(0, ANSWER)?;
    Ok(())
}
