//! Valid contents of a kernel's arguments: finite numbers, packed weights, tables of positions. What a kernel computes from them means nothing;
//! its time is that of any contents.

use npu_package::layout::{
    ARRAY_COLUMNS, GROUP_ROWS, GroupSize, HeadNorm, LayoutError, ProjectionKind, RopeLimbs, RopeTable, names,
};
use npu_package::{Argument, Direction, Dtype, Kernel, ModelDims, Operand, Package, PackageError};

/// Why an argument cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// A file of the package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A layout whose contents nothing here makes.
    #[error("argument {argument:?} of {kernel} has layout {layout:?} and no contents in the package")]
    Layout {
        /// The kernel.
        kernel: String,
        /// The argument.
        argument: String,
        /// Its layout.
        layout: String,
    },
    /// A size that does not fit the layout and the model.
    #[error("argument {argument:?} of {kernel} has {found} bytes, its layout {expected}")]
    Size {
        /// The kernel.
        kernel: String,
        /// The argument.
        argument: String,
        /// Bytes it should have.
        expected: usize,
        /// Bytes in the manifest.
        found: u64,
    },
    /// Dimensions without a layout.
    #[error(transparent)]
    Dimensions(#[from] LayoutError),
}

/// Base of the rotations; any would do.
const THETA: f64 = 10_000.0;

/// What the host puts into an argument before a call; `None` for what only the kernel writes, which stays zero as in a new cache.
///
/// # Errors
/// See [`FillError`].
pub fn contents(
    package: &Package,
    model: &ModelDims,
    kernel: &Kernel,
    argument: &Argument,
) -> Result<Option<Vec<u8>>, FillError> {
    match argument.direction {
        Direction::In => {}
        Direction::Out | Direction::Scratch => return Ok(None),
    }
    let mut all = Vec::new();
    for operand in argument.operands() {
        all.resize(operand.offset as usize, 0);
        all.extend(of_operand(package, model, kernel, operand)?);
    }
    all.resize(all.len().max(argument.bytes as usize), 0);
    Ok(Some(all))
}

fn of_operand(
    package: &Package,
    model: &ModelDims,
    kernel: &Kernel,
    argument: Operand<'_>,
) -> Result<Vec<u8>, FillError> {
    if let Some(file) = argument.file {
        return Ok(package.read_file(file)?);
    }
    let sized = |expected: usize| {
        if expected as u64 == argument.bytes {
            Ok(expected)
        } else {
            let (kernel, argument, found) = (kernel.kernel.clone(), argument.name.to_owned(), argument.bytes);
            Err(FillError::Size { kernel, argument, expected, found })
        }
    };
    // docs/package.md gives some arguments by their names alone
    let bytes = match (argument.name, argument.layout, argument.dtype) {
        (_, names::PANELS | names::PANELS_GROUP32 | names::PANELS_GROUP128, _) => {
            let kind = projections(kernel).into_iter().find(|(name, _)| *name == argument.name);
            let panels = model.panels(kind.ok_or_else(|| layout(kernel, argument))?.1)?;
            let mut grouped = GroupSize::ALL.into_iter().map(|size| panels.grouped(size));
            let panels = grouped.find(|panels| panels.layout_name() == argument.layout).unwrap_or(panels);
            let scales = vec![SCALE; GROUP_ROWS * panels.scales_per_row()];
            let mut out = vec![0; sized(panels.bytes())?];
            for column in 0..ARRAY_COLUMNS {
                for pass in 0..panels.passes() {
                    let codes: Vec<i8> = (0..GROUP_ROWS * panels.inputs()).map(|i| hash(i) as i8).collect();
                    let at = panels.group_offset(column, pass);
                    panels.pack_group(&codes, &scales, &mut out[at..at + panels.group_bytes()])?;
                }
            }
            out
        }
        ("norms", names::HEAD_NORMS | names::OPAQUE, _) => {
            let norm = HeadNorm::new(model.head_dim)?;
            let mut out = vec![0; sized(2 * norm.bytes())?];
            for record in out.chunks_exact_mut(norm.bytes()) {
                norm.fill(&vec![1.0; model.head_dim], 1.0, record)?;
            }
            out
        }
        ("rotations", names::ROPE_TABLE | names::OPAQUE, _) => {
            let table = RopeTable::new(model.head_dim, THETA, 1.0, RopeLimbs::Two)?;
            let positions = argument.bytes as usize / table.position_bytes();
            let mut out = vec![0; sized(table.bytes(positions)?)?];
            table.fill(kernel.context.map_or(0, |context| context.history), &mut out)?;
            out
        }
        // codes and scales of an empty cache
        ("cache", names::KV_SEGMENT, Dtype::I8 | Dtype::U8) => vec![0; argument.bytes as usize],
        ("cache", names::KV_SEGMENT | names::OPAQUE, _) | (_, names::ROW_MAJOR, Dtype::Bf16) => {
            (0..argument.bytes as usize / 2).flat_map(|i| small(i).to_le_bytes()).collect()
        }
        _ => return Err(layout(kernel, argument)),
    };
    Ok(bytes)
}

