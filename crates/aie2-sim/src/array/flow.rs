//! The words under way on a resolved route.
//!
//! A circuit word advances past a split only when every branch can take it. A flow keeps its words once, in a ring; each
//! receiver has its own read position. Receiver j sees word n when its path latency has passed and when, for every other
//! receiver k, the path of k behind the split has room for word n.

use super::index::{self, CoreIx};
use super::route::{ALL_ENDPOINTS, Branch, FIRST_PACKET_PORT, Network, SourceIx, source_port};
use crate::fault::{Direction, Fault};
use crate::timing::Timing;

/// One word of a flow. `valid` bit b: byte b is real data.
#[derive(Clone, Copy, Default, Debug)]
pub struct Word {
    /// Data.
    pub data: u32,
    /// Mask of real bytes.
    pub valid: u8,
    /// TLAST.
    pub last: bool,
}

/// Words of a line, as the DMAs move them.
pub const LINE: u64 = 4;

/// Four consecutive words on their way, and the cycles in which they were sent: one cache line of the host.
#[derive(Clone, Copy, Default, Debug)]
#[repr(align(64))]
struct Line {
    words: [Word; LINE as usize],
    sent_at: [u64; LINE as usize],
}

/// A receiver's read state.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Endpoint number.
    pub sink: usize,
    latency: u64,
    capacity: u64,
    end_words: u64,
    /// Words taken by the endpoint.
    pub consumed: u64,
    /// Words that reached the endpoint's ingress buffer.
    pub entered: u64,
    entered_at: u64,
    /// Words that no other branch holds back, as last computed; the true number only grows.
    cleared: u64,
    /// Words other receivers' paths can take behind the split: (receiver position, words).
    after_split: Vec<(usize, u64)>,
}

/// A source, its receivers, and the words between them.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    route: Vec<Branch>,
    /// Why the route cannot carry words; raised when a word is sent.
    pub broken: Option<Box<Fault>>,
    /// Receivers.
    pub receivers: Vec<Receiver>,
    /// Word n stands in line n / 4, modulo the number of lines.
    ring: Vec<Line>,
    /// Words sent.
    pub pushed: u64,
    /// Words for which there is room, as last computed; the true number only grows.
    granted: u64,
    /// Receivers (by endpoint bit) that wait for a word.
    pub starved: u128,
    /// Receivers that wait because another branch is full.
    pub held: u128,
    /// The source waits for room.
    pub source_waits: bool,
}

impl Flow {
    /// Whether words can be sent at all.
    pub fn is_connected(&self) -> bool {
        !self.receivers.is_empty()
    }

    /// Words sent but not taken by the slowest receiver.
    pub fn in_flight(&self) -> u64 {
        self.receivers.iter().map(|r| self.pushed - r.consumed).max().unwrap_or(0)
    }

    fn set_route(&mut self, route: Vec<Branch>) {
        let longest = route.iter().map(|b| b.words).max().unwrap_or(0);
        let after_split = |j: usize| -> Vec<(usize, u64)> {
            (0..route.len())
                .filter(|&k| k != j)
                .map(|k| {
                    let (a, b) = (&route[j].hops, &route[k].hops);
                    let shared = a.iter().zip(b).take_while(|(x, y)| x == y).count();
                    let before: u64 = b[..shared].iter().map(|h| h.words).sum();
                    let slave_part = b.get(shared).map_or(0, |h| h.words - h.master_words);
                    (k, route[k].words - before - slave_part)
                })
                .collect()
        };
        self.receivers = route
            .iter()
            .enumerate()
            .map(|(j, b)| Receiver {
                sink: b.sink.0,
                latency: b.latency,
                capacity: b.words,
                end_words: b.words - b.hops.iter().map(|h| h.words).sum::<u64>(),
                consumed: 0,
                entered: 0,
                entered_at: 0,
                cleared: 0,
                after_split: after_split(j),
            })
            .collect();
        self.ring = vec![Line::default(); (longest + 1).div_ceil(LINE).next_power_of_two() as usize];
        (self.pushed, self.granted) = (0, 0);
        self.route = route;
    }

