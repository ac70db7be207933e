//! A layer's attention as one kernel: every phase against its specification, from what the phase before has left in DDR.

use aie2_sim::RunReport;
use anyhow::{Context as _, Result};
use npu_package::layout::{Activations, ProjectionKind, ProjectionShape};
use npu_package::{Bound, Context, Kernel, Package};
use serde::Serialize;

use crate::attention::{self, AttentionCase};
use crate::case::Case;
use crate::layer::halves;
use crate::machine::{Binary, Loaded};
use crate::report::same_bits;
use crate::verify;

/// Multiply-accumulates of the array per cycle: bf16, and int8 weights with two limbs of activations.
// SOURCE: AM020 ch. 4: 128 per compute tile, 16 tiles.
const MACS_PER_CYCLE: u64 = 2048;
/// Tokens of a projection that are compared with float64 and the same weights.
const ROWS: usize = 2;

/// Whether a kernel is one.
pub fn is_layer(kernel: &Kernel) -> bool {
    kernel.kernel == aie2_kernels::attention_layer::NAME
}

/// Operands of one dispatch.
pub struct LayerCase {
    qkv: Case,
    o: Case,
    norm_rope: AttentionCase,
}

/// What a phase wrote, compared.
struct Compared {
    outputs: usize,
    differing: usize,
    rel_f64: f64,
    rel_same_weights: Option<f64>,
}

impl LayerCase {
    /// Random activations, weights and history from a seed.
    pub fn random(package: &Package, kernel: &Kernel, seed: u64) -> Result<Self> {
        let case = |kind, seed| {
            let panels = package.manifest().model.panels(kind)?;
            Case::random(ProjectionShape::with_activations(kernel.seq, panels, Activations::Int16)?, seed)
        };
        Ok(Self {
            qkv: case(ProjectionKind::Qkv, seed)?,
            o: case(ProjectionKind::O, seed + 10)?,
            norm_rope: AttentionCase::norm_rope(package, kernel, seed + 20)?,
        })
    }

    /// Fills the kernel's inputs.
    pub fn write_to(&self, loaded: &mut Loaded) -> Result<()> {
        loaded.write("x", &self.qkv.x_bytes())?;
        loaded.write("qkv_weights", &self.qkv.packed)?;
        loaded.write("o_weights", &self.o.packed)?;
        self.norm_rope.write_to(loaded)
    }

    /// Outputs of all phases that are not as specified.
    ///
    /// # Errors
    /// A buffer that is not there, or was not written.
    pub fn differing(&mut self, loaded: &Loaded) -> Result<usize> {
        Ok(self.compare(loaded)?.iter().map(|found| found.differing).sum())
    }

    /// Every phase, in order, against its specification.
    fn compare(&mut self, loaded: &Loaded) -> Result<[Compared; 4]> {
        let projection = |case: &Case, y: &[u16]| {
            let expected = case.expected();
            let errors = case.errors(&expected, y, ROWS);
            Compared {
                outputs: y.len(),
                differing: y.iter().zip(&expected.y).filter(|(a, b)| !same_bits(**a, **b)).count(),
                rel_f64: errors.rel_f64,
                rel_same_weights: errors.rel_same_weights,
            }
        };
        let of_attention = |found: attention::Compared| Compared {
            outputs: found.outputs,
            differing: found.differing,
            rel_f64: found.rel_f64,
            rel_same_weights: None,
        };
        let read = |name| Ok::<_, anyhow::Error>(halves(&loaded.read(name)?));
        let (qkv, ctx) = (read("qkv")?, read("ctx")?);
        let first = projection(&self.qkv, &qkv);
        self.norm_rope.set_rows(qkv);
        let second = of_attention(self.norm_rope.compare(loaded)?);
        let third = of_attention(self.norm_rope.behind(read("q")?, &read("cache")?).compare(loaded)?);
        self.o.x = ctx;
        let fourth = projection(&self.o, &read("o")?);
        Ok([first, second, third, fourth])
    }
}

/// A phase, as verify and bench print it.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseRow {
    /// Kernel that does the same alone.
    pub phase: String,
    /// Every compared output bit as specified.
    pub bit_equal: bool,
    /// Outputs that differ.
    pub differing: usize,
    /// Outputs compared.
    pub outputs: usize,
    /// Relative Frobenius error against float64 from the same operands, quantised ones for a projection.
    pub rel_error_f64: f64,
    /// Of a projection, from the bf16 activations and the same weights.
    pub rel_error_same_weights: Option<f64>,
    /// Array cycles from the end of the phase before, modelled.
    pub array_cycles: u64,
    /// Multiply-accumulates that the outputs need.
    pub macs: u64,
    /// Those over what 16 tiles can do in the cycles.
    pub mac_utilisation: f64,
    /// What limits its speed.
    pub bound: Bound,
}

