//! Operands of a projection and what must come out.

use std::path::Path;

use anyhow::{Context, Result, bail};
use npu_package::layout::{Activations, GroupSize, Panels, ProjectionKind, ProjectionShape, Rows};
use npu_package::{Kernel, Manifest, PackedModel};
use oracle::data::{self, GroupWeights, Weights};
use oracle::{w8a8, w8a16, w8a16_groups};

use crate::machine::Loaded;

/// Activations and weights of one projection.
pub struct Case {
    /// Sizes.
    pub shape: ProjectionShape,
    /// bf16 bits, `[s][k]`.
    pub x: Vec<u16>,
    /// Codes, `[n][k]`.
    pub codes: Vec<i8>,
    /// bf16 bits, `[n]` or `[n][groups]`.
    pub scales: Vec<u16>,
    /// Where the weights came from before quantisation, if the case made them up.
    unquantised: Option<Weights>,
    /// The kernel's weights operand.
    pub packed: Vec<u8>,
}

/// What the specification says of a case.
pub struct Expected {
    /// Output bits, `[s][n]`.
    pub y: Vec<u16>,
    /// float64 on the same quantised inputs, in the same order.
    pub exact: Vec<f64>,
}

/// How far outputs are from float64.
pub struct Errors {
    /// Relative Frobenius error against float64 on the same quantised inputs.
    pub rel_f64: f64,
    /// Largest absolute error against the same.
    pub max_abs: f64,
    /// Relative Frobenius error against float64 on the bf16 inputs and the same INT8 weights, over the sampled rows.
    pub rel_same_weights: Option<f64>,
    /// Relative Frobenius error against float64 on unquantised inputs, over the sampled rows.
    pub rel_unquantised: Option<f64>,
}

/// Sizes of a kernel from its package.
pub fn shape(manifest: &Manifest, kernel: &Kernel) -> Result<ProjectionShape> {
    let activations = match kernel.numerics.as_str() {
        "w8a8" => Activations::Int8,
        "w8a16" => Activations::Int16,
        other => bail!("no specification of numerics {other:?}; there are \"w8a8\" and \"w8a16\""),
    };
    let panels = manifest.model.panels(kind(kernel)?)?;
    let panels = groups(kernel).map_or(panels, |size| panels.grouped(size));
    Ok(ProjectionShape::with_activations(kernel.seq, panels, activations)?)
}

/// Inputs that share a scale of a kernel's weights, if not all of a channel do.
fn groups(kernel: &Kernel) -> Option<GroupSize> {
    GroupSize::ALL.into_iter().find(|size| kernel.kernel.contains(&format!("_group{}_", size.inputs())))
}

/// Which projection a kernel is.
pub fn kind(kernel: &Kernel) -> Result<ProjectionKind> {
    let names = |kind: ProjectionKind| {
        let numerics = groups(kernel)
            .map_or_else(|| kernel.numerics.clone(), |size| format!("{}_group{}", kernel.numerics, size.inputs()));
        let kind = kind.name();
        [format!("{numerics}_{kind}_projection"), format!("{numerics}_decode_{kind}_projection")]
    };
    match ProjectionKind::ALL.into_iter().find(|&kind| names(kind).contains(&kernel.kernel)) {
        Some(kind) => Ok(kind),
        None => {
            let known = ProjectionKind::ALL.map(names).concat();
            bail!("no specification of kernel {:?}; bennu-lab knows {}", kernel.kernel, known.join(", "))
        }
    }
}

/// Whether a kernel is a projection of at most four tokens, whose parts are not those of the others.
pub fn decodes(kernel: &Kernel) -> bool {
    kernel.kernel.contains("_decode_")
}

impl Case {
    /// Fresh random data from a seed.
    pub fn random(shape: ProjectionShape, seed: u64) -> Result<Self> {
        let panels = shape.panels();
        if let Some(size) = panels.groups() {
            let GroupWeights { codes, scales } = GroupWeights::normal(seed, panels.n(), panels.inputs(), size.inputs());
            let x = data::activations(seed, shape.seq() * panels.inputs());
            let packed = pack(panels, &codes, &scales)?;
            return Ok(Self { shape, x, codes, scales, unquantised: None, packed });
        }
        let mut weights = Weights::normal(seed, panels.n(), panels.inputs());
        let (codes, scales) = (std::mem::take(&mut weights.codes), std::mem::take(&mut weights.scales));
        let x = data::activations(seed, shape.seq() * panels.inputs());
        let packed = pack(panels, &codes, &scales)?;
        Ok(Self { shape, x, codes, scales, unquantised: Some(weights), packed })
    }

    /// Weights of one layer of a packed model, random activations.
    pub fn of_layer(shape: ProjectionShape, model: &PackedModel, layer: usize, seed: u64) -> Result<Self> {
        let panels = shape.panels();
        let packed = model.read_layer(layer, panels.kind())?;
        let unpacked = panels.unpack(&packed).with_context(|| format!("layer {layer}"))?;
        let x = data::activations(seed, shape.seq() * panels.inputs());
        Ok(Self { shape, x, codes: unpacked.weights, scales: unpacked.scales, unquantised: None, packed })
    }

