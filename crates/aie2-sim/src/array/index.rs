//! Flat numbers for tiles, channels, cores and locks.

use crate::fault::{ChannelId, Direction};
use crate::port::{COLUMNS, FIRST_CORE_ROW, ROWS, TileLoc};

/// Compute tile number, column * 4 + row - 2.
pub type CoreIx = usize;
/// Lock number over the whole partition.
pub type LockIx = usize;

const CORES_PER_COLUMN: usize = (ROWS - FIRST_CORE_ROW) as usize;
const SHIM_CHANNELS: usize = 2;
const MEM_CHANNELS: usize = 6;
const CORE_CHANNELS: usize = 2;
const CHANNELS_PER_COLUMN: usize = SHIM_CHANNELS + MEM_CHANNELS + CORES_PER_COLUMN * CORE_CHANNELS;
const SHIM_LOCKS: usize = 16;
const MEM_LOCKS: usize = 64;
const CORE_LOCKS: usize = 16;
const LOCKS_PER_COLUMN: usize = SHIM_LOCKS + MEM_LOCKS + CORES_PER_COLUMN * CORE_LOCKS;

/// Compute tiles.
pub const CORES: usize = COLUMNS as usize * CORES_PER_COLUMN;
/// Tiles.
pub const TILES: usize = COLUMNS as usize * ROWS as usize;
/// Channels of one direction.
pub const CHANNELS: usize = COLUMNS as usize * CHANNELS_PER_COLUMN;
/// Locks.
pub const LOCKS: usize = COLUMNS as usize * LOCKS_PER_COLUMN;

/// Tile number.
pub const fn tile(tile: TileLoc) -> usize {
    tile.col as usize * ROWS as usize + tile.row as usize
}

/// Place of a tile number.
pub const fn tile_loc(tile: usize) -> TileLoc {
    TileLoc::new((tile / ROWS as usize) as u8, (tile % ROWS as usize) as u8)
}

/// Core number of a compute tile.
pub const fn core(tile: TileLoc) -> CoreIx {
    tile.col as usize * CORES_PER_COLUMN + (tile.row - FIRST_CORE_ROW) as usize
}

/// Compute tile of a core number.
pub const fn core_tile(core: CoreIx) -> TileLoc {
    TileLoc::new((core / CORES_PER_COLUMN) as u8, (core % CORES_PER_COLUMN) as u8 + FIRST_CORE_ROW)
}

/// Channels of one direction in a tile of this row.
pub const fn channels_in_row(row: u8) -> u8 {
    match row {
        0 => SHIM_CHANNELS as u8,
        1 => MEM_CHANNELS as u8,
        _ => CORE_CHANNELS as u8,
    }
}

/// Locks in a tile of this row.
pub const fn locks_in_row(row: u8) -> u8 {
    match row {
        0 => SHIM_LOCKS as u8,
        1 => MEM_LOCKS as u8,
        _ => CORE_LOCKS as u8,
    }
}

/// Channel number among the channels of its direction.
pub const fn channel(_dir: Direction, tile: TileLoc, index: u8) -> usize {
    let first = match tile.row {
        0 => 0,
        1 => SHIM_CHANNELS,
        row => SHIM_CHANNELS + MEM_CHANNELS + (row - FIRST_CORE_ROW) as usize * CORE_CHANNELS,
    };
    tile.col as usize * CHANNELS_PER_COLUMN + first + index as usize
}

/// Name of a channel number.
pub const fn channel_id(dir: Direction, channel: usize) -> ChannelId {
    let col = (channel / CHANNELS_PER_COLUMN) as u8;
    let rest = channel % CHANNELS_PER_COLUMN;
    let (row, index) = if rest < SHIM_CHANNELS {
        (0, rest)
    } else if rest < SHIM_CHANNELS + MEM_CHANNELS {
        (1, rest - SHIM_CHANNELS)
    } else {
        let r = rest - SHIM_CHANNELS - MEM_CHANNELS;
        (FIRST_CORE_ROW + (r / CORE_CHANNELS) as u8, r % CORE_CHANNELS)
    };
    ChannelId { tile: TileLoc::new(col, row), dir, index: index as u8 }
}

/// Lock number of lock `lock` of a tile.
pub const fn lock(tile: TileLoc, lock: u8) -> LockIx {
    let first = match tile.row {
        0 => 0,
        1 => SHIM_LOCKS,
        row => SHIM_LOCKS + MEM_LOCKS + (row - FIRST_CORE_ROW) as usize * CORE_LOCKS,
    };
    tile.col as usize * LOCKS_PER_COLUMN + first + lock as usize
}

/// Tile and index of a lock number.
pub const fn lock_id(lock: LockIx) -> (TileLoc, u8) {
    let col = (lock / LOCKS_PER_COLUMN) as u8;
    let rest = lock % LOCKS_PER_COLUMN;
    let (row, index) = if rest < SHIM_LOCKS {
        (0, rest)
    } else if rest < SHIM_LOCKS + MEM_LOCKS {
        (1, rest - SHIM_LOCKS)
    } else {
        let r = rest - SHIM_LOCKS - MEM_LOCKS;
        (FIRST_CORE_ROW + (r / CORE_LOCKS) as u8, r % CORE_LOCKS)
    };
    (TileLoc::new(col, row), index as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_inverse() {
        for c in 0..CHANNELS {
            let id = channel_id(Direction::Mm2s, c);
            assert_eq!(channel(id.dir, id.tile, id.index), c);
            assert!(id.index < channels_in_row(id.tile.row));
        }
        for l in 0..LOCKS {
            let (tile, index) = lock_id(l);
            assert_eq!(lock(tile, index), l);
            assert!(index < locks_in_row(tile.row));
        }
        for c in 0..CORES {
            assert_eq!(core(core_tile(c)), c);
        }
    }
}
