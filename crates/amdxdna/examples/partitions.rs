//! Four contexts of a column each, side by side: `partitions PDI STREAM FILE`. The stream, of one column, copies its first host buffer to its second; the file is
//! what it copies in each context. Fails unless all copies are right and no two contexts have a column in common.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::{Cmd, ContextConfig, Device};

const CONTEXTS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [pdi, stream, file] => partitions(pdi, stream, file),
        _ => Err("usage: partitions PDI STREAM FILE".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<amdxdna::Error>() {
                Some(error) => eprintln!("{}", error.explain()),
                None => eprintln!("error: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn partitions(pdi: &str, stream: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let (pdi, stream, data) = (std::fs::read(pdi)?, std::fs::read(stream)?, std::fs::read(file)?);
    let device = Device::open()?;
    let mut instructions = device.dev_buffer(stream.len())?;
    instructions.write(0, &stream)?;
    let mut runs = Vec::new();
    for _ in 0..CONTEXTS {
        let mut context = device.create_context(ContextConfig { columns: 1, ..ContextConfig::default() })?;
        context.load(&[&pdi])?;
        let (mut from, to) = (device.host_buffer(data.len())?, device.host_buffer(data.len())?);
        from.write(0, &data)?;
        let mut command = Cmd::new(&device)?;
        command.start(0, &instructions, u32::try_from(stream.len() / 4)?, &[(&from).into(), (&to).into()])?;
        runs.push((context, command, to));
    }
    for (context, command, _) in &mut runs {
        context.submit(command)?;
    }
    let infos = device.contexts()?;
    for (_, command, to) in &mut runs {
        command.wait(Duration::from_secs(30), &AtomicBool::new(false))?;
        if to.bytes()?[..] != data[..] {
            return Err("a copy differs".into());
        }
    }
    let taken: Vec<u32> = infos.iter().flat_map(|info| info.first_column..info.first_column + info.columns).collect();
    println!("{} contexts on columns {taken:?}, {} bytes copied in each", infos.len(), data.len());
    let distinct: BTreeSet<u32> = taken.iter().copied().collect();
    if (infos.len(), taken.len(), distinct.len()) != (CONTEXTS, CONTEXTS, CONTEXTS) {
        return Err("the contexts do not have a column each".into());
    }
    Ok(())
}
