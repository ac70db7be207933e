//! Steps, buffers and refusals without a device.

use std::fs;

use gemma::attend::{
    AttendError, Contents, Job, Method, Mismatch, Past, Plan, Prepared, Stream, Written, cache_of, open_package,
    prepare, seeded,
};
use gemma::{MemoryCause, PackedWeights, Refusal};
use npu_package::layout::{GroupSize, HeadNorm, KvFormat, KvSegment, Plane, ProjectionKind, RopeLimbs, RopeTable};
use npu_package::{Direction, LayerFile, PART_ALIGN, Package, PackageError};

use crate::fabric::{Fabric, GLOBAL, LAYERS, QKV, WINDOW, heads, packed, packed_of, segment};
use crate::synthetic::{HEAD_DIM, HEADS, HIDDEN, KV_HEADS, Synthetic};

fn prepared(
    package: &Package,
    model: &PackedWeights,
    layer: usize,
    seq: usize,
    history: usize,
) -> Result<Prepared, AttendError> {
    let methods = &Method::ALL;
    let x = seeded(1, Stream::Hidden, 0, seq * HIDDEN);
    let window = (layer != GLOBAL).then_some(WINDOW);
    let cache = cache_of(package);
    let past = Past::seeded(1, history, window, heads(cache));
    prepare(&Job { package, model, layer, seq, history, cache, methods }, &x, &past)
}

/// Fabric and job in one; the packed model is whole.
fn of(fabric: Fabric, layer: usize) -> Result<Prepared, AttendError> {
    let ((_package, package), (_model, model)) = (fabric.written(), packed());
    prepared(&package, &model, layer, fabric.seq, fabric.history)
}

fn names(plan: &Plan, step: usize) -> Vec<&str> {
    plan.steps[step].args.iter().map(|&buffer| plan.buffers[buffer].name.as_str()).collect()
}

