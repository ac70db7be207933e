//! `bennu-lab calls`: the buffers of every kernel with a stored case, as another host's arguments (`lab/guest/xrt-run`).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use npu_container::txn::{self, Op};
use npu_package::{Direction, Kernel, Package};

/// Arguments of `calls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package with stored cases (`bennu-lab cases`)
    package: PathBuf,
    /// Writes the streams for a host that moves every argument into the DDR aperture, as ELF loaders do
    #[arg(long, value_name = "DIR")]
    streams: Option<PathBuf>,
}

/// Runs the verb: a line for each kernel, its files' name without extension and a word for each buffer.
pub fn run(args: &Args) -> Result<()> {
    let package = Package::open(&args.package)?;
    let manifest = package.manifest();
    let stored = |file: &str| manifest.digests.contains_key(file);
    let called = |kernel: &&Kernel| line(kernel, &stored).is_some();
    if let Some(dir) = &args.streams {
        for kernel in manifest.kernels.iter().filter(called) {
            let to = dir.join(&kernel.files.txn);
            let stream = unfolded(&package.read_file(&kernel.files.txn)?).with_context(|| kernel.files.txn.clone())?;
            fs::write(&to, stream).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    let lines: Vec<String> = manifest.kernels.iter().filter_map(|kernel| line(kernel, &stored)).collect();
    ensure!(!lines.is_empty(), "no kernel of the package has a stored case");
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The stream with plain offsets: the firmware moves its first arguments into the aperture, the stream the others. An ELF loader moves all.
// SOURCE: Xilinx/mlir-aie tools/aiecc (the offset is not folded where aiebu makes an ELF).
fn unfolded(stream: &[u8]) -> Result<Vec<u8>> {
    let mut stream = txn::read(stream)?;
    for op in &mut stream.ops {
        if let Op::DdrPatch { arg_index, arg_plus, .. } = op
            && *arg_index >= txn::FIRMWARE_TRANSLATED_ARGUMENTS
        {
            let offset = arg_plus.checked_sub(txn::DDR_APERTURE);
            *arg_plus = offset.with_context(|| format!("argument {arg_index} is patched below the aperture"))?;
        }
    }
    Ok(txn::write(&stream.header, &stream.ops))
}

/// None if an input or an output is not stored. Outputs are written under the name of their stored file.
fn line(kernel: &Kernel, stored: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut line = kernel.files.txn.rsplit_once('.')?.0.to_owned();
    for argument in &kernel.args {
        let (case, before) = (kernel.case_file(&argument.name), kernel.case_file_before(&argument.name));
        let (way, file) = match (argument.direction, &argument.file) {
            (Direction::Scratch, _) if !stored(&case) => {
                line.push_str(&format!(" {}", argument.bytes));
                continue;
            }
            (Direction::In, Some(file)) => ("in", file.clone()),
            (Direction::In, None) => ("in", case),
            (Direction::Out | Direction::Scratch, _) if stored(&before) => ("out", format!("{case},in={before}")),
            (Direction::Out | Direction::Scratch, _) => ("out", case),
        };
        if !file.split(",in=").all(stored) {
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
        let line = line(&kernel(), &|file| !file.contains("scratch")).expect("everything is stored");
        let with_before =
            "k_s1 64:in=k_s1.case.x.bin 64:in=k_s1.plan.bin 64:out=k_s1.case.y.bin,in=k_s1.case.y.before.bin";
        assert_eq!(line, format!("{with_before} 64"));
    }

    #[test]
    fn late_arguments_lose_the_aperture() {
        let patch = |arg_index, arg_plus| Op::DdrPatch { register: 0x1D004, arg_index, arg_plus };
        let header = txn::Header::npu1(4);
        let written = txn::write(&header, &[patch(4, 64), patch(5, txn::DDR_APERTURE + 64)]);
        let read = txn::read(&unfolded(&written).expect("a stream")).expect("a stream");
        assert_eq!(read.ops, [patch(4, 64), patch(5, 64)]);
        let wrong = txn::write(&header, &[patch(6, 64)]);
        assert!(unfolded(&wrong).unwrap_err().to_string().contains("argument 6"));
    }

    #[test]
    fn a_kernel_without_its_output_is_left_out() {
        assert_eq!(line(&kernel(), &|file| !file.contains("case.y")), None);
    }
}
