//! The checker of `aie2-codegen` and the simulator know the pipeline from one published table and share no code: they have to agree on every
//! program.
//!
//! ```text
//! random operations ─ one at a time, nothing in flight ─► what they mean (sequential run)
//!        └─ scheduled, or placed by hand, or shuffled ─► bytes ─┬─► checker ── legal ───► the run equals the sequential one
//!                                                               │           └─ illegal ─► the run faults, or differs
//!                                                               └─► simulator
//! ```
mod generate;
mod judge;
mod loops;
mod machine;
mod matrix;
mod placement;
mod straight;
