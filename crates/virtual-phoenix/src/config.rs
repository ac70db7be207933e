//! PCI configuration space of function 1022:1502.
//!
//! | offset | content |
//! |---|---|
//! | 0x00 | header type 0; BARs 0, 1 and 4 of 32 bits, BAR 2 of 64 bits, prefetchable |
//! | 0x40 | power management |
//! | 0x50 | PCI Express endpoint, version 2, with function level reset |
//! | 0x90 | MSI-X: 16 vectors, table at BAR 1 + 0, pending bits at BAR 1 + 0x1000 |
// SOURCE: amd/xdna-driver npu1_regs.c (which BAR holds what); PCI Express base specification ch. 7 (layouts).

/// Bytes of the configuration space.
pub const CONFIG_BYTES: usize = 4096;
/// Bytes of BAR 0: PSP and SMU registers.
pub const BAR0_BYTES: u64 = 512 << 10;
/// Bytes of BAR 1: the MSI-X table.
pub const BAR1_BYTES: u64 = 8 << 10;
/// Bytes of BAR 2: SRAM.
pub const BAR2_BYTES: u64 = 256 << 10;
/// Bytes of BAR 4: mailbox registers.
pub const BAR4_BYTES: u64 = 256 << 10;
/// Interrupt vectors.
pub const VECTORS: usize = 16;

const VENDOR: u16 = 0x1022;
const DEVICE: u16 = 0x1502;
/// Signal processing controller, other.
const CLASS: u32 = 0x11_8000;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const BARS: usize = 0x10;
const CAPABILITIES: usize = 0x34;
const PM: usize = 0x40;
const PCIE: usize = 0x50;
const MSIX: usize = 0x90;

const MEMORY_64: u32 = 0b0100;
const PREFETCHABLE: u32 = 0b1000;

const DEVICE_CONTROL: usize = PCIE + 0x08;
const INITIATE_RESET: u16 = 1 << 15;

/// What a write to the configuration space asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing beyond the value.
    None,
    /// A function level reset.
    Reset,
}

/// The configuration space.
pub struct ConfigSpace {
    bytes: Vec<u8>,
    /// Bit set: the guest may change it.
    writable: Vec<u8>,
}

impl Default for ConfigSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfigSpace {
    /// The space after a reset.
    pub fn new() -> Self {
        let mut space = Self { bytes: vec![0; CONFIG_BYTES], writable: vec![0; CONFIG_BYTES] };
        space.put(0x00, &VENDOR.to_le_bytes());
        space.put(0x02, &DEVICE.to_le_bytes());
        // Memory space, bus master, parity, SERR, INTx disable.
        space.allow(COMMAND, &0x0546u16.to_le_bytes());
        space.put(STATUS, &0x0010u16.to_le_bytes());
        // The revision is 0: it is what selects npu1.
        space.put(0x09, &CLASS.to_le_bytes()[..3]);
        space.put(0x2c, &VENDOR.to_le_bytes());
        space.put(0x2e, &DEVICE.to_le_bytes());
        space.put(CAPABILITIES, &[PM as u8]);
        space.allow(0x0c, &[0xff]);
        space.allow(0x3c, &[0xff]);
        for (bar, bytes, kind) in
            [(0, BAR0_BYTES, 0), (1, BAR1_BYTES, 0), (2, BAR2_BYTES, MEMORY_64 | PREFETCHABLE), (4, BAR4_BYTES, 0)]
        {
            space.put(BARS + 4 * bar, &u32::to_le_bytes(kind));
            space.allow(BARS + 4 * bar, &(!(bytes as u32 - 1)).to_le_bytes());
            if kind & MEMORY_64 != 0 {
                space.allow(BARS + 4 * bar + 4, &u32::MAX.to_le_bytes());
            }
        }

        // Version 3, no PME.
        space.put(PM, &[0x01, PCIE as u8, 0x03, 0x00]);
        space.allow(PM + 4, &[0x03]);
        // No soft reset on leaving D3.
        space.put(PM + 4, &[0x08]);

        space.put(PCIE, &[0x10, MSIX as u8, 0x02, 0x00]);
        // Device capabilities: 256 byte payload, extended tags, role-based errors, function level reset.
        space.put(PCIE + 0x04, &0x1000_8021u32.to_le_bytes());
        space.allow(DEVICE_CONTROL, &0x7fffu16.to_le_bytes());
        // Link: 16 GT/s, 16 lanes, in both capability and status.
        space.put(PCIE + 0x0c, &0x0000_0104u32.to_le_bytes());
        space.put(PCIE + 0x12, &0x1104u16.to_le_bytes());
        space.allow(PCIE + 0x28, &0x001fu16.to_le_bytes());
        space.put(PCIE + 0x2c, &0x0000_001eu32.to_le_bytes());
        space.put(PCIE + 0x30, &0x0004u16.to_le_bytes());

        space.put(MSIX, &[0x11, 0x00]);
        space.put(MSIX + 2, &(VECTORS as u16 - 1).to_le_bytes());
        space.allow(MSIX + 2, &0xc000u16.to_le_bytes());
        space.put(MSIX + 4, &1u32.to_le_bytes());
        space.put(MSIX + 8, &0x1001u32.to_le_bytes());
        space
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }

