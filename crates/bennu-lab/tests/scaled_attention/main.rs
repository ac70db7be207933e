//! `scaled_attention` and `scaled_attention_kv8` on the simulated array, from the bytes of PDI and TXN, bit for bit against `oracle::flash::head` and
//! `oracle::flash::head_coded`, and against float64.

mod bf16;
mod case;
mod kv8;
