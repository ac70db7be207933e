//! Every timing number of the model, with its unit, its range, its origin and how far it can be trusted.
//!
//! Nothing else in the simulator holds a latency or a rate. Cycles are array clock cycles. `value` is what a run uses unless a
//! study changes it; `low..=high` is where the truth may lie: the scatter of the recording (A), the manual's single number (B), or
//! an honest guess with its reason (C). Numbers that only split a measured sum move together ([`Timing::with`]).

use crate::report::RunReport;
use std::fmt;

/// How far a number can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confidence {
    /// Measured on Phoenix silicon.
    A,
    /// Manual or register tables.
    B,
    /// A single provisional measurement, an emulator's placeholder, or a split of a measured sum.
    C,
}

/// What has to take part in a run for a number to be consulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Streams, DMA channels, locks and cores: any run.
    Array,
    /// Shim channels that write DDR.
    ShimS2mm,
    /// Shim channels that read DDR.
    ShimMm2s,
    /// A cap on DDR bandwidth ([`crate::Config::ddr_millibytes_per_cycle`]).
    DdrCap,
    /// WRITE operations, queue pushes included.
    Write,
    /// Queue pushes.
    Push,
    /// BLOCKWRITE operations.
    BlockWrite,
    /// MASKWRITE and MASKPOLL operations.
    MaskWrite,
    /// DDR_PATCH operations.
    Patch,
    /// Token waits.
    Token,
    /// NOOP operations.
    Noop,
    /// Nothing in the simulator: turns cycles into time.
    Clock,
}

impl Part {
    /// Whether a run consulted the numbers of this part.
    pub fn took_part(self, run: &RunReport, ddr_capped: bool) -> bool {
        let ops = &run.controller;
        match self {
            Self::Array => true,
            Self::ShimS2mm => run.ddr_written_bytes() > 0,
            Self::ShimMm2s => run.ddr_read_bytes() > 0,
            Self::DdrCap => ddr_capped,
            Self::Write => ops.writes + ops.pushes > 0,
            Self::Push => ops.pushes > 0,
            Self::BlockWrite => ops.block_writes > 0,
            Self::MaskWrite => ops.mask_writes + ops.polls > 0,
            Self::Patch => ops.patches > 0,
            Self::Token => ops.token_waits > 0,
            Self::Noop => ops.noops > 0,
            Self::Clock => false,
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Field of [`Timing`].
    pub name: &'static str,
    /// Value in use.
    pub value: u64,
    /// Least value that the evidence leaves open.
    pub low: u64,
    /// Largest value that the evidence leaves open.
    pub high: u64,
    /// Unit.
    pub unit: &'static str,
    /// Trust.
    pub confidence: Confidence,
    /// When it is consulted.
    pub part: Part,
    /// Origin of the value.
    pub source: &'static str,
    /// Why the range is what it is; empty if the value is exact.
    pub range: &'static str,
}

impl Row {
    /// Ends of the range that differ from the value in use.
    pub fn extremes(&self) -> impl Iterator<Item = u64> + use<> {
        let value = self.value;
        let high = (self.high != self.low).then_some(self.high);
        [Some(self.low), high].into_iter().flatten().filter(move |v| *v != value)
    }

    /// The row whose number fixes this one, if both split a measured sum.
    pub fn follows(&self) -> Option<&'static str> {
        MEASURED_SUMS.iter().find(|s| s.partner == self.name).map(|s| s.free)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, low, high, unit, confidence, source, range, .. } = self;
        let limits = if low == high { String::new() } else { format!("{low}..{high}") };
        write!(f, "{name:<31} {value:>7} {limits:>11} {unit:<19} {confidence:?}  {source}")?;
        if range.is_empty() { Ok(()) } else { write!(f, "; range: {range}") }
    }
}

/// Two numbers of which silicon showed only the sum.
struct MeasuredSum {
    free: &'static str,
    partner: &'static str,
    sum: u64,
}

