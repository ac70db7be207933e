//! The instruction table, one file per slot, one instruction per line.
//!
//! `insn(name, syntax, mask, value, operands, itinerary)`; `out`/`inp(name, class, field)` with fields as (high bit, low bit).

mod alu;
mod lda;
mod ldb;
mod lng;
mod mv;
mod nop;
mod st;
mod vec;

use crate::row::Row;
use crate::slot::Slot;

const COUNT: usize = lda::ROWS.len()
    + ldb::ROWS.len()
    + alu::ROWS.len()
    + mv::ROWS.len()
    + st::ROWS.len()
    + vec::ROWS.len()
    + lng::ROWS.len()
    + nop::ROWS.len();

/// Every row in [`Slot::ALL`] order.
pub(crate) static ALL: [&Row; COUNT] = {
    let tables: [&'static [Row]; 8] =
        [&lda::ROWS, &ldb::ROWS, &alu::ROWS, &mv::ROWS, &st::ROWS, &vec::ROWS, &lng::ROWS, &nop::ROWS];
    let mut all: [&Row; COUNT] = [&nop::ROWS[0]; COUNT];
    let (mut slot, mut at) = (0, 0);
    while slot < tables.len() {
        let mut i = 0;
        while i < tables[slot].len() {
            assert!(tables[slot][i].slot as u8 == Slot::ALL[slot] as u8);
            all[at] = &tables[slot][i];
            at += 1;
            i += 1;
        }
        slot += 1;
    }
    all
};
