//! EXEC_CMD: queues a command of a context.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{File, Ioctl, pin};
use crate::Error;
use crate::kernel::{Kernel, Pointed};

/// `struct amdxdna_drm_exec_cmd`.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Layout {
    /// Zero.
    pub ext: u64,
    /// Zero.
    pub ext_flags: u64,
    /// In.
    pub context: u32,
    /// Zero: a command buffer.
    pub kind: u32,
    /// In: handle of the CMD buffer itself, as there is only one.
    pub command: u64,
    /// Address of the handles of all buffers the command uses.
    pub arguments: u64,
    /// In: 1.
    pub command_count: u32,
    /// In: handles at `arguments`.
    pub argument_count: u32,
    /// Out.
    pub sequence: u64,
}

pin!(Layout: 56 {
    ext 0, ext_flags 8, context 16, kind 20, command 24, arguments 32, command_count 40, argument_count 44, sequence 48,
});

/// Most buffers of a command.
// SOURCE: MAX_ARG_COUNT in drivers/accel/amdxdna/amdxdna_ctx.c
pub const MAX_ARGUMENTS: usize = 4095;

/// Queues the command in CMD buffer `command`; its sequence number, the point of the context's timeline at which it completes.
///
/// `arguments` must not name a buffer twice.
pub(crate) fn exec_cmd<K: Kernel>(
    file: &File<K>,
    context: u32,
    command: u32,
    arguments: &mut [u32],
) -> Result<u64, Error> {
    assert!(arguments.len() <= MAX_ARGUMENTS, "{} argument buffers", arguments.len());
    let text = format!("context {context}, command buffer {command}, argument buffers {arguments:?}");
    let mut layout = Layout {
        context,
        command: command.into(),
        command_count: 1,
        argument_count: arguments.len() as u32,
        ..Layout::default()
    };
    file.call(Ioctl::ExecCmd, &text, &mut layout, &mut [Pointed::by_argument(32, arguments.as_mut_bytes())])?;
    Ok(layout.sequence)
}
