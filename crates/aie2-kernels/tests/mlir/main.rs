//! Modules for MLIR-AIE against bennu's own files: the module of every kernel is read again, turned into register words by the other
//! toolchain's rules, and compared with what the kernel's PDI and runtime stream do.

mod array;
mod dialect;
mod reader;

use std::collections::BTreeMap;

use aie2_array::{Design, Mm2s, Pattern, Place, Port, RingPhase, Runtime, S2mm, ShimBd, Tile, mlir};
use aie2_kernels::attention::scaled::{self, ScaledAttention};
use aie2_kernels::attention_decode::{self, DecodeAttention};
use aie2_kernels::attention_layer::AttentionLayer;
use aie2_kernels::decode_projection::DecodeProjection;
use aie2_kernels::norm_rope::{self, Buffers, CacheRun};
use aie2_kernels::w8a8::Projection;
use aie2_kernels::w8a16_groups::{GroupProjection, decode::GroupDecodeProjection};
use aie2_kernels::{Compiled, Dtype, GroupSize, KernelError, Operand, WeightScales, probe};
use npu_container::cdo::Command;
use npu_container::{elf, pdi, txn};
use npu_package::layout::{Activations, KvFormat, KvHeads, KvRing, KvSegment, Panels, ProjectionShape};

use array::{Array, Module};
use reader::Reader;

/// Names the ELF files, and gives what a loader puts into program memory.
struct Elves(BTreeMap<String, Vec<u32>>);

impl Elves {
    fn of(compiled: &Compiled) -> Self {
        let loaded = |(&(col, row), core): (&(u8, u8), &aie2_kernels::CoreBinary)| {
            let file = elf::write(&core.bytes).expect("a program that fits");
            let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
            // program header behind the header: offset at 56, address at 64, bytes in memory at 72
            let (offset, address, bytes) = (word(56) as usize, word(64), word(72) as usize);
            assert_eq!((address, bytes % 4), (0, 0));
            (Self::name((col, row)), (0..bytes / 4).map(|n| word(offset + 4 * n)).collect())
        };
        Elves(compiled.cores.iter().map(loaded).collect())
    }

    fn name((col, row): (u8, u8)) -> String {
        format!("core_{col}_{row}.elf")
    }

    fn file(core: (u8, u8)) -> Option<String> {
        Some(Self::name(core))
    }
}

/// Reads a module, and refuses it as the dialects would.
fn read(text: &str, elves: &Elves) -> Result<Module, String> {
    let module = Reader::module(text);
    dialect::check(&module)?;
    let module = array::of_module(&module, |name| elves.0[name].clone());
    for (at, buffers) in &module.buffers {
        let mut buffers = buffers.clone();
        buffers.sort();
        let memory = if at.1 == 1 { 512 << 10 } else { 64 << 10 };
        for (n, (offset, bytes, name)) in buffers.iter().enumerate() {
            let end = buffers.get(n + 1).map_or(memory, |next| next.0);
            if offset + bytes > end {
                return Err(format!("buffer {name} of {at:?} overlaps what is at {end:#x}"));
            }
        }
    }
    Ok(module)
}

