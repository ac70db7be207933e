//! Packages and packed models on disk: what is written is read back, and every damage is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use npu_container::cdo::Command;
use npu_container::txn::{self, Header, Op};
use npu_container::{pdi, xclbin};
use npu_package::layout::{LayoutError, ProjectionKind, names};
use npu_package::{
    Argument, AttentionFacts, Bound, Context, Direction, Dtype, Files, Kernel, Layer, LayerFile, LoopReport,
    MANIFEST_FILE, Manifest, ModelDims, PACKED_FILE, PART_ALIGN, Package, PackageError, PackageWriter, PackedManifest,
    PackedModel, PackedWriter, Part, PartFault, Phase, Producer, Program, Region, Report, Rotation, layer_file_name,
};
use tempfile::TempDir;

fn producer() -> Producer {
    Producer { name: "bennu".to_owned(), version: "0.1.0".to_owned() }
}

fn model() -> ModelDims {
    let name = "tiny".to_owned();
    ModelDims { name, hidden: 256, intermediate: 512, layers: 3, heads: 2, kv_heads: 2, head_dim: 128, vocab: 64 }
}

fn pdi_bytes() -> Vec<u8> {
    pdi::write(&[Command::MaskWrite { addr: 0x0023_2000, mask: 1, value: 1 }])
}

fn txn_bytes() -> Vec<u8> {
    txn::write(&Header::npu1(4), &[Op::Write { addr: 0x1D204, value: 3 }])
}

fn xclbin_bytes(pdi: &[u8]) -> Vec<u8> {
    xclbin::Builder::new("w8a8_qkv_projection", "main", pdi, 4, 1, [1; 16]).write().unwrap()
}

fn kernel() -> Kernel {
    let x = Argument {
        index: 0,
        name: "x".to_owned(),
        direction: Direction::In,
        bytes: 256 * 2 * 8,
        dtype: Dtype::Bf16,
        shape: vec![8, 256],
        layout: names::ROW_MAJOR.to_owned(),
        file: None,
        parts: Vec::new(),
    };
    let program = Program {
        tile: [0, 2],
        file: "core_0_2.bin".to_owned(),
        bytes: 4,
        symbols: BTreeMap::from([("entry".to_owned(), 0)]),
        early_reads: vec![16],
        partial_locks: Vec::new(),
    };
    let name = "gemm".to_owned();
    Kernel {
        kernel: "w8a8_qkv_projection".to_owned(),
        seq: 8,
        numerics: "w8a8".to_owned(),
        context: None,
        tiles: 16,
        columns: 4,
        args: vec![x],
        files: Files { pdi: "a.pdi".to_owned(), xclbin: "a.xclbin".to_owned(), txn: "a.txn".to_owned() },
        instruction_words: txn_bytes().len() / 4,
        programs: vec![program],
        report: Report {
            program_bytes_max: 4,
            data_bytes_max: 5,
            memtile_bytes_max: 6,
            bundles: 7,
            bds: 8,
            locks: 9,
            routes: 10,
            loops: vec![LoopReport { name, ii_declared: 8, ii_reached: 8, vmac_per_ii: 8 }],
            bound: Bound { resource: "vec".to_owned(), cycles: 1000 },
            phases: vec![Phase {
                name: "w8a8".to_owned(),
                operations: 3,
                macs: 64,
                bound: Bound { resource: "vec".to_owned(), cycles: 1000 },
                memory: vec![Region { name: "A".to_owned(), at: 0, bytes: 4, kept: true }],
            }],
            sections: vec![Region { name: "multiply".to_owned(), at: 0, bytes: 4, kept: false }],
        },
    }
}

fn manifest() -> Manifest {
    Manifest {
        format_version: 0,
        producer: producer(),
        device: "npu1".to_owned(),
        model: model(),
        kernels: vec![kernel()],
        digests: BTreeMap::new(),
    }
}

