//! What verify and bench say of one kernel.

use aie2_sim::RunReport;
use npu_package::Kernel;
use npu_package::layout::QkvShape;
use serde::Serialize;

use crate::case::Errors;

/// int8 multiply-accumulates of the whole array in one cycle.
// SOURCE: AM020 ch. 4: 256 per compute tile, 16 tiles.
const ARRAY_MACS_PER_CYCLE: f64 = 4096.0;

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
    /// Those over what 16 tiles can do in the cycles.
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
        shape: &QkvShape,
        weights: String,
        run: &RunReport,
        wall_s: f64,
        differing: usize,
        errors: &Errors,
    ) -> Self {
        let macs = (shape.seq() * shape.panels().hidden() * shape.panels().n()) as u64;
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
            rel_error_unquantised: errors.rel_unquantised,
            max_abs_error: errors.max_abs,
            tiles: run.cores.len(),
            array_cycles: run.cycles,
            core_cycles_total: run.cores.iter().map(core_cycles).sum(),
            macs,
            mac_utilisation: macs as f64 / (run.cycles as f64 * ARRAY_MACS_PER_CYCLE),
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
                // The study's W8A8 row for normal weights and mild activations (gemma3 accuracy study, q/k/v, distribution A).
                format!("{:.2} %  (accuracy study, W8A8 per row and token, q k v: 1.4 / 3.9 / 9.5 %)", error * 1e2)
            },
        );
        let mut text = format!("{}, S = {}, {}, {}\n", self.kernel, self.seq, self.numerics, self.weights);
        let equal = if self.bit_equal { "yes".to_owned() } else { format!("NO: {} outputs differ", self.differing) };
        for (name, value) in [
            ("equal to the specification, bit for bit", equal),
            ("relative error, float64, same quantised inputs", format!("{:.3e} (limit 3.906e-3)", self.rel_error_f64)),
            ("largest absolute error, same inputs", format!("{:.3e}", self.max_abs_error)),
            ("relative error, float64, unquantised inputs", unquantised),
            ("tiles", self.tiles.to_string()),
            ("array cycles, modelled", self.array_cycles.to_string()),
            ("MAC utilisation, modelled", format!("{:.1} % of 4096 per cycle", self.mac_utilisation * 1e2)),
            ("DDR bytes read, written", format!("{}, {}", self.ddr_read_bytes, self.ddr_write_bytes)),
            ("simulated in", format!("{:.1} s", self.wall_s)),
        ] {
            text.push_str(&format!("  {name:<47} {value}\n"));
        }
        text
    }
}