/// The first difference between a module and a configuration with its stream. `head` operations of the sequence are no part of the stream.
fn difference(module: &Module, array: &Array, ops: &[txn::Op], head: usize) -> Option<String> {
    let theirs = &module.array;
    // what the module does not declare is 0
    let zero = |array: &Array| {
        let mut locks = array.locks.clone();
        locks.retain(|_, value| *value != 0);
        locks
    };
    let mut bds = theirs.bds.clone();
    for (place, words) in &mut bds {
        // another way to say the same words in the same order
        if array.bds.get(place).is_some_and(|ours| ours != words && array::merged(ours) == array::merged(words)) {
            words.clone_from(&array.bds[place]);
        }
    }
    // a buffer is initialised as a whole or not at all
    let mut data = theirs.data.clone();
    for (&(col, row), buffers) in &module.buffers {
        for &(address, bytes, _) in buffers {
            let first = npu_container::address::addr(col, row, address);
            let buffer = first..first + bytes;
            if array.data.range(buffer.clone()).next().is_some() {
                data.retain(|at, word| *word != 0 || !buffer.contains(at) || array.data.contains_key(at));
            }
        }
    }
    let parts = [
        ("locks", format!("{:?}", zero(theirs)), format!("{:?}", zero(array))),
        ("BDs", format!("{bds:x?}"), format!("{:x?}", array.bds)),
        ("starts", format!("{:x?}", theirs.starts), format!("{:x?}", array.starts)),
        ("circuits", format!("{:?}", theirs.circuits), format!("{:?}", array.circuits)),
        ("tokens", format!("{:?}", theirs.tokens), format!("{:?}", array.tokens)),
        ("data", format!("{data:x?}"), format!("{:x?}", array.data)),
        ("programs", format!("{:x?}", theirs.programs), format!("{:x?}", array.programs)),
        ("cascades", format!("{:?}", theirs.cascades), format!("{:?}", array.cascades)),
        ("operations", format!("{:x?}", &module.operations[head..]), format!("{ops:x?}")),
    ];
    parts.into_iter().find(|(_, a, b)| a != b).map(|(what, a, b)| {
        let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count().saturating_sub(80);
        format!("{what}: module {:.200}, configuration {:.200}", &a[at..], &b[at..])
    })
}

fn commands(pdi: &[u8]) -> Vec<Command> {
    pdi::read(pdi).expect("bennu's own PDI").commands
}

/// Text, array and operations of a kernel.
struct Judged {
    text: String,
    elves: Elves,
    array: Array,
    ops: Vec<txn::Op>,
    /// Operations of the module's sequence in front of the stream's.
    head: usize,
}

impl Judged {
    fn new(compiled: &Compiled) -> Self {
        Judged {
            text: compiled.mlir(Elves::file).unwrap_or_else(|error| panic!("{}: {error}", compiled.kernel)),
            elves: Elves::of(compiled),
            array: array::of_commands(&commands(&compiled.pdi), compiled.columns),
            ops: txn::read(&compiled.txn).expect("bennu's own stream").ops,
            head: 0,
        }
    }

    fn verdict(&self, text: &str) -> Option<String> {
        match read(text, &self.elves) {
            Ok(module) => difference(&module, &self.array, &self.ops, self.head),
            Err(refusal) => Some(refusal),
        }
    }
}

#[track_caller]
fn assert_same(compiled: &Compiled) {
    let judged = Judged::new(compiled);
    let verdict = judged.verdict(&judged.text);
    assert_eq!(verdict, None, "{}", compiled.kernel);
    // nothing was compared with nothing
    let Array { bds, starts, circuits, programs, .. } = &judged.array;
    assert!(!bds.is_empty() && !starts.is_empty() && !circuits.is_empty(), "{}", compiled.kernel);
    assert_eq!(programs.len(), compiled.cores.len(), "{}", compiled.kernel);
    let module = read(&judged.text, &judged.elves).expect("read before");
    assert_eq!((module.columns, module.arguments.len()), (usize::from(compiled.columns), compiled.operands.len()));
    // the codes of one head and lane are 528 words in a row, and the dialect's dimensions have 512
    let split = module.array.bds.iter().filter(|(place, words)| judged.array.bds[place] != **words).count();
    assert_eq!(
        split > 0,
        compiled.kernel == attention_decode::NAME_KV8,
        "{}: {split} BDs in other words",
        compiled.kernel
    );
}

fn panels() -> Panels {
    Panels::new(512, 512, 256, 256).expect("legal dimensions")
}

fn scales() -> WeightScales {
    WeightScales::PerChannel
}

#[test]
fn projections() {
    for activations in [Activations::Int16, Activations::Int8] {
        for panels in [panels(), Panels::output(512, 512).expect("legal dimensions")] {
            let shape = ProjectionShape::with_activations(17, panels, activations).expect("a legal shape");
            assert_same(&Projection::of(shape, scales()).expect("served").compile().expect("compiles"));
            let decode = DecodeProjection::new(3, panels, activations, scales()).expect("served");
            assert_same(&decode.compile().expect("compiles"));
        }
    }
}

