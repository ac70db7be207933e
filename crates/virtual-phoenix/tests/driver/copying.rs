//! Commands of the copy design, as the driver makes them.

use super::design::{self, PDI_AT, SLOTS_AT, STREAM_AT};
use super::{BUFFERS_AT, Context, Driver, bytes_of};
use virtual_phoenix::Protocol;

pub const BYTES: u32 = 4096;
pub const FROM: u64 = BUFFERS_AT;
pub const TO: u64 = BUFFERS_AT + 0x1_0000;

pub fn data(seed: u8) -> Vec<u8> {
    (0..BYTES).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed).wrapping_add((i >> 8) as u8)).collect()
}

/// A device with a context of one column that holds the copy design and its stream.
pub fn ready(protocol: Protocol) -> (Driver, Context) {
    let mut driver = Driver::booted(protocol);
    driver.put_heap(PDI_AT, &design::pdi());
    driver.put_heap(STREAM_AT, &design::copy(BYTES));
    let context = driver.context(1, 1);
    (driver, context)
}

pub fn map() -> Vec<u32> {
    design::register_map(STREAM_AT, &design::copy(BYTES), &[FROM, TO, 0, 0, 0])
}

pub fn chain(driver: &mut Driver, context: &mut Context, opcode: u32, slots: &[Vec<u32>]) -> Vec<u32> {
    let raw = bytes_of(&slots.concat());
    driver.put_heap(SLOTS_AT, &raw);
    let (at, bytes, count) = (SLOTS_AT as u32, raw.len() as u32, slots.len() as u32);
    match opcode {
        0x18 => driver.ask(context, opcode, &[0, 0, at, 0, bytes, count]),
        _ => driver.ask(context, opcode, &[at, 0, bytes, count, 0xdddd_dddd, 0xdddd_dddd]),
    }
}