fn write_package(path: &Path, force: bool) -> Result<Manifest, PackageError> {
    let mut writer = PackageWriter::create(path, force)?;
    writer.add_file("a.pdi", &pdi_bytes())?;
    writer.add_file("a.txn", &txn_bytes())?;
    writer.add_file("a.xclbin", &xclbin_bytes(&pdi_bytes()))?;
    writer.add_file("core_0_2.bin", &[1, 2, 3, 4])?;
    writer.finish(manifest())
}

/// A package in a directory of its own.
fn package() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("package");
    write_package(&path, false).unwrap();
    (directory, path)
}

fn names_in(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

macro_rules! assert_error {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern)),
        }
    };
}

#[test]
fn a_package_is_read_as_it_was_written() {
    let (directory, path) = package();
    assert_eq!(names_in(directory.path()), ["package"]);
    assert_eq!(names_in(&path), ["a.pdi", "a.txn", "a.xclbin", "core_0_2.bin", "manifest.json"]);
    let package = Package::open(&path).unwrap();
    package.verify().unwrap();
    let read = package.manifest();
    assert_eq!((read.format_version, &read.model, &read.kernels[0]), (3, &model(), &kernel()));
    assert_eq!(read.digests["core_0_2.bin"].bytes, 4);
    // SOURCE: SHA-256 of the bytes 01 02 03 04 by coreutils sha256sum.
    let sha256 = "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a";
    assert_eq!(read.digests["core_0_2.bin"].sha256, sha256);
    assert_eq!(package.read_file("a.pdi").unwrap(), pdi_bytes());
    assert_eq!(package.kernel("w8a8_qkv_projection", 8).unwrap().argument("x").unwrap().bytes, 4096);
    assert_error!(package.kernel("w8a8_qkv_projection", 9), PackageError::NoKernel { seq: 9, available, .. }
        if available == [("w8a8_qkv_projection".to_owned(), 8)]);
}

#[test]
fn a_kernel_of_attention_is_found_by_layer_and_history() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("package");
    let mut writer = PackageWriter::create(&path, false).unwrap();
    for (name, contents) in [("a.pdi", pdi_bytes()), ("a.txn", txn_bytes()), ("a.xclbin", xclbin_bytes(&pdi_bytes()))] {
        writer.add_file(name, &contents).unwrap();
    }
    writer.add_file("core_0_2.bin", &[1, 2, 3, 4]).unwrap();
    let place = |layer, history| Context { layer, history, slots: 64, window: None };
    let places = [place(Layer::Global, 0), place(Layer::Global, 9), place(Layer::Local, 0)];
    let of = |context| Kernel { kernel: "norm_rope".to_owned(), context: Some(context), ..kernel() };
    let kernels = places.map(of).into_iter().chain([kernel()]).collect();
    writer.finish(Manifest { kernels, ..manifest() }).unwrap();
    let package = Package::open(&path).unwrap();
    let (found, at) = package.kernel_at("norm_rope", 8, Layer::Global, 9).unwrap();
    assert_eq!((found.context, at), (Some(places[1]), places[1]));
    assert_error!(package.kernel_at("norm_rope", 7, Layer::Global, 9), PackageError::NoKernel { seq: 7, .. });
    let missing = package.kernel_at("norm_rope", 8, Layer::Local, 9).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no kernel \"norm_rope\" for sequence length 8, local layers and a history of 9; the package has global 0, global 9, local 0"
    );
    assert_error!(package.kernel_at("w8a8_qkv_projection", 8, Layer::Local, 0), PackageError::NoContext { available, .. } if available.is_empty());
}

