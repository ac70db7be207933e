//! The integer path against golden INT32 products: codes are put into `scratch` between the two phases, sums are read from the accumulators of
//! every core before they are scaled. The kernel's bytes are not touched.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use npu_container::txn::{self, Op};
use npu_package::layout::{Activations, GROUP_ROWS, Panels, ProjectionKind, ProjectionShape};
use npu_package::{Kernel, Package, PackedModel};
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use crate::case::{self, Case};
use crate::machine::{Binary, Loaded};

/// Where the accumulators lie in a compute tile: `[4 column pairs][m/8][2 column tiles][2 row tiles][4][8]` int32.
const ACCUMULATORS: usize = 0x8000;
/// Label of the code that scales the accumulators of a pass.
const SCALE_LABEL: &str = "scale_outputs";
/// Waits that end phase 1: one per column.
const PHASE_1_WAITS: usize = 4;
const FIRST_CORE_ROW: u8 = 2;

/// Golden sums of one layer and prompt.
#[derive(Clone, Debug, Serialize)]
pub struct Sums {
    /// Prompt.
    pub prompt: String,
    /// Layer.
    pub layer: usize,
    /// Sums compared.
    pub compared: usize,
    /// Sums that differ.
    pub differing: usize,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prompt, layer, compared, differing } = self;
        write!(f, "golden sums, prompt {prompt}, layer {layer}: {compared} compared, {differing} differ")
    }
}

/// Integer operands of one projection.
pub struct Integers {
    /// Activation codes `[s][k]`.
    pub codes: Vec<i8>,
    /// Sums `[s][n]`.
    pub acc: Vec<i32>,
}

/// Every golden projection of `file` whose length a W8A8 kernel of the package has: the golden codes are int8.
pub fn verify(package: &Package, model: &PackedModel, file: &Path) -> Result<Vec<Sums>> {
    let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
    let tensors = SafeTensors::deserialize(&bytes).with_context(|| format!("{}", file.display()))?;
    let mut found = Vec::new();
    for name in tensors.names() {
        let Some((prompt, rest)) = name.split_once(".int8.layer.") else { continue };
        let Some(layer) = rest.strip_suffix(".input_norm.codes") else { continue };
        found.push((prompt.to_owned(), layer.parse::<usize>()?));
    }
    found.sort();
    let mut out = Vec::new();
    for (prompt, layer) in found {
        let integers = integers(&tensors, &prompt, layer)?;
        for kernel in &package.manifest().kernels {
            let shape = case::shape(package.manifest(), kernel)?;
            let projected = (shape.panels().kind(), shape.activations());
            if projected != (ProjectionKind::Qkv, Activations::Int8)
                || case::decodes(kernel)
                || integers.codes.len() != shape.seq() * shape.panels().inputs()
            {
                continue;
            }
            let case = Case::of_layer(shape, model, layer, layer as u64)?;
            let differing = differing(&Binary::read(package, kernel)?, scale_pcs(kernel)?, &case, &integers)?;
            out.push(Sums { prompt: prompt.clone(), layer, compared: integers.acc.len(), differing });
        }
    }
    ensure!(!out.is_empty(), "{}: no golden projection has the length of a w8a8 kernel in the package", file.display());
    Ok(out)
}

fn integers(tensors: &SafeTensors<'_>, prompt: &str, layer: usize) -> Result<Integers> {
    let get = |name: String, dtype: Dtype| {
        let tensor = tensors.tensor(&name).with_context(|| name.clone())?;
        ensure!(tensor.dtype() == dtype, "{name} is {:?}, not {dtype:?}", tensor.dtype());
        Ok((tensor.data().to_vec(), tensor.shape().to_vec()))
    };
    let (codes, shape) = get(format!("{prompt}.int8.layer.{layer}.input_norm.codes"), Dtype::I8)?;
    let mut parts = Vec::new();
    for projection in ["q", "k", "v"] {
        let (data, shape) = get(format!("{prompt}.int8.layer.{layer}.{projection}_proj.acc"), Dtype::I32)?;
        let values: Vec<i32> = data.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect();
        parts.push((values, shape[1]));
    }
    let acc = (0..shape[0])
        .flat_map(|s| parts.iter().flat_map(move |(values, width)| values[s * width..(s + 1) * width].iter().copied()))
        .collect();
    Ok(Integers { codes: codes.into_iter().map(|b| b as i8).collect(), acc })
}

