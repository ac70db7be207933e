//! `gemma::attend` from end to end: a package and a packed model on disk, the scripted driver, and behind its commands the simulated array. Every command
//! loads its PDI from the device memory that the program filled, runs the stream on the buffers whose addresses stand in its packet, and what comes out is
//! bit for bit what the specifications say.

#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use aie2_kernels::attention::scaled::{self, ScaledAttention};
use aie2_kernels::attention_decode::{self, DecodeAttention};
use aie2_kernels::attention_layer::AttentionLayer;
use aie2_kernels::decode_projection::DecodeProjection;
use aie2_kernels::norm_rope::{self, Buffers, CacheRun, Place};
use aie2_kernels::w8a16_groups::GroupProjection;
use aie2_kernels::w8a16_groups::decode::GroupDecodeProjection;
use aie2_kernels::{Compiled, Dtype, Operand, WeightScales, w8a16};
use aie2_sim::{BufferId, Config, Machine};
use amdxdna::Options;
use amdxdna_fake::{Driver, Execution, FakeKernel, Outcome};
use bennu_lab::attention::REL_ERROR_MAX_KV8;
use bennu_lab::case::Case;
use bennu_lab::layer::{HEAD_DIM, HEADS, KV_HEADS, Layer as LabLayer, halves};
use gemma::attend::{Done, Job, Method, Observer, Past, Plan, RunOptions, Session, Stream, cache_of, prepare, seeded};
use gemma::{Checkpoint, PackedWeights, Unwatched};
use npu_container::xclbin;
use npu_package::layout::{
    Activations, DECODE_TOKENS, GroupSize, HeadNorm, KV_GROUP_SLOTS, KvFormat, KvHeads, KvRing, KvSegment, Panels,
    Plane, ProjectionKind, ProjectionShape, RopeLimbs, RopeTable, names,
};
use npu_package::{
    Argument, Bound, Context, Direction, Files, Kernel, Layer, LayerFile, Manifest, Package, PackageWriter, Part,
    Producer, Program, Report,
};
use oracle::attention::{HeadProblem, Precision};
use oracle::flash;
use oracle::model::{AttentionConfig, AttentionWeights, LayerKind, Linear, Values};
use safetensors::Dtype as Stored;
use synthetic::{Synthetic, Tensor, encode, values};
use tempfile::TempDir;

const HIDDEN: usize = 256;
const LAYERS: usize = 6;
const WINDOW: usize = 32;
const SEED: u64 = 11;
const QKV: usize = (HEADS + 2 * KV_HEADS) * HEAD_DIM;

fn checkpoint() -> Synthetic {
    checkpoint_of(None)
}

fn checkpoint_of(groups: Option<GroupSize>) -> Synthetic {
    let mut made = groups.map_or_else(|| Synthetic::int8(LAYERS), |size| Synthetic::grouped(LAYERS, size.inputs()));
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    for layer in 0..LAYERS {
        let shapes = [[q, HIDDEN], [kv, HIDDEN], [kv, HIDDEN], [HIDDEN, q]];
        for (projection, [rows, columns]) in synthetic::PROJECTIONS.iter().zip(shapes) {
            let name = made.name(layer, projection);
            let codes = values(&format!("{name} codes"), rows * columns);
            let data = codes.iter().map(|v| (v * 128.0).floor() as i8 as u8).collect();
            let of_row = groups.map_or(1, |size| columns / size.inputs());
            let scales: Vec<f32> = values(&name, rows * of_row).iter().map(|v| 5e-4 + v.abs() / 2e3).collect();
            made.put(&format!("{name}_scale"), Stored::BF16, vec![rows, of_row], encode(Stored::BF16, &scales));
            made.tensors.insert(name, Tensor { dtype: Stored::I8, shape: vec![rows, columns], data });
        }
    }
    for (field, value) in
        [("num_attention_heads", HEADS), ("num_key_value_heads", KV_HEADS), ("query_pre_attn_scalar", 168)]
    {
        made.config[field] = value.into();
    }
    made
}

fn packed() -> (TempDir, PackedWeights) {
    packed_of(&checkpoint())
}

fn packed_of(made: &Synthetic) -> (TempDir, PackedWeights) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packed");
    gemma::pack(&Checkpoint::open(made.saved().path()).unwrap(), &path, false, &Unwatched).unwrap();
    let weights = PackedWeights::open(&path).unwrap();
    (dir, weights)
}

