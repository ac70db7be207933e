//! PSP: the handshake that loads and starts the firmware. Registers of BAR 0.
// SOURCE: amd/xdna-driver aie_psp.c, npu1_regs.c.

/// Command on write, status on read.
pub const COMMAND: u32 = 0x100a0;
/// Argument 0 on write, response on read.
pub const ARGUMENT_0: u32 = 0x100a4;
/// Argument 1.
pub const ARGUMENT_1: u32 = 0x100a8;
/// Argument 2: 24 bits and the command above them.
pub const ARGUMENT_2: u32 = 0x100bc;
/// Its rising edge starts a command.
pub const INTERRUPT: u32 = 0x10090;

const READY: u32 = 0x8000_0000;
const BAD_STATE: u32 = 0xffff_0007;
const CANCEL: u32 = 0xffff_0002;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The firmware image is accepted: its physical address and bytes, which the device does not look at.
    Validate {
        /// Physical address.
        address: u64,
        /// Bytes, rounded up by the driver.
        bytes: u32,
    },
    /// The firmware starts.
    Start,
    /// The firmware is gone.
    Release,
    /// Refused; the response says why.
    Refused {
        /// The command.
        command: u32,
        /// The response.
        response: u32,
    },
}

/// The PSP's registers.
#[derive(Debug, Default)]
pub struct Psp {
    command: u32,
    arguments: [u32; 3],
    interrupt: u32,
    response: u32,
    validated: bool,
}

impl Psp {
    /// A register's value; `None` if it is not the PSP's.
    pub fn read(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            COMMAND => READY,
            ARGUMENT_0 => self.response,
            ARGUMENT_1 => self.arguments[1],
            ARGUMENT_2 => self.arguments[2],
            INTERRUPT => self.interrupt,
            _ => return None,
        })
    }

    /// Writes a register; `None` if it is not the PSP's, otherwise what the write asks for, if anything.
    pub fn write(&mut self, offset: u32, value: u32) -> Option<Option<Action>> {
        match offset {
            COMMAND => self.command = value,
            ARGUMENT_0 => self.arguments[0] = value,
            ARGUMENT_1 => self.arguments[1] = value,
            ARGUMENT_2 => self.arguments[2] = value,
            INTERRUPT => {
                let rises = self.interrupt & 1 == 0 && value & 1 == 1;
                self.interrupt = value;
                return Some(rises.then(|| self.act()));
            }
            _ => return None,
        }
        Some(None)
    }

    fn act(&mut self) -> Action {
        self.response = 0;
        let refused = |command, response| Action::Refused { command, response };
        let action = match self.command {
            1 => {
                self.validated = true;
                let address = u64::from(self.arguments[1]) << 32 | u64::from(self.arguments[0]);
                Action::Validate { address, bytes: self.arguments[2] & 0xff_ffff }
            }
            2 if !self.validated => refused(2, BAD_STATE),
            // The only argument known: copy the firmware.
            2 if self.arguments[0] != 1 => refused(2, CANCEL),
            2 => Action::Start,
            3 => {
                self.validated = false;
                Action::Release
            }
            command => refused(command, CANCEL),
        };
        if let Action::Refused { response, .. } = action {
            self.response = response;
        }
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(psp: &mut Psp, command: u32, arguments: [u32; 3]) -> Option<Action> {
        psp.write(COMMAND, command);
        psp.write(ARGUMENT_0, arguments[0]);
        psp.write(ARGUMENT_1, arguments[1]);
        psp.write(ARGUMENT_2, arguments[2]);
        psp.write(INTERRUPT, 0);
        psp.write(INTERRUPT, 1).flatten()
    }

    #[test]
    fn validate_then_start() {
        let mut psp = Psp::default();
        assert_eq!(psp.read(COMMAND), Some(READY));
        let validated = Some(Action::Validate { address: 0x1_2345_0000, bytes: 0x1_0000 });
        assert_eq!(command(&mut psp, 1, [0x2345_0000, 1, 0x0101_0000]), validated);
        assert_eq!(command(&mut psp, 2, [1, 0, 0]), Some(Action::Start));
        assert_eq!((psp.read(COMMAND), psp.read(ARGUMENT_0)), (Some(READY), Some(0)));
        assert_eq!(command(&mut psp, 3, [0; 3]), Some(Action::Release));
        assert_eq!(command(&mut psp, 2, [1, 0, 0]), Some(Action::Refused { command: 2, response: BAD_STATE }));
        assert_eq!(psp.read(ARGUMENT_0), Some(BAD_STATE));
        assert_eq!(command(&mut psp, 4, [0; 3]), Some(Action::Refused { command: 4, response: CANCEL }));
    }

    #[test]
    fn only_the_edge_acts() {
        let mut psp = Psp::default();
        psp.write(COMMAND, 1);
        assert!(psp.write(INTERRUPT, 1).flatten().is_some());
        assert_eq!(psp.write(INTERRUPT, 1), Some(None));
        assert_eq!(psp.write(0x100ac, 1), None);
    }
}