fn layout(kernel: &Kernel, argument: Operand<'_>) -> FillError {
    let (kernel, name) = (kernel.kernel.clone(), argument.name.to_owned());
    FillError::Layout { kernel, argument: name, layout: argument.layout.to_owned() }
}

/// Arguments that hold weights, and of which projection.
pub fn projections(kernel: &Kernel) -> Vec<(&str, ProjectionKind)> {
    let of = |operand: Operand<'_>| match operand.name {
        "qkv_weights" => Some(ProjectionKind::Qkv),
        "o_weights" => Some(ProjectionKind::O),
        "weights" => ProjectionKind::ALL.into_iter().find(|kind| {
            let (x, y) = kind.operands();
            kernel.operand(x).is_some() && kernel.operand(y).is_some()
        }),
        _ => None,
    };
    kernel.operands().filter_map(|operand| Some((operand.name, of(operand)?))).collect()
}

/// 2⁻⁸ in bfloat16: a scale of weights.
const SCALE: u16 = (127 - 8) << 7;

/// 32 bits that look random.
fn hash(i: usize) -> u32 {
    (i as u32).wrapping_mul(0x9E37_79B1).rotate_left(15).wrapping_mul(0x85EB_CA6B)
}

/// A bfloat16 of either sign between 2⁻³ and 2.
fn small(i: usize) -> u16 {
    let bits = hash(i);
    let exponent = 127 - 3 + (bits >> 8 & 3) as u16;
    (bits >> 16 & 0x8000) as u16 | exponent << 7 | (bits & 0x7F) as u16
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn every_input_of_a_compiled_package_can_be_filled() {
        let dir = tempfile::tempdir().expect("a directory");
        let coded = ["--seq", "1", "--scales", "group32", "--kv-cache", "int8"];
        let mut layouts = std::collections::BTreeSet::new();
        for (name, options) in [("plain", &["--seq", "1,64"][..]), ("coded", &coded)] {
            let out = dir.path().join(name);
            let command = [&["bennu", "compile", "--out", out.to_str().expect("UTF-8")], options].concat();
            let cli = crate::Cli::try_parse_from(command).expect("a command line");
            cli.verb.run(false).expect("a package");
            let package = Package::open(&out).expect("a package");
            let manifest = package.manifest();
            for kernel in &manifest.kernels {
                for argument in &kernel.args {
                    let filled = contents(&package, &manifest.model, kernel, argument)
                        .unwrap_or_else(|error| panic!("{}: {error}", kernel.kernel));
                    assert_eq!(filled.is_some(), argument.direction == Direction::In, "{}", argument.name);
                    if let Some(bytes) = filled {
                        assert_eq!(bytes.len() as u64, argument.bytes, "{} of {}", argument.name, kernel.kernel);
                        layouts.insert(argument.layout.clone());
                    }
                }
            }
        }
        let all = [names::ROW_MAJOR, names::PANELS, names::PANELS_GROUP32, names::HEAD_NORMS, names::ROPE_TABLE];
        for layout in all.into_iter().chain([names::KV_SEGMENT]) {
            assert!(layouts.contains(layout), "{layout} in {layouts:?}");
        }
    }

    #[test]
    fn filled_numbers_are_finite_and_small() {
        for i in 0..100_000 {
            let value = f32::from_bits(u32::from(small(i)) << 16);
            assert!((0.125..2.0).contains(&value.abs()), "{value}");
        }
        assert_eq!(f32::from_bits(u32::from(SCALE) << 16), 1.0 / 256.0);
    }
}
