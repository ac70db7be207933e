//! Lends buffers to another process, which runs a kernel on them: `lend PDI STREAM BUFFER...`. A buffer is `BYTES`, `BYTES:in=FILE`, `BYTES:out=FILE` or
//! `BYTES:out=FILE,in=FILE`, in the kernel's order; what is `out` is written when the other process has ended.
//!
//! The buffers go as dma-bufs over a UNIX socket. This process never runs a command, the other one has no memory of its own but the kernel's.

use std::error::Error;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use amdxdna::kernel::Kernel;
use amdxdna::{Cmd, ContextConfig, Device, DmaBuf, HostBuffer};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// Descriptors in one message.
const MOST: usize = 16;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [word, pdi, stream] if word == "borrow" => borrow(pdi, stream),
        [pdi, stream, buffers @ ..] if !buffers.is_empty() => lend(pdi, stream, buffers),
        _ => Err("usage: lend PDI STREAM BUFFER...".into()),
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

fn lend(pdi: &str, stream: &str, texts: &[String]) -> Result<()> {
    let device = Device::open()?;
    let (mut buffers, mut lent) = (Vec::new(), Vec::new());
    for text in texts {
        let (bytes, ways) = text.split_once(':').unwrap_or((text, ""));
        let (mut buffer, mut out) = (device.host_buffer(bytes.parse()?)?, None);
        for way in ways.split(',').filter(|way| !way.is_empty()) {
            match way.split_once('=') {
                Some(("in", file)) => buffer.write(0, &std::fs::read(file)?)?,
                Some(("out", file)) => out = Some(file),
                Some(_) | None => return Err(format!("{way} is neither in=FILE nor out=FILE").into()),
            }
        }
        buffer.flush(0..buffer.len())?;
        lent.push(buffer.export()?.into_fd());
        buffers.push((buffer, out));
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mut other =
        Command::new(std::env::current_exe()?).args(["borrow", pdi, stream]).stdin(OwnedFd::from(theirs)).spawn()?;
    let sent = send(&ours, &lent);
    // An end of the socket that is left open would have the other process wait for ever.
    drop(ours);
    let status = other.wait()?;
    sent?;
    if !status.success() {
        return Err("the other process failed".into());
    }
    for (buffer, out) in &mut buffers {
        let Some(file) = out else { continue };
        buffer.flush(0..buffer.len())?;
        std::fs::write(file, &buffer.bytes()?[..])?;
    }
    println!("{} buffers lent, {} written by the other process", buffers.len(), outputs(&buffers));
    Ok(())
}

fn outputs<B>(buffers: &[(B, Option<&str>)]) -> usize {
    buffers.iter().filter(|(_, out)| out.is_some()).count()
}

fn borrow(pdi: &str, stream: &str) -> Result<()> {
    let lent: Vec<DmaBuf> = receive(std::io::stdin())?.into_iter().map(DmaBuf::from).collect();
    run(&Device::open()?, &lent, &std::fs::read(pdi)?, &std::fs::read(stream)?)
}

/// Runs a kernel on borrowed buffers.
pub(crate) fn run<K: Kernel>(device: &Device<K>, lent: &[DmaBuf<K>], pdi: &[u8], stream: &[u8]) -> Result<()> {
    let mut context = device.create_context(ContextConfig::default())?;
    context.load(&[pdi])?;
    let mut instructions = device.dev_buffer(stream.len())?;
    instructions.write(0, stream)?;
    let buffers = lent.iter().map(|dma_buf| device.import(dma_buf)).collect::<std::result::Result<Vec<_>, _>>()?;
    let operands: Vec<HostBuffer<'_, K>> = buffers.iter().map(HostBuffer::from).collect();
    let mut command = Cmd::new(device)?;
    command.start(0, &instructions, u32::try_from(stream.len() / 4)?, &operands)?;
    context.submit(&mut command)?;
    Ok(command.wait(Duration::from_secs(60), &AtomicBool::new(false))?)
}

/// Sends descriptors to whoever has the other end.
pub(crate) fn send(socket: &UnixStream, descriptors: &[OwnedFd]) -> Result<()> {
    if descriptors.len() > MOST {
        return Err(format!("{} buffers: {MOST} go into a message", descriptors.len()).into());
    }
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err("descriptors do not fit into a message".into());
    }
    // A message needs a byte.
    rustix::net::sendmsg(socket, &[IoSlice::new(b"B")], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// The descriptors of one message.
pub(crate) fn receive(socket: impl AsFd) -> Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    if received.is_empty() {
        return Err("the other process sent no buffers".into());
    }
    Ok(received)
}
