//! `bennu-lab vdev`: a virtual Phoenix for a guest.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use virtual_phoenix::{Backend, Fault, Journal, Protocol, Shared};

/// Arguments of `vdev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Socket to listen on for one vfio-user client (QEMU); it must not exist
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,

    /// Socket of the control channel (`fault NAME ..`, `clear`, `count`); it must not exist
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Version of the mailbox protocol: 5.7, or 5.8 with CHAIN_EXEC_NPU
    #[arg(long, default_value = "5.8")]
    protocol: Protocol,

    /// A fault that waits from the start, as on the control channel; may be repeated
    #[arg(long, value_name = "SPEC")]
    fault: Vec<Fault>,

    /// Write a line per message
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Runs the verb until the client goes.
pub fn run(args: &Args) -> Result<()> {
    let log = args.log.as_ref().map(|path| File::create(path).with_context(|| path.display().to_string()));
    let log = log.transpose()?.map(|file| Box::new(file) as Box<dyn Write + Send>);
    let device = Shared::new(args.protocol, Journal::new(log));
    for fault in &args.fault {
        device.lock().inject(*fault);
    }
    if let Some(path) = &args.control {
        virtual_phoenix::control::listen(path, Arc::clone(&device)).with_context(|| path.display().to_string())?;
    }
    let server = virtual_phoenix::listen(&args.socket).with_context(|| args.socket.display().to_string())?;
    println!("listening on {}", args.socket.display());
    io::stdout().flush()?;
    let served = server.run(&mut Backend::new(Arc::clone(&device)));
    if let Some(path) = &args.control {
        std::fs::remove_file(path).with_context(|| path.display().to_string())?;
    }
    eprintln!("{}", device.lock().counts());
    served.context("the vfio-user connection")
}
