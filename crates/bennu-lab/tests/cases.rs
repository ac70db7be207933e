//! Stored cases are what the simulated kernel reads and writes.

#[allow(dead_code)]
mod tiny;

use std::path::Path;

use aie2_kernels::{Compiled, Dtype, Operand};
use bennu_lab::cases::{self, Stored};
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::Activations;
use npu_package::{
    Argument, Bound, Direction, Files, Kernel, Manifest, ModelDims, Package, PackageWriter, Producer, Program, Report,
};

const SEQ: usize = 20;

fn argument((index, operand): (usize, &Operand)) -> Argument {
    Argument {
        index,
        name: operand.name.into(),
        direction: match operand.direction {
            aie2_kernels::Direction::In => Direction::In,
            aie2_kernels::Direction::Out => Direction::Out,
            aie2_kernels::Direction::Scratch => Direction::Scratch,
        },
        bytes: operand.bytes as u64,
        dtype: if operand.dtype == Dtype::Bf16 { npu_package::Dtype::Bf16 } else { npu_package::Dtype::U8 },
        shape: operand.shape.clone(),
        layout: operand.layout.into(),
        file: None,
        parts: Vec::new(),
    }
}

fn package(dir: &Path, compiled: &Compiled) -> Package {
    let files = Files { pdi: "k.pdi".into(), xclbin: "k.xclbin".into(), txn: "k.txn".into() };
    let mut writer = PackageWriter::create(dir, false).expect("a new directory");
    let container = npu_container::xclbin::Builder::new(compiled.kernel, "bennu", &compiled.pdi, 4, 4, [7; 16]);
    writer.add_file(&files.pdi, &compiled.pdi).expect("written");
    writer.add_file(&files.txn, &compiled.txn).expect("written");
    writer.add_file(&files.xclbin, &container.write().expect("a container")).expect("written");
    let (&(col, row), core) = compiled.cores.iter().next().expect("cores");
    writer.add_file("k.core.bin", &core.bytes).expect("written");
    let programs = compiled.cores.keys().map(|&(col, row)| Program {
        tile: [col, row],
        file: "k.core.bin".into(),
        bytes: core.bytes.len() as u64,
        symbols: Default::default(),
        early_reads: compiled.cores[&(col, row)].early_reads.clone(),
        partial_locks: compiled.cores[&(col, row)].partial_locks.clone(),
    });
    assert!(compiled.cores.values().all(|other| other.bytes == core.bytes), "core ({col}, {row}) speaks for all");
    let kernel = Kernel {
        kernel: compiled.kernel.into(),
        seq: SEQ,
        numerics: "w8a16".into(),
        context: None,
        tiles: 16,
        columns: 4,
        args: compiled.operands.iter().enumerate().map(argument).collect(),
        files,
        instruction_words: compiled.txn.len() / 4,
        programs: programs.collect(),
        report: Report {
            program_bytes_max: 0,
            data_bytes_max: 0,
            memtile_bytes_max: 0,
            bundles: 0,
            bds: 0,
            locks: 0,
            routes: 0,
            loops: Vec::new(),
            bound: Bound { resource: "vec".into(), cycles: 1 },
            phases: Vec::new(),
            sections: Vec::new(),
        },
    };
    let model = ModelDims {
        name: "tiny".into(),
        hidden: tiny::HIDDEN,
        intermediate: 64,
        layers: 1,
        heads: tiny::N_Q / 128,
        kv_heads: tiny::N_KV / 128,
        head_dim: 128,
        vocab: 16,
    };
    let producer = Producer { name: "test".into(), version: "0".into() };
    let (format_version, device) = (npu_package::FORMAT_VERSION, "npu1".into());
    let manifest =
        Manifest { format_version, producer, device, model, kernels: vec![kernel], digests: Default::default() };
    writer.finish(manifest).expect("written");
    Package::open(dir).expect("a package")
}

#[test]
fn a_kernel_turns_the_inputs_of_its_case_into_the_outputs() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, compiled) = tiny::projection(Activations::Int16, SEQ);
    let package = package(&dir.path().join("package"), &compiled);
    let kernel = &package.manifest().kernels[0];
    let files = cases::files(&package, kernel, 5).expect("a case");
    let Stored::Case(files) = files else { panic!("a projection has a case") };
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x", "weights", "qkv"]);
    assert_eq!(kernel.case_file("x"), "k.case.x.bin");

    let mut loaded = Loaded::new(&Binary::read(&package, kernel).expect("its files"), None).expect("the PDI loads");
    for (name, contents) in &files[..2] {
        assert_eq!(contents.len() as u64, kernel.argument(name).expect("an argument").bytes, "{name}");
        loaded.write(name, contents).expect("it fits");
    }
    loaded.run().expect("the stream runs");
    let (name, expected) = &files[2];
    let out = loaded.read(name).expect("all of it was written");
    assert!(!expected.is_empty() && out.starts_with(expected));
}

#[test]
fn a_kernel_without_specification_or_that_writes_parts_of_an_output_has_no_case() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, compiled) = tiny::projection(Activations::Int16, SEQ);
    let package = package(&dir.path().join("package"), &compiled);
    let mut kernel = package.manifest().kernels[0].clone();
    kernel.args[2].name = "cache".into();
    assert_eq!(
        cases::files(&package, &kernel, 5).expect("no error"),
        Stored::None("a part of an output is not written")
    );
    let mut unknown = package.manifest().kernels[0].clone();
    unknown.kernel = "warp".into();
    assert_eq!(cases::files(&package, &unknown, 5).expect("no error"), Stored::None("it has no specification here"));
}
