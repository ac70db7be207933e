//! Mailbox: SRAM with the message rings, and the head, tail and status registers of 16 channels.
//!
//! X2I goes from host to NPU, I2X from NPU to host. Heads and tails count bytes from the begin of the ring; equal means empty. A
//! message never wraps: a tombstone where its first word would stand sends the reader back to offset 0.
// SOURCE: amd/xdna-driver amdxdna_mailbox.c; FIM43-Redeye/xdna-emu src/firmware/phoenix_mailbox.rs (places).

use crate::config::{BAR2_BYTES, BAR4_BYTES};
use std::collections::VecDeque;

/// Device address of BAR 2.
pub const SRAM_BASE: u32 = 0x0308_0000;
/// Device address of BAR 4.
pub const REGISTER_BASE: u32 = 0x030c_0000;
/// Channel of the management messages.
pub const MANAGEMENT: usize = 14;
/// Channel of the first context.
pub const FIRST_CONTEXT: usize = 5;
/// Channels there are registers for.
pub const CHANNELS: usize = 16;
/// Bytes of every ring.
pub const RING_BYTES: u32 = 0x400;

/// Answers of a channel that wait for room. Beyond it the host has more requests in flight than it has ids.
// SOURCE: amd/xdna-driver amdxdna_mailbox.c MAX_MSG_ID_ENTRIES.
pub const MAX_WAITING: usize = 256;

const TOMBSTONE: u32 = 0xdead_face;
const HEADER_BYTES: u32 = 16;
const HEADER_VERSION: u32 = 1;
/// Bits of the payload size in the second header word.
const SIZE_MASK: u32 = 0x7ff;

const FIRST_REGISTER: u32 = 0x10000;
const REGISTER_STRIDE: u32 = 0x2000;
const FIRST_RING: u32 = 0x20000;
const RING_STRIDE: u32 = 0x2000;
const I2X: u32 = 0x1000;

/// The registers of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Register {
    X2iTail,
    X2iHead,
    I2xTail,
    I2xHead,
    I2xStatus,
}

impl Register {
    const ALL: [Self; 5] = [Self::X2iTail, Self::X2iHead, Self::I2xTail, Self::I2xHead, Self::I2xStatus];

    const fn place(self) -> u32 {
        match self {
            Self::X2iTail => 0,
            Self::X2iHead => 4,
            Self::I2xTail => I2X,
            Self::I2xHead => I2X + 4,
            Self::I2xStatus => I2X + 8,
        }
    }

    const fn offset(self, channel: usize) -> u32 {
        FIRST_REGISTER + REGISTER_STRIDE * channel as u32 + self.place()
    }

    /// Channel and register at an offset of BAR 4.
    fn at(offset: u32) -> Option<(usize, Self)> {
        let from_first = offset.checked_sub(FIRST_REGISTER)?;
        let channel = (from_first / REGISTER_STRIDE) as usize;
        let place = from_first % REGISTER_STRIDE;
        let register = Self::ALL.into_iter().find(|register| register.place() == place)?;
        (channel < CHANNELS).then_some((channel, register))
    }
}

/// A message without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Id that joins request and answer.
    pub id: u32,
    /// Operation.
    pub opcode: u32,
    /// Content.
    pub payload: Vec<u8>,
}

/// Why a channel does not listen any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The tail lies outside the ring or between words.
    #[error("tail {tail:#x} in a ring of {RING_BYTES:#x} bytes")]
    Tail {
        /// The tail.
        tail: u32,
    },
    /// The head of I2X lies outside the ring or between words.
    #[error("head {head:#x} in a ring of {RING_BYTES:#x} bytes")]
    Head {
        /// The head.
        head: u32,
    },
    /// The host does not read its answers.
    #[error("{MAX_WAITING} answers wait for room")]
    Waiting,
    /// A tombstone with nothing behind it.
    #[error("tombstone at {head:#x}, tail {tail:#x}")]
    Tombstone {
        /// Where it stands.
        head: u32,
        /// The tail.
        tail: u32,
    },
    /// The size of a message is zero, no multiple of 4, or reaches past the tail or the end.
    #[error("message at {head:#x} of {bytes:#x} bytes, tail {tail:#x}")]
    Size {
        /// Where it stands.
        head: u32,
        /// Payload bytes by its header.
        bytes: u32,
        /// The tail.
        tail: u32,
    },
    /// The second header word disagrees with the first, or the version is not known.
    #[error("message at {head:#x}: second header word {word:#010x} for {bytes:#x} bytes")]
    Header {
        /// Where it stands.
        head: u32,
        /// The word.
        word: u32,
        /// Payload bytes by the first word.
        bytes: u32,
    },
}

