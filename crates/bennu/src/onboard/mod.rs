//! Binaries on a real NPU: load, call, time. What they mean is for the verbs to know.
//!
//! | module | what it knows |
//! |---|---|
//! | [`identity`] | which device, driver, firmware and clocks: what a figure needs to be reproduced |
//! | [`run`] | a configuration, a stream and host buffers as one command that is called again and again |
//! | [`fill`] | valid contents of a kernel's arguments, from the manifest alone |
//! | [`measure`] | latency, clock, bandwidth: probes timed by the host |
//!
//! Everything is generic over the kernel of `amdxdna`, so tests script the driver; the verbs name the real one.

#[cfg(test)]
pub mod board;
pub mod fill;
pub mod identity;
pub mod measure;
pub mod run;