#[test]
fn equal_packages_have_equal_bytes() {
    let ((_one, one), (_two, two)) = (package(), package());
    for name in names_in(&one) {
        assert_eq!(fs::read(one.join(&name)).unwrap(), fs::read(two.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn the_manifest_names_its_fields_as_documented() {
    let (_directory, path) = package();
    let text = fs::read_to_string(path.join(MANIFEST_FILE)).unwrap();
    assert!(text.starts_with("{\n  \"format_version\": 3,\n  \"producer\": {\n    \"name\": \"bennu\""));
    assert!(text.ends_with("}\n"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let kernel = &json["kernels"][0];
    assert_eq!(kernel["args"][0]["direction"], "in");
    assert_eq!(kernel["args"][0]["dtype"], "bf16");
    assert_eq!(kernel["args"][0]["layout"], "row_major");
    assert_eq!(kernel["files"]["txn"], "a.txn");
    assert_eq!(kernel["programs"][0]["tile"], serde_json::json!([0, 2]));
    assert_eq!(kernel["programs"][0]["symbols"]["entry"], 0);
    assert_eq!(kernel["report"]["loops"][0]["ii_reached"], 8);
    assert_eq!(json["digests"]["a.pdi"]["bytes"], pdi_bytes().len());
}

#[test]
fn an_existing_output_is_kept_unless_forced() {
    let (directory, path) = package();
    fs::write(path.join("added"), "by hand").unwrap();
    assert_error!(write_package(&path, false), PackageError::OutputExists { path: named } if named == path);
    assert!(path.join("added").exists());
    write_package(&path, true).unwrap();
    assert!(!path.join("added").exists());
    Package::open(&path).unwrap().verify().unwrap();
    assert_eq!(names_in(directory.path()), ["package"]);
}

#[test]
fn what_is_not_a_package_is_never_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("home");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("letter"), "dear").unwrap();
    assert_error!(write_package(&path, true), PackageError::OutputForeign { path: named, .. } if named == path);
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert_error!(write_package(&file, true), PackageError::OutputForeign { path: named, .. } if named == file);
    assert_eq!(names_in(directory.path()), ["file", "home"]);
    // A packed model is not a package either.
    let packed = directory.path().join("packed");
    fs::create_dir(&packed).unwrap();
    fs::write(packed.join(PACKED_FILE), "{}").unwrap();
    assert_error!(write_package(&packed, true), PackageError::OutputForeign { path: named, .. } if named == packed);
    // An empty directory is nothing to lose.
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    write_package(&empty, true).unwrap();
}

#[test]
fn an_output_that_appears_while_writing_is_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("package");
    let mut writer = PackageWriter::create(&path, false).unwrap();
    for name in ["a.pdi", "a.txn", "a.xclbin", "core_0_2.bin"] {
        writer.add_file(name, b"").unwrap();
    }
    write_package(&path, false).unwrap();
    assert_error!(writer.finish(manifest()), PackageError::OutputExists { .. });
    Package::open(&path).unwrap().verify().unwrap();
    assert_eq!(names_in(directory.path()), ["package"]);
}

#[test]
fn an_unfinished_package_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let mut writer = PackageWriter::create(directory.path().join("package"), false).unwrap();
    writer.add_file("a.pdi", b"").unwrap();
    assert_eq!(names_in(directory.path()).len(), 1);
    drop(writer);
    assert_eq!(names_in(directory.path()), [""; 0]);
}

#[test]
fn names_that_leave_the_package_are_refused() {
    let directory = TempDir::new().unwrap();
    let mut writer = PackageWriter::create(directory.path().join("package"), false).unwrap();
    for name in ["", "..", ".hidden", "-rf", "a/b", "a\\b", "C:x", "a b", "ä", "nul\0"] {
        assert_error!(writer.add_file(name, b""), PackageError::FileName { name: named } if named == name);
    }
    writer.add_file("a", b"").unwrap();
    assert_error!(writer.add_file("a", b""), PackageError::DuplicateFile { name } if name == "a");
    assert_error!(writer.add_file(MANIFEST_FILE, b""), PackageError::DuplicateFile { .. });
    assert_error!(PackageWriter::create("..", true), PackageError::OutputPath { .. });
}

#[test]
fn kernels_must_name_files_and_arguments_that_exist() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("package");
    let writer = PackageWriter::create(&path, false).unwrap();
    assert_error!(writer.finish(manifest()), PackageError::UnlistedFile { name, .. } if name == "a.pdi");
    assert!(!path.exists());
    let mut wrong = manifest();
    wrong.kernels[0].args[0].index = 1;
    let writer = PackageWriter::create(&path, false).unwrap();
    assert_error!(writer.finish(wrong), PackageError::ArgumentIndex { position: 0, index: 1, .. });
    let (_other, package) = package();
    let file = package.join(MANIFEST_FILE);
    let mut twice: Manifest = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    twice.kernels.push(kernel());
    fs::write(&file, serde_json::to_vec(&twice).unwrap()).unwrap();
    assert_error!(Package::open(&package), PackageError::DuplicateKernel { seq: 8, .. });
}

#[test]
fn another_version_is_named_before_anything_else_is_read() {
    let (_directory, path) = package();
    let file = path.join(MANIFEST_FILE);
    fs::write(&file, r#"{"format_version": 7, "kernels": "somewhere else"}"#).unwrap();
    assert_error!(Package::open(&path), PackageError::Version { found: 7, supported: 3, path: named } if named == file);
}

#[test]
fn what_is_not_a_package_is_said_so() {
    let directory = TempDir::new().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("absent")] {
        assert_error!(Package::open(&path), PackageError::NotAPackage { path: named, file: "manifest.json", .. } if named == path);
        assert_error!(PackedModel::open(&path), PackageError::NotAPackage { path: named, file: "packed.json", .. } if named == path);
    }
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert_error!(Package::open(&file), PackageError::NotAPackage { .. });
}

#[test]
fn damaged_manifests_are_refused() {
    for (from, to) in [
        ("\"format_version\": 3", "\"format_version\": -1"),
        ("\"device\"", "\"devize\""),
        ("\"kernels\": [", "\"extra\": 1, \"kernels\": ["),
        ("\"in\"", "\"sideways\""),
        ("{", ""),
    ] {
        let (_directory, path) = package();
        edit(&path.join(MANIFEST_FILE), from, to);
        assert_error!(Package::open(&path), PackageError::Json { .. });
    }
    let (_directory, path) = package();
    edit(&path.join(MANIFEST_FILE), "\"core_0_2.bin\": {", "\"../core_0_2.bin\": {");
    assert_error!(Package::open(&path), PackageError::FileName { name } if name == "../core_0_2.bin");
    let (_directory, path) = package();
    edit(&path.join(MANIFEST_FILE), "\"txn\": \"a.txn\"", "\"txn\": \"b.txn\"");
    assert_error!(Package::open(&path), PackageError::UnlistedFile { name, .. } if name == "b.txn");
}

#[test]
fn damaged_files_are_named() {
    let (_directory, path) = package();
    fs::remove_file(path.join("a.txn")).unwrap();
    assert_error!(Package::open(&path), PackageError::MissingFile { name, .. } if name == "a.txn");
    let (_directory, path) = package();
    fs::write(path.join("core_0_2.bin"), [1, 2, 3]).unwrap();
    assert_error!(Package::open(&path), PackageError::FileSize { name, found_bytes: 3, listed_bytes: 4 } if name == "core_0_2.bin");
    let (_directory, path) = package();
    fs::write(path.join("core_0_2.bin"), [1, 2, 3, 5]).unwrap();
    let package = Package::open(&path).unwrap();
    assert_error!(package.verify(), PackageError::Digest { name, .. } if name == "core_0_2.bin");
    assert_error!(package.read_file("core_0_2.bin"), PackageError::Digest { name, .. } if name == "core_0_2.bin");
    assert_error!(package.read_file("manifest.json"), PackageError::MissingFile { .. });
}

#[test]
fn parts_of_a_buffer_are_operands_that_lie_apart() {
    let part = |name: &str, offset, bytes| Part {
        name: name.to_owned(),
        offset,
        bytes,
        dtype: Dtype::U8,
        shape: vec![bytes as usize],
        layout: names::OPAQUE.to_owned(),
        file: None,
    };
    let open = |parts: Vec<Part>, file: Option<&str>| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("package");
        write_package(&path, false).unwrap();
        let mut manifest = Package::open(&path).unwrap().manifest().clone();
        let whole = manifest.kernels[0].args[0].clone();
        let file = file.map(str::to_owned);
        let tables = Argument { index: 1, name: "tables".to_owned(), bytes: 8192 + 60, parts, file, ..whole };
        manifest.kernels[0].args.push(tables);
        fs::write(path.join(MANIFEST_FILE), manifest.text()).unwrap();
        let opened = Package::open(&path);
        // the writer refuses what the reader refuses
        let mut writer = PackageWriter::create(&path, true).unwrap();
        for name in manifest.digests.keys() {
            writer.add_file(name, &fs::read(path.join(name)).unwrap()).unwrap();
        }
        assert_eq!(writer.finish(manifest).is_ok(), opened.is_ok());
        opened
    };
    let package = open(vec![part("norms", 0, 1000), part("plan", 8192, 60)], None).unwrap();
    let kernel = &package.manifest().kernels[0];
    let all: Vec<_> = kernel.operands().map(|o| (o.argument.index, o.name, o.offset, o.bytes)).collect();
    assert_eq!(all, [(0, "x", 0, 4096), (1, "norms", 0, 1000), (1, "plan", 8192, 60)]);
    assert_eq!(kernel.operand("plan").unwrap().argument.name, "tables");
    assert_eq!(kernel.operand("tables"), None);

    let fault = |parts, file| match open(parts, file).unwrap_err() {
        PackageError::Part { argument, part, fault, .. } if argument == "tables" => (part, fault),
        other => panic!("{other}"),
    };
    let found = fault(vec![part("norms", 0, 1000), part("plan", 64, 60)], None);
    assert_eq!(found, ("plan".to_owned(), PartFault::Unaligned { offset: 64 }));
    let found = fault(vec![part("norms", 0, PART_ALIGN + 1), part("plan", PART_ALIGN, 60)], None);
    assert_eq!(found, ("plan".to_owned(), PartFault::Overlap { offset: PART_ALIGN, end: PART_ALIGN + 1 }));
    let found = fault(vec![part("plan", 8192, 61)], None);
    assert_eq!(found, ("plan".to_owned(), PartFault::Outside { offset: 8192, bytes: 61, buffer: 8252 }));
    let found = fault(vec![part("plan", 8192, u64::MAX)], None);
    assert_eq!(found, ("plan".to_owned(), PartFault::Outside { offset: 8192, bytes: u64::MAX, buffer: 8252 }));
    for name in ["x", "tables"] {
        assert_eq!(fault(vec![part(name, 0, 60)], None), (name.to_owned(), PartFault::Name));
    }
    let twice = fault(vec![part("plan", 0, 60), part("plan", 4096, 60)], None);
    assert_eq!(twice, ("plan".to_owned(), PartFault::Name));
    assert_eq!(fault(vec![part("plan", 0, 60)], Some("a.txn")), ("plan".to_owned(), PartFault::File));
}

