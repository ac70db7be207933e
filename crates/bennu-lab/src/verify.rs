//! `bennu-lab verify`: kernels of a package against their specification.

use std::path::PathBuf;

use anyhow::Result;
use npu_package::{Kernel, Package, PackedModel};
use serde_json::json;

use crate::attention::{AttentionCase, AttentionRow, is_attention};
use crate::attention_layer::{self, LayerCase, LayerRow, is_layer};
use crate::case::{self, Case};
use crate::golden;
use crate::machine::{self, Binary, Loaded, Only};
use crate::report::{Row, same_bits};

/// Largest accepted relative Frobenius error of W8A16 against float64 on the bf16 inputs and the same INT8 weights.
pub const SAME_WEIGHTS_MAX: f64 = 0.5e-2;

/// Largest accepted relative Frobenius error against float64 on the same quantised inputs: 2^-8.
pub const REL_ERROR_MAX: f64 = 1.0 / 256.0;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package directory
    package: PathBuf,

    #[command(flatten)]
    only: Only,

    /// Take the weights of this packed model, every layer, instead of random ones
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// Also inject the INT8 codes of this golden file and compare the INT32 sums; needs --model
    #[arg(long, value_name = "FILE", requires = "model")]
    goldens: Option<PathBuf>,

    /// Seed of the random data
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Tokens compared with unquantised float64
    #[arg(long, default_value_t = 2)]
    rows: usize,
}

/// Runs the verb; false if anything differs.
pub fn run(args: &Args, json: bool) -> Result<bool> {
    let package = Package::open(&args.package)?;
    package.verify()?;
    let model = args.model.as_ref().map(|path| case::packed_model(path, package.manifest())).transpose()?;
    let mut rows = Vec::new();
    let mut attention = Vec::new();
    let mut layers = Vec::new();
    for kernel in package.manifest().kernels.iter().filter(|kernel| args.only.holds(kernel)) {
        if is_attention(kernel) {
            let case = AttentionCase::random(&package, kernel, args.seed)?;
            let row = verify_attention(&Binary::read(&package, kernel)?, kernel, &case)?;
            if !json {
                print!("{}", row.table());
            }
            attention.push(row);
            continue;
        }
        if is_layer(kernel) {
            let mut case = LayerCase::random(&package, kernel, args.seed)?;
            let row = attention_layer::verify(&Binary::read(&package, kernel)?, kernel, &mut case)?;
            if !json {
                print!("{}", row.table());
            }
            layers.push(row);
            continue;
        }
        machine::known(kernel)?;
        for (case, weights) in cases(&package, kernel, model.as_ref(), args.seed)? {
            let row = verify(&Binary::read(&package, kernel)?, kernel, &case, weights, args.rows)?;
            if !json {
                print!("{}", row.table());
            }
            rows.push(row);
        }
    }
    let mut sums = Vec::new();
    if let (Some(file), Some(model)) = (&args.goldens, &model) {
        sums = golden::verify(&package, model, file)?;
    }
    if json {
        println!("{:#}", json!({ "kernels": rows, "attention": attention, "layers": layers, "goldens": sums }));
    } else {
        sums.iter().for_each(|s| println!("{s}"));
    }
    let equal = rows.iter().all(accepted)
        && attention.iter().all(AttentionRow::accepted)
        && layers.iter().all(LayerRow::accepted);
    Ok(equal && sums.iter().all(|s| s.differing == 0))
}

/// Whether a row is what it must be. W8A8 is held to its quantised inputs, W8A16 to the activations themselves as well.
pub fn accepted(row: &Row) -> bool {
    let exact = row.numerics != "w8a16" || row.rel_error_same_weights.is_none_or(|error| error <= SAME_WEIGHTS_MAX);
    row.bit_equal && row.rel_error_f64 <= REL_ERROR_MAX && exact
}

fn cases(package: &Package, kernel: &Kernel, model: Option<&PackedModel>, seed: u64) -> Result<Vec<(Case, String)>> {
    let shape = case::shape(package.manifest(), kernel)?;
    let Some(model) = model else {
        return Ok(vec![(Case::random(shape, seed)?, format!("random weights, seed {seed}"))]);
    };
    let layers = model.description().layers.len();
    (0..layers).map(|n| Ok((Case::of_layer(shape, model, n, seed)?, format!("packed layer {n}")))).collect()
}

/// Runs one case and compares it.
pub fn verify(binary: &Binary, kernel: &Kernel, case: &Case, weights: String, rows: usize) -> Result<Row> {
    let mut loaded = Loaded::new(binary, None)?;
    case.write_to(&mut loaded)?;
    let ran = loaded.run()?;
    let y = case.read_from(&loaded)?;
    let expected = case.expected();
    let differing = y.iter().zip(&expected.y).filter(|(a, b)| !same_bits(**a, **b)).count();
    let errors = case.errors(&expected, &y, rows);
    Ok(Row::new(kernel, &case.shape, weights, &ran.report, ran.wall_s, differing, &errors))
}

/// Runs one case of a kernel of attention and compares it.
pub fn verify_attention(binary: &Binary, kernel: &Kernel, case: &AttentionCase) -> Result<AttentionRow> {
    let mut loaded = Loaded::new(binary, None)?;
    case.write_to(&mut loaded)?;
    let ran = loaded.run()?;
    let found = case.compare(&loaded)?;
    Ok(AttentionRow::new(kernel, case, &ran.report, ran.wall_s, &found))
}