#[test]
fn projections_with_scales_of_groups() {
    for size in GroupSize::ALL {
        let prefill = GroupProjection::new(17, panels().grouped(size), size).expect("served");
        assert_same(&prefill.compile().expect("compiles"));
        let decode = GroupDecodeProjection::new(2, panels().grouped(size), size).expect("served");
        assert_same(&decode.compile().expect("compiles"));
    }
}

/// Loops, BDs and streams of the projections follow their dimensions; norm, rotation and attention have the heads of the 27B everywhere here.
#[test]
fn dimensions_of_the_27b() {
    let qkv = Panels::new(5376, 4096, 2048, 2048).expect("legal dimensions");
    let o = Panels::output(4096, 5376).expect("legal dimensions");
    for panels in [qkv, o] {
        for activations in [Activations::Int16, Activations::Int8] {
            let shape = ProjectionShape::with_activations(8, panels, activations).expect("a legal shape");
            assert_same(&Projection::of(shape, scales()).expect("served").compile().expect("compiles"));
            let decode = DecodeProjection::new(1, panels, activations, scales()).expect("served");
            assert_same(&decode.compile().expect("compiles"));
        }
        for size in GroupSize::ALL {
            let prefill = GroupProjection::new(8, panels.grouped(size), size).expect("served");
            assert_same(&prefill.compile().expect("compiles"));
            let decode = GroupDecodeProjection::new(1, panels.grouped(size), size).expect("served");
            assert_same(&decode.compile().expect("compiles"));
        }
    }
    let cache = scaled::Cache::Ring(local());
    let whole = AttentionLayer::new(8, 0, qkv, o, Activations::Int16, heads(KvFormat::Bf16), cache).expect("served");
    assert_configured(&whole.compile().expect("compiles"));
}

fn heads(format: KvFormat) -> KvHeads {
    KvHeads::new(16, 128, format).expect("heads of the 27B")
}

fn local() -> KvRing {
    KvRing::new(1024, 64).expect("a legal ring")
}

#[test]
fn norm_and_rotation() {
    let place = |arg| norm_rope::Place { arg, offset: 0 };
    for format in [KvFormat::Bf16, KvFormat::Int8] {
        let segment = KvSegment::new(heads(format), 64).expect("a legal segment");
        let runs = vec![CacheRun { place: place(4), segment, slot: 3, tokens: 5 }];
        let buffers = Buffers { qkv: place(0), weights: place(1), tables: place(2), q: place(3) };
        let (call, arguments) = match format {
            KvFormat::Bf16 => (norm_rope::Call::new(buffers, runs), 5),
            KvFormat::Int8 => (norm_rope::Call::kv8(buffers, place(5), runs), 6),
        };
        let mut compiled = norm_rope::compile(&[call.expect("served")]).expect("compiles");
        // the operands are the caller's, an odd number of bytes among them
        compiled.operands = (0..arguments).map(|n| Operand::scratch("buffer", 65536 + n)).collect();
        assert_same(&compiled);
        compiled.operands.truncate(3);
        let refused = compiled.mlir(Elves::file).expect_err("a buffer is missing");
        assert!(matches!(refused, KernelError::Mlir(mlir::Error::NoSuchArgument { argument: 3, arguments: 3, .. })));
    }
}

#[test]
fn attention() {
    let prefill = ScaledAttention::new(19, 7, 16, scaled::Cache::Ring(local())).expect("served");
    assert_same(&prefill.compile().expect("compiles"));
    for (format, cache) in [
        (KvFormat::Bf16, attention_decode::Cache::Local(local())),
        (KvFormat::Int8, attention_decode::Cache::Global { slots: 64 }),
    ] {
        let decode = DecodeAttention::new(heads(format), 32, cache, 9, 2).expect("served");
        assert_same(&decode.compile().expect("compiles"));
    }
}