#[test]
fn files_that_are_not_what_they_are_listed_as_are_found() {
    let verify = |contents: [&[u8]; 3], words: usize| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("package");
        let mut writer = PackageWriter::create(&path, false).unwrap();
        for (name, contents) in ["a.pdi", "a.txn", "a.xclbin"].into_iter().zip(contents) {
            writer.add_file(name, contents).unwrap();
        }
        writer.add_file("core_0_2.bin", &[0; 4]).unwrap();
        let mut manifest = manifest();
        manifest.kernels[0].instruction_words = words;
        writer.finish(manifest).unwrap();
        Package::open(&path).unwrap().verify()
    };
    let (pdi, txn) = (pdi_bytes(), txn_bytes());
    let (xclbin, other) = (xclbin_bytes(&pdi), xclbin_bytes(&pdi::write(&[])));
    let words = txn.len() / 4;
    verify([&pdi, &txn, &xclbin], words).unwrap();
    assert_error!(verify([&txn, &txn, &xclbin], words), PackageError::Pdi { name, .. } if name == "a.pdi");
    assert_error!(verify([&pdi, &pdi, &xclbin], words), PackageError::Txn { name, .. } if name == "a.txn");
    assert_error!(verify([&pdi, &txn, &txn], words), PackageError::Xclbin { name, .. } if name == "a.xclbin");
    assert_error!(verify([&pdi, &txn, &other], words), PackageError::XclbinPdi { name, .. } if name == "a.xclbin");
    assert_error!(verify([&pdi, &txn, &xclbin], words + 1), PackageError::InstructionWords { listed_words, .. } if listed_words == words + 1);
}

