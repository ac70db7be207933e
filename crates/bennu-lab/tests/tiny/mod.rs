//! The query, key and value projections at the dimensions of the tiny Gemma 3, compiled for a test.

use aie2_kernels::w8a8::Projection;
use aie2_kernels::{Compiled, WeightScales};
use npu_package::layout::{Activations, Panels, ProjectionShape};

pub const HIDDEN: usize = 256;
pub const N_Q: usize = 512;
pub const N_KV: usize = 256;

pub fn projection(activations: Activations, seq: usize) -> (Projection, Compiled) {
    let panels = Panels::new(HIDDEN, N_Q, N_KV, N_KV).expect("the tiny model's dimensions are legal");
    let shape = ProjectionShape::with_activations(seq, panels, activations).expect("so is its shape");
    let projection = Projection::of(shape, WeightScales::PerChannel).expect("its records fit");
    let compiled = projection.compile().expect("the kernel compiles");
    (projection, compiled)
}