/// What a package has of a kernel beside its binaries.
struct Listed {
    compiled: Compiled,
    context: Option<Context>,
    plan: Option<Vec<u8>>,
}

/// What kernels are to be for.
#[derive(Clone, Copy)]
struct Formats {
    groups: Option<GroupSize>,
    cache: KvFormat,
}

const PLAIN: Formats = Formats { groups: None, cache: KvFormat::Bf16 };

/// Projections of weights with group scales.
fn grouped(panels: [Panels; 2], seq: usize, size: GroupSize) -> Vec<Compiled> {
    let mut all = panels.map(|panels| GroupProjection::new(seq, panels, size).unwrap().compile().unwrap()).to_vec();
    if seq <= DECODE_TOKENS {
        all.extend(panels.map(|panels| GroupDecodeProjection::new(seq, panels, size).unwrap().compile().unwrap()));
    }
    all
}

/// The kernels of both methods for one length and both kinds of layer, as far as there are some for the formats.
fn kernels(model: &npu_package::ModelDims, seq: usize, history: usize, formats: Formats) -> Vec<Listed> {
    let plain = |compiled| Listed { compiled, context: None, plan: None };
    let panels = ProjectionKind::ALL.map(|kind| model.panels(kind).unwrap());
    let mut all: Vec<Listed> = match formats.groups {
        Some(size) => grouped(panels, seq, size).into_iter().map(plain).collect(),
        None => panels
            .iter()
            .map(|&panels| plain(w8a16::projection(seq, panels, WeightScales::PerChannel).unwrap().compile().unwrap()))
            .collect(),
    };
    let decodes = seq <= DECODE_TOKENS;
    if decodes && formats.groups.is_none() {
        let decoding = |panels| {
            DecodeProjection::new(seq, panels, Activations::Int16, WeightScales::PerChannel).unwrap().compile().unwrap()
        };
        all.extend(panels.map(decoding).map(plain));
    }
    let heads = heads(formats.cache);
    for layer in Layer::ALL {
        let ring = (layer == Layer::Local).then(|| KvRing::new(WINDOW, seq.max(8)).unwrap());
        let slots = ring.map_or((history + seq + 8).next_multiple_of(KV_GROUP_SLOTS), |ring| ring.slots());
        let context = Some(Context { layer, history, slots, window: ring.map(|ring| ring.window()) });
        let segment = KvSegment::new(heads, slots).unwrap();

        let place = |arg| Place { arg, offset: 0 };
        let buffers = Buffers { qkv: place(0), weights: place(1), tables: place(2), q: place(3) };
        let runs = match ring {
            Some(ring) => CacheRun::ring(place(4), segment, ring, history, seq).unwrap(),
            None => vec![CacheRun { place: place(4), segment, slot: history, tokens: seq }],
        };
        let call = match formats.cache {
            KvFormat::Bf16 => norm_rope::Call::new(buffers, runs).unwrap(),
            KvFormat::Int8 => norm_rope::Call::kv8(buffers, place(5), runs).unwrap(),
        };
        let mut compiled = norm_rope::compile(std::slice::from_ref(&call)).unwrap();
        let input = |name, bytes| Operand::input(name, bytes, Dtype::U8, vec![bytes], names::OPAQUE);
        let output = |name, bytes| Operand::output(name, bytes, Dtype::U8, vec![bytes], names::OPAQUE);
        compiled.operands = vec![
            input("qkv", 2 * seq * QKV),
            input("norms", 2 * HeadNorm::new(HEAD_DIM).unwrap().bytes()),
            input("rotations", 1024 * call.tables()),
            output("q", 2 * seq * HEADS * HEAD_DIM),
            output("cache", segment.bytes()),
        ];
        if formats.cache == KvFormat::Int8 {
            compiled.operands.push(Operand::scratch("scratch", norm_rope::SCRATCH_BYTES));
        }
        all.push(Listed { compiled, context, plan: None });

        let (compiled, plan) = if decodes {
            let cache = ring.map_or(attention_decode::Cache::Global { slots }, attention_decode::Cache::Local);
            let kernel = DecodeAttention::new(heads, HEADS, cache, history, seq).unwrap();
            (kernel.compile().unwrap(), kernel.plan_bytes().to_vec())
        } else {
            let cache = ring.map_or_else(|| scaled::Cache::linear(slots).unwrap(), scaled::Cache::Ring);
            let kernel = ScaledAttention::new(seq, history, KV_HEADS, cache).unwrap();
            (kernel.compile().unwrap(), kernel.plan())
        };
        all.push(Listed { compiled, context, plan: Some(plan) });

        if !decodes && formats.groups.is_none() && formats.cache == KvFormat::Bf16 {
            let cache = ring.map_or_else(|| scaled::Cache::linear(slots).unwrap(), scaled::Cache::Ring);
            let [qkv, o] = panels;
            let kernel = AttentionLayer::new(seq, history, qkv, o, Activations::Int16, heads, cache).unwrap();
            all.push(Listed { compiled: kernel.compile().unwrap(), context, plan: Some(kernel.plan()) });
        }
    }
    all
}