const QKV: LayerFile = LayerFile::Panels(ProjectionKind::Qkv);
const O: LayerFile = LayerFile::Panels(ProjectionKind::O);
const NORMS: LayerFile = LayerFile::Norms;

fn description() -> PackedManifest {
    PackedManifest {
        format_version: 0,
        producer: producer(),
        model: model(),
        scheme: "w8a8".to_owned(),
        attention: AttentionFacts {
            layer_kinds: vec![Layer::Local, Layer::Global, Layer::Local],
            sliding_window: 32,
            rope_local: Rotation { theta: 1e4, factor: 1.0 },
            rope_global: Rotation { theta: 1e6, factor: 8.0 },
            query_pre_attn_scalar: 168.0,
            rms_norm_eps: 1e-6,
            max_positions: 131_072,
        },
        layers: Vec::new(),
    }
}

fn write_packed(path: &Path, force: bool) -> Result<PackedManifest, PackageError> {
    let mut writer = PackedWriter::create(path, force)?;
    let order = [(2usize, O), (0, QKV), (1, NORMS), (1, QKV), (1, O), (0, NORMS), (2, QKV), (0, O), (2, NORMS)];
    for (layer, kind) in order {
        let bytes = kind.bytes(&model()).unwrap();
        let byte = layer as u8
            + match kind {
                QKV => 0,
                O => 0x80,
                NORMS => 0x40,
            };
        writer.layer(layer, kind, |sink| {
            sink.write(&vec![byte; bytes / 2])?;
            sink.write(&vec![byte; bytes - bytes / 2])
        })?;
    }
    writer.finish(description())
}

