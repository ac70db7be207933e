//! AMD's NPU of Phoenix and Hawk Point through Linux's `amdxdna` driver, by its ioctls alone.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use std::time::Duration;
//! use amdxdna::{Cmd, ContextConfig, Device};
//!
//! # fn main() -> Result<(), amdxdna::Error> {
//! # let (pdi, stream) = (vec![0u8; 64], vec![0u8; 64]);
//! let device = Device::open()?;
//! let mut context = device.create_context(ContextConfig::default())?;
//! context.load(&[&pdi])?;
//!
//! let mut instructions = device.dev_buffer(stream.len())?;
//! instructions.write(0, &stream)?;
//! let mut input = device.buffer_of(4096)?;
//! input.write(0, b"operand")?;
//! let output = device.buffer_of(4096)?;
//!
//! let mut command = Cmd::new(&device)?;
//! command.start(0, &instructions, stream.len() as u32 / 4, &[(&input).into(), (&output).into()])?;
//! context.submit(&mut command)?;
//! command.wait(Duration::from_secs(2), &AtomicBool::new(false))?;
//! println!("{:?}", &output.bytes()?[..16]);
//! # Ok(())
//! # }
//! ```
//!
//! | type | kernel object | freed by |
//! |---|---|---|
//! | [`Device`] | an open node, with the 64 MiB heap | drop of it and everything made by it |
//! | [`HwCtx`] | hardware context and its timeline | drop, which ends its commands |
//! | [`Bo`] | buffer object and its mapping | drop of it and of the commands and contexts that use it |
//! | [`Cmd`] | command buffer | drop |
//! | [`DmaBuf`] | dma-buf | drop |
//!
//! What a driver may lack is asked of the driver, never guessed from a version: [`Error::Unsupported`] is the answer. Every other error
//! names the call, its arguments and the kernel's answer, and has a likely [`Cause`] with a remedy. Memory is safe to use while commands
//! run because it cannot be used: see [`bo`].
//!
//! The crate knows bytes and handles. What a PDI configures and what a stream does is for others to know.
#![warn(unsafe_op_in_unsafe_fn)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the amdxdna driver exists on x86-64 Linux only");

pub mod bo;
mod cmd;
mod device;
mod discover;
mod dmabuf;
mod errno;
mod error;
pub mod ert;
mod features;
mod hwctx;
pub mod ioctl;
pub mod kernel;
mod query;
mod sys;

pub use bo::{Bo, BoKind, Bytes, BytesMut};
pub use cmd::{Cmd, HostBuffer, Waited};
pub use device::{DEV_ALIGN, Device, HEAP_ADDRESS, HEAP_BYTES, Options};
pub use discover::{Node, PciId, SYSFS};
pub use dmabuf::{DmaBuf, DmaBufMap};
pub use errno::Errno;
pub use error::{BadReply, Busy, Cause, Error, Feature, Refusal};
pub use ert::{CommandState, Health};
pub use features::{Features, Support};
pub use hwctx::{ComputeUnit, ContextConfig, HwCtx, MAX_COLUMNS, MAX_IN_FLIGHT, Priority};
pub use ioctl::Ioctl;
pub use ioctl::sync_bo::Direction;
pub use ioctl::version::DriverVersion;
pub use query::{
    AieMetadata, AieStatus, AieVersion, AsyncError, AsyncErrorKind, AsyncErrorModule, Clock, Clocks, ContextDetails,
    ContextInfo, FirmwareVersion, PowerMode, ResourceInfo, Sensor, SensorKind, TileMetadata,
};
pub use sys::Sys;