fn heads(format: KvFormat) -> KvHeads {
    KvHeads::new(KV_HEADS, HEAD_DIM, format).unwrap()
}

fn write(path: &Path, model: &npu_package::ModelDims, seq: usize, history: usize, formats: Formats) {
    let mut writer = PackageWriter::create(path, false).unwrap();
    let mut listed = Vec::new();
    for Listed { compiled, context, plan } in kernels(model, seq, history, formats) {
        let stem = format!("{}{}_s{seq}", compiled.kernel, context.map_or("", |at| at.layer.name()));
        let files = Files { pdi: format!("{stem}.pdi"), xclbin: format!("{stem}.xclbin"), txn: format!("{stem}.txn") };
        let container =
            xclbin::Builder::new(compiled.kernel, "lab", &compiled.pdi, 4, compiled.operands.len(), [1; 16]);
        writer.add_file(&files.pdi, &compiled.pdi).unwrap();
        writer.add_file(&files.xclbin, &container.write().unwrap()).unwrap();
        writer.add_file(&files.txn, &compiled.txn).unwrap();
        let mut programs = Vec::new();
        for (&(column, row), core) in &compiled.cores {
            let file = format!("{stem}.{column}.{row}.core.bin");
            writer.add_file(&file, &core.bytes).unwrap();
            programs.push(Program {
                tile: [column, row],
                file,
                bytes: core.bytes.len() as u64,
                symbols: core.symbols.clone(),
                early_reads: core.early_reads.clone(),
                partial_locks: core.partial_locks.clone(),
            });
        }
        let argument = |(index, operand): (usize, &Operand)| {
            let file = |name: &str| plan.as_ref().filter(|_| name == "plan").map(|_| format!("{stem}.plan.bin"));
            let part = |(offset, part): &(usize, Operand)| Part {
                name: part.name.to_owned(),
                offset: *offset as u64,
                bytes: part.bytes as u64,
                dtype: npu_package::Dtype::U8,
                shape: vec![part.bytes],
                layout: names::OPAQUE.to_owned(),
                file: file(part.name),
            };
            Argument {
                index,
                name: operand.name.to_owned(),
                direction: match operand.direction {
                    aie2_kernels::Direction::In => Direction::In,
                    aie2_kernels::Direction::Out => Direction::Out,
                    aie2_kernels::Direction::Scratch => Direction::Scratch,
                },
                bytes: operand.bytes as u64,
                dtype: npu_package::Dtype::U8,
                shape: vec![operand.bytes],
                layout: names::OPAQUE.to_owned(),
                file: file(operand.name),
                parts: operand.parts.iter().map(part).collect(),
            }
        };
        let args: Vec<Argument> = compiled.operands.iter().enumerate().map(argument).collect();
        if let Some(plan) = &plan {
            writer.add_file(&format!("{stem}.plan.bin"), plan).unwrap();
        }
        listed.push(Kernel {
            kernel: compiled.kernel.to_owned(),
            seq,
            numerics: "w8a16".to_owned(),
            context,
            tiles: 16,
            columns: usize::from(compiled.columns),
            args,
            files,
            instruction_words: compiled.txn.len() / 4,
            programs,
            report: Report::new(Bound::new("vec", 0)),
        });
    }
    let producer = Producer { name: "bennu-lab".to_owned(), version: "0".to_owned() };
    let device = "npu1".to_owned();
    let manifest = Manifest {
        format_version: 0,
        producer,
        device,
        model: model.clone(),
        kernels: listed,
        digests: Default::default(),
    };
    writer.finish(manifest).unwrap();
}