fn complete() -> Compiled {
    let qkv = Panels::new(512, 4096, 2048, 2048).expect("legal dimensions");
    let (o, cache) = (Panels::output(4096, 512).expect("legal dimensions"), scaled::Cache::Ring(local()));
    let kernel = AttentionLayer::new(8, 0, qkv, o, Activations::Int16, heads(KvFormat::Bf16), cache).expect("served");
    kernel.compile().expect("compiles")
}

/// Between its phases it polls registers.
#[test]
fn the_complete_kernel() {
    let compiled = complete();
    assert_configured(&compiled);
    let judged = Judged::new(&compiled);
    assert!(judged.ops.iter().any(|op| matches!(op, txn::Op::MaskPoll { .. })));
}

/// The questions of bring-up are small designs with everything that the array has.
#[test]
fn probes() {
    for probe in probe::steps().expect("they compile").into_iter().chain(probe::facts().expect("they compile")) {
        assert_configured(&probe.compiled);
    }
}

/// As [`assert_same`], where a design may lack programs or circuits, and BDs of queued rings stand at the head of the sequence.
#[track_caller]
fn assert_configured(compiled: &Compiled) {
    let judged = Judged::new(compiled);
    let module = read(&judged.text, &judged.elves).unwrap_or_else(|error| panic!("{}: {error}", compiled.kernel));
    let (head, array) = queued(&module, &judged);
    assert_eq!(difference(&module, &array, &judged.ops, head), None, "{}", compiled.kernel);
}

/// Takes BDs that only the head of the sequence writes out of the configuration. How many operations that are.
fn queued(module: &Module, judged: &Judged) -> (usize, Array) {
    let (head, mut array) = (module.operations.len() - judged.ops.len(), judged.array.clone());
    for op in &module.operations[..head] {
        let txn::Op::BlockWrite { addr, data } = op else { panic!("{op:?} at the head") };
        let at = npu_container::address::ArrayAddress::decode(*addr);
        assert_eq!(at.row, 1);
        let bd = ((at.col, at.row), ((at.offset - 0xA_0000) / 0x20) as u8);
        assert_eq!(array.bds.remove(&bd).as_ref(), Some(data), "BD {bd:?} of a queued ring");
    }
    (head, array)
}

fn relay(patterns: [Pattern; 2]) -> Design {
    let (shim, mem) = (Tile::shim(0), Tile::mem(0));
    let mut design = Design::new(1).expect("a column");
    let ring = design.ring(mem, "relay", 2, 1024, Place::Anywhere).expect("room");
    let [fill, drain] = patterns;
    design.fill_by_dma(ring, S2mm(0), &[fill]).expect("legal");
    design.drain_by_dma(ring, Mm2s(0), &[drain]).expect("legal");
    connect(&mut design, shim.mm2s(0), mem.s2mm(0));
    connect(&mut design, mem.mm2s(0), shim.s2mm(0));
    design.token_route(0).expect("a shim");
    design
}

fn connect(design: &mut Design, from: Port, to: Port) {
    design.connect(from, &[to]).expect("a free port");
}

fn run(design: &Design, runtime: Runtime) -> Compiled {
    let configuration = design.finish().expect("complete");
    let stream = runtime.finish().expect("awaited");
    let mut compiled = probe::steps().expect("they compile").remove(0).compiled;
    compiled.columns = configuration.columns;
    compiled.pdi = pdi::write(&configuration.commands);
    compiled.txn = txn::write(&txn::Header::npu1(configuration.columns), &stream.ops);
    compiled.cores.clear();
    compiled.operands = ["in", "out"].map(|name| Operand::input(name, 4096, Dtype::U8, vec![4096], "opaque")).to_vec();
    compiled.configuration = std::sync::Arc::new(configuration);
    compiled
}

fn stream() -> Runtime {
    let mut runtime = Runtime::new(1).expect("a column");
    runtime.task(0, S2mm(0), &ShimBd::linear(1, 0, 2048).expect("whole words"), 1, true).expect("legal");
    runtime.task(0, Mm2s(0), &ShimBd::linear(0, 0, 2048).expect("whole words"), 1, false).expect("legal");
    runtime.wait(0, S2mm(0)).expect("a token");
    runtime
}