#[track_caller]
fn refused(result: Result<Prepared, AttendError>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn the_modular_method_chains_its_kernels() {
    let history = 20;
    let found = of(Fabric { history, ..Fabric::default() }, GLOBAL).unwrap();
    let [plan] = &found.plans[..] else { panic!("one method") };
    assert_eq!((plan.method, plan.columns, plan.programs.len()), (Method::Modular, 4, 4));
    let kernels: Vec<&str> = plan.steps.iter().map(|step| step.kernel.as_str()).collect();
    assert_eq!(kernels, ["w8a16_qkv_projection", "norm_rope", "scaled_attention", "w8a16_o_projection"]);
    assert_eq!(names(plan, 0), ["x", "qkv_weights", "qkv", "scratch"]);
    assert_eq!(names(plan, 1), ["qkv", "norms", "rotations", "q", "cache"]);
    assert_eq!(names(plan, 2), ["q", "cache", "plan", "ctx", "scratch"]);
    assert_eq!(names(plan, 3), ["ctx", "o_weights", "o", "scratch"]);
    let bytes = |name: &str| plan.buffers.iter().find(|buffer| buffer.name == name).unwrap().bytes;
    // the largest scratch serves all
    assert_eq!([bytes("qkv"), bytes("scratch"), bytes("cache")], [2 * 8 * QKV, 8192, segment(48).bytes()]);
    let cache = plan.cache;
    assert_eq!(plan.steps[1].writes[1], Written::NewPositions { buffer: cache });
    assert_eq!(
        plan.steps[2].writes,
        [Written::Bytes { buffer: plan.steps[2].args[3], bytes: 2 * 8 * HEADS * HEAD_DIM }]
    );
    assert_eq!(plan.steps[3].writes, [Written::Bytes { buffer: plan.output, bytes: 2 * 8 * HIDDEN }]);
    assert_eq!(found.missing.len(), 1);
    assert!(matches!(found.missing[0], (Method::Complete, AttendError::Refusal(Refusal::KernelNotCompiled { .. }))));
}

#[test]
fn operands_are_those_of_the_layer() {
    let (history, (_model, model)) = (41, packed());
    let (_package, package) = Fabric { history, slots: 56, ..Fabric::default() }.written();
    for (layer, theta, factor, first) in [(GLOBAL, 1e6, 8.0, 0), (2, 1e4, 1.0, history + 1 - WINDOW)] {
        let found = prepared(&package, &model, layer, 8, history).unwrap();
        let plan = &found.plans[0];
        let contents = |name: &str| &plan.buffers.iter().find(|buffer| buffer.name == name).unwrap().contents;
        let x: Vec<u8> = seeded(1, Stream::Hidden, 0, 8 * HIDDEN).iter().flat_map(|bits| bits.to_le_bytes()).collect();
        assert_eq!(*contents("x"), Contents::Bytes(x));
        assert_eq!(*contents("norms"), Contents::Bytes(model.model().read_layer(layer, LayerFile::Norms).unwrap()));
        // three tables more than positions: the kernel reads ahead
        let mut tables = vec![0; 11 * 1024];
        RopeTable::new(HEAD_DIM, theta, factor, RopeLimbs::Two).unwrap().fill(history, &mut tables).unwrap();
        assert_eq!(*contents("rotations"), Contents::Bytes(tables));
        assert_eq!(*contents("plan"), Contents::Bytes(vec![0x5A; 256]));
        assert_eq!(*contents("qkv"), Contents::Zero);
        assert_eq!(*contents("o_weights"), Contents::Weights(ProjectionKind::O));
        assert_eq!(found.weights(ProjectionKind::Qkv), model.model().read_layer(layer, ProjectionKind::Qkv).unwrap());

        let Contents::Cache(cache) = contents("cache") else { panic!("the cache is one") };
        let (row, mut got) = (2 * KV_HEADS * HEAD_DIM, vec![0; 2 * KV_HEADS * HEAD_DIM]);
        let keys: Vec<u8> =
            seeded(1, Stream::Keys, 0, history * row / 2).iter().flat_map(|bits| bits.to_le_bytes()).collect();
        for position in 0..56 {
            segment(56).get(cache, Plane::Key, position, &mut got);
            let there = (first..history).contains(&position);
            let want = if there { &keys[position * row..][..row] } else { &vec![0; row][..] };
            assert_eq!(got, want, "layer {layer}, position {position}");
        }
    }
}

#[test]
fn few_positions_take_the_kernels_for_decoding() {
    let found = of(Fabric { seq: 3, decode: true, ..Fabric::default() }, 0).unwrap();
    let plan = &found.plans[0];
    let kernels: Vec<&str> = plan.steps.iter().map(|step| step.kernel.as_str()).collect();
    assert_eq!(kernels, ["w8a16_decode_qkv_projection", "norm_rope", "decode_attention", "w8a16_decode_o_projection"]);
    // four rows are written, three are read
    assert_eq!(plan.buffers[plan.steps[0].args[2]].bytes, 2 * 4 * QKV);
    assert_eq!(plan.buffers[plan.output].bytes, 2 * 4 * HIDDEN);
    let without = of(Fabric { seq: 3, ..Fabric::default() }, 0).unwrap();
    assert_eq!(without.plans[0].steps[2].kernel, "scaled_attention");
}

#[test]
fn the_complete_method_comes_first() {
    let found = of(Fabric { complete: true, ..Fabric::default() }, GLOBAL).unwrap();
    let methods: Vec<_> = found.plans.iter().map(|plan| plan.method).collect();
    assert_eq!((methods, found.missing.len()), (vec![Method::Complete, Method::Modular], 0));
    let plan = &found.plans[0];
    assert_eq!(plan.programs.len(), 1);
    let o = Written::Bytes { buffer: plan.output, bytes: 2 * 8 * HIDDEN };
    assert_eq!(plan.steps[0].writes, [Written::NewPositions { buffer: plan.cache }, o]);
    let of_kernel =
        ["x", "qkv_weights", "o_weights", "w8a16_attention_tables", "cache", "o", "w8a16_attention_scratch"];
    assert_eq!(names(plan, 0), of_kernel);
}

/// What shares a buffer lies where the manifest says, wherever that is.
#[test]
fn operands_that_share_a_buffer_are_filled_by_the_manifest() {
    fn kernel(kernels: &mut [npu_package::Kernel]) -> &mut npu_package::Kernel {
        kernels.iter_mut().rfind(|kernel| kernel.kernel == "w8a16_attention").unwrap()
    }
    let apart: fn(&mut Vec<npu_package::Kernel>) = |kernels| {
        // in another order than the fabric's, the first one late
        let [.., tables, _, _, _] = &mut kernel(kernels).args[..] else { panic!("seven buffers") };
        tables.parts.rotate_left(2);
        let mut end = 8192;
        for part in &mut tables.parts {
            part.offset = end;
            end += part.bytes.next_multiple_of(PART_ALIGN);
        }
        tables.bytes = end;
    };
    let (_model, model) = packed();
    let buffer = |fabric: Fabric| {
        let (_package, package) = fabric.written();
        let found = prepared(&package, &model, GLOBAL, 8, 0)?;
        let [Plan { method: Method::Complete, buffers, steps, .. }, _] = &found.plans[..] else {
            panic!("{:?}", found.missing)
        };
        let Contents::Bytes(bytes) = &buffers[steps[0].args[3]].contents else { panic!("the tables are filled") };
        Ok::<_, AttendError>(bytes.clone())
    };
    let norms = model.model().read_layer(GLOBAL, LayerFile::Norms).unwrap();
    let mut rotations = vec![0; 11 * 1024];
    RopeTable::new(HEAD_DIM, 1e6, 8.0, RopeLimbs::Two).unwrap().fill(0, &mut rotations).unwrap();
    let fabric = || Fabric { complete: true, ..Fabric::default() };
    let plain = buffer(fabric()).unwrap();
    let moved = buffer(Fabric { change: apart, ..fabric() }).unwrap();
    let plan = [0x5A; 256];
    for (bytes, [at_norms, at_plan, at_rotations]) in [(plain, [0, 4096, 8192]), (moved, [20480, 24576, 8192])] {
        assert_eq!(bytes[at_norms..][..norms.len()], norms);
        assert_eq!(bytes[at_plan..][..plan.len()], plan);
        assert_eq!(bytes[at_rotations..][..rotations.len()], rotations);
    }

    let short: fn(&mut Vec<npu_package::Kernel>) = |kernels| kernel(kernels).args[3].parts[2].bytes -= 4096;
    let error = buffer(Fabric { change: short, ..fabric() }).unwrap_err();
    assert!(
        matches!(&error, AttendError::Mismatch(Mismatch::Argument { argument, needed: 8192, .. }) if argument == "rotations"),
        "{error}"
    );
    let strange: fn(&mut Vec<npu_package::Kernel>) = |kernels| kernel(kernels).args[3].parts[0].name = "who".to_owned();
    let error = buffer(Fabric { change: strange, ..fabric() }).unwrap_err();
    assert!(
        matches!(&error, AttendError::Mismatch(Mismatch::UnknownArgument { argument, .. }) if argument == "who"),
        "{error}"
    );
    let small: fn(&mut Vec<npu_package::Kernel>) = |kernels| kernel(kernels).args[6].parts[1].bytes = 64;
    let error = buffer(Fabric { change: small, ..fabric() }).unwrap_err();
    assert!(
        matches!(&error, AttendError::Mismatch(Mismatch::Argument { argument, found: 64, .. }) if argument == "q"),
        "{error}"
    );
    let written: fn(&mut Vec<npu_package::Kernel>) = |kernels| kernel(kernels).args[3].direction = Direction::Out;
    let error = buffer(Fabric { change: written, ..fabric() }).unwrap_err();
    assert!(
        matches!(&error, AttendError::Mismatch(Mismatch::UnknownArgument { argument, .. }) if argument == "tables"),
        "{error}"
    );
}

#[test]
fn kernels_of_the_weights_scales_and_of_the_cache_s_elements() {
    for (groups, infix) in [(None, ""), (Some(GroupSize::Of32), "group32_"), (Some(GroupSize::Of128), "group128_")] {
        for (cache, suffix) in [(KvFormat::Bf16, ""), (KvFormat::Int8, "_kv8")] {
            for (seq, decode, attention, few) in [(8, false, "scaled", ""), (3, true, "decode", "decode_")] {
                let made =
                    groups.map_or_else(|| Synthetic::int8(LAYERS), |size| Synthetic::grouped(LAYERS, size.inputs()));
                let fabric = Fabric { seq, decode, history: 20, groups, cache, ..Fabric::default() };
                let ((_package, package), (_model, model)) = (fabric.written(), packed_of(&made));
                assert_eq!(cache_of(&package), cache);
                let found = prepared(&package, &model, GLOBAL, seq, 20).unwrap();
                let plan = &found.plans[0];
                let kernels: Vec<&str> = plan.steps.iter().map(|step| step.kernel.as_str()).collect();
                let projection = |kind| format!("w8a16_{infix}{few}{kind}_projection");
                let [norm_rope, attention] = [format!("norm_rope{suffix}"), format!("{attention}_attention{suffix}")];
                assert_eq!(kernels, [&projection("qkv"), &norm_rope, &attention, &projection("o")]);
                let bytes = |name: &str| plan.buffers.iter().find(|buffer| buffer.name == name).unwrap().bytes;
                let panels = model.panels(ProjectionKind::Qkv).bytes();
                let segment = KvSegment::new(heads(cache), 48).unwrap();
                assert_eq!([bytes("qkv_weights"), bytes("cache")], [panels, segment.bytes()]);
                assert_eq!(plan.segment, segment);
            }
        }
    }
}

#[test]
fn what_bennu_compile_must_be_asked_for() {
    let remedy = |fabric: Fabric, made: Synthetic, method, seq| {
        let ((_package, package), (_model, model)) = (fabric.written(), packed_of(&made));
        let (x, cache) = (seeded(1, Stream::Hidden, 0, seq * HIDDEN), cache_of(&package));
        let past = Past::seeded(1, 20, None, heads(cache));
        let methods = &[method];
        let job = Job { package: &package, model: &model, layer: GLOBAL, seq, history: 20, cache, methods };
        let error = prepare(&job, &x, &past).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "Real NPU kernel requires MLIR-AIE2 compilation to NPU binary");
        error.remedy().unwrap()
    };
    let plain = || Fabric { history: 20, ..Fabric::default() };
    let coded = || Fabric { cache: KvFormat::Int8, ..plain() };
    let (int8, grouped) = (|| Synthetic::int8(LAYERS), |size| Synthetic::grouped(LAYERS, size));
    let (complete, modular) = (Method::Complete, Method::Modular);
    // weights of the model decide about scales, the package about the cache
    for (fabric, made, seq, options) in [
        (plain(), int8(), 9, "`bennu compile --seq 9 --history 20`"),
        (plain(), grouped(32), 8, "`bennu compile --seq 8 --history 20 --scales group32`"),
        (coded(), grouped(128), 8, "`bennu compile --seq 8 --history 20 --scales group128 --kv-cache int8`"),
        (coded(), int8(), 9, "`bennu compile --seq 9 --history 20 --kv-cache int8`"),
    ] {
        let found = remedy(fabric, made, modular, seq);
        assert!(found.contains(options), "{found}");
    }
    let found = remedy(plain(), int8(), complete, 8);
    assert!(found.contains("`bennu compile --seq 8 --history 20`"), "{found}");
    for (fabric, made, seq, reason) in [
        (plain(), int8(), 3, "for 3 positions"),
        (plain(), grouped(32), 8, "for weights with a scale for every 32 inputs"),
        (coded(), int8(), 8, "for an INT8 cache"),
    ] {
        let found = remedy(fabric, made, complete, seq);
        assert_eq!(
            found,
            format!("`bennu compile` has no complete kernel {reason}: leave --method away, or ask for modular")
        );
    }
    // without the kernel for prefill of a format, decoding of it still runs
    let change = |kernels: &mut Vec<npu_package::Kernel>| kernels.retain(|k| k.kernel != "scaled_attention_kv8");
    let found = remedy(Fabric { change, ..coded() }, int8(), modular, 8);
    assert!(found.contains("--seq 8 --history 20 --kv-cache int8"), "{found}");
    of(Fabric { change, seq: 3, decode: true, ..coded() }, GLOBAL).unwrap();
}

