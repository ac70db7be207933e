//! `bennu-lab cases`: a copy of a package with stored cases, against which `bennu bringup` runs the kernels on an NPU.
//!
//! A case is a file for every input that is not in the package and for every output, named by [`Kernel::case_file`]. Outputs of projections are
//! those of the specification; outputs of attention come from the simulator, after it has agreed with the specification bit for bit.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use npu_package::{Direction, Kernel, Package, PackageWriter};
use serde_json::json;

use crate::attention::{AttentionCase, is_attention};
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
    /// Argument and contents.
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
                for (argument, contents) in files {
                    writer.add_file(&kernel.case_file(&argument), &contents)?;
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

/// The case of a kernel. One that leaves parts of an output as they were has none: a file cannot say which.
///
/// # Errors
/// An argument that does not fit, or an array that differs from the specification.
pub fn files(package: &Package, kernel: &Kernel, seed: u64) -> Result<Stored> {
    let outputs = kernel.args.iter().filter(|argument| argument.direction == Direction::Out);
    if outputs.clone().any(|output| output.name == "cache") {
        return Ok(Stored::None("a part of an output is not written"));
    }
    if !is_attention(kernel) {
        if case::kind(kernel).is_err() {
            return Ok(Stored::None("it has no specification here"));
        }
        let case = Case::random(case::shape(package.manifest(), kernel)?, seed)?;
        let (x, y) = case.shape.panels().kind().operands();
        let expected = case.expected().y.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        return Ok(Stored::Case(vec![
            (x.to_owned(), padded(case.x_bytes(), kernel, x)?),
            ("weights".to_owned(), case.packed),
            (y.to_owned(), expected),
        ]));
    }
    let case = AttentionCase::random(package, kernel, seed)?;
    let mut loaded = Loaded::new(&Binary::read(package, kernel)?, None)?;
    case.write_to(&mut loaded)?;
    loaded.run()?;
    let compared = case.compare(&loaded)?;
    if compared.differing > 0 {
        bail!("{}: {} outputs differ from the specification", kernel.kernel, compared.differing);
    }
    let stored = kernel.args.iter().filter(|argument| match argument.direction {
        Direction::In => argument.file.is_none(),
        Direction::Out => true,
        Direction::Scratch => false,
    });
    let files = stored.map(|argument| Ok((argument.name.clone(), loaded.read(&argument.name)?)));
    Ok(Stored::Case(files.collect::<Result<_>>()?))
}

/// Contents as long as the argument, behind them zeros.
fn padded(mut contents: Vec<u8>, kernel: &Kernel, name: &str) -> Result<Vec<u8>> {
    let argument = kernel.argument(name).with_context(|| format!("{} has no argument {name:?}", kernel.kernel))?;
    contents.resize(usize::try_from(argument.bytes)?.max(contents.len()), 0);
    Ok(contents)
}
