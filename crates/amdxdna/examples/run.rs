//! Runs a TXN stream on a PDI, without any package: `run PDI STREAM BYTES...`, a host buffer for each number of bytes.
//!
//! Buffers are counted up from 0 in 32-bit words; the first words of each are printed afterwards. Ctrl-C ends the wait.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::{Cmd, ContextConfig, Device, HostBuffer};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [pdi, stream, sizes @ ..] => run(pdi, stream, sizes),
        _ => Err("usage: run PDI STREAM BYTES...".into()),
    };
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

fn run(pdi: &str, stream: &str, sizes: &[String]) -> Result<(), Box<dyn Error>> {
    let (pdi, stream) = (std::fs::read(pdi)?, std::fs::read(stream)?);
    let device = Device::open()?;
    let mut context = device.create_context(ContextConfig::default())?;
    context.load(&[&pdi])?;

    let mut instructions = device.dev_buffer(stream.len())?;
    instructions.write(0, &stream)?;
    let mut buffers = Vec::new();
    for size in sizes {
        let mut buffer = device.buffer_of(size.parse()?)?;
        for (number, word) in (0u32..).zip(buffer.bytes_mut()?.chunks_exact_mut(4)) {
            word.copy_from_slice(&number.to_le_bytes());
        }
        buffers.push(buffer);
    }

    let mut command = Cmd::new(&device)?;
    let operands: Vec<HostBuffer> = buffers.iter().map(HostBuffer::from).collect();
    command.start(0, &instructions, u32::try_from(stream.len() / 4)?, &operands)?;
    context.submit(&mut command)?;
    // A program that handles signals sets the flag; here SIGINT ends the process, and the kernel the context.
    let waited = command.wait(Duration::from_secs(2), &AtomicBool::new(false));
    if waited.is_err() {
        eprintln!("last error of the array: {:?}", device.last_async_error());
    }
    waited?;
    for (number, buffer) in buffers.iter().enumerate() {
        let bytes = buffer.bytes()?;
        println!("buffer {number}: {:02x?}", &bytes[..bytes.len().min(32)]);
    }
    Ok(())
}