#[test]
fn padding_and_iteration() {
    let padded = Pattern::new(&[(1, 6), (8, 4), (64, 2)]).pad([1, 2, 1], [1, 0, 3]);
    let moved = Pattern::new(&[(2, 16), (32, 4)]).iterate(1, 2);
    for patterns in [
        [Pattern::linear(64), padded],
        [moved.clone(), moved],
        [Pattern::linear(64).offset(8), Pattern::new(&[(3, 5)])],
    ] {
        assert_configured(&run(&relay(patterns), stream()));
    }
}

#[test]
fn what_the_dialect_cannot_say_is_refused() {
    let refused = |design: &Design, runtime| match run(design, runtime).mlir(Elves::file) {
        Err(KernelError::Mlir(error)) => error,
        other => panic!("{other:?}"),
    };
    let long = relay([Pattern::linear(64), Pattern::new(&[(1, 2), (0x4, 30)])]);
    assert!(run(&long, stream()).mlir(Elves::file).is_ok());
    // 521 positions fit the register of a middle dimension, and no factor splits them
    let mut design = Design::new(1).expect("a column");
    let (shim, mem) = (Tile::shim(0), Tile::mem(0));
    let ring = design.ring(mem, "wide", 1, 65536, Place::Anywhere).expect("room");
    design.fill_by_dma(ring, S2mm(0), &[Pattern::linear(16)]).expect("legal");
    design.drain_by_dma(ring, Mm2s(0), &[Pattern::new(&[(1, 2), (4, 521), (3000, 3)])]).expect("legal");
    connect(&mut design, shim.mm2s(0), mem.s2mm(0));
    connect(&mut design, mem.mm2s(0), shim.s2mm(0));
    assert!(matches!(
        refused(&design, stream()),
        mlir::Error::Dimension { bd: 1, dimension: 1, size: 521, limit: 512, .. }
    ));
    let four = Pattern::new(&[(1, 2), (4, 2), (16, 2), (64, 2)]).pad([1, 0, 0], [0, 0, 0]);
    let error = refused(&relay([Pattern::linear(64), four]), stream());
    assert!(matches!(error, mlir::Error::PaddedDims { bd: 2, .. }), "{error}");
    let mut design = relay([Pattern::linear(64), Pattern::linear(64)]);
    design.program(Tile::core(0, 0), &[0; 16]).expect("a program");
    // the compiled kernel names no file for that core
    let error = refused(&design, stream());
    assert_eq!(error, mlir::Error::NoElf { tile: Tile::core(0, 0) });
}

#[test]
fn slots_with_contents() {
    for (offset, bytes) in [(4, &[1, 2, 3, 4][..]), (1024, &[7; 1024]), (1020, &[7; 1028]), (0, &[9; 1028])] {
        let mut design = relay([Pattern::linear(64), Pattern::linear(64)]);
        design.init_data(Tile::mem(0), offset, bytes).expect("inside the ring");
        assert_configured(&run(&design, stream()));
    }
    let mut design = relay([Pattern::linear(64), Pattern::linear(64)]);
    design.init_data(Tile::mem(0), 4, &[1, 2, 3, 4]).expect("inside the ring");
    let judged = Judged::new(&run(&design, stream()));
    assert_eq!(judged.verdict(&judged.text), None);
    // the word that the PDI writes is the second, those beside it are the module's own zeros
    let word = "01020304";
    let at = judged.text.find(word).expect("initial data");
    for (what, place) in [("a word of the PDI", at), ("a word before it", at - 8), ("a word behind it", at + 8)] {
        let planted = format!("{}5A{}", &judged.text[..place], &judged.text[place + 2..]);
        assert_seen(&judged, what, &planted, "data");
    }
}