/// What the array needs to know of a step beside what the driver gives it.
struct Hardware {
    pdi_bytes: usize,
    /// Bytes, and whether anybody but the kernel looks at them.
    buffers: Vec<(usize, bool)>,
    programs: Vec<Program>,
}

impl Hardware {
    fn of(package: &Package, plan: &Plan) -> Vec<Self> {
        let step = |step: &gemma::attend::Step| {
            let kernels = &package.manifest().kernels;
            let kernel = kernels.iter().find(|listed| listed.kernel == step.kernel).unwrap();
            let buffers = step.args.iter().zip(&kernel.args);
            Hardware {
                pdi_bytes: plan.programs[step.program].pdi.len(),
                buffers: buffers
                    .map(|(&buffer, arg)| {
                        (plan.buffers[buffer].bytes, arg.direction != Direction::Scratch || arg.name == "cache")
                    })
                    .collect(),
                programs: kernel.programs.clone(),
            }
        };
        plan.steps.iter().map(step).collect()
    }

    /// Runs a command on an array fresh from its PDI.
    fn run(&self, command: &mut Execution<'_>) -> Outcome {
        let mut machine = Machine::new(Config::default());
        machine.load_pdi(&command.read(command.pdi_address(), self.pdi_bytes)).unwrap();
        for program in &self.programs {
            let core = machine.core_mut(program.tile[0], program.tile[1]).unwrap();
            core.allow_early_reads(program.early_reads.iter().copied());
            core.allow_partial_locks(program.partial_locks.iter().copied());
        }
        let mut ids: Vec<BufferId> = Vec::new();
        for (index, &(bytes, _)) in self.buffers.iter().enumerate() {
            let id = machine.alloc(&format!("buffer {index}"), bytes);
            machine.write_buffer(id, 0, &command.read(command.host_address(index), bytes)).unwrap();
            ids.push(id);
        }
        machine.run(&command.stream(), &ids).unwrap_or_else(|error| panic!("command {}: {error}", command.sequence()));
        for (index, id) in ids.into_iter().enumerate().filter(|&(index, _)| self.buffers[index].1) {
            let contents = machine.read_buffer(id).unwrap();
            command.write(command.host_address(index), &contents);
        }
        Outcome::completed()
    }
}

struct Silent;