/// The kernel, as verify and bench print it.
#[derive(Clone, Debug, Serialize)]
pub struct LayerRow {
    /// Kernel name.
    pub kernel: String,
    /// New tokens.
    pub seq: usize,
    /// Layer, history and cache.
    pub context: Context,
    /// Every compared output of every phase bit as specified.
    pub bit_equal: bool,
    /// Array cycles of the dispatch, modelled.
    pub array_cycles: u64,
    /// Multiply-accumulates that the phases' outputs need.
    pub macs: u64,
    /// Those over what 16 tiles can do in the cycles.
    pub mac_utilisation: f64,
    /// Cycles that the phases' bounds add up to.
    pub bound_cycles: u64,
    /// Phases in order.
    pub phases: Vec<PhaseRow>,
    /// Bytes read from DDR.
    pub ddr_read_bytes: u64,
    /// Bytes written to DDR.
    pub ddr_write_bytes: u64,
    /// Seconds on this host.
    pub wall_s: f64,
}

/// Runs one case and compares it.
pub fn verify(binary: &Binary, kernel: &Kernel, case: &mut LayerCase) -> Result<LayerRow> {
    let mut loaded = Loaded::new(binary, None)?;
    case.write_to(&mut loaded)?;
    let ran = loaded.run()?;
    LayerRow::new(kernel, &ran.report, ran.wall_s, case.compare(&loaded)?)
}

impl LayerRow {
    fn new(kernel: &Kernel, run: &RunReport, wall_s: f64, found: [Compared; 4]) -> Result<Self> {
        let context = kernel.context.with_context(|| format!("{} has no context in the manifest", kernel.kernel))?;
        let utilisation = |macs: u64, cycles: u64| macs as f64 / (cycles.max(1) * MACS_PER_CYCLE) as f64;
        let (mut phases, mut before) = (Vec::new(), 0);
        for (phase, found) in kernel.report.phases.iter().zip(found) {
            let at = phase.operations.checked_sub(1).and_then(|last| run.op_ends.get(last));
            let end = *at.with_context(|| format!("phase {} ends outside of the stream", phase.name))?;
            phases.push(PhaseRow {
                phase: phase.name.clone(),
                bit_equal: found.differing == 0,
                differing: found.differing,
                outputs: found.outputs,
                rel_error_f64: found.rel_f64,
                rel_error_same_weights: found.rel_same_weights,
                array_cycles: end - before,
                macs: phase.macs,
                mac_utilisation: utilisation(phase.macs, end - before),
                bound: phase.bound.clone(),
            });
            before = end;
        }
        let macs = phases.iter().map(|phase| phase.macs).sum();
        Ok(Self {
            kernel: kernel.kernel.clone(),
            seq: kernel.seq,
            context,
            bit_equal: phases.len() == 4 && phases.iter().all(|phase| phase.bit_equal),
            array_cycles: run.cycles,
            macs,
            mac_utilisation: utilisation(macs, run.cycles),
            bound_cycles: kernel.report.bound.cycles,
            phases,
            ddr_read_bytes: run.ddr_read_bytes(),
            ddr_write_bytes: run.ddr_written_bytes(),
            wall_s,
        })
    }

    /// Whether the row is what it must be: the limits of the phases' own kernels.
    pub fn accepted(&self) -> bool {
        let phase = |phase: &PhaseRow| {
            let limit = match phase.rel_error_same_weights {
                Some(_) => verify::REL_ERROR_MAX,
                None => attention::REL_ERROR_MAX,
            };
            let same = phase.rel_error_same_weights.is_none_or(|error| error <= verify::SAME_WEIGHTS_MAX);
            phase.rel_error_f64 <= limit && same
        };
        self.bit_equal && self.phases.iter().all(phase)
    }

    /// For people.
    pub fn table(&self) -> String {
        let Context { layer, history, .. } = self.context;
        let mut text = format!("{}, S = {}, {} layer, history {history}\n", self.kernel, self.seq, layer.name());
        let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<47} {value}\n"));
        let percent = |share: f64| format!("{:.1} %", share * 1e2);
        line("array cycles, modelled", self.array_cycles.to_string());
        let bound = percent(self.bound_cycles as f64 / self.array_cycles as f64);
        line("bounds of the phases", format!("{} cycles, {bound} of these", self.bound_cycles));
        line("MAC utilisation, modelled", format!("{} of {MACS_PER_CYCLE} per cycle", percent(self.mac_utilisation)));
        for phase in &self.phases {
            let equal = if phase.bit_equal { "equal".to_owned() } else { format!("{} DIFFER", phase.differing) };
            let same = phase.rel_error_same_weights;
            let errors = same.map_or_else(String::new, |error| format!(", {error:.3e} from bf16 x"));
            line(
                &format!("phase {}", phase.phase),
                format!("{} outputs {equal}, error {:.3e}{errors}", phase.outputs, phase.rel_error_f64),
            );
            let busy = percent(phase.bound.cycles as f64 / phase.array_cycles as f64);
            let macs =
                if phase.macs > 0 { format!(", MACs {}", percent(phase.mac_utilisation)) } else { String::new() };
            line("", format!("{} cycles, {} {busy}{macs}", phase.array_cycles, phase.bound.resource));
        }
        line("DDR bytes read, written", format!("{}, {}", self.ddr_read_bytes, self.ddr_write_bytes));
        line("simulated in", format!("{:.1} s", self.wall_s));
        text
    }
}
