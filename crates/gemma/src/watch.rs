//! How a long operation reports progress and learns that it should stop.

/// Observer of a long operation. Amounts are bytes of input.
pub trait Watch {
    /// Total work, known before the first byte moves.
    fn plan(&self, _total_bytes: u64) {}
    /// The item being worked on (a tensor, a layer).
    fn at(&self, _item: &str) {}
    /// So much more is done.
    fn advance(&self, _bytes: u64) {}
    /// True when the operation should stop; it then removes what it has begun.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