    /// Bytes of the activations.
    pub fn x_bytes(&self) -> Vec<u8> {
        self.x.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    /// Fills the kernel's inputs.
    pub fn write_to(&self, loaded: &mut Loaded) -> Result<()> {
        loaded.write(self.shape.panels().kind().operands().0, &self.x_bytes())?;
        loaded.write("weights", &self.packed)
    }

    /// Bits of the kernel's output, `[s][n]`. A decoding kernel writes more rows, which repeat these.
    pub fn read_from(&self, loaded: &Loaded) -> Result<Vec<u16>> {
        let bytes = loaded.read(self.shape.panels().kind().operands().1)?;
        let bits = bytes.as_chunks().0.iter().map(|&bits| u16::from_le_bytes(bits));
        Ok(bits.take(self.shape.seq() * self.shape.panels().n()).collect())
    }

    /// The specification's answer.
    pub fn expected(&self) -> Expected {
        let panels = self.shape.panels();
        let (k, n) = (panels.inputs(), panels.n());
        if let Some(size) = panels.groups() {
            let (x, codes, scales) = (&self.x, &self.codes, &self.scales);
            return Expected {
                y: w8a16_groups::project(x, codes, scales, k, size.inputs()),
                exact: w8a16_groups::exact_outputs(x, codes, scales, k, size.inputs()),
            };
        }
        let mut limbs = [Vec::new(), Vec::new()];
        let mut tokens = Vec::new();
        for row in self.x.chunks_exact(k) {
            let scale = match self.shape.activations() {
                Activations::Int8 => {
                    let (codes, scale) = w8a8::quantise_token(row);
                    limbs[0].extend(codes);
                    scale
                }
                Activations::Int16 => {
                    let (codes, scale) = w8a16::quantise_token(row);
                    limbs[0].extend(codes.upper);
                    limbs[1].extend(codes.lower);
                    scale
                }
            };
            tokens.push(scale);
        }
        let sums = |codes: &[i8]| oracle::gemm::i8_nt(codes, &self.codes, tokens.len(), n, k);
        let upper = sums(&limbs[0]);
        let (acc, exact) = match self.shape.activations() {
            Activations::Int8 => {
                let exact = w8a8::exact_outputs(&upper, &tokens, &self.scales);
                (upper, exact)
            }
            Activations::Int16 => {
                let lower = sums(&limbs[1]);
                let exact = w8a16::exact_outputs(&upper, &lower, &tokens, &self.scales);
                (upper.iter().zip(&lower).map(|(&h, &l)| w8a16::join_sums(h, l)).collect(), exact)
            }
        };
        let rows = w8a8::scale_outputs(&acc, &tokens, &self.scales);
        Expected { y: rows, exact }
    }

    /// Errors of outputs against float64; `rows` tokens are compared with float64 on unquantised activations too.
    pub fn errors(&self, expected: &Expected, y: &[u16], rows: usize) -> Errors {
        let exact = &expected.exact;
        let value = |bits: u16| f64::from(oracle::fp::widen(bits));
        let rel_f64 = w8a8::relative_frobenius(y.iter().map(|&b| value(b)), exact.iter().copied());
        let max_abs = y.iter().zip(exact).map(|(&b, e)| (value(b) - e).abs()).fold(0.0, f64::max);
        let k = self.shape.panels().inputs();
        let per_row = self.shape.panels().scales_per_row();
        let same = |n: usize| {
            let scale = |i: usize| f64::from(oracle::fp::widen(self.scales[n * per_row + i * per_row / k]));
            self.codes[n * k..(n + 1) * k].iter().enumerate().map(|(i, &code)| f64::from(code) * scale(i)).collect()
        };
        let unquantised = self.unquantised.as_ref().and_then(|weights| {
            let row = |n: usize| weights.unquantised_row(n).into_iter().map(f64::from).collect();
            self.error_against(y, rows, &row)
        });
        Errors { rel_f64, max_abs, rel_same_weights: self.error_against(y, rows, &same), rel_unquantised: unquantised }
    }

    /// Relative Frobenius error of the first `rows` tokens against float64 on the activations and these weights.
    fn error_against(&self, y: &[u16], rows: usize, weights: &dyn Fn(usize) -> Vec<f64>) -> Option<f64> {
        let (panels, seq) = (self.shape.panels(), self.shape.seq());
        let rows = rows.min(seq);
        if rows == 0 {
            return None;
        }
        let k = panels.inputs();
        let mut pairs = Vec::with_capacity(rows * panels.n());
        for n in 0..panels.n() {
            let w = weights(n);
            for s in 0..rows {
                let x = &self.x[s * k..(s + 1) * k];
                let exact: f64 = x.iter().zip(&w).map(|(&x, &w)| f64::from(oracle::fp::widen(x)) * w).sum();
                pairs.push((f64::from(oracle::fp::widen(y[s * panels.n() + n])), exact));
            }
        }
        Some(w8a8::relative_frobenius(pairs.iter().map(|p| p.0), pairs.iter().map(|p| p.1)))
    }
}

/// The weights operand from row-major codes.
pub fn pack(panels: &Panels, codes: &[i8], scales: &[u16]) -> Result<Vec<u8>> {
    let mut packed = vec![0; panels.bytes()];
    let (k, of, mut first) = (panels.inputs(), panels.scales_per_row(), 0);
    let mut outputs = Vec::new();
    for (_, width) in panels.outputs() {
        let end = first + width;
        outputs.push(Rows { weights: &codes[first * k..end * k], scales: &scales[first * of..end * of] });
        first = end;
    }
    panels.pack(&outputs, &mut packed)?;
    Ok(packed)
}

/// Opens a packed model and checks that it is the package's model, with the scales of the package's projections.
pub fn packed_model(path: &Path, manifest: &Manifest) -> Result<PackedModel> {
    let model = PackedModel::open(path)?;
    for kind in ProjectionKind::ALL {
        let (packed, mut package) = (model.description().panels(kind)?, manifest.model.panels(kind)?);
        for size in manifest.kernels.iter().filter_map(groups) {
            package = package.grouped(size);
        }
        if packed != package {
            bail!("{} holds {packed:?}, the package is compiled for {package:?}", path.display());
        }
    }
    Ok(model)
}
