//! `bennu-lab foreign`: what AMD's tools read in the files of a package, against what bennu means by them.
//!
//! `lab/amd-tools` has the tools write their dumps: for every xclbin `NAME/` with sections, for every stream `NAME.dump` (aiebu-dump)
//! and `NAME.disasm` (`bennu disasm --data`), all named as in the manifest without extension.

pub mod calls;
mod container;
mod stream;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use npu_container::txn;
use npu_package::{Kernel, Package};
use serde_json::json;

use container::Dumps;

/// Arguments of `foreign`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package directory
    package: PathBuf,

    /// Directory of the dumps
    dumps: PathBuf,
}

/// Runs the verb; false if a dump is not what bennu means.
pub fn run(args: &Args, json: bool) -> Result<bool> {
    let package = Package::open(&args.package)?;
    let kernels = &package.manifest().kernels;
    ensure!(!kernels.is_empty(), "the package has no kernels");
    let mut operations = 0;
    let mut failures = Vec::new();
    for kernel in kernels {
        match kernel_agrees(&package, kernel, &args.dumps) {
            Ok(count) => operations += count,
            Err(error) => failures.push(format!("{}: {error:#}", kernel.files.txn)),
        }
    }
    let agree = kernels.len() - failures.len();
    if json {
        println!(
            "{:#}",
            json!({ "kernels": kernels.len(), "agree": agree, "operations": operations, "failures": failures })
        );
    } else {
        println!(
            "{agree} of {} kernels: sections, PDI and {operations} operations of streams are what bennu means",
            kernels.len()
        );
        failures.iter().for_each(|failure| println!("  {failure}"));
    }
    Ok(failures.is_empty())
}

fn kernel_agrees(package: &Package, kernel: &Kernel, dumps: &Path) -> Result<usize> {
    Dumps::read(&dumps.join(stem(&kernel.files.xclbin)?))?.compare(kernel, &package.read_file(&kernel.files.pdi)?)?;
    let text = |extension: &str| {
        let path = dumps.join(format!("{}.{extension}", stem(&kernel.files.txn)?));
        fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
    };
    let theirs = stream::from_aiebu(&text("dump")?)?;
    let ours = txn::read(&package.read_file(&kernel.files.txn)?)?;
    for (index, (theirs, ours)) in theirs.iter().zip(&ours.ops).enumerate() {
        ensure!(theirs == ours, "operation {index}: aiebu-dump reads {theirs:x?}, bennu reads {ours:x?}");
    }
    stream::compare(&theirs, &stream::from_disasm(&text("disasm")?)?)
}

fn stem(name: &str) -> Result<&str> {
    Ok(name.rsplit_once('.').with_context(|| format!("{name} has no extension"))?.0)
}