/// What the host reads in the alive record and in the answer to CREATE_CONTEXT: device addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// X2I: head, tail, ring, ring bytes.
    pub x2i: [u32; 4],
    /// I2X: head, tail, ring, ring bytes.
    pub i2x: [u32; 4],
}

#[derive(Debug, Default)]
struct Channel {
    x2i_head: u32,
    i2x_tail: u32,
    /// The host wrote what no driver writes; nothing is read until the channel is opened again.
    deaf: bool,
    /// The same of the ring of answers: nothing is written either.
    mute: bool,
    /// Answers that found no room.
    waiting: VecDeque<Vec<u8>>,
}

/// SRAM and registers.
pub struct Mailbox {
    sram: Vec<u8>,
    registers: Vec<u32>,
    channels: [Option<Channel>; CHANNELS],
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Mailbox {
    /// All zero, no channel open.
    pub fn new() -> Self {
        Self {
            sram: vec![0; BAR2_BYTES as usize],
            registers: vec![0; BAR4_BYTES as usize / 4],
            channels: Default::default(),
        }
    }

    const fn ring(channel: usize) -> u32 {
        FIRST_RING + RING_STRIDE * channel as u32
    }

    /// Device addresses of a channel.
    pub fn places(channel: usize) -> Places {
        let register = |register: Register| REGISTER_BASE + register.offset(channel);
        let ring = SRAM_BASE + Self::ring(channel);
        Places {
            x2i: [register(Register::X2iHead), register(Register::X2iTail), ring, RING_BYTES],
            i2x: [register(Register::I2xHead), register(Register::I2xTail), ring + I2X, RING_BYTES],
        }
    }

    /// Opens a channel with empty rings.
    pub fn open(&mut self, channel: usize) {
        self.channels[channel] = Some(Channel::default());
        for register in Register::ALL {
            self.registers[register.offset(channel) as usize / 4] = 0;
        }
    }

    /// Whether a channel is open.
    pub fn is_open(&self, channel: usize) -> bool {
        self.channels[channel].is_some()
    }

    /// Closes a channel: what waits in it is gone.
    pub fn close(&mut self, channel: usize) {
        self.channels[channel] = None;
    }

    /// Closes all channels.
    pub fn close_all(&mut self) {
        self.channels = Default::default();
    }

    /// SRAM bytes; zeros beyond its end.
    pub fn read_sram(&self, offset: u64, out: &mut [u8]) {
        for (byte, at) in out.iter_mut().zip(offset..=u64::MAX) {
            *byte = usize::try_from(at).ok().and_then(|at| self.sram.get(at)).copied().unwrap_or(0);
        }
    }

    /// Writes SRAM; what lies beyond its end is lost.
    pub fn write_sram(&mut self, offset: u64, data: &[u8]) {
        for (&byte, at) in data.iter().zip(offset..=u64::MAX) {
            if let Some(place) = usize::try_from(at).ok().and_then(|at| self.sram.get_mut(at)) {
                *place = byte;
            }
        }
    }

    fn word(&self, at: u32) -> u32 {
        let mut bytes = [0; 4];
        self.read_sram(at.into(), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A register.
    pub fn read_register(&self, offset: u32) -> u32 {
        self.registers.get(offset as usize / 4).copied().unwrap_or(0)
    }

    fn set(&mut self, channel: usize, register: Register, value: u32) {
        self.registers[register.offset(channel) as usize / 4] = value;
    }

    fn get(&self, channel: usize, register: Register) -> u32 {
        self.registers[register.offset(channel) as usize / 4]
    }

    /// Writes a register. A tail of X2I is a doorbell: its channel has to be [drained](Mailbox::drain). A head of I2X makes room:
    /// its channel has to be [flushed](Mailbox::flush).
    pub fn write_register(&mut self, offset: u32, value: u32) -> Option<Rung> {
        let place = self.registers.get_mut(offset as usize / 4)?;
        match Register::at(offset & !3) {
            // The device's own sides of the rings.
            Some((channel, Register::X2iHead | Register::I2xTail)) if self.channels[channel].is_some() => None,
            Some((channel, Register::X2iTail)) => {
                *place = value;
                Some(Rung::Doorbell(channel))
            }
            Some((channel, Register::I2xHead)) => {
                *place = value;
                Some(Rung::Room(channel))
            }
            Some(_) | None => {
                *place = value;
                None
            }
        }
    }

    /// Takes all messages the host has put into a channel.
    ///
    /// # Errors
    /// [`RingError`] once, with the messages before it; the channel is silent from then on.
    pub fn drain(&mut self, channel: usize) -> (Vec<Message>, Option<RingError>) {
        let mut messages = Vec::new();
        let error = loop {
            match self.take(channel) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if error.is_some()
            && let Some(open) = &mut self.channels[channel]
        {
            open.deaf = true;
        }
        (messages, error)
    }

    fn take(&mut self, channel: usize) -> Result<Option<Message>, RingError> {
        let Some(open) = self.channels[channel].as_ref().filter(|open| !open.deaf) else { return Ok(None) };
        let mut head = open.x2i_head;
        let tail = self.get(channel, Register::X2iTail);
        if tail > RING_BYTES || !tail.is_multiple_of(4) {
            return Err(RingError::Tail { tail });
        }
        if head == tail || (head == RING_BYTES && tail == 0) {
            return Ok(None);
        }
        if head == RING_BYTES {
            head = 0;
        }
        let ring = Self::ring(channel);
        let mut bytes = self.word(ring + head);
        if bytes == TOMBSTONE {
            if head < tail {
                return Err(RingError::Tombstone { head, tail });
            }
            head = 0;
            if tail == 0 {
                self.advance(channel, 0);
                return Ok(None);
            }
            bytes = self.word(ring);
        }
        let limit = if tail > head { tail } else { RING_BYTES };
        let fits = bytes.checked_add(HEADER_BYTES).is_some_and(|all| all <= limit - head);
        if bytes == 0 || !bytes.is_multiple_of(4) || !fits {
            return Err(RingError::Size { head, bytes, tail });
        }
        let second = self.word(ring + head + 4);
        if second & SIZE_MASK != bytes & SIZE_MASK || second >> 16 & 0xff != HEADER_VERSION {
            return Err(RingError::Header { head, word: second, bytes });
        }
        let mut payload = vec![0; bytes as usize];
        self.read_sram(u64::from(ring + head + HEADER_BYTES), &mut payload);
        let message = Message { id: self.word(ring + head + 8), opcode: self.word(ring + head + 12), payload };
        self.advance(channel, head + HEADER_BYTES + bytes);
        Ok(Some(message))
    }

    fn advance(&mut self, channel: usize, head: u32) {
        if let Some(open) = &mut self.channels[channel] {
            open.x2i_head = head;
        }
        self.set(channel, Register::X2iHead, head);
    }

    /// Puts a message into I2X.
    ///
    /// # Errors
    /// As [`Mailbox::flush`]; [`RingError::Waiting`] if [`MAX_WAITING`] messages wait already.
    pub fn send(&mut self, channel: usize, message: &Message) -> Result<Sent, RingError> {
        let bytes = message.payload.len() as u32;
        let mut raw = Vec::with_capacity(message.payload.len() + HEADER_BYTES as usize);
        for word in [bytes, bytes & SIZE_MASK | HEADER_VERSION << 16, message.id, message.opcode] {
            raw.extend_from_slice(&word.to_le_bytes());
        }
        raw.extend_from_slice(&message.payload);
        self.send_raw(channel, raw)
    }

    /// Puts bytes where a message belongs.
    ///
    /// # Errors
    /// As [`Mailbox::send`].
    pub fn send_raw(&mut self, channel: usize, raw: Vec<u8>) -> Result<Sent, RingError> {
        let Some(open) = self.channels[channel].as_mut().filter(|open| !open.mute) else { return Ok(Sent::Nobody) };
        if open.waiting.len() >= MAX_WAITING {
            return Err(self.kill(channel, RingError::Waiting));
        }
        open.waiting.push_back(raw);
        Ok(if self.flush(channel)? { Sent::New } else { Sent::Waits })
    }

    /// The channel is silent from now on in both directions, and what waits is gone.
    fn kill(&mut self, channel: usize, error: RingError) -> RingError {
        if let Some(open) = &mut self.channels[channel] {
            (open.deaf, open.mute) = (true, true);
            open.waiting.clear();
        }
        error
    }

    /// Moves waiting messages into I2X as far as there is room. Returns whether the host has something new to see.
    ///
    /// # Errors
    /// [`RingError::Head`] once; the channel is silent from then on.
    pub fn flush(&mut self, channel: usize) -> Result<bool, RingError> {
        if self.channels[channel].as_ref().is_none_or(|open| open.mute) {
            return Ok(false);
        }
        let head = self.get(channel, Register::I2xHead);
        if head > RING_BYTES || !head.is_multiple_of(4) {
            return Err(self.kill(channel, RingError::Head { head }));
        }
        let mut moved = false;
        while let Some(open) = &mut self.channels[channel]
            && let Some(raw) = open.waiting.front()
        {
            let (bytes, tail) = (raw.len() as u32, open.i2x_tail);
            let ring = Self::ring(channel) + I2X;
            let Some(at) = place(head, tail, bytes) else { break };
            let raw = open.waiting.pop_front().unwrap_or_default();
            open.i2x_tail = at + bytes;
            if at == 0 && tail != 0 && tail < RING_BYTES {
                self.write_sram(u64::from(ring + tail), &TOMBSTONE.to_le_bytes());
            }
            self.write_sram(u64::from(ring + at), &raw);
            self.set(channel, Register::I2xTail, at + bytes);
            moved = true;
        }
        if moved {
            self.set(channel, Register::I2xStatus, 1);
        }
        Ok(moved)
    }

    /// Whether answers of a channel wait for room.
    pub fn is_waiting(&self, channel: usize) -> bool {
        self.channels[channel].as_ref().is_some_and(|open| !open.waiting.is_empty())
    }
}

/// What became of a message to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The host has something new to see.
    New,
    /// It waits for room.
    Waits,
    /// The channel is closed or dead.
    Nobody,
}

/// What a register write rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// New messages in a channel.
    Doorbell(usize),
    /// Room for answers in a channel.
    Room(usize),
}

/// Where a message of `bytes` bytes goes. The new tail never becomes equal to the head, which would mean empty.
fn place(head: u32, tail: u32, bytes: u32) -> Option<u32> {
    let used_from_head = tail >= head;
    if used_from_head {
        if tail + bytes <= RING_BYTES && !(head == 0 && tail == RING_BYTES) {
            return Some(tail);
        }
        return (bytes < head).then_some(0);
    }
    (tail + bytes < head).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The host's side of a channel, written after the driver's.
    struct Host {
        tail: u32,
        head: u32,
    }

    impl Host {
        fn send(&mut self, mailbox: &mut Mailbox, channel: usize, message: &Message) -> Option<Rung> {
            let at = Mailbox::places(channel);
            let ring = at.x2i[2] - SRAM_BASE;
            let bytes = message.payload.len() as u32;
            if self.tail + HEADER_BYTES + bytes > RING_BYTES - 4 {
                mailbox.write_sram((ring + self.tail).into(), &TOMBSTONE.to_le_bytes());
                self.tail = 0;
            }
            let mut raw = Vec::new();
            for word in [bytes, bytes | 1 << 16, message.id, message.opcode] {
                raw.extend_from_slice(&word.to_le_bytes());
            }
            raw.extend_from_slice(&message.payload);
            mailbox.write_sram((ring + self.tail).into(), &raw);
            self.tail += raw.len() as u32;
            mailbox.write_register(at.x2i[1] - REGISTER_BASE, self.tail)
        }

        fn receive(&mut self, mailbox: &mut Mailbox, channel: usize) -> Vec<Message> {
            let at = Mailbox::places(channel);
            let ring = at.i2x[2] - SRAM_BASE;
            let tail = mailbox.read_register(at.i2x[1] - REGISTER_BASE);
            let mut got = Vec::new();
            while self.head != tail {
                if self.head == RING_BYTES {
                    self.head = 0;
                }
                let bytes = mailbox.word(ring + self.head);
                if bytes == TOMBSTONE {
                    assert!(self.head >= tail);
                    self.head = 0;
                    continue;
                }
                assert!(bytes > 0 && self.head + HEADER_BYTES + bytes <= RING_BYTES);
                assert_eq!(mailbox.word(ring + self.head + 4), bytes | 1 << 16);
                let mut payload = vec![0; bytes as usize];
                mailbox.read_sram((ring + self.head + HEADER_BYTES).into(), &mut payload);
                let (id, opcode) = (mailbox.word(ring + self.head + 8), mailbox.word(ring + self.head + 12));
                got.push(Message { id, opcode, payload });
                self.head += HEADER_BYTES + bytes;
            }
            mailbox.write_register(at.i2x[0] - REGISTER_BASE, self.head);
            got
        }
    }

    fn message(id: u32, words: usize) -> Message {
        Message { id, opcode: id ^ 0x55, payload: (0..4 * words).map(|i| (i as u8).wrapping_mul(7) | 1).collect() }
    }

    #[test]
    fn places_are_those_of_the_firmware() {
        let at = Mailbox::places(5);
        assert_eq!((at.x2i[2], at.i2x[2], at.x2i[3]), (0x030a_a000, 0x030a_b000, 0x400));
        let at = Mailbox::places(MANAGEMENT);
        assert_eq!((at.x2i[2], at.i2x[2]), (0x030b_c000, 0x030b_d000));
        assert_eq!(at.x2i[0], at.x2i[1] + 4, "head behind tail");
        assert_eq!(at.i2x[0], REGISTER_BASE + 0x10000 + 0x2000 * 14 + 0x1004);
    }

    proptest! {
        #[test]
        fn requests_arrive_in_order(sizes in prop::collection::vec(1usize..44, 1..200)) {
            let (mut mailbox, mut host) = (Mailbox::new(), Host { tail: 0, head: 0 });
            mailbox.open(5);
            for (id, words) in (0..).zip(sizes) {
                let sent = message(id, words);
                prop_assert_eq!(host.send(&mut mailbox, 5, &sent), Some(Rung::Doorbell(5)));
                prop_assert_eq!(mailbox.drain(5), (vec![sent], None));
            }
        }

        #[test]
        fn answers_arrive_in_order_however_slow_the_host(steps in prop::collection::vec((1usize..40, any::<bool>()), 1..200)) {
            let (mut mailbox, mut host) = (Mailbox::new(), Host { tail: 0, head: 0 });
            mailbox.open(9);
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for (id, (words, reads)) in (0..).zip(steps) {
                sent.push(message(id, words));
                prop_assert_ne!(mailbox.send(9, &message(id, words)), Ok(Sent::Nobody));
                if reads {
                    got.extend(host.receive(&mut mailbox, 9));
                    prop_assert!(mailbox.flush(9).is_ok());
                }
            }
            while mailbox.is_waiting(9) {
                got.extend(host.receive(&mut mailbox, 9));
                prop_assert!(mailbox.flush(9).is_ok());
            }
            got.extend(host.receive(&mut mailbox, 9));
            prop_assert_eq!(got, sent);
        }

        /// Whatever the head, answers stay inside their ring.
        #[test]
        fn answers_stay_inside_the_ring(heads in prop::collection::vec((any::<u32>(), 0u8..4), 1..200)) {
            let mut mailbox = Mailbox::new();
            mailbox.open(5);
            let at = Mailbox::places(5);
            let ring = (at.i2x[2] - SRAM_BASE) as usize..(at.i2x[2] - SRAM_BASE + RING_BYTES) as usize;
            for (head, kind) in heads {
                let head = match kind { 0 => head, 1 => head % 0x500, 2 => 0u32.wrapping_sub(4), _ => (head % 0x404) & !3 };
                mailbox.write_register(at.i2x[0] - REGISTER_BASE, head);
                let good = head <= RING_BYTES && head % 4 == 0;
                match mailbox.send(5, &message(1, 19)) {
                    Ok(Sent::New | Sent::Waits) => prop_assert!(good),
                    Ok(Sent::Nobody) => prop_assert!(false, "a dead channel"),
                    Err(error) => {
                        prop_assert!(!good || error == RingError::Waiting);
                        prop_assert_eq!(mailbox.send(5, &message(1, 19)), Ok(Sent::Nobody));
                        prop_assert_eq!(mailbox.flush(5), Ok(false));
                        mailbox.open(5);
                    }
                }
            }
            for (place, &byte) in mailbox.sram.iter().enumerate() {
                prop_assert!(byte == 0 || ring.contains(&place), "{:#x} at {:#x}", byte, place);
            }
        }

        /// Whatever stands in SRAM and registers, draining ends.
        #[test]
        fn garbage_never_panics(writes in prop::collection::vec((any::<u16>(), any::<u32>()), 0..60), tails in prop::collection::vec(any::<u32>(), 1..8)) {
            let mut mailbox = Mailbox::new();
            mailbox.open(5);
            let at = Mailbox::places(5);
            for (place, word) in writes {
                mailbox.write_sram((at.x2i[2] - SRAM_BASE + u32::from(place) % 0x440).into(), &word.to_le_bytes());
            }
            for tail in tails {
                for tail in [tail, tail % 0x500, (tail % 0x404) & !3] {
                    mailbox.write_register(at.x2i[1] - REGISTER_BASE, tail);
                    let _ = mailbox.drain(5);
                    mailbox.write_register(at.i2x[0] - REGISTER_BASE, tail);
                    let _ = mailbox.send(5, &message(tail, 3));
                }
            }
        }
    }

    #[test]
    fn a_head_outside_the_ring_ends_the_channel() {
        for head in [2, RING_BYTES + 4, 0xffff_fffc] {
            let (mut mailbox, mut host) = (Mailbox::new(), Host { tail: 0, head: 0 });
            mailbox.open(5);
            let i2x = Mailbox::places(5).i2x;
            assert_eq!(mailbox.write_register(i2x[0] - REGISTER_BASE, head), Some(Rung::Room(5)));
            assert_eq!(mailbox.flush(5), Err(RingError::Head { head }));
            assert_eq!(mailbox.flush(5), Ok(false), "said once");
            assert_eq!(mailbox.send(5, &message(1, 1)), Ok(Sent::Nobody));
            host.send(&mut mailbox, 5, &message(1, 1));
            assert_eq!(mailbox.drain(5), (vec![], None));
            mailbox.open(5);
            assert_eq!(mailbox.send(5, &message(2, 1)), Ok(Sent::New));
        }
    }

    #[test]
    fn answers_wait_up_to_a_bound() {
        let mut mailbox = Mailbox::new();
        mailbox.open(5);
        let mut waits = 0;
        let error = loop {
            match mailbox.send(5, &message(1, 30)) {
                Ok(Sent::New) => assert_eq!(waits, 0),
                Ok(Sent::Waits) => waits += 1,
                Ok(Sent::Nobody) => panic!("dead without a reason"),
                Err(error) => break error,
            }
        };
        assert_eq!((error, waits), (RingError::Waiting, MAX_WAITING));
        assert!(!mailbox.is_waiting(5), "what waited is gone");
        assert_eq!(mailbox.send(5, &message(1, 1)), Ok(Sent::Nobody));
    }

    #[test]
    fn a_broken_channel_is_silent_until_opened_again() {
        let (mut mailbox, mut host) = (Mailbox::new(), Host { tail: 0, head: 0 });
        mailbox.open(5);
        let tail = Mailbox::places(5).x2i[1] - REGISTER_BASE;
        mailbox.write_register(tail, 0x402);
        assert_eq!(mailbox.drain(5), (vec![], Some(RingError::Tail { tail: 0x402 })));
        host.send(&mut mailbox, 5, &message(1, 1));
        assert_eq!(mailbox.drain(5), (vec![], None));
        mailbox.open(5);
        let mut host = Host { tail: 0, head: 0 };
        host.send(&mut mailbox, 5, &message(2, 1));
        assert_eq!(mailbox.drain(5).0, vec![message(2, 1)]);
        assert_eq!(mailbox.write_register(0xffff_fffc, 1), None);
    }
}