impl Observer for Silent {
    fn failed(&mut self, method: Method, error: &(dyn std::error::Error + 'static)) {
        panic!("{method:?}: {error}");
    }
}

/// A layer's attention by the driver and the simulated array, one kernel after the other.
fn attend(model: &PackedWeights, layer: usize, seq: usize, history: usize) -> (Done, Vec<u16>, Past) {
    attend_by(Method::Modular, model, layer, seq, history)
}

fn attend_by(
    method: Method,
    model: &PackedWeights,
    layer: usize,
    seq: usize,
    history: usize,
) -> (Done, Vec<u16>, Past) {
    run_attend(method, model, layer, seq, history, PLAIN, |_, _| ())
}

/// The same; `watch` sees each command's place and buffers when it has run.
fn run_attend(
    method: Method,
    model: &PackedWeights,
    layer: usize,
    seq: usize,
    history: usize,
    formats: Formats,
    watch: impl Fn(usize, &Execution<'_>) + Send + 'static,
) -> (Done, Vec<u16>, Past) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("package");
    write(&path, &model.model().description().model, seq, history, formats);
    let package = Package::open(&path).unwrap();
    let window = (layer != LAYERS - 1).then_some(WINDOW);
    let x = seeded(SEED, Stream::Hidden, 0, seq * HIDDEN);
    let past = Past::seeded(SEED, history, window, heads(formats.cache));
    let cache = cache_of(&package);
    let job = Job { package: &package, model, layer, seq, history, cache, methods: &[method] };
    let prepared = prepare(&job, &x, &past).unwrap();
    let hardware = Hardware::of(&package, &prepared.plans[0]);
    let fake = FakeKernel::new(Driver::current());
    let order = Arc::new(Mutex::new(0..hardware.len()));
    fake.on_execute(move |command| {
        let step = order.lock().unwrap().next().unwrap();
        let outcome = hardware[step].run(command);
        watch(step, command);
        outcome
    });
    let session = Session::new(fake.open(Options::default()).unwrap());
    let done = session.run(&prepared, &RunOptions::default(), &AtomicBool::new(false), &mut Silent).unwrap();
    drop(session);
    assert!(fake.counts().is_zero());
    (done, x, past)
}

fn config() -> AttentionConfig {
    AttentionConfig { hidden: HIDDEN, window: WINDOW, ..AttentionConfig::gemma3_27b() }
}

fn kind(layer: usize) -> LayerKind {
    if layer == LAYERS - 1 { LayerKind::Global } else { LayerKind::Local }
}

/// Outputs of a projection by its specification.
fn projected(model: &PackedWeights, layer: usize, which: ProjectionKind, x: &[u16]) -> Vec<u16> {
    let panels = *model.panels(which);
    let shape = ProjectionShape::with_activations(x.len() / panels.inputs(), panels, Activations::Int16).unwrap();
    let mut case = Case::of_layer(shape, model.model(), layer, 0).unwrap();
    case.x = x.to_vec();
    case.expected().y
}

/// Queries, keys and values of the new positions behind norm and rotation, by specification.
fn turned(model: &PackedWeights, layer: usize, x: &[u16], history: usize) -> [Vec<u16>; 3] {
    let seq = x.len() / HIDDEN;
    let qkv = projected(model, layer, ProjectionKind::Qkv, x);
    let norms = halves(&model.model().read_layer(layer, LayerFile::Norms).unwrap());
    let rope = config().rope(kind(layer));
    let table = RopeTable::new(HEAD_DIM, rope.theta, rope.factor, RopeLimbs::Two).unwrap();
    let mut tables = vec![0; table.bytes(seq).unwrap()];
    table.fill(history, &mut tables).unwrap();
    let tables = halves(&tables);
    let (mut q, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (token, projected) in qkv.chunks_exact(QKV).enumerate() {
        let table = &tables[token * 4 * HEAD_DIM..][..4 * HEAD_DIM];
        for (head, x) in projected.chunks_exact(HEAD_DIM).enumerate() {
            let turned =
                |norm: usize| oracle::norm_rope::norm_rope(x, &norms[norm * 2 * HEAD_DIM..][..2 * HEAD_DIM], table);
            match head {
                _ if head < HEADS => q.extend(turned(0)),
                _ if head < HEADS + KV_HEADS => keys.extend(turned(1)),
                _ => values.extend_from_slice(x),
            }
        }
    }
    [q, keys, values]
}

/// The chain of specifications of a prefill: output, and keys and values of the new positions.
fn specified(model: &PackedWeights, layer: usize, x: &[u16], past: &Past, history: usize) -> [Vec<u16>; 3] {
    let (seq, row) = (x.len() / HIDDEN, KV_HEADS * HEAD_DIM);
    let [q, keys, values] = turned(model, layer, x, history);
    let by_position = |old: &[u16], new: &[u16], head: usize| -> Vec<u16> {
        let rows = [&vec![0; past.first * row][..], old, new].concat();
        rows.chunks_exact(row).flat_map(|row| row[head * HEAD_DIM..][..HEAD_DIM].to_vec()).collect()
    };
    let mut ctx = vec![0; seq * HEADS * HEAD_DIM];
    let width = flash::HEAD_DIM * HEADS / KV_HEADS;
    for head in 0..KV_HEADS {
        let q: Vec<u16> = q.chunks_exact(HEADS * HEAD_DIM).flat_map(|q| q[head * width..][..width].to_vec()).collect();
        let (k, v) = (by_position(&halves(&past.keys), &keys, head), by_position(&halves(&past.values), &values, head));
        let out = flash::head(&q, HEADS / KV_HEADS, &k, &v, &config().mask(kind(layer)));
        for (token, out) in out.chunks_exact(width).enumerate() {
            ctx[token * HEADS * HEAD_DIM + head * width..][..width].copy_from_slice(out);
        }
    }
    [projected(model, layer, ProjectionKind::O, &ctx), keys, values]
}

/// New positions of a cache, by plane.
fn new_rows(done: &Done, history: usize) -> [Vec<u16>; 2] {
    let at = 2 * (history - done.past.first) * KV_HEADS * HEAD_DIM;
    [halves(&done.past.keys[at..]), halves(&done.past.values[at..])]
}

#[test]
fn a_prefill_behind_a_history_is_the_chain_of_specifications() {
    let (_dir, model) = packed();
    let (seq, history) = (8, 20);
    for layer in [0, LAYERS - 1] {
        let (done, x, past) = attend(&model, layer, seq, history);
        let [o, keys, values] = specified(&model, layer, &x, &past, history);
        assert_eq!(done.output, o, "layer {layer}");
        assert_eq!(new_rows(&done, history), [keys, values], "layer {layer}");
    }
}

#[test]
fn the_complete_kernel_is_the_same_chain() {
    let (_dir, model) = packed();
    let (seq, history) = (8, 20);
    for layer in [3, LAYERS - 1] {
        let (done, x, past) = attend_by(Method::Complete, &model, layer, seq, history);
        let [o, keys, values] = specified(&model, layer, &x, &past, history);
        assert_eq!(done.times.len(), 1);
        assert_eq!(done.output, o, "layer {layer}");
        assert_eq!(new_rows(&done, history), [keys, values], "layer {layer}");
    }
}

#[test]
fn a_ring_that_wraps_is_the_chain_of_specifications() {
    let (_dir, model) = packed();
    let (seq, history) = (5, 45);
    let (done, x, past) = attend(&model, 1, seq, history);
    let [o, keys, values] = specified(&model, 1, &x, &past, history);
    assert_eq!(done.output, o);
    // The next position sees 31 earlier ones, so all new ones are among them.
    assert_eq!(done.past.first, history + seq + 1 - WINDOW);
    assert_eq!(new_rows(&done, history), [keys, values]);
}

/// The kernels for decoding accumulate in another order than those of prefill; they are held against the same kernels called directly.
#[test]
fn decoded_positions_are_those_of_the_kernels_called_directly() {
    let (_dir, model) = packed();
    let (made, seq, history) = (checkpoint(), 3, 20);
    for layer in [2, LAYERS - 1] {
        let (done, x, past) = attend(&model, layer, seq, history);
        let linear = |module: &str| {
            let name = made.name(layer, module);
            let (weight, scale) = (&made.tensors[&name], &made.tensors[&format!("{name}_scale")]);
            let codes = weight.data.iter().map(|&code| code as i8).collect();
            Linear::new(
                weight.shape[0],
                weight.shape[1],
                Values::Int8 { codes, scales: halves(&scale.data), group: weight.shape[1] },
            )
        };
        let norm = |module: &str| {
            synthetic::decode(&made.tensors[&made.name(layer, module)]).into_iter().map(f64::from).collect()
        };
        let weights = AttentionWeights {
            q: linear("self_attn.q_proj"),
            k: linear("self_attn.k_proj"),
            v: linear("self_attn.v_proj"),
            o: linear("self_attn.o_proj"),
            q_norm: norm("self_attn.q_norm"),
            k_norm: norm("self_attn.k_norm"),
        };
        let mut direct = LabLayer::new(&config(), kind(layer), &weights, 8.max(history + seq)).unwrap();
        direct.append(&halves(&past.keys), &halves(&past.values)).unwrap();
        assert_eq!(direct.positions(), history, "the window holds the whole history");
        let step = direct.decode(&x).unwrap();
        assert_eq!(done.output, step.out, "layer {layer}");
        assert_eq!(
            new_rows(&done, history),
            [direct.cached(Plane::Key, history..history + seq), step.v],
            "layer {layer}"
        );
    }
}

#[test]
fn a_cache_is_handed_from_call_to_call() {
    let (_dir, model) = packed();
    let layer = LAYERS - 1;
    let (first, _, _) = attend(&model, layer, 8, 0);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cache.safetensors");
    first.past.write(&file, layer).unwrap();
    let past = Past::read(&file, layer, heads(KvFormat::Bf16)).unwrap();
    assert_eq!(past, first.past);
    // Sixteen positions at once are eight behind eight.
    let (whole, x, _) = attend(&model, layer, 16, 0);
    let [o, ..] = specified(&model, layer, &x[8 * HIDDEN..], &past, 8);
    assert_eq!(whole.output[8 * HIDDEN..], o);
}

/// Weights with group scales and an INT8 cache: projections and what norm and rotation store bit for bit, attention against float64 over the same codes.
#[test]
fn group_scales_and_an_int8_cache_decode_as_specified() {
    let (size, seq, history) = (GroupSize::Of32, 3, 20);
    let (_dir, model) = packed_of(&checkpoint_of(Some(size)));
    let formats = Formats { groups: Some(size), cache: KvFormat::Int8 };
    for layer in [2, LAYERS - 1] {
        let contexts = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&contexts);
        let watch = move |step: usize, command: &Execution<'_>| {
            if step == 2 {
                *seen.lock().unwrap() = command.read(command.host_address(3), 2 * seq * HEADS * HEAD_DIM);
            }
        };
        let (done, x, past) = run_attend(Method::Modular, &model, layer, seq, history, formats, watch);
        let kernels: Vec<&str> = done.times.iter().map(|step| step.kernel.as_str()).collect();
        assert_eq!(
            kernels,
            [
                "w8a16_group32_decode_qkv_projection",
                "norm_rope_kv8",
                "decode_attention_kv8",
                "w8a16_group32_decode_o_projection"
            ]
        );
        let [q, keys, values] = turned(&model, layer, &x, history);
        let row = heads(KvFormat::Int8).row_bytes();
        let stored = |rows: &[u16]| -> Vec<u8> {
            let of_token = |token: &[u16]| {
                let (codes, scales): (Vec<_>, Vec<_>) =
                    token.chunks_exact(HEAD_DIM).map(oracle::kv_int8::codes).unzip();
                let codes = codes.concat().into_iter().map(|code| code as u8);
                codes.chain(scales.into_iter().flat_map(f32::to_le_bytes)).collect::<Vec<u8>>()
            };
            rows.chunks_exact(KV_HEADS * HEAD_DIM).flat_map(of_token).collect()
        };
        let (at, new) = ((history - done.past.first) * row, [stored(&keys), stored(&values)]);
        assert_eq!([&done.past.keys[at..], &done.past.values[at..]], [&new[0][..], &new[1][..]], "layer {layer}");

        let ctx = halves(&contexts.lock().unwrap());
        assert_eq!(done.output, projected(&model, layer, ProjectionKind::O, &ctx), "layer {layer}");
        let exact = attended(&q, [(&past.keys, &new[0]), (&past.values, &new[1])], past.first, layer, seq);
        let found = ctx.iter().map(|&bits| f64::from(oracle::fp::widen(bits)));
        let error = oracle::w8a8::relative_frobenius(found, exact.iter().copied());
        assert!(error < REL_ERROR_MAX_KV8, "layer {layer}: {error:e}");
    }
}