#[test]
fn queued_rings_keep_their_descriptors() {
    let (shim, mem) = (Tile::shim(0), Tile::mem(0));
    let mut design = Design::new(1).expect("a column");
    let ring = design.ring(mem, "queued", 2, 512, Place::Anywhere).expect("room");
    let phase = |fill, drain| RingPhase { slots: 2, slot_bytes: 512, fill: vec![fill], drain: vec![drain] };
    let phases = [
        phase(Pattern::linear(128), Pattern::linear(128)),
        phase(Pattern::linear(128), Pattern::new(&[(1, 4), (16, 8), (4, 4)])),
    ];
    design.queue_ring(ring, S2mm(0), Mm2s(1), &phases).expect("legal");
    connect(&mut design, shim.mm2s(0), mem.s2mm(0));
    connect(&mut design, mem.mm2s(1), shim.s2mm(0));
    design.token_route(0).expect("a shim");
    let ring = design.finish().expect("complete").queued[&ring].clone();
    let moved = |polled: bool| {
        let mut runtime = Runtime::new(1).expect("a column");
        for phase in 0..2 {
            runtime.ring(&ring, phase, 2, 0, S2mm(0)).expect("legal");
            runtime.task(0, S2mm(0), &ShimBd::linear(1, 0, 1024).expect("whole words"), 1, true).expect("legal");
            runtime.task(0, Mm2s(0), &ShimBd::linear(0, 0, 1024).expect("whole words"), 1, false).expect("legal");
            if polled {
                runtime.ring_rests(&ring).expect("a tile");
            }
            runtime.wait(0, S2mm(0)).expect("a token");
        }
        runtime
    };
    let compiled = run(&design, moved(false));
    let judged = Judged::new(&compiled);
    let module = read(&judged.text, &judged.elves).expect("well formed");
    // two slots on both sides, none of them in a DMA's region, no channel started
    assert_eq!(module.operations.len() - judged.ops.len(), 4);
    assert!(module.array.bds.is_empty() && module.array.starts.is_empty());
    let (head, array) = queued(&module, &judged);
    assert_eq!(difference(&module, &array, &judged.ops, head), None);
    assert_configured(&run(&design, moved(true)));
}

/// Replaces the first `from` behind the first `behind`.
#[track_caller]
fn plant(text: &str, behind: &str, from: &str, to: &str) -> String {
    let at = text.find(behind).unwrap_or_else(|| panic!("no {behind}"));
    let place = at + text[at..].find(from).unwrap_or_else(|| panic!("no {from} behind {behind}"));
    format!("{}{to}{}", &text[..place], &text[place + from.len()..])
}

