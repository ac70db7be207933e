//! What verify and bench say of one kernel.

use aie2_sim::RunReport;
use npu_package::Kernel;
use npu_package::layout::ProjectionShape;
use serde::Serialize;

use crate::case::Errors;

/// Multiply-accumulates of the whole array in one cycle: with int8 weights and int8 limbs of activations, and so half as many with two limbs, which
/// is also the rate of bf16.
// SOURCE: AM020 ch. 4: 256 int8 or 128 bf16 per compute tile, 16 tiles.
fn array_macs_per_cycle(shape: &ProjectionShape) -> u64 {
    4096 / shape.limbs() as u64
}

/// One kernel, as both verbs print it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Kernel name.
    pub kernel: String,
    /// Tokens.
    pub seq: usize,
    /// Number scheme.
    pub numerics: String,
    /// Where the weights came from.
    pub weights: String,
    /// Every output bit as specified.
    pub bit_equal: bool,
    /// Outputs that differ.
    pub differing: usize,
    /// Relative Frobenius error against float64 on the same quantised inputs.
    pub rel_error_f64: f64,
    /// Relative Frobenius error against float64 on the bf16 inputs and the same INT8 weights.
    pub rel_error_same_weights: Option<f64>,
    /// Relative Frobenius error against float64 on unquantised inputs.
    pub rel_error_unquantised: Option<f64>,
    /// Largest absolute error against float64 on the same quantised inputs.
    pub max_abs_error: f64,
    /// Compute tiles that ran.
    pub tiles: usize,
    /// Array cycles of the dispatch, modelled.
    pub array_cycles: u64,
    /// Bundles and stalls of all cores, modelled.
    pub core_cycles_total: u64,
    /// Multiply-accumulates the model needs: S · K · N.
    pub macs: u64,
    /// What 16 tiles can do in a cycle.
    pub macs_per_cycle: u64,
    /// The first over the second in the cycles.
    pub mac_utilisation: f64,
    /// Bytes read from DDR.
    pub ddr_read_bytes: u64,
    /// Bytes written to DDR.
    pub ddr_write_bytes: u64,
    /// Seconds on this host.
    pub wall_s: f64,
}

impl Row {
    /// Collects a row.
    pub fn new(
        kernel: &Kernel,
        shape: &ProjectionShape,
        weights: String,
        run: &RunReport,
        wall_s: f64,
        differing: usize,
        errors: &Errors,
    ) -> Self {
        let macs = (shape.seq() * shape.panels().inputs() * shape.panels().n()) as u64;
        let core_cycles = |c: &aie2_sim::report::CoreReport| {
            let s = c.stalls;
            c.bundles + s.lock + s.stream + s.cascade + s.own + s.dma_bank
        };
        Self {
            kernel: kernel.kernel.clone(),
            seq: kernel.seq,
            numerics: kernel.numerics.clone(),
            weights,
            bit_equal: differing == 0,
            differing,
            rel_error_f64: errors.rel_f64,
            rel_error_same_weights: errors.rel_same_weights,
            rel_error_unquantised: errors.rel_unquantised,
            max_abs_error: errors.max_abs,
            tiles: run.cores.len(),
            array_cycles: run.cycles,
            core_cycles_total: run.cores.iter().map(core_cycles).sum(),
            macs,
            macs_per_cycle: array_macs_per_cycle(shape),
            mac_utilisation: macs as f64 / (run.cycles * array_macs_per_cycle(shape)) as f64,
            ddr_read_bytes: run.ddr_read_bytes(),
            ddr_write_bytes: run.ddr_written_bytes(),
            wall_s,
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let unquantised = self.rel_error_unquantised.map_or_else(
            || "not compared".to_owned(),
            |error| {
                // Errors of q, k, v for three distributions of weights and activations in the accuracy study.
                let study = match self.macs_per_cycle {
                    4096 => "W8A8 per row and token, q k v: 1.4 / 3.9 / 9.5 %",
                    _ => "W8A16 per row, q k v: 0.89 / 1.6 / 3.2 %",
                };
                format!("{:.2} %  (accuracy study, {study})", error * 1e2)
            },
        );
        let same_weights =
            self.rel_error_same_weights.map_or_else(|| "not compared".to_owned(), |error| format!("{error:.3e}"));
        let mut text = format!("{}, S = {}, {}, {}\n", self.kernel, self.seq, self.numerics, self.weights);
        let equal = if self.bit_equal { "yes".to_owned() } else { format!("NO: {} outputs differ", self.differing) };
        for (name, value) in [
            ("equal to the specification, bit for bit", equal),
            ("relative error, float64, same quantised inputs", format!("{:.3e} (limit 3.906e-3)", self.rel_error_f64)),
            ("largest absolute error, same inputs", format!("{:.3e}", self.max_abs_error)),
            ("relative error, float64, bf16 x, same weights", same_weights),
            ("relative error, float64, unquantised inputs", unquantised),
            ("tiles", self.tiles.to_string()),
            ("array cycles, modelled", self.array_cycles.to_string()),
            (
                "MAC utilisation, modelled",
                format!("{:.1} % of {} per cycle", self.mac_utilisation * 1e2, self.macs_per_cycle),
            ),
            ("DDR bytes read, written", format!("{}, {}", self.ddr_read_bytes, self.ddr_write_bytes)),
            ("simulated in", format!("{:.1} s", self.wall_s)),
        ] {
            text.push_str(&format!("  {name:<47} {value}\n"));
        }
        text
    }
}

/// Equal bits; NaN payloads are not architectural, so any NaN equals any other.
pub fn same_bits(a: u16, b: u16) -> bool {
    let nan = |bits: u16| bits & 0x7FFF > 0x7F80;
    a == b || (nan(a) && nan(b))
}