/// Attention in float64 over codes and scales of earlier and of new positions, `[S][heads][128]`.
fn attended(q: &[u16], planes: [(&[u8], &[u8]); 2], first: usize, layer: usize, seq: usize) -> Vec<f64> {
    let (row, group) = (heads(KvFormat::Int8).row_bytes(), HEADS / KV_HEADS);
    let by_head = |(old, new): (&[u8], &[u8]), head: usize| -> Vec<f64> {
        let of_row = |row: &[u8]| -> Vec<f64> {
            let scale = &row[KV_HEADS * HEAD_DIM + 4 * head..][..4];
            let scale = f64::from(f32::from_le_bytes(scale.try_into().unwrap()));
            row[head * HEAD_DIM..][..HEAD_DIM].iter().map(|&code| f64::from(code as i8) * scale).collect()
        };
        let lost = vec![0.0; first * HEAD_DIM];
        lost.into_iter().chain(old.chunks_exact(row).chain(new.chunks_exact(row)).flat_map(of_row)).collect()
    };
    let mut out = vec![0.0; q.len()];
    for head in 0..KV_HEADS {
        let at = |token: usize, h: usize| (token * HEADS + head * group + h) * HEAD_DIM;
        let rows = (0..group).flat_map(|h| (0..seq).flat_map(move |token| at(token, h)..at(token, h) + HEAD_DIM));
        let problem = HeadProblem {
            head_dim: HEAD_DIM,
            mask: config().mask(kind(layer)),
            scale: std::f64::consts::LN_2,
            q: rows.map(|i| f64::from(oracle::fp::widen(q[i]))).collect(),
            group,
            k: by_head(planes[0], head),
            v: by_head(planes[1], head),
        };
        let answer = problem.direct(Precision::Exact);
        for (h, token) in (0..group).flat_map(|h| (0..seq).map(move |token| (h, token))) {
            out[at(token, h)..][..HEAD_DIM].copy_from_slice(&answer[(h * seq + token) * HEAD_DIM..][..HEAD_DIM]);
        }
    }
    out
}
