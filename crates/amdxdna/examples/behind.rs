//! Queues three commands on one context, waits for each, whatever became of those before, and asks for one more: what a program sees that
//! goes on after the driver's watchdog has reset its context. The stream and the PDI are empty; they are for a device on which the first command hangs.

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::{Cmd, ContextConfig, Device};

fn main() -> ExitCode {
    match behind() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An error if any command failed, with the ends of all.
fn behind() -> Result<(), Box<dyn Error>> {
    const BYTES: usize = 4096;
    let device = Device::open()?;
    let mut context = device.create_context(ContextConfig::default())?;
    context.load(&[&[0; BYTES]])?;
    let stream = device.dev_buffer(BYTES)?;
    let mut commands = Vec::new();
    for _ in 0..3 {
        let mut command = Cmd::new(&device)?;
        command.start(0, &stream, (BYTES / 4) as u32, &[])?;
        context.submit(&mut command)?;
        commands.push(command);
    }
    let mut failures = Vec::new();
    for command in &mut commands {
        if let Err(error) = command.wait(Duration::from_secs(30), &AtomicBool::new(false)) {
            failures.push(error.to_string());
        }
    }
    // What the driver would do with one more is not asked: it may signal its fence without running it.
    if let (false, Some(command)) = (failures.is_empty(), commands.first_mut())
        && let Err(error) = context.submit(command)
    {
        failures.push(error.to_string());
    }
    match failures.len() {
        0 => Ok(()),
        _ => Err(failures.join("; ").into()),
    }
}