#[test]
fn a_kernel_that_is_not_there_is_the_refusal() {
    let ((_package, package), (_model, model)) = (Fabric::default().written(), packed());
    let error = prepared(&package, &model, 0, 9, 0).unwrap_err();
    assert_eq!(error.to_string(), "Real NPU kernel requires MLIR-AIE2 compilation to NPU binary");
    assert!(error.remedy().unwrap().contains("bennu compile --seq 9"));
    let AttendError::Refusal(Refusal::KernelNotCompiled { source, advice }) =
        prepared(&package, &model, 0, 8, 5).unwrap_err()
    else {
        panic!("a refusal")
    };
    assert!(matches!(source, PackageError::NoContext { history: 5, .. }), "{source}");
    assert!(Refusal::KernelNotCompiled { source, advice }.remedy().contains("bennu compile --seq 8 --history 5"));

    let nowhere = _package.path().join("nowhere");
    let error = open_package(&nowhere).unwrap_err();
    let sentence = format!("NPU binary not found: {} - compile kernels first", nowhere.display());
    assert_eq!(error.to_string(), sentence);
    let AttendError::Refusal(Refusal::BinaryMissing { path, .. }) = open_package(_package.path()).unwrap_err() else {
        panic!("a refusal")
    };
    assert!(path.ends_with("manifest.json"));
}

