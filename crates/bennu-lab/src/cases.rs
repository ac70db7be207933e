//! `bennu-lab cases`: a copy of a package with stored cases, against which `bennu bringup` runs the kernels on an NPU.
//!
//! A case is a file for every input that is not in the package and for every output, named by [`Kernel::case_file`]; of the cache, which a kernel reads
//! or leaves parts of as they were, also what it holds before ([`Kernel::case_file_before`]). Outputs of projections are those of the specification;
//! those of the other kernels come from the simulator, after it has agreed with the specification bit for bit.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use npu_package::{Direction, Kernel, Package, PackageWriter};
use serde_json::json;

use crate::attention::{AttentionCase, is_attention};
use crate::attention_layer::{LayerCase, is_layer};
use crate::case::{self, Case};
use crate::machine::{Binary, Loaded, Only};

/// Arguments of `cases`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package directory
    package: PathBuf,

    /// Directory of the copy
    out: PathBuf,

    #[command(flatten)]
    only: Only,

    /// Longest sequence that gets a case
    #[arg(long, default_value_t = 64)]
    max_seq: usize,

    /// Seed of the random data
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What a kernel has.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// Files and contents.
    Case(Vec<(String, Vec<u8>)>),
    /// Nothing, and why.
    None(&'static str),
}

/// Runs the verb; false if no kernel got a case.
pub fn run(args: &Args, json: bool) -> Result<bool> {
    let package = Package::open(&args.package)?;
    package.verify()?;
    let manifest = package.manifest();
    let mut writer = PackageWriter::create(&args.out, false)?;
    for name in manifest.digests.keys() {
        writer.add_file(name, &package.read_file(name)?)?;
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for kernel in manifest.kernels.iter().filter(|kernel| args.only.holds(kernel) && kernel.seq <= args.max_seq) {
        let title = format!("{}, S = {}", kernel.kernel, kernel.seq);
        match files(&package, kernel, args.seed)? {
            Stored::Case(files) => {
                for (name, contents) in files {
                    writer.add_file(&name, &contents)?;
                }
                with.push(title);
            }
            Stored::None(why) => without.push(format!("{title}: {why}")),
        }
    }
    writer.finish(manifest.clone())?;
    if json {
        println!("{:#}", json!({ "cases": with, "without": without }));
    } else {
        with.iter().for_each(|title| println!("case: {title}"));
        without.iter().for_each(|title| println!("no case: {title}"));
    }
    Ok(!with.is_empty())
}

/// The buffer that a kernel reads and writes parts of.
const CACHE: &str = "cache";

/// The case of a kernel.
///
/// # Errors
/// An argument that does not fit, or an array that differs from the specification.
pub fn files(package: &Package, kernel: &Kernel, seed: u64) -> Result<Stored> {
    if !is_attention(kernel) && !is_layer(kernel) {
        if case::kind(kernel).is_err() {
            return Ok(Stored::None("it has no specification here"));
        }
        let case = Case::random(case::shape(package.manifest(), kernel)?, seed)?;
        let (x, y) = case.shape.panels().kind().operands();
        let expected = case.expected().y.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        return Ok(Stored::Case(vec![
            (kernel.case_file(x), padded(case.x_bytes(), kernel, x)?),
            (kernel.case_file("weights"), case.packed),
            (kernel.case_file(y), expected),
        ]));
    }
    let mut loaded = Loaded::new(&Binary::read(package, kernel)?, None)?;
    // what a case leaves of an input is stored, too
    for input in kernel.args.iter().filter(|argument| argument.direction == Direction::In) {
        loaded.write(&input.name, &vec![0; usize::try_from(input.bytes)?])?;
    }
    let mut files = Vec::new();
    let mut run = |loaded: &mut Loaded| -> Result<()> {
        if kernel.argument(CACHE).is_some_and(|cache| cache.direction != Direction::In) {
            files.push((kernel.case_file_before(CACHE), loaded.read(CACHE)?));
        }
        loaded.run()?;
        Ok(())
    };
    let differing = if is_layer(kernel) {
        let mut case = LayerCase::random(package, kernel, seed)?;
        case.write_to(&mut loaded)?;
        run(&mut loaded)?;
        case.differing(&loaded)?
    } else {
        let case = AttentionCase::random(package, kernel, seed)?;
        case.write_to(&mut loaded)?;
        run(&mut loaded)?;
        case.compare(&loaded)?.differing
    };
    if differing > 0 {
        bail!("{}: {differing} outputs differ from the specification", kernel.kernel);
    }
    for argument in &kernel.args {
        let stored = match argument.direction {
            Direction::In => argument.file.is_none(),
            Direction::Out => true,
            Direction::Scratch => argument.name == CACHE,
        };
        if stored {
            files.push((kernel.case_file(&argument.name), loaded.read(&argument.name)?));
        }
    }
    Ok(Stored::Case(files))
}

/// Contents as long as the argument, behind them zeros.
fn padded(mut contents: Vec<u8>, kernel: &Kernel, name: &str) -> Result<Vec<u8>> {
    let argument = kernel.argument(name).with_context(|| format!("{} has no argument {name:?}", kernel.kernel))?;
    contents.resize(usize::try_from(argument.bytes)?.max(contents.len()), 0);
    Ok(contents)
}