fn scale_pcs(kernel: &Kernel) -> Result<Vec<(u8, u8, u32)>> {
    let pc = |p: &npu_package::Program| {
        let pc = p.symbols.get(SCALE_LABEL).with_context(|| format!("a core program has no symbol {SCALE_LABEL:?}"))?;
        Ok((p.tile[0], p.tile[1], *pc))
    };
    kernel.programs.iter().map(pc).collect()
}

/// Runs a case of one block with the given codes in place of what phase 1 made, and counts sums that differ.
pub fn differing(binary: &Binary, scale: Vec<(u8, u8, u32)>, case: &Case, golden: &Integers) -> Result<usize> {
    let shape = case.shape;
    ensure!(shape.blocks() == 1, "golden sums are compared for one block of rows, S <= 512");
    let mut loaded = Loaded::new(binary, None)?;
    case.write_to(&mut loaded)?;
    inject(&mut loaded, &binary.txn, shape, golden.codes.clone())?;
    let seen: Rc<RefCell<Vec<(u8, u8, Vec<i32>)>>> = Rc::default();
    for (col, row, pc) in scale {
        let seen = Rc::clone(&seen);
        let bytes = shape.m() * 256;
        loaded.machine().on_breakpoint(col, row, &[pc], move |view| {
            // A byte nobody wrote is missing from what was seen, and so counts as different.
            if let Ok(data) = view.read(ACCUMULATORS, bytes) {
                let sums = data.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect();
                seen.borrow_mut().push((col, row, sums));
            }
        })?;
    }
    loaded.run()?;
    let acc = assemble(&shape, &seen.borrow())?;
    Ok(acc.iter().zip(&golden.acc).filter(|(a, b)| a != b).count())
}

/// Writes codes into the records of `scratch` once phase 1 is over.
fn inject(loaded: &mut Loaded, stream: &[u8], shape: ProjectionShape, codes: Vec<i8>) -> Result<()> {
    let ops = txn::read(stream)?.ops;
    let waits = ops.iter().enumerate().filter(|(_, op)| matches!(op, Op::Tct { .. }));
    let (last_wait, _) = waits.take(PHASE_1_WAITS).last().context("the stream waits for nothing")?;
    let scratch = loaded.buffer("scratch")?;
    let k = shape.panels().inputs();
    loaded.machine().after_op(last_wait, move |ddr| {
        for rho in 0..shape.block_rows() {
            let (core_row, place) = ProjectionShape::core_row(rho);
            let token = shape.token(0, rho);
            let row: Vec<u8> = codes[token * k..(token + 1) * k].iter().map(|&c| c as u8).collect();
            let offset = shape.region_offset(core_row) + place * shape.record_bytes();
            ddr.write(scratch, offset, &row).expect("records lie inside the scratch buffer");
        }
    });
    Ok(())
}

/// `[s][n]` from what the cores held before scaling, pass by pass.
fn assemble(shape: &ProjectionShape, seen: &[(u8, u8, Vec<i32>)]) -> Result<Vec<i32>> {
    let (seq, n, m) = (shape.seq(), shape.panels().n(), shape.m());
    let mut acc = vec![0; seq * n];
    let mut passes = [[0usize; 4]; 4];
    for (col, row, sums) in seen {
        let (col, core_row) = (usize::from(*col), usize::from(row - FIRST_CORE_ROW));
        let pass = &mut passes[col][core_row];
        let first = Panels::group_first_row(col, *pass);
        *pass += 1;
        for rho in 0..seq {
            let (at, place) = ProjectionShape::core_row(rho);
            if at != core_row {
                continue;
            }
            for column in 0..GROUP_ROWS {
                let (pair, s, j) = (column / 16, column / 8 % 2, column % 8);
                let (block, r, i) = (place / 8, place / 4 % 2, place % 4);
                let index = (((pair * (m / 8) + block) * 4 + r + 2 * s) * 4 + i) * 8 + j;
                acc[rho * n + first + column] = sums[index];
            }
        }
    }
    ensure!(passes.iter().flatten().all(|p| *p == shape.panels().passes()), "passes seen per core: {passes:?}");
    Ok(acc)
}