#[test]
fn damage_is_found_before_anything_runs() {
    let ((_package, package), (_model, model)) = (Fabric::default().written(), packed());
    let file = model.model().layer_path(3, LayerFile::Norms).unwrap();
    let flip = |path: &std::path::Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[40] ^= 4;
        fs::write(path, bytes).unwrap();
    };
    flip(&file);
    prepared(&package, &model, 0, 8, 0).unwrap();
    let text = refused(prepared(&package, &model, 3, 8, 0));
    assert!(text.contains("layer_003.norms.bin"), "{text}");
    flip(&model.model().layer_path(0, ProjectionKind::O).unwrap());
    assert!(refused(prepared(&package, &model, 0, 8, 0)).contains("layer_000.o.bin"));
    flip(&package.path().join("norm_rope_local_s8.pdi"));
    let error = prepared(&package, &model, 1, 8, 0).unwrap_err();
    assert!(
        matches!(&error, AttendError::Package(PackageError::Digest { name, .. }) if name == "norm_rope_local_s8.pdi")
    );
    assert!(error.remedy().unwrap().contains("bennu compile"));
    flip(&package.path().join("norm_rope_local_s8.pdi"));
    fs::remove_file(package.path().join("norm_rope_local_s8.txn")).unwrap();
    assert!(refused(prepared(&package, &model, 1, 8, 0)).starts_with("NPU binary not found: "));
}