    /// Words the source may send now.
    #[inline]
    pub fn room(&self) -> u64 {
        self.receivers.iter().map(|r| r.capacity - (self.pushed - r.consumed)).min().unwrap_or(0)
    }

    /// Words the source may send now, `most` at most.
    #[inline]
    pub fn room_for(&mut self, most: u64) -> u64 {
        if self.granted < self.pushed + most {
            self.granted = self.pushed + self.room();
        }
        most.min(self.granted - self.pushed)
    }

    #[inline(always)]
    fn line(&self, n: u64) -> &Line {
        &self.ring[(n / LINE) as usize & (self.ring.len() - 1)]
    }

    #[inline(always)]
    fn line_mut(&mut self, n: u64) -> &mut Line {
        let mask = self.ring.len() - 1;
        &mut self.ring[(n / LINE) as usize & mask]
    }

    #[inline(always)]
    fn sent_at(&self, n: u64) -> u64 {
        self.line(n).sent_at[(n % LINE) as usize]
    }

    /// Sends one word at cycle `at` (now, or later when the words before it take the port until then); there is
    /// [`Flow::room`].
    #[inline(always)]
    pub fn push(&mut self, word: Word, at: u64) {
        let n = self.pushed;
        let line = self.line_mut(n);
        (line.words[(n % LINE) as usize], line.sent_at[(n % LINE) as usize]) = (word, at);
        self.pushed += 1;
    }

    /// Sends a line from cycle `at` on, a word per cycle. Whether it was one: the stream may stand in the midst of one.
    #[inline(always)]
    pub fn push_line(&mut self, words: &[Word; LINE as usize], at: u64) -> bool {
        if !self.pushed.is_multiple_of(LINE) {
            return false;
        }
        *self.line_mut(self.pushed) = Line { words: *words, sent_at: [at, at + 1, at + 2, at + 3] };
        self.pushed += LINE;
        true
    }

    /// Brings the ingress of receiver `r` up to date and returns how many words it holds.
    #[inline(always)]
    pub fn arrive(&mut self, r: usize, now: u64) -> u64 {
        let rx = &self.receivers[r];
        let most = rx.entered + now.saturating_sub(rx.entered_at);
        let mut limit = self.pushed.min(rx.consumed + rx.end_words).min(most);
        if limit > rx.cleared {
            let cleared = self.clear(r);
            self.receivers[r].cleared = cleared;
            limit = limit.min(cleared);
        }
        let rx = &self.receivers[r];
        let (mut entered, latency) = (rx.entered, rx.latency);
        if entered < limit {
            // Words come in the order they were sent in: if the last one is here, all are.
            if self.sent_at(limit - 1) + latency <= now {
                entered = limit;
            } else {
                while self.sent_at(entered) + latency <= now {
                    entered += 1;
                }
            }
        }
        let rx = &mut self.receivers[r];
        (rx.entered, rx.entered_at) = (entered, now);
        entered - rx.consumed
    }

    /// Words that no other branch holds back from receiver `r`.
    fn clear(&self, r: usize) -> u64 {
        let behind = self.receivers[r].after_split.iter();
        behind.map(|&(k, words)| self.receivers[k].consumed + words).min().unwrap_or(u64::MAX)
    }

    /// Word `n` positions behind the read position of receiver `r`.
    #[inline]
    pub fn look(&self, r: usize, n: u64) -> Word {
        let n = self.receivers[r].consumed + n;
        self.line(n).words[(n % LINE) as usize]
    }

    /// The four words behind the read position of receiver `r`; those that were not sent yet are of no meaning.
    #[inline(always)]
    pub fn look_line(&self, r: usize) -> [Word; LINE as usize] {
        let n = self.receivers[r].consumed;
        if n.is_multiple_of(LINE) { self.line(n).words } else { std::array::from_fn(|i| self.look(r, i as u64)) }
    }

    /// Whether receiver `r` has taken everything that was sent into its ingress.
    pub fn all_entered(&self, r: usize) -> bool {
        self.receivers[r].entered == self.pushed
    }

