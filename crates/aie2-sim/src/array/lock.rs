//! Locks of all tiles.

use super::index::{self, LockIx};
use crate::fault::Fault;

/// Highest value of a lock.
// SOURCE: AM020 ch. 2: 6-bit unsigned state.
pub const MAX_VALUE: i32 = 63;

/// One lock and who waits for it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Lock {
    /// Present value, 0..63.
    pub value: u8,
    /// One successful acquire per lock and cycle: cycle + 1 of the last one.
    granted_at: u64,
    /// S2MM channels that wait.
    pub s2mm: u64,
    /// MM2S channels that wait.
    pub mm2s: u64,
    /// Cores that wait.
    pub cores: u16,
}

/// Answer to an acquire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acquire {
    /// Granted; the value was taken.
    Granted,
    /// Another requester was granted in this cycle; ask again in the next.
    Busy,
    /// The value does not fit; wait for a change.
    Wait,
}

impl Lock {
    /// Tries to acquire. `value < 0`: at least `-value`; `value > 0`: equal.
    #[inline]
    pub fn acquire(&mut self, value: i8, now: u64) -> Acquire {
        let amount = value.unsigned_abs();
        let fits = if value < 0 { self.value >= amount } else { self.value == amount };
        if !fits {
            return Acquire::Wait;
        }
        if self.granted_at == now + 1 {
            return Acquire::Busy;
        }
        self.granted_at = now + 1;
        self.value -= amount;
        Acquire::Granted
    }

    /// Adds `value`.
    pub fn release(&mut self, at: LockIx, value: i8) -> Result<(), Fault> {
        let next = i32::from(self.value) + i32::from(value);
        if !(0..=MAX_VALUE).contains(&next) {
            let (tile, lock) = index::lock_id(at);
            return Err(Fault::LockRange { tile, lock, value: next });
        }
        self.value = next as u8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_values_wait_for_at_least_and_positive_values_for_equality() {
        let mut l = Lock { value: 3, ..Lock::default() };
        assert_eq!(l.acquire(-4, 0), Acquire::Wait);
        assert_eq!(l.acquire(2, 0), Acquire::Wait);
        assert_eq!(l.acquire(-1, 0), Acquire::Granted);
        assert_eq!(l.value, 2);
        assert_eq!(l.acquire(-1, 0), Acquire::Busy);
        assert_eq!(l.acquire(2, 1), Acquire::Granted);
        assert_eq!(l.value, 0);
    }

    #[test]
    fn a_release_beyond_the_six_bit_state_is_refused() {
        let mut l = Lock { value: 63, ..Lock::default() };
        assert!(matches!(l.release(0, 1), Err(Fault::LockRange { lock: 0, value: 64, .. })));
        assert!(matches!(Lock::default().release(17, -1), Err(Fault::LockRange { lock: 1, value: -1, .. })));
    }
}