    /// Reads; bytes beyond the end are all ones.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        for (byte, at) in out.iter_mut().zip(offset..=u64::MAX) {
            *byte = usize::try_from(at).ok().and_then(|at| self.bytes.get(at)).copied().unwrap_or(0xff);
        }
    }

    /// Writes the bits that may be written.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        let mut effect = Effect::None;
        for (&byte, at) in data.iter().zip(offset..=u64::MAX) {
            let Some(at) = usize::try_from(at).ok().filter(|&at| at < CONFIG_BYTES) else { break };
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | byte & mask;
            if at == DEVICE_CONTROL + 1 && byte & (INITIATE_RESET >> 8) as u8 != 0 {
                effect = Effect::Reset;
            }
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(space: &ConfigSpace, at: u64) -> u32 {
        let mut bytes = [0; 4];
        space.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn identity_and_capability_chain() {
        let space = ConfigSpace::new();
        assert_eq!(word(&space, 0), 0x1502_1022);
        assert_eq!(word(&space, 8), 0x1180_0000);
        let mut at = u64::from(word(&space, 0x34) as u8);
        let mut seen = Vec::new();
        while at != 0 {
            let head = word(&space, at);
            seen.push(head as u8);
            at = u64::from(head >> 8 & 0xff);
        }
        assert_eq!(seen, [0x01, 0x10, 0x11]);
        assert_eq!(word(&space, 0x90) >> 16, 15, "16 vectors");
        assert_eq!(word(&space, 0x100), 0, "no extended capability");
    }

    #[test]
    fn bars_answer_the_sizing_write() {
        let mut space = ConfigSpace::new();
        for (bar, expected) in
            [(0, 0xfff8_0000), (1, 0xffff_e000), (2, 0xfffc_000c), (3, u32::MAX), (4, 0xfffc_0000), (5, 0)]
        {
            assert_eq!(space.write(0x10 + 4 * bar, &[0xff; 4]), Effect::None);
            assert_eq!(word(&space, 0x10 + 4 * bar), expected, "BAR {bar}");
        }
        space.write(0, &[0; 4]);
        assert_eq!(word(&space, 0), 0x1502_1022);
    }

    #[test]
    fn power_state_is_kept_and_reset_is_reported() {
        let mut space = ConfigSpace::new();
        assert_eq!(space.write(0x44, &3u16.to_le_bytes()), Effect::None);
        assert_eq!(word(&space, 0x44) & 3, 3);
        assert_eq!(space.write(0x58, &0x8000u16.to_le_bytes()), Effect::Reset);
        assert_eq!(word(&space, 0x58) & 0x8000, 0);
        assert_eq!(space.write(4090, &[0xff; 16]), Effect::None);
        assert_eq!(space.write(u64::MAX, &[0xff; 4]), Effect::None);
        assert_eq!(word(&space, 4096), u32::MAX);
    }
}