    /// Whether the next word of receiver `r` is held back by another branch.
    pub fn is_held(&self, r: usize) -> bool {
        let rx = &self.receivers[r];
        rx.entered < self.pushed
            && rx.after_split.iter().any(|&(k, words)| self.receivers[k].consumed + words <= rx.entered)
    }

    /// Earliest cycle at which receiver `r` can hold `n` words, given what has entered by `now`. Exact when the words are
    /// on the way, a lower bound when they have yet to be sent.
    #[inline(always)]
    pub fn earliest(&self, r: usize, n: u64, now: u64) -> u64 {
        let rx = &self.receivers[r];
        let missing = rx.consumed + n - rx.entered.min(rx.consumed + n);
        let last = rx.consumed + n - 1;
        let arrival = if last < self.pushed {
            self.sent_at(last) + rx.latency
        } else if rx.entered < self.pushed {
            now + rx.latency
        } else {
            // Nothing on the way: the sender will wake the receiver.
            now + 1
        };
        arrival.max(now + missing)
    }

    /// Cycle at which the next word of receiver `r` reaches its ingress, if one is on the way.
    pub fn next_arrival(&self, r: usize) -> Option<u64> {
        let rx = &self.receivers[r];
        (rx.entered < self.pushed).then(|| self.sent_at(rx.entered) + rx.latency)
    }

    /// Endpoints without room, for the deadlock picture.
    pub fn full_receivers(&self) -> impl Iterator<Item = usize> + '_ {
        self.receivers.iter().filter(|r| self.pushed - r.consumed >= r.capacity).map(|r| r.sink)
    }
}

/// Where a sink reads: flow and receiver position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tap {
    /// Flow (source number).
    pub flow: usize,
    /// Receiver position in the flow.
    pub receiver: usize,
}

/// All flows, by source, and the taps, by sink.
#[derive(Clone, Debug)]
pub struct Flows {
    /// By source number.
    pub flows: Vec<Flow>,
    /// By sink number.
    pub taps: Box<[Option<Tap>; ALL_ENDPOINTS]>,
}

impl Default for Flows {
    fn default() -> Self {
        Self { flows: vec![Flow::default(); ALL_ENDPOINTS], taps: Box::new([None; ALL_ENDPOINTS]) }
    }
}

impl Flows {
    /// Re-resolves every flow after the switches changed. Routes that stay the same keep their words.
    pub fn rebuild(&mut self, network: &Network, timing: &Timing) -> Result<(), Fault> {
        for (source, flow) in self.flows.iter_mut().enumerate() {
            let (route, broken) = match network.resolve(source, timing) {
                Ok(route) => (route, None),
                Err(fault) => (Vec::new(), Some(Box::new(fault))),
            };
            flow.broken = broken;
            if route == flow.route {
                continue;
            }
            if flow.in_flight() > 0 {
                return Err(Fault::ReconfiguredInFlight { port: source_port(source), words: flow.in_flight() });
            }
            flow.set_route(route);
        }
        self.taps.fill(None);
        for (source, flow) in self.flows.iter().enumerate() {
            for (receiver, r) in flow.receivers.iter().enumerate() {
                self.taps[r.sink] = Some(Tap { flow: source, receiver });
            }
        }
        Ok(())
    }

    /// The fault of a source that sends while nothing is connected.
    pub fn unconnected(&self, source: SourceIx, core: Option<CoreIx>) -> Fault {
        if let Some(fault) = &self.flows[source].broken {
            return (**fault).clone();
        }
        if source >= FIRST_PACKET_PORT {
            let port = source_port(source);
            return Fault::DanglingRoute { source_port: port, at: port, why: "the master leads nowhere" };
        }
        match core {
            Some(core) => Fault::CorePortUnconnected { tile: index::core_tile(core), what: "output stream" },
            None => {
                Fault::UnroutedSource { channel: index::channel_id(Direction::Mm2s, source), port: source_port(source) }
            }
        }
    }
}
