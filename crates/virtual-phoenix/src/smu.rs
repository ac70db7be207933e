//! SMU: power and clocks. Registers of BAR 0.
// SOURCE: amd/xdna-driver aie_smu.c, npu1_regs.c.

/// Command.
pub const COMMAND: u32 = 0x100ac;
/// Response; 0 while a command runs.
pub const RESPONSE: u32 = 0x100b0;
/// Argument on write, output on read.
pub const ARGUMENT: u32 = 0x100b4;
/// Writing bit 0 starts a command.
pub const INTERRUPT: u32 = 0x10094;

const OK: u32 = 1;
// SOURCE: Linux drivers/gpu/drm/amd/pm/swsmu/smu_cmn.c: the answer of AMD's SMUs to a command they do not have.
const UNKNOWN_COMMAND: u32 = 0xfe;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Power on.
    PowerOn,
    /// Power off.
    PowerOff,
    /// Clock of the management processor, in MHz; granted as wished.
    MpNpuClock(u32),
    /// Clock of the array, in MHz; granted as wished.
    HClock(u32),
    /// Not a command of npu1.
    Unknown(u32),
}

/// The SMU's registers.
#[derive(Debug, Default)]
pub struct Smu {
    command: u32,
    response: u32,
    argument: u32,
}

impl Smu {
    /// A register's value; `None` if it is not the SMU's.
    pub fn read(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            COMMAND => self.command,
            RESPONSE => self.response,
            ARGUMENT => self.argument,
            // A command is done before the write that starts it returns.
            INTERRUPT => 0,
            _ => return None,
        })
    }

    /// Writes a register; `None` if it is not the SMU's, otherwise what the write asks for, if anything.
    pub fn write(&mut self, offset: u32, value: u32) -> Option<Option<Action>> {
        match offset {
            COMMAND => self.command = value,
            RESPONSE => self.response = value,
            ARGUMENT => self.argument = value,
            INTERRUPT => return Some((value & 1 == 1).then(|| self.act())),
            _ => return None,
        }
        Some(None)
    }

    fn act(&mut self) -> Action {
        let action = match self.command {
            3 => Action::PowerOn,
            4 => Action::PowerOff,
            5 => Action::MpNpuClock(self.argument),
            6 => Action::HClock(self.argument),
            command => Action::Unknown(command),
        };
        self.response = if matches!(action, Action::Unknown(_)) { UNKNOWN_COMMAND } else { OK };
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_granted() {
        let mut smu = Smu::default();
        for (command, argument, expected) in [
            (4, 0, Action::PowerOff),
            (3, 0, Action::PowerOn),
            (5, 847, Action::MpNpuClock(847)),
            (6, 1600, Action::HClock(1600)),
        ] {
            smu.write(RESPONSE, 0);
            smu.write(ARGUMENT, argument);
            smu.write(COMMAND, command);
            assert_eq!(smu.write(INTERRUPT, 1), Some(Some(expected)));
            assert_eq!((smu.read(RESPONSE), smu.read(ARGUMENT)), (Some(1), Some(argument)));
            assert_eq!(smu.read(INTERRUPT), Some(0));
        }
        smu.write(COMMAND, 7);
        assert_eq!(smu.write(INTERRUPT, 1), Some(Some(Action::Unknown(7))));
        assert_eq!(smu.read(RESPONSE), Some(UNKNOWN_COMMAND));
        assert_eq!(smu.read(0x100a0), None);
    }
}