// MEASURED: FIM43-Redeye/xdna-emu 2026-06-27-relay-fill (19: end of an S2MM BD to the first word of an MM2S BD that waited for its
// lock), 2026-05-10-phase-c (15: end of an S2MM BD to a core past its acquire).
const MEASURED_SUMS: [MeasuredSum; 2] = [
    MeasuredSum { free: "s2mm_end_to_release", partner: "mm2s_grant_to_word", sum: 19 },
    MeasuredSum { free: "s2mm_end_to_release", partner: "core_lock_wake", sum: 15 },
];

macro_rules! timing_table {
    ($($(#[$doc:meta])* $name:ident = $value:literal in $low:literal..$high:literal, $unit:literal, $conf:ident, $part:ident, $source:literal, $range:literal;)*) => {
        /// Timing parameters. [`Timing::default`] is the table; a study may change single values.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Timing { $($(#[$doc])* pub $name: u64,)* }
        impl Default for Timing {
            fn default() -> Self { Self { $($name: $value,)* } }
        }
        impl Timing {
            /// The table as rows, with the values in use.
            pub fn rows(&self) -> Vec<Row> {
                vec![$(Row {
                    name: stringify!($name),
                    value: self.$name,
                    low: $low,
                    high: $high,
                    unit: $unit,
                    confidence: Confidence::$conf,
                    part: Part::$part,
                    source: $source,
                    range: $range,
                },)*]
            }

            fn field(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

timing_table! {
    // ---- clock ----
    /// Array clock.
    array_clock_mhz = 1028 in 800..1028, "MHz", A, Clock,
        "FIM43-Redeye/xdna-emu, silicon recording 2026-08-04-phoenix-qos-clock", "the two clocks seen on Phoenix; higher requests were capped";

    // ---- stream switch ----
    /// Switch traversal that ends at a local master (DMA, core, tile control, FIFO).
    switch_to_local = 3 in 3..3, "cycles", B, Array, "AM020 ch. 2, switch latency table", "";
    /// Switch traversal that ends at an external master.
    switch_to_external = 4 in 4..4, "cycles", B, Array, "AM020 ch. 2, switch latency table", "";
    /// Part of a traversal in front of the point where a slave's word goes to its masters.
    switch_slave = 2 in 2..2, "cycles", B, Array, "AM020 ch. 2, port latencies: slave 2, master 1 (local) or 2 (external)", "";
    /// Arbitration in front of a packet's header.
    packet_arbitration = 1 in 0..3, "cycles", C, Array,
        "FIM43-Redeye/xdna-emu model", "no manual gives it; a lookup, an arbiter and a register are the most that fit in front of the master";
    /// Words held by one switch on a path to a local master.
    switch_words_to_local = 6 in 6..6, "words", B, Array, "AM020 ch. 2, switch depth table", "";
    /// Words held by one switch on a path to an external master.
    switch_words_to_external = 8 in 8..8, "words", B, Array, "AM020 ch. 2, switch depth table", "";
    /// Words of those held by the master part, behind the point where a broadcast splits (local master).
    master_words_local = 2 in 2..2, "words", B, Array, "AM020 ch. 2, port depths", "";
    /// The same for an external master.
    master_words_external = 4 in 4..4, "words", B, Array, "AM020 ch. 2, port depths", "";
    /// Words of the switch FIFO when a route detours through it.
    switch_fifo_words = 16 in 16..16, "words", B, Array, "AM020 ch. 2", "";
    /// Words the core's stream input holds beyond the switch.
    core_stream_words = 4 in 1..4, "words", C, Array,
        "FIM43-Redeye/xdna-emu model", "AM020 draws no FIFO in the core: then one word waits at the port";

    // ---- DMA ----
    /// Ingress buffer of an S2MM channel.
    s2mm_ingress_words = 16 in 15..16, "words", A, Array,
        "FIM43-Redeye/xdna-emu, silicon recording 2026-07-14-dma-memory-pressure", "15 words fill in without variance; one more may sit in the port";
    /// Egress buffer of an MM2S channel.
    mm2s_egress_words = 12 in 12..16, "words", C, Array,
        "FIM43-Redeye/xdna-emu, vendor simulator configuration; whole measured route 48 words (A)", "as deep as the measured ingress at most";
    /// Outstanding tasks a channel queue takes, the running one included.
    task_queue_depth = 4 in 4..4, "tasks", B, Array, "Xilinx/aie-rt StartQSizeMax; AM020 ch. 3, 5", "";
    /// Idle cycles on the stream port between two BDs.
    bd_bubble = 1 in 1..1, "cycles", A, Array, "FIM43-Redeye/xdna-emu, silicon recording 2026-06-27-relay-fill", "";
    /// BD fetch and setup of an idle channel, after the channel start.
    bd_fetch_cold = 4 in 0..13, "cycles", C, Array,
        "FIM43-Redeye/xdna-emu src/device/dma/timing.rs", "2026-05-10-phase-c: 13 cycles from S2MM done to MM2S done hold a fetch and more";
    /// Channel start after a queue push.
    channel_start = 2 in 0..5, "cycles", C, Array,
        "FIM43-Redeye/xdna-emu src/device/dma/timing.rs", "an emulator's constant; its memory pipeline has 5";
    /// BDs an MM2S channel has read from memory but not yet sent when it stops to read ahead.
    mm2s_bds_ahead = 2 in 2..12, "BDs", C, Array,
        "one BD ahead, as the queue prefetch of 2026-05-30-phase-2d", "2026-07-15-mm2s-egress: twelve BDs of four words were under way at once";
    /// Last word at the S2MM port until its release is visible. With the next row this makes the measured 19 cycles from
    /// the end of an S2MM BD to the first word of an MM2S BD, with `core_lock_wake` the measured 15 to a core.
    s2mm_end_to_release = 10 in 2..14, "cycles", C, Array,
        "split of sums measured in 2026-06-27-relay-fill (19) and 2026-05-10-phase-c (15)", "both parts of both sums are at least one cycle, a memory write two";
    /// Granted lock until the first word of an MM2S BD that had to wait for it can leave.
    mm2s_grant_to_word = 9 in 5..17, "cycles", C, Array, "split of the sum measured in 2026-06-27-relay-fill (19)", "19 less s2mm_end_to_release";
    /// Last word out of an MM2S egress buffer until its release is visible.
    mm2s_end_to_release = 2 in 1..13, "cycles", C, Array,
        "FIM43-Redeye/xdna-emu: release 1 cycle after the last word left", "2026-05-10-phase-c: 21 cycles from MM2S done to the next S2MM done, of which the path explains 9";
    /// Words between a DMA's buffer and its being full (S2MM) or empty (MM2S) at which the DMA wins a bank against the core. Before that the
    /// core wins, within the limit of the next row.
    dma_urgent_words = 4 in 0..8, "words", C, Array,
        "urgent DMA rule of FIM43-Redeye/xdna-emu; 2026-07-14-producer: 112 of 144 arbitrations lost cost a DMA 5 cycles (A)",
        "from the last moment to half of the buffer";
    /// Bank arbitrations lost in a row after which a DMA wins at any level: the last words of a stream, behind which the buffer never fills.
    dma_bank_patience = 20 in 20..49, "losses", C, Array, "2026-07-14-producer", "the core wins 95 to 98 %: one in 20 to one in 50 is the DMA's";
    /// Largest DDR credit: bounds the burst of a shim channel after a pause under a bandwidth cap.
    ddr_burst_bytes = 512 in 64..2048, "bytes", C, DdrCap,
        "two bursts of 256 bytes, AM025 shim BD burst length", "one shortest burst up to one longest burst of all eight channels";

    // ---- locks, cores ----
    /// Cycles lost per further access to a bank that a core's own bundle already uses.
    core_bank_conflict = 1 in 1..1, "cycles", A, Array,
        "FIM43-Redeye/xdna-emu, silicon recording 2026-07-13-memory-stall-bank-arbitration (24 conflicts, 24 stalls)", "";
    /// Cycles a lock instruction costs beyond its bundle even if it is granted at once.
    core_lock_instruction = 1 in 0..1, "cycles", A, Array,
        "FIM43-Redeye/xdna-emu, silicon recording 2026-06-07-lock-stall", "16 spans of one cycle for 18 lock instructions";
    /// A core's release until others see it.
    core_release_visible = 1 in 1..5, "cycles", C, Array,
        "FIM43-Redeye/xdna-emu: DMA lock acquire 1, release 1", "a release may wait as long as a waking core does";
    /// Lock change until a core that waits for it goes on.
    core_lock_wake = 5 in 1..13, "cycles", C, Array, "split of the sum measured in 2026-05-10-phase-c (15)", "15 less s2mm_end_to_release";
    /// Values in flight on one cascade link.
    cascade_words = 4 in 4..4, "512-bit words", B, Array, "AM020 ch. 4: two-deep FIFO at each end", "";
    /// Cascade write until the value can be read.
    cascade_latency = 2 in 1..4, "cycles", C, Array, "one cycle per FIFO end", "one cycle in all up to one per FIFO place";

    // ---- shim ----
    /// MM2S rate.
    shim_mm2s_millicycles_per_word = 1050 in 1000..1050, "1/1000 cycles/word", A, ShimMm2s,
        "FIM43-Redeye/xdna-emu, silicon recordings 2026-05-25-shim-throughput, 2026-05-30-phase-2d", "fits of two recordings; DDR jitter is not part of it";
    /// S2MM rate.
    shim_s2mm_millicycles_per_word = 1000 in 1000..1000, "1/1000 cycles/word", A, ShimS2mm, "2026-05-25-shim-throughput (R2 = 1.000)", "";
    /// MM2S latency of each task from its BD fetch to its first word.
    shim_mm2s_task = 336 in 297..336, "cycles", A, ShimMm2s,
        "2026-05-30-phase-2d (325 + 11)", "steady tasks of 64 words took 364 to 399 cycles, 67 of them moving";
    /// Extra MM2S latency of the first task of a channel.
    shim_mm2s_first_extra = 1330 in 411..2363, "cycles", A, ShimMm2s,
        "2026-05-30-phase-2d (fit, N = 50)", "methods differ: 747 in all in 2026-05-25-shim-throughput, 2699 to the first words in 2026-05-10-phase-c";
    /// Decay of that extra per following task.
    shim_mm2s_extra_decay_permille = 310 in 270..350, "1/1000", A, ShimMm2s, "2026-05-30-phase-2d", "ratios of the first four tasks: 1739, 804, 497, 422 over 382";
    /// S2MM completion of each task after its last word.
    shim_s2mm_task = 179 in 171..190, "cycles", A, ShimS2mm,
        "2026-05-27-phase-2c", "171 in 2026-05-25-shim-throughput, 254 for 64 words in 2026-05-27-phase-2c";
    /// S2MM completion of the first task of a channel.
    shim_s2mm_first = 520 in 171..520, "cycles", A, ShimS2mm,
        "2026-05-27-phase-2c: 341 beyond the 179 of each task (584 for a first task of 64 words)", "the single-task sweep of 2026-05-25-shim-throughput shows no first-task cost";

    // ---- controller ----
    /// WRITE.
    op_write = 100 in 87..114, "cycles", A, Write,
        "FIM43-Redeye/xdna-emu, silicon recording 2026-05-04-control-path-cycle-calibration (100.5)", "every other one takes 87, the rest 114";
    /// BLOCKWRITE, fixed part.
    op_block_write = 100 in 87..114, "cycles", A, BlockWrite, "2026-05-04-control-path-cycle-calibration (203 for 8 words)", "as one WRITE";
    /// BLOCKWRITE, each word.
    op_block_write_word = 13 in 11..15, "cycles", A, BlockWrite, "2026-05-04-control-path-cycle-calibration", "(203 - 114) / 8 to (203 - 87) / 8";
    /// MASKWRITE, and each look of a MASKPOLL.
    op_mask_write = 210 in 185..235, "cycles", A, MaskWrite, "2026-05-04-control-path-cycle-calibration", "spread of 50 between repetitions";
    /// DDR_PATCH.
    op_ddr_patch = 200 in 100..420, "cycles", C, Patch, "two register writes", "one register write up to two masked ones";
    /// Queue push onto an idle channel.
    op_push_idle = 3050 in 1086..3129, "cycles", C, Push,
        "2026-05-27-phase-2c (measured with tracing on)", "2026-05-30-phase-2d: 1086 after the first push, 3129 later; 2026-05-25-npu-controller: 2700, 2870";
    /// Queue push onto a channel with work queued.
    op_push_queued = 520 in 100..1086, "cycles", C, Push, "2026-05-27-phase-2c", "methods differ: no cost beyond the write up to the first gap of 2026-05-30-phase-2d";
    /// Fixed part of a token wait, after the token.
    op_tct = 100 in 0..210, "cycles", C, Token, "taken as one register access", "nothing up to a masked access";
    /// NOOP.
    op_noop = 13 in 13..100, "cycles", C, Noop, "taken as one word of a BLOCKWRITE", "up to a WRITE";
    /// Once per run, before the first token is seen.
    first_token_residue = 8000 in 0..16000, "cycles", C, Token,
        "FIM43-Redeye/xdna-emu, silicon recording 2026-07-08-tct", "one recording, what remained after everything else: absent up to twice";
    /// Task end until its token is at the firmware.
    token_latency = 20 in 8..100, "cycles", C, Token, "two switch traversals and arbitration, AM020 ch. 2", "two traversals alone up to a register access of the firmware";
}

impl Timing {
    /// The table with one number moved. A number that splits a measured sum takes its partners along, so that the sum stays; `None`: no
    /// such number, or one that only follows another.
    pub fn with(&self, name: &str, value: u64) -> Option<Self> {
        let mut moved = self.clone();
        if MEASURED_SUMS.iter().any(|s| s.partner == name) {
            return None;
        }
        *moved.field(name)? = value;
        for s in MEASURED_SUMS.iter().filter(|s| s.free == name) {
            *moved.field(s.partner)? = s.sum.checked_sub(value)?;
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The split values add up to what silicon showed, wherever the free one stands.
    #[test]
    fn splits_keep_their_measured_sums() {
        let table = Timing::default();
        let free = table.rows().into_iter().find(|r| r.name == "s2mm_end_to_release").expect("in the table");
        for value in [free.low, free.value, free.high] {
            let t = table.with(free.name, value).expect("a free number");
            // MEASURED: FIM43-Redeye/xdna-emu 2026-06-27-relay-fill, 2026-05-10-phase-c.
            assert_eq!(t.s2mm_end_to_release + t.mm2s_grant_to_word, 19);
            assert_eq!(t.s2mm_end_to_release + t.core_lock_wake, 15);
        }
        for row in table.rows().iter().filter(|r| r.follows().is_some()) {
            assert_eq!(table.with(row.name, row.value), None, "{} follows", row.name);
            let (sum, name) =
                if row.name == "core_lock_wake" { (15, "core_lock_wake") } else { (19, "mm2s_grant_to_word") };
            assert_eq!((row.name, row.low, row.high), (name, sum - free.high, sum - free.low));
        }
        assert_eq!(table.with("no_such_number", 1), None);
    }

    #[test]
    fn rows_show_the_values_in_use() {
        let timing = Timing { op_write: 1, ..Timing::default() };
        let row = timing.rows().into_iter().find(|r| r.name == "op_write").unwrap();
        assert_eq!((row.value, row.unit, row.confidence), (1, "cycles", Confidence::A));
        assert!(timing.rows().iter().all(|r| !r.source.is_empty()));
    }

    #[test]
    fn every_range_holds_its_value_and_has_a_reason_and_a_manual_number_has_none() {
        for r in Timing::default().rows() {
            assert!(r.low <= r.value && r.value <= r.high, "{}: {} is not in {}..{}", r.name, r.value, r.low, r.high);
            assert_eq!(r.low == r.high, r.range.is_empty(), "{}: a range and its reason", r.name);
            match r.confidence {
                Confidence::A => {}
                Confidence::B => assert_eq!(r.low, r.high, "{}: a manual states one number", r.name),
                Confidence::C => assert!(r.low < r.high, "{}: nobody knows it that well", r.name),
            }
            assert_eq!(
                r.extremes().count(),
                usize::from(r.low < r.value) + usize::from(r.value < r.high),
                "{}",
                r.name
            );
        }
    }
}