#[test]
fn contradictions_are_named() {
    let mismatch = |change: fn(&mut Vec<npu_package::Kernel>), layer| {
        let AttendError::Mismatch(found) = of(Fabric { change, ..Fabric::default() }, layer).map(|_| ()).unwrap_err()
        else {
            panic!("a mismatch")
        };
        found
    };
    fn args(kernels: &mut [npu_package::Kernel], name: &str, argument: &str, bytes: u64) {
        let kernel = kernels.iter_mut().find(|kernel| kernel.kernel == name).unwrap();
        kernel.args.iter_mut().find(|arg| arg.name == argument).unwrap().bytes = bytes;
    }
    fn slots(kernels: &mut [npu_package::Kernel], name: &str, slots: usize) {
        kernels.iter_mut().filter(|k| k.kernel == name).for_each(|k| k.context.as_mut().unwrap().slots = slots);
    }
    assert_eq!(
        mismatch(|kernels| args(kernels, "w8a16_qkv_projection", "x", 100), 0).to_string(),
        "kernel w8a16_qkv_projection: buffer x has 100 bytes, the call needs 4096"
    );
    assert!(matches!(
        mismatch(|kernels| args(kernels, "norm_rope", "rotations", 7 * 1024), 0),
        Mismatch::Argument { needed: 8192, .. }
    ));
    assert!(matches!(
        mismatch(|kernels| args(kernels, "w8a16_o_projection", "o", 4095), 0),
        Mismatch::Argument { needed: 4096, .. }
    ));
    let renamed = mismatch(
        |kernels| {
            kernels
                .iter_mut()
                .for_each(|k| k.args.iter_mut().filter(|a| a.name == "norms").for_each(|a| a.name = "n".into()))
        },
        0,
    );
    assert_eq!(renamed, Mismatch::UnknownArgument { kernel: "norm_rope".into(), argument: "n".into() });
    assert!(matches!(
        mismatch(|k| slots(k, "norm_rope", 56), 0),
        Mismatch::Caches { first_slots: 56, second_slots: 48, .. }
    ));
    assert!(matches!(mismatch(|k| slots(k, "norm_rope", 0), 0), Mismatch::Cache { slots: 0, .. }));
    let window = |kernels: &mut Vec<npu_package::Kernel>| {
        kernels.iter_mut().filter_map(|k| k.context.as_mut()).for_each(|at| at.window = at.window.map(|_| 64));
    };
    assert!(matches!(mismatch(window, 0), Mismatch::Cache { window: Some(64), model_window: Some(32), .. }));
    of(Fabric { change: window, ..Fabric::default() }, GLOBAL).unwrap();
}

