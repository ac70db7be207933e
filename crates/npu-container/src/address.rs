//! Addresses inside an NPU partition.
//!
//! `address = column << 25 | row << 20 | offset`. Column 0 is the first column of the partition, whatever
//! the physical column; row 0 is the shim, row 1 the memory tiles, rows 2 to 5 the compute tiles.

// SOURCE: Xilinx/mlir-aie lib/Targets/AIETargetCDODirect.cpp and include/aie/Runtime/TxnEncoding.h; the addresses of AMD's
// released PDIs (Xilinx/VTD validate_npu.xclbin) decode to their tiles this way.
const ROW_SHIFT: u32 = 20;
const COLUMN_SHIFT: u32 = 25;

/// Bytes of address space of one tile: offsets are below this.
pub const TILE_BYTES: u32 = 1 << ROW_SHIFT;
/// Rows an address can name: rows are below this.
pub const ROW_LIMIT: u8 = 1 << (COLUMN_SHIFT - ROW_SHIFT);
/// Columns an address can name: columns are below this.
pub const COLUMN_LIMIT: u8 = 1 << (32 - COLUMN_SHIFT);

/// A register or memory address of one tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArrayAddress {
    /// Column, relative to the partition.
    pub col: u8,
    /// Row: 0 shim, 1 memory tile, 2 to 5 compute tiles.
    pub row: u8,
    /// Byte offset in the tile.
    pub offset: u32,
}

/// A tile coordinate or offset that does not fit its address field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The column does not fit 7 bits.
    #[error("column {col} does not fit an array address (columns are below {COLUMN_LIMIT})")]
    Column {
        /// The column asked for.
        col: u8,
    },
    /// The row does not fit 5 bits.
    #[error("row {row} does not fit an array address (rows are below {ROW_LIMIT})")]
    Row {
        /// The row asked for.
        row: u8,
    },
    /// The offset does not fit 20 bits.
    #[error("offset {offset:#x} does not fit an array address (offsets are below {TILE_BYTES:#x})")]
    Offset {
        /// The byte offset asked for.
        offset: u32,
    },
}

impl ArrayAddress {
    /// The address as the formats carry it.
    pub const fn encode(self) -> Result<u32, AddressError> {
        if self.col >= COLUMN_LIMIT {
            return Err(AddressError::Column { col: self.col });
        }
        if self.row >= ROW_LIMIT {
            return Err(AddressError::Row { row: self.row });
        }
        if self.offset >= TILE_BYTES {
            return Err(AddressError::Offset { offset: self.offset });
        }
        Ok((self.col as u32) << COLUMN_SHIFT | (self.row as u32) << ROW_SHIFT | self.offset)
    }

    /// The tile and offset that `address` names. Every word is an address.
    pub const fn decode(address: u32) -> Self {
        Self {
            col: (address >> COLUMN_SHIFT) as u8,
            row: ((address >> ROW_SHIFT) as u8) & (ROW_LIMIT - 1),
            offset: address & (TILE_BYTES - 1),
        }
    }
}

impl From<u32> for ArrayAddress {
    fn from(address: u32) -> Self {
        Self::decode(address)
    }
}

impl TryFrom<ArrayAddress> for u32 {
    type Error = AddressError;
    fn try_from(address: ArrayAddress) -> Result<u32, AddressError> {
        address.encode()
    }
}

impl std::fmt::Display for ArrayAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({},{})+{:#07x}", self.col, self.row, self.offset)
    }
}

/// [`ArrayAddress::encode`] for coordinates known to fit, usable in constants.
///
/// # Panics
/// If a coordinate does not fit its field. Values from outside go through [`ArrayAddress::encode`].
pub const fn addr(col: u8, row: u8, offset: u32) -> u32 {
    match (ArrayAddress { col, row, offset }).encode() {
        Ok(address) => address,
        // PANIC: the caller asked for an address that cannot exist, which is a bug in the caller.
        Err(_) => panic!("array address out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_addresses() {
        // SOURCE: the four core-control addresses of AMD's 432-byte PDI (Xilinx/VTD validate_npu.xclbin, DPU_PDI_0).
        for (row, address) in [(2, 0x0023_2000), (3, 0x0033_2000), (4, 0x0043_2000), (5, 0x0053_2000)] {
            assert_eq!(addr(0, row, 0x32000), address);
            assert_eq!(ArrayAddress::decode(address), ArrayAddress { col: 0, row, offset: 0x32000 });
        }
        assert_eq!(addr(3, 1, 0xA0000), 0x061A_0000);
    }

    #[test]
    fn each_field_is_refused_at_its_limit() {
        let fits = ArrayAddress { col: 127, row: 31, offset: 0xF_FFFF };
        assert_eq!(fits.encode(), Ok(u32::MAX));
        assert_eq!(ArrayAddress { col: 128, ..fits }.encode(), Err(AddressError::Column { col: 128 }));
        assert_eq!(ArrayAddress { row: 32, ..fits }.encode(), Err(AddressError::Row { row: 32 }));
        assert_eq!(
            ArrayAddress { offset: 0x10_0000, ..fits }.encode(),
            Err(AddressError::Offset { offset: 0x10_0000 })
        );
    }

    proptest::proptest! {
        #[test]
        fn every_word_round_trips(word: u32) {
            proptest::prop_assert_eq!(ArrayAddress::decode(word).encode(), Ok(word));
        }
    }
}