#[test]
fn planted_mistakes_are_seen() {
    let shape = ProjectionShape::with_activations(17, panels(), Activations::Int16).expect("a legal shape");
    let judged = Judged::new(&Projection::of(shape, scales()).expect("served").compile().expect("compiles"));
    let text = &judged.text;
    assert_eq!(judged.verdict(text), None);
    let line = |with: &str| text.lines().find(|line| line.contains(with)).expect("a line").trim_start().to_owned();
    let (first_flow, strided) = (line("\"aie.flow\""), line("static_strides"));
    let stride = strided
        .split("static_strides = array<i64: ")
        .nth(1)
        .and_then(|s| s.split([',', '>']).next())
        .expect("a stride");
    let [prod, cons] = ["%t0_1_A_prod = ", "%t0_1_A_cons = "];
    let swapped = text.replacen(prod, "%SWAP = ", 1).replacen(cons, prod, 1).replacen("%SWAP = ", cons, 1);
    let write = line("aiex.npu.write32");
    let operands = write.split(['(', ')']).nth(1).expect("operands").to_owned();
    let (address, value) = operands.split_once(", ").expect("two");
    let data = text.find("dense<\"0x").expect("initial data") + "dense<\"0x".len();
    let byte = format!("{}5A{}", &text[..data], &text[data + 2..]);
    let mistakes = [
        ("lock numbers", swapped, "BDs"),
        ("a lock's initial value", plant(text, "%t0_1_A_prod = ", "init = ", "init = 1"), "locks"),
        ("credits", plant(text, "aie.memtile_dma", "<{value = ", "<{value = 1"), "BDs"),
        ("acquire for release", plant(text, "aie.memtile_dma", "<{action = 2", "<{action = 1"), ""),
        ("a stride", plant(text, &strided, &format!("array<i64: {stride}"), "array<i64: 5"), ""),
        ("a length", plant(text, "aie.memtile_dma", "static_len = ", "static_len = 1"), "BDs"),
        ("an offset", plant(text, "aie.memtile_dma", "static_offset = ", "static_offset = 1"), "BDs"),
        ("a BD's number", plant(text, "aie.memtile_dma", "bd_id = 0", "bd_id = 23"), "BDs"),
        ("the order of a chain", plant(text, "aie.memtile_dma", "next_bd\"()[^bb2]", "next_bd\"()[^bb1]"), ""),
        ("a channel", plant(text, "aie.memtile_dma", "channel_index = 0", "channel_index = 3"), ""),
        ("a buffer's place", plant(text, "%t0_1_A_0 = ", "address = 0", "address = 4"), ""),
        ("a flow's sink", plant(text, &first_flow, "dest_channel = ", "dest_channel = 1"), "circuits"),
        ("a flow's source", plant(text, &first_flow, "source_channel = ", "source_channel = 1"), "circuits"),
        ("a flow that is missing", text.replacen(&format!("    {first_flow}\n"), "", 1), "circuits"),
        ("the id of tokens", plant(text, "aie.packet_flow", "ID = 15", "ID = 14"), "tokens"),
        ("initial data", byte, "data"),
        ("a runtime word", plant(text, &write, &operands, &format!("{value}, {address}")), "operations"),
        ("an operation that is missing", text.replacen(&format!("      {write}\n"), "", 1), "operations"),
        ("a waited channel", plant(text, "aiex.npu.sync", "(%", "(%w1, %"), ""),
        ("a property's type", plant(text, "aie.lock", "init = ", "init = 0 : i64, was = "), "aie.lock"),
        ("an operation's name", text.replacen("aie.use_lock", "aie.useLock", 1), "aie.useLock"),
        ("a symbol twice", text.replacen("\"t0_1_A_1\"", "\"t0_1_A_0\"", 1), "aie.buffer"),
    ];
    for (what, planted, expected) in mistakes {
        assert_seen(&judged, what, &planted, expected);
    }
}

#[test]
fn planted_mistakes_in_a_poll_are_seen() {
    let mut judged = Judged::new(&complete());
    let module = read(&judged.text, &judged.elves).expect("well formed");
    (judged.head, judged.array) = queued(&module, &judged);
    let poll = judged.text.lines().find(|line| line.contains("aiex.npu.maskpoll")).expect("a poll").to_owned();
    let operands: Vec<&str> = poll.split(['(', ')']).nth(1).expect("operands").split(", ").collect();
    let [address, value, mask] = operands[..] else { panic!("{poll}") };
    for (what, planted) in [
        ("the value for the mask", format!("({address}, {mask}, {value})")),
        ("the mask for the address", format!("({mask}, {value}, {address})")),
        ("another mask", format!("({address}, {value}, {value})")),
        ("another value", format!("({address}, {mask}, {mask})")),
    ] {
        let planted = poll.replace(&format!("({address}, {value}, {mask})"), &planted);
        assert_seen(&judged, what, &judged.text.replacen(&poll, &planted, 1), "operations");
    }
    let write = judged.text.replacen(&poll, &poll.replace("maskpoll", "maskwrite32"), 1);
    assert_seen(&judged, "a write for a poll", &write, "operations");
    assert_seen(&judged, "a poll that is missing", &judged.text.replacen(&format!("{poll}\n"), "", 1), "operations");
}

/// A module with a mistake differs from the configuration in `expected`; where that is empty, a rule of the reader's refuses it.
#[track_caller]
fn assert_seen(judged: &Judged, what: &str, planted: &str, expected: &str) {
    assert_ne!(planted, judged.text, "{what} was not planted");
    // some mistakes break a rule of the reader's, which panics
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judged.verdict(planted)));
    match verdict {
        Ok(Some(verdict)) => assert!(verdict.starts_with(expected), "{what}: {verdict}"),
        Ok(None) => panic!("{what} was not seen"),
        Err(_) => assert_eq!(expected, "", "{what}: refused by a rule, not by the comparison"),
    }
}
