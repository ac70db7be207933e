//! One recorded run of one kernel, for the verbs that show it.

use std::ops::Range;

use aie2_sim::{Config, Record, RunReport};
use anyhow::{Context, Result};
use npu_package::{Kernel, Package};

use crate::attention::{AttentionCase, is_attention};
use crate::attention_layer::{LayerCase, is_layer};
use crate::case::{self, Case};
use crate::machine::{Binary, Loaded, clock_hz, known};

/// Program labels of one core: address and name, in order of address.
pub type Labels = Vec<(u32, String)>;

/// A run that was looked at.
pub struct Look {
    /// Kernel name.
    pub kernel: String,
    /// Tokens.
    pub seq: usize,
    /// What happened.
    pub record: Record,
    /// What it cost.
    pub report: RunReport,
    /// Labels by column and row.
    labels: Vec<([u8; 2], Labels)>,
}

impl Look {
    /// Runs a kernel of a package with random data.
    pub fn at(package: &Package, kernel: &Kernel, seed: u64, window: Range<u64>) -> Result<Self> {
        let labels = kernel.programs.iter().map(|p| (p.tile, labels(p))).collect();
        let binary = Binary::read(package, kernel)?;
        if is_attention(kernel) {
            let case = AttentionCase::random(package, kernel, seed)?;
            return Self::run(&binary, &|loaded| case.write_to(loaded), (&kernel.kernel, kernel.seq), labels, window);
        }
        if is_layer(kernel) {
            let case = LayerCase::random(package, kernel, seed)?;
            return Self::run(&binary, &|loaded| case.write_to(loaded), (&kernel.kernel, kernel.seq), labels, window);
        }
        known(kernel)?;
        let case = Case::random(case::shape(package.manifest(), kernel)?, seed)?;
        Self::run(&binary, &|loaded| case.write_to(loaded), (&kernel.kernel, kernel.seq), labels, window)
    }

    /// Runs a kernel of a name and a length on inputs that `write` fills.
    pub fn run(
        binary: &Binary,
        write: &dyn Fn(&mut Loaded) -> Result<()>,
        (kernel, seq): (&str, usize),
        labels: Vec<([u8; 2], Labels)>,
        window: Range<u64>,
    ) -> Result<Self> {
        let mut loaded = Loaded::with(binary, Config::default())?;
        write(&mut loaded)?;
        loaded.machine().record(window);
        let report = loaded.run()?.report;
        let record = loaded.machine().take_record().context("the run was not recorded")?;
        Ok(Self { kernel: kernel.to_owned(), seq, record, report, labels })
    }

    /// Label of the code at an address: the last one before it. A loop's last bundle has a label of its own, which is part of the loop.
    pub fn label(&self, tile: [u8; 2], pc: u32) -> Option<&str> {
        let (_, labels) = self.labels.iter().find(|(t, _)| *t == tile)?;
        let at = labels.partition_point(|(addr, _)| *addr <= pc).checked_sub(1)?;
        labels[at].1.split('.').next()
    }

    /// Microseconds of a number of cycles.
    pub fn micros(&self, cycles: u64) -> f64 {
        cycles as f64 / clock_hz() * 1e6
    }
}

fn labels(program: &npu_package::Program) -> Labels {
    let mut labels: Labels = program.symbols.iter().map(|(name, at)| (*at, name.clone())).collect();
    labels.sort();
    labels
}