#[test]
fn a_packed_model_is_read_as_it_was_written() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("packed");
    write_packed(&path, false).unwrap();
    assert_error!(write_packed(&path, false), PackageError::OutputExists { .. });
    write_packed(&path, true).unwrap();
    let model = PackedModel::open(&path).unwrap();
    model.verify().unwrap();
    assert_eq!(names_in(directory.path()), ["packed"]);
    let files = (0..3).flat_map(|layer| [NORMS, O, QKV].map(|kind| layer_file_name(layer, kind)));
    assert_eq!(names_in(&path), files.chain(["packed.json".to_owned()]).collect::<Vec<_>>());
    assert_eq!(
        (layer_file_name(0, O), layer_file_name(12, QKV)),
        ("layer_000.o.bin".into(), "layer_012.qkv.bin".into())
    );
    let layers: Vec<usize> = model.description().layers.iter().map(|entry| entry.layer).collect();
    assert_eq!(layers, [0, 1, 2]);
    assert!(model.read_layer(2, QKV).unwrap().iter().all(|byte| *byte == 2));
    assert_eq!(model.read_layer(2, NORMS).unwrap(), [0x42; 1024]);
    assert!(model.read_layer(2, O).unwrap().iter().all(|byte| *byte == 0x82));
    assert_eq!(model.layer_path(1, O).unwrap(), path.join(layer_file_name(1, O)));
    assert_error!(model.read_layer(3, QKV), PackageError::NoLayer { layer: 3, present: 3, layers: 3 });
}

