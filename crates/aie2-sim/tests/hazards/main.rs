//! One file per hazard family of the exposed pipeline. In each, the least legal distance gives the right value, and one bundle less is caught:
//! by a fault of its own name, or, where hardware defines the outcome, by the value that must arrive.
// SOURCE: distances: Xilinx/llvm-aie AIE2Schedule.td, AIEBaseSubtarget.cpp, AIEMachineAlignment.cpp; that old values are read and nothing waits:
// FIM43-Redeye/xdna-emu, silicon fuzzing.

mod accumulator_chain;
mod bank_conflict;
mod bypass;
mod delay_slots;
mod hardware_loop;
mod late_read;
mod load_landing;
mod lock_fence;
mod part_word_store;
mod port_clash;
mod result_latency;
mod rig;
mod write_order;