#[test]
fn jobs_that_the_model_does_not_have() {
    let ((_package, package), (_model, model)) = (Fabric::default().written(), packed());
    assert!(refused(prepared(&package, &model, 6, 8, 0)).contains("layer 6 was asked for; the model has 6"));
    assert!(refused(prepared(&package, &model, 0, 0, 0)).contains("at least one new one"));
    assert!(refused(prepared(&package, &model, 0, 8, 131_065)).contains("131065 earlier and 8 new positions"));
    let cache = KvFormat::Bf16;
    let job = Job { package: &package, model: &model, layer: 0, seq: 8, history: 0, cache, methods: &Method::ALL };
    let (mut x, none) = (seeded(1, Stream::Hidden, 0, 8 * HIDDEN), Past::empty(heads(cache)));
    let with = |x: &[u16], past: &Past| refused(prepare(&job, x, past));
    assert!(with(&x[1..], &none).contains("2047 elements of x were given; 8 positions of 256 are needed"));
    x[2 * HIDDEN + 7] = 0x7F80;
    assert_eq!(with(&x, &none), "input x, row 2, column 7: inf is not finite");
    let mut past = Past::seeded(1, 9, None, heads(cache));
    past.values[2 * KV_HEADS * HEAD_DIM..][..2].copy_from_slice(&0x7FC0u16.to_le_bytes());
    assert_eq!(
        with(&seeded(1, Stream::Hidden, 0, 8 * HIDDEN), &past),
        "input values, row 1, column 0: NaN is not finite"
    );
    let later = Job { history: 12, ..job };
    let short = Past::seeded(1, 9, None, heads(cache));
    let text = refused(prepare(&later, &seeded(1, Stream::Hidden, 0, 8 * HIDDEN), &short));
    assert!(text.contains("positions 0 to 9 are given; the first new position, 12, sees others"), "{text}");
    let coded = Past::seeded(1, 12, None, heads(KvFormat::Int8));
    let text = refused(prepare(&later, &seeded(1, Stream::Hidden, 0, 8 * HIDDEN), &coded));
    assert_eq!(text, "keys and values are given in INT8; the kernels' cache is BF16");
}