#[test]
fn layers_of_another_shape_are_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("packed");
    for (wrong, name) in [(QKV, "qkv"), (O, "o"), (NORMS, "norms")] {
        let layout_bytes = |kind: LayerFile| kind.bytes(&model()).unwrap();
        let mut writer = PackedWriter::create(&path, false).unwrap();
        for kind in LayerFile::ALL {
            let bytes = if kind == wrong { 10 } else { layout_bytes(kind) };
            writer.layer(0, kind, |sink| sink.write(&vec![0; bytes])).unwrap();
        }
        assert_error!(writer.layer(0, wrong, |sink| sink.write(&[])), PackageError::DuplicateLayer { layer: 0, file } if file == name);
        assert_error!(writer.finish(description()), PackageError::LayerSize { layer: 0, file, found_bytes: 10, layout_bytes: needed }
            if file == name && needed == layout_bytes(wrong) as u64);
        assert!(!path.exists());
    }

    let mut writer = PackedWriter::create(&path, false).unwrap();
    for file in LayerFile::ALL {
        writer.layer(3, file, |sink| sink.write(&[])).unwrap();
    }
    assert_error!(writer.finish(description()), PackageError::NoLayer { layer: 3, .. });

    let writer = PackedWriter::create(&path, false).unwrap();
    let mut small = description();
    small.model.hidden = 640;
    assert_error!(writer.finish(small), PackageError::Layout(LayoutError::NotAMultiple { value: 640, .. }));

    let writer = PackedWriter::create(&path, false).unwrap();
    let mut unknown = description();
    unknown.attention.layer_kinds.pop();
    assert_error!(writer.finish(unknown), PackageError::LayerKinds { kinds: 2, layers: 3 });

    let writer = PackedWriter::create(&path, false).unwrap();
    let mut huge = description();
    huge.model.heads = usize::MAX;
    assert_error!(writer.finish(huge), PackageError::Layout(LayoutError::TooLarge { .. }));
}

#[test]
fn a_layer_without_one_of_its_files_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("packed");
    for (missing, name) in [(QKV, "qkv"), (O, "o"), (NORMS, "norms")] {
        let mut writer = PackedWriter::create(&path, false).unwrap();
        for written in LayerFile::ALL.into_iter().filter(|&file| file != missing) {
            writer.layer(1, written, |sink| sink.write(&[])).unwrap();
        }
        assert_error!(writer.finish(description()), PackageError::LayerIncomplete { layer: 1, file } if file == name);
        assert!(!path.exists());
    }
    write_packed(&path, false).unwrap();
    edit(&path.join(PACKED_FILE), "\"o\": ", "\"p\": ");
    assert_error!(PackedModel::open(&path), PackageError::Json { .. });
}

#[test]
fn a_failing_producer_keeps_its_own_error() {
    #[derive(Debug)]
    enum Mine {
        Package,
        Own(u32),
    }
    impl From<PackageError> for Mine {
        fn from(_: PackageError) -> Self {
            Mine::Package
        }
    }
    let directory = TempDir::new().unwrap();
    let mut writer = PackedWriter::create(directory.path().join("packed"), false).unwrap();
    assert_error!(writer.layer(0, QKV, |_| Err(Mine::Own(5))), Mine::Own(5));
    // The file of a failed layer is gone, so that the layer can be written again.
    writer.layer(0, QKV, |sink| sink.write(&[1]).map_err(Mine::from)).unwrap();
    assert_error!(writer.layer(0, QKV, |sink| sink.write(&[1]).map_err(Mine::from)), Mine::Package);
}

#[test]
fn damaged_layers_are_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("packed");
    write_packed(&path, false).unwrap();
    let file = path.join(layer_file_name(1, O));
    let mut contents = fs::read(&file).unwrap();
    contents[100] ^= 1;
    fs::write(&file, &contents).unwrap();
    let model = PackedModel::open(&path).unwrap();
    assert_error!(model.verify(), PackageError::Digest { name, .. } if name == layer_file_name(1, O));
    assert_error!(model.read_layer(1, O), PackageError::Digest { name, .. } if name == layer_file_name(1, O));
    model.read_layer(0, O).unwrap();
    fs::write(&file, &contents[1..]).unwrap();
    assert_error!(PackedModel::open(&path), PackageError::FileSize { name, .. } if name == layer_file_name(1, O));
    fs::remove_file(&file).unwrap();
    assert_error!(PackedModel::open(&path), PackageError::MissingFile { name, .. } if name == layer_file_name(1, O));
    edit(&path.join(PACKED_FILE), "\"format_version\": 3", "\"format_version\": 2");
    assert_error!(PackedModel::open(&path), PackageError::Version { found: 2, supported: 3, .. });
}
