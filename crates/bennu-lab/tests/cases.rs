//! Stored cases are what the simulated kernel reads and writes.

#[allow(dead_code)]
mod tiny;

use std::fs;
use std::path::Path;

use aie2_kernels::norm_rope::{self, Buffers, CacheRun, Call, Place};
use aie2_kernels::{Compiled, Dtype, Operand};
use bennu_lab::cases::{self, Stored};
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::{Activations, HeadNorm, KvFormat, KvHeads, KvRing, KvSegment, Plane, names};
use npu_package::{
    Argument, Bound, Context, Direction, Files, Kernel, Layer, Manifest, ModelDims, Package, PackageWriter, Producer,
    Program, Report,
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
        report: Report::new(Bound::new("vec", 1)),
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
    let names = ["x", "weights", "qkv"];
    assert_eq!(
        files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(),
        names.map(|name| kernel.case_file(name))
    );
    assert_eq!(kernel.case_file("x"), "k.case.x.bin");

    let mut loaded = Loaded::new(&Binary::read(&package, kernel).expect("its files"), None).expect("the PDI loads");
    for (name, (_, contents)) in names.iter().zip(&files[..2]) {
        assert_eq!(contents.len() as u64, kernel.argument(name).expect("an argument").bytes, "{name}");
        loaded.write(name, contents).expect("it fits");
    }
    loaded.run().expect("the stream runs");
    let expected = &files[2].1;
    let out = loaded.read(names[2]).expect("all of it was written");
    assert!(!expected.is_empty() && out.starts_with(expected));
}

#[test]
fn a_kernel_without_specification_has_no_case() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, compiled) = tiny::projection(Activations::Int16, SEQ);
    let package = package(&dir.path().join("package"), &compiled);
    let mut unknown = package.manifest().kernels[0].clone();
    unknown.kernel = "warp".into();
    assert_eq!(cases::files(&package, &unknown, 5).expect("no error"), Stored::None("it has no specification here"));
}

/// `norm_rope` of a local layer: a ring of which it writes the slots of the new positions.
#[test]
fn a_cache_is_stored_before_and_after() {
    const HEADS: usize = 32;
    const KV_HEADS: usize = 16;
    const TOKENS: usize = 4;
    let dir = tempfile::tempdir().expect("a directory");
    for format in [KvFormat::Bf16, KvFormat::Int8] {
        let heads = KvHeads::new(KV_HEADS, 128, format).expect("heads");
        let ring = KvRing::new(16, 8).expect("a ring");
        let segment = KvSegment::new(heads, ring.slots()).expect("slots");
        let place = |arg| Place { arg, offset: 0 };
        let buffers = Buffers { qkv: place(0), weights: place(1), tables: place(2), q: place(3) };
        let runs = CacheRun::ring(place(4), segment, ring, 10, TOKENS).expect("runs");
        let call = match format {
            KvFormat::Bf16 => Call::new(buffers, runs),
            KvFormat::Int8 => Call::kv8(buffers, place(5), runs),
        };
        let call = call.expect("a call");
        let mut compiled = norm_rope::compile(std::slice::from_ref(&call)).expect("it compiles");
        let of = |name, bytes| Operand::input(name, bytes, Dtype::U8, vec![bytes], names::OPAQUE);
        let out = |name, bytes| Operand::output(name, bytes, Dtype::U8, vec![bytes], names::OPAQUE);
        compiled.operands = vec![
            of("qkv", 2 * TOKENS * (HEADS + 2 * KV_HEADS) * 128),
            of("norms", 2 * HeadNorm::new(128).expect("a norm").bytes()),
            of("rotations", 1024 * call.tables()),
            out("q", 2 * TOKENS * HEADS * 128),
            out("cache", segment.bytes()),
        ];
        if format == KvFormat::Int8 {
            compiled.operands.push(Operand::scratch("scratch", norm_rope::SCRATCH_BYTES));
        }
        let package = package(&dir.path().join(format!("{format:?}")), &compiled);
        let mut kernel = package.manifest().kernels[0].clone();
        kernel.seq = TOKENS;
        kernel.context = Some(Context { layer: Layer::Local, history: 10, slots: ring.slots(), window: Some(16) });
        let mut manifest = package.manifest().clone();
        (manifest.model.heads, manifest.model.kv_heads) = (HEADS, KV_HEADS);
        fs::write(package.path().join("manifest.json"), manifest.text()).expect("written");
        let package = Package::open(package.path()).expect("a package");
        let Stored::Case(files) = cases::files(&package, &kernel, 5).expect("a case") else {
            panic!("norm_rope has a case")
        };
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["cache.before", "qkv", "norms", "rotations", "q", "cache"];
        assert_eq!(names, expected.map(|name| format!("k.case.{name}.bin")));
        let [before, after] = [&files[0].1, &files[5].1];
        let row = |cache: &[u8], plane, slot| {
            let mut row = vec![0; heads.row_bytes()];
            segment.get(cache, plane, slot, &mut row);
            row
        };
        for slot in 0..ring.slots() {
            for plane in [Plane::Key, Plane::Value] {
                let new = (10..10 + TOKENS).any(|position| ring.slot(position) == slot);
                assert_eq!(row(before, plane, slot) != row(after, plane, slot), new, "{format:?}, slot {slot}");
            }
        }
    }
}
