//! One recorded run of one kernel, for the verbs that show it.

use std::ops::Range;

use aie2_sim::{Config, Record, RunReport};
use anyhow::{Context, Result};
use npu_package::{Kernel, Package};

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
        known(kernel)?;
        let case = Case::random(case::shape(package.manifest(), kernel)?, seed)?;
        let labels = kernel.programs.iter().map(|p| (p.tile, labels(p))).collect();
        Self::run(&Binary::read(package, kernel)?, &case, &kernel.kernel, labels, window)
    }

    /// Runs a kernel on a case.
    pub fn run(
        binary: &Binary,
        case: &Case,
        kernel: &str,
        labels: Vec<([u8; 2], Labels)>,
        window: Range<u64>,
    ) -> Result<Self> {
        let mut loaded = Loaded::with(binary, Config::default())?;
        case.write_to(&mut loaded)?;
        loaded.machine().record(window);
        let report = loaded.run()?.report;
        let record = loaded.machine().take_record().context("the run was not recorded")?;
        Ok(Self { kernel: kernel.to_owned(), seq: case.shape.seq(), record, report, labels })
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
