//! Every timing number of the model, with its unit, its origin and how far it can be trusted.
//!
//! Nothing else in the crate holds a latency or a rate. Cycles are array clock cycles.

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

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Field of [`Timing`].
    pub name: &'static str,
    /// Value in use.
    pub value: u64,
    /// Unit.
    pub unit: &'static str,
    /// Trust.
    pub confidence: Confidence,
    /// Origin.
    pub source: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34} {:>7} {:<22} {:?}  {}", self.name, self.value, self.unit, self.confidence, self.source)
    }
}

macro_rules! timing_table {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $unit:literal, $conf:ident, $source:literal;)*) => {
        /// Timing parameters. [`Timing::default`] is the table; a study may change single values.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Timing { $($(#[$doc])* pub $name: u64,)* }
        impl Default for Timing {
            fn default() -> Self { Self { $($name: $value,)* } }
        }
        impl Timing {
            /// The table as rows, with the values in use.
            pub fn rows(&self) -> Vec<Row> {
                vec![$(Row { name: stringify!($name), value: self.$name, unit: $unit, confidence: Confidence::$conf, source: $source },)*]
            }
        }
    };
}

timing_table! {
    // ---- stream switch ----
    /// Switch traversal that ends at a local master (DMA, core, tile control, FIFO).
    switch_to_local = 3, "cycles", B, "AM020 ch. 2, switch latency table";
    /// Switch traversal that ends at an external master.
    switch_to_external = 4, "cycles", B, "AM020 ch. 2, switch latency table";
    /// Part of a traversal in front of the point where a slave's word goes to its masters.
    switch_slave = 2, "cycles", B, "AM020 ch. 2, port latencies: slave 2, master 1 (local) or 2 (external)";
    /// Arbitration in front of a packet's header.
    packet_arbitration = 1, "cycles", C, "FIM43-Redeye/xdna-emu model";
    /// Words held by one switch on a path to a local master.
    switch_words_to_local = 6, "words", B, "AM020 ch. 2, switch depth table";
    /// Words held by one switch on a path to an external master.
    switch_words_to_external = 8, "words", B, "AM020 ch. 2, switch depth table";
    /// Words of those held by the master part, behind the point where a broadcast splits (local master).
    master_words_local = 2, "words", B, "AM020 ch. 2, port depths";
    /// The same for an external master.
    master_words_external = 4, "words", B, "AM020 ch. 2, port depths";
    /// Words of the switch FIFO when a route detours through it.
    switch_fifo_words = 16, "words", B, "AM020 ch. 2";
    /// Words the core's stream input holds beyond the switch.
    core_stream_words = 4, "words", C, "FIM43-Redeye/xdna-emu model";

    // ---- DMA ----
    /// Ingress buffer of an S2MM channel.
    s2mm_ingress_words = 16, "words", A, "FIM43-Redeye/xdna-emu, silicon recording 2026-07-14-dma-memory-pressure (15-16)";
    /// Egress buffer of an MM2S channel.
    mm2s_egress_words = 12, "words", C, "FIM43-Redeye/xdna-emu, vendor simulator configuration; whole measured route 48 words (A)";
    /// Outstanding tasks a channel queue takes, the running one included.
    task_queue_depth = 4, "tasks", B, "Xilinx/aie-rt StartQSizeMax; AM020 ch. 3, 5";
    /// Idle cycles on the stream port between two BDs.
    bd_bubble = 1, "cycles", A, "FIM43-Redeye/xdna-emu, silicon recording 2026-06-27-relay-fill";
    /// BD fetch and setup of an idle channel, after the channel start.
    bd_fetch_cold = 4, "cycles", C, "FIM43-Redeye/xdna-emu src/device/dma/timing.rs";
    /// Channel start after a queue push.
    channel_start = 2, "cycles", C, "FIM43-Redeye/xdna-emu src/device/dma/timing.rs";
    /// Last word at the S2MM port until its release is visible. With the next row this makes the measured 19 cycles from
    /// the end of an S2MM BD to the first word of an MM2S BD, with `core_lock_wake` the measured 15 to a core.
    s2mm_end_to_release = 10, "cycles", C, "split of sums measured in 2026-06-27-relay-fill (19) and 2026-05-10-phase-c (15)";
    /// Granted lock until the first word of an MM2S BD that had to wait for it can leave.
    mm2s_grant_to_word = 9, "cycles", C, "split of the sum measured in 2026-06-27-relay-fill (19)";
    /// Last word out of an MM2S egress buffer until its release is visible.
    mm2s_end_to_release = 2, "cycles", C, "FIM43-Redeye/xdna-emu: release 1 cycle after the last word left";
    /// Bytes of one tile memory access.
    memory_line_bytes = 16, "bytes", A, "FIM43-Redeye/xdna-emu, silicon recording 2026-07-14-dma-bank-access-width";
    /// Words between a DMA's buffer and its being full (S2MM) or empty (MM2S) at which the DMA wins a bank against the core. Before that the
    /// core wins, within the limit of the next row.
    dma_urgent_words = 4, "words", C, "urgent DMA rule of FIM43-Redeye/xdna-emu; 2026-07-14-producer: 112 of 144 arbitrations lost cost a DMA 5 cycles (A)";
    /// Bank arbitrations lost in a row after which a DMA wins at any level: the last words of a stream, behind which the buffer never fills.
    dma_bank_patience = 20, "losses", C, "2026-07-14-producer (core wins 95-98 %)";

    // ---- locks, cores ----
    /// A core's release until others see it.
    core_release_visible = 1, "cycles", C, "FIM43-Redeye/xdna-emu: DMA lock acquire 1, release 1";
    /// Lock change until a core that waits for it goes on.
    core_lock_wake = 5, "cycles", C, "split of the sum measured in 2026-05-10-phase-c (15)";
    /// Values in flight on one cascade link.
    cascade_words = 4, "512-bit words", B, "AM020 ch. 4: two-deep FIFO at each end";
    /// Cascade write until the value can be read.
    cascade_latency = 2, "cycles", C, "one cycle per FIFO end";

    // ---- shim ----
    /// MM2S rate.
    shim_mm2s_millicycles_per_word = 1050, "1/1000 cycles per word", A, "FIM43-Redeye/xdna-emu, silicon recording 2026-05-30-phase-2d (1.0-1.05)";
    /// S2MM rate.
    shim_s2mm_millicycles_per_word = 1000, "1/1000 cycles per word", A, "2026-05-30-phase-2d";
    /// MM2S latency of each task from its BD fetch to its first word.
    shim_mm2s_task = 336, "cycles", A, "2026-05-30-phase-2d (325 + 11)";
    /// Extra MM2S latency of the first task of a channel.
    shim_mm2s_first_extra = 1330, "cycles", A, "2026-05-30-phase-2d (fit, N = 50)";
    /// Decay of that extra per following task.
    shim_mm2s_extra_decay_permille = 310, "1/1000", A, "2026-05-30-phase-2d";
    /// S2MM completion of each task after its last word.
    shim_s2mm_task = 179, "cycles", A, "2026-05-30-phase-2d";
    /// S2MM completion of the first task of a channel.
    shim_s2mm_first = 341, "cycles", A, "2026-05-30-phase-2d";

    // ---- controller ----
    /// WRITE.
    op_write = 100, "cycles", A, "FIM43-Redeye/xdna-emu, silicon recording 2026-05-04-control-path-cycle-calibration (100.5)";
    /// BLOCKWRITE, fixed part.
    op_block_write = 100, "cycles", A, "2026-05-04-control-path-cycle-calibration (203 for 8 words)";
    /// BLOCKWRITE, each word.
    op_block_write_word = 13, "cycles", A, "2026-05-04-control-path-cycle-calibration";
    /// MASKWRITE, and each look of a MASKPOLL.
    op_mask_write = 210, "cycles", A, "2026-05-04-control-path-cycle-calibration (noisy)";
    /// DDR_PATCH.
    op_ddr_patch = 200, "cycles", C, "two register writes";
    /// Queue push onto an idle channel.
    op_push_idle = 3050, "cycles", C, "2026-05-27-phase-2c (measured with tracing on; methods differ)";
    /// Queue push onto a channel with work queued.
    op_push_queued = 520, "cycles", C, "2026-05-27-phase-2c";
    /// Fixed part of a token wait, after the token.
    op_tct = 100, "cycles", C, "taken as one register access";
    /// NOOP.
    op_noop = 13, "cycles", C, "taken as one word of a BLOCKWRITE";
    /// Once per run, before the first token is seen.
    first_token_residue = 8000, "cycles", C, "FIM43-Redeye/xdna-emu, silicon recording 2026-07-08-tct";
    /// Task end until its token is at the firmware.
    token_latency = 20, "cycles", C, "two switch traversals and arbitration, AM020 ch. 2";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The split values add up to what silicon showed.
    #[test]
    fn splits_keep_their_measured_sums() {
        let t = Timing::default();
        // MEASURED: FIM43-Redeye/xdna-emu 2026-06-27-relay-fill, 2026-05-10-phase-c.
        assert_eq!(t.s2mm_end_to_release + t.mm2s_grant_to_word, 19);
        assert_eq!(t.s2mm_end_to_release + t.core_lock_wake, 15);
    }

    #[test]
    fn rows_show_the_values_in_use() {
        let timing = Timing { op_write: 1, ..Timing::default() };
        let row = timing.rows().into_iter().find(|r| r.name == "op_write").unwrap();
        assert_eq!((row.value, row.unit, row.confidence), (1, "cycles", Confidence::A));
        assert!(timing.rows().iter().all(|r| !r.source.is_empty()));
    }
}
