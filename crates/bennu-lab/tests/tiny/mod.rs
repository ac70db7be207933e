//! `w8a8_qkv_projection` at the dimensions of the tiny Gemma 3, compiled for a test.

use aie2_kernels::w8a8::QkvProjection;
use aie2_kernels::{Compiled, CoreBinary};
use bennu_lab::machine::{Binary, Intended};

pub const HIDDEN: usize = 256;
pub const N_Q: usize = 512;
pub const N_KV: usize = 256;

pub fn projection(seq: usize) -> (QkvProjection, Compiled) {
    let projection = QkvProjection::new(seq, HIDDEN, N_Q, N_KV, N_KV).expect("the tiny model's shape is legal");
    let compiled = projection.compile().expect("the kernel compiles");
    (projection, compiled)
}

pub fn binary(compiled: &Compiled) -> Binary {
    Binary {
        pdi: compiled.pdi.clone(),
        txn: compiled.txn.clone(),
        cores: compiled.cores.iter().map(intended).collect(),
        buffers: compiled.operands.iter().map(|o| (o.name.to_owned(), o.bytes)).collect(),
    }
}

fn intended((&(col, row), core): (&(u8, u8), &CoreBinary)) -> Intended {
    let (early_reads, partial_locks) = (core.early_reads.clone(), core.partial_locks.clone());
    Intended { tile: [col, row], early_reads, partial_locks }
}