#[test]
fn a_package_of_another_model_or_device() {
    let ((_package, package), (_model, model)) = (Fabric::default().written(), packed());
    let manifest = package.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from));
        fs::write(&manifest, text.replacen(from, to, 1)).unwrap();
        refused(prepared(&Package::open(package.path()).unwrap(), &model, 0, 8, 0))
    };
    assert!(edited("\"device\": \"npu1\"", "\"device\": \"npu4\"").contains("for device \"npu4\""));
    assert!(
        edited("\"hidden\": 256", "\"hidden\": 512")
            .contains("hidden size is 512, the packed model of one whose hidden size is 256")
    );
    assert!(edited("\"kv_heads\": 2", "\"kv_heads\": 1").contains("number of key-value heads is 1"));
    fs::write(&manifest, &text).unwrap();

    let packed = model.model().path().join("packed.json");
    let text = fs::read_to_string(&packed).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&packed, text.replacen(from, to, 1)).unwrap();
        let model = PackedWeights::open(model.model().path()).unwrap();
        refused(prepared(&package, &model, 0, 8, 0))
    };
    assert!(
        edited("\"rms_norm_eps\": 1e-6", "\"rms_norm_eps\": 1e-5").contains("an epsilon of 1e-5, the kernels' of 1e-6")
    );
    fs::write(&packed, text.replacen("\"scheme\": \"w8a8\"", "\"scheme\": \"w4\"", 1)).unwrap();
    let unknown = PackedWeights::open(model.model().path()).err().map(|error| error.to_string());
    assert!(unknown.as_deref().is_some_and(|text| text.contains("\"w4\"")), "{unknown:?}");

    assert_eq!(HeadNorm::EPSILON, 1e-6);
}

#[test]
fn streams_that_leave_their_buffers_are_not_run() {
    let short = |kernels: &mut Vec<npu_package::Kernel>| {
        // The stream was made for 8 KiB more.
        let kernel = kernels.iter_mut().find(|kernel| kernel.kernel == "scaled_attention").unwrap();
        kernel.args[3].name = "scratch".to_owned();
        kernel.args[3].direction = Direction::Scratch;
        kernel.args[3].bytes = 64;
    };
    let ((_package, package), (_model, model)) =
        (Fabric { seq: 16, change: short, ..Fabric::default() }.written(), packed());
    let error = prepared(&package, &model, 0, 16, 0).unwrap_err();
    assert_eq!(error.to_string(), "the stream of kernel scaled_attention is not run");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("reaches byte 16384 of host buffer 3, which has 8192"), "{cause}");
}

#[test]
fn memory_is_counted_before_it_is_asked_for() {
    let found = of(Fabric { complete: true, ..Fabric::default() }, GLOBAL).unwrap();
    let needed = found.plans.iter().map(Plan::host_bytes).max().unwrap();
    found.check_memory(needed).unwrap();
    let AttendError::Refusal(Refusal::MemoryExhausted { source }) = found.check_memory(needed - 1).unwrap_err() else {
        panic!("a refusal")
    };
    let MemoryCause::Plan { tier: "DDR", available, largest_context, .. } = source else { panic!("{source}") };
    // 1 KiB a position; one byte is missing
    assert_eq!((available, largest_context), (needed - 1, Some(47)));
    let heap = found.plans.iter().map(Plan::heap_bytes).collect::<Vec<_>>();
    // a configuration and a stream for each kernel, four command pages
    assert_eq!(heap, [(1 + 1 + 4) << 15, (4 + 4 + 4) << 15]);
}

#[test]
fn kernels_with_more_buffers_than_some_drivers_pass_on() {
    let many = |kernels: &mut Vec<npu_package::Kernel>| {
        for kernel in kernels.iter_mut().filter(|kernel| kernel.kernel == "w8a16_attention") {
            for index in 7..8 {
                let mut more = kernel.args[6].clone();
                (more.index, more.name) = (index, format!("scratch_{index}"));
                more.parts.clear();
                kernel.args.push(more);
            }
        }
    };
    let found = of(Fabric { complete: true, change: many, ..Fabric::default() }, 0).unwrap();
    assert_eq!(found.plans.len(), 1);
    assert_eq!(found.missing[0].1.to_string(), "kernel w8a16_attention has 8 host buffers; every driver passes on 7");
}
