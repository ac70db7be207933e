//! `bennu-lab calls`: the buffers of every kernel with a stored case, as another host's arguments (`lab/guest/xrt-run`).

use std::path::PathBuf;

use anyhow::{Result, ensure};
use npu_package::{Direction, Kernel, Package};

/// Arguments of `calls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package with stored cases (`bennu-lab cases`)
    package: PathBuf,
}

/// Runs the verb: a line for each kernel, its files' name without extension and a word for each buffer.
pub fn run(args: &Args) -> Result<()> {
    let package = Package::open(&args.package)?;
    let manifest = package.manifest();
    let stored = |file: &str| manifest.digests.contains_key(file);
    let lines: Vec<String> = manifest.kernels.iter().filter_map(|kernel| line(kernel, &stored)).collect();
    ensure!(!lines.is_empty(), "no kernel of the package has a stored case");
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// None if an input or an output is not stored. Outputs are written under the name of their stored file.
fn line(kernel: &Kernel, stored: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut line = kernel.files.txn.rsplit_once('.')?.0.to_owned();
    for argument in &kernel.args {
        let (way, file) = match (argument.direction, &argument.file) {
            (Direction::Scratch, _) => {
                line.push_str(&format!(" {}", argument.bytes));
                continue;
            }
            (Direction::In, Some(file)) => ("in", file.clone()),
            (Direction::In, None) => ("in", kernel.case_file(&argument.name)),
            (Direction::Out, _) => ("out", kernel.case_file(&argument.name)),
        };
        if !stored(&file) {
            return None;
        }
        line.push_str(&format!(" {}:{way}={file}", argument.bytes));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use npu_package::{Argument, Bound, Dtype, Files, Report};

    use super::*;

    fn kernel() -> Kernel {
        let argument = |index, name: &str, direction, file: Option<&str>| Argument {
            index,
            name: name.into(),
            direction,
            bytes: 64,
            dtype: Dtype::U8,
            shape: vec![64],
            layout: npu_package::layout::names::OPAQUE.into(),
            file: file.map(str::to_owned),
            parts: Vec::new(),
        };
        let file = |extension: &str| format!("k_s1.{extension}");
        Kernel {
            kernel: "k".into(),
            seq: 1,
            numerics: "w8a16".into(),
            context: None,
            tiles: 16,
            columns: 4,
            args: vec![
                argument(0, "x", Direction::In, None),
                argument(1, "plan", Direction::In, Some("k_s1.plan.bin")),
                argument(2, "y", Direction::Out, None),
                argument(3, "scratch", Direction::Scratch, None),
            ],
            files: Files { pdi: file("pdi"), xclbin: file("xclbin"), txn: file("txn") },
            instruction_words: 4,
            programs: Vec::new(),
            report: Report {
                program_bytes_max: 0,
                data_bytes_max: 0,
                memtile_bytes_max: 0,
                bundles: 0,
                bds: 0,
                locks: 0,
                routes: 0,
                loops: Vec::new(),
                bound: Bound { resource: "none".into(), cycles: 0 },
                phases: Vec::new(),
                sections: Vec::new(),
            },
        }
    }

    #[test]
    fn buffers_come_in_the_order_of_the_call() {
        let line = line(&kernel(), &|_| true).expect("everything is stored");
        assert_eq!(line, "k_s1 64:in=k_s1.case.x.bin 64:in=k_s1.plan.bin 64:out=k_s1.case.y.bin 64");
    }

    #[test]
    fn a_kernel_without_its_output_is_left_out() {
        assert_eq!(line(&kernel(), &|file| !file.contains("case.y")), None);
    }
}
