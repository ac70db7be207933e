//! `attend`: what is prepared from a package and a model, and what a session makes of every answer of the driver.

mod fabric;
mod failures;
mod golden;
mod prepared;
mod rig;
mod signal;
#[path = "../synthetic/mod.rs"]
mod synthetic;
