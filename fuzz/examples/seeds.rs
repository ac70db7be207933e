//! Writes small valid inputs for every fuzz target, made by bennu's own writers: `cargo run --example seeds -- DIRECTORY`.
//! `fuzz/minimise` starts from them.

#[path = "../../crates/aie2-sim/tests/support/mod.rs"]
mod support;

use aie2_isa::{Bundle, Insn, OpId, OperandDef, OperandKind, Value};
use npu_container::address::addr;
use npu_container::cdo::Command;
use npu_container::txn::{self, Direction, Header, Op};
use npu_container::{pdi, xclbin};
use npu_package::layout::ProjectionKind;
use npu_package::{
    Argument, AttentionFacts, Bound, Dtype, FileEntry, Files, Kernel, Layer, LoopReport, Manifest, ModelDims,
    PackedLayer, PackedManifest, Producer, Program, Report, Rotation,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};
use support::{Design, MEM, SHIM, bd};

struct Seeds(PathBuf);

impl Seeds {
    fn put(&self, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let directory = self.0.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), bytes)
    }
    /// With the first byte that says how a simulator target reads the rest.
    fn put_form(&self, target: &str, name: &str, form: u8, bytes: &[u8]) -> io::Result<()> {
        self.put(target, name, &[&[form], bytes].concat())
    }
}

fn first_operand(def: &OperandDef) -> Value {
    match def.kind {
        OperandKind::Class(class) => Value::Reg(class.regs()[0].0),
        OperandKind::Imm(imm) => Value::Imm(imm.min()),
        OperandKind::Fixed(_) | OperandKind::Implied => unreachable!("not given"),
    }
}

fn decode(seeds: &Seeds) -> io::Result<()> {
    let insns: Vec<Insn> = OpId::all()
        .map(|op| {
            Insn::new(op, &op.row().given().map(first_operand).collect::<Vec<_>>()).expect("of the row's classes")
        })
        .collect();
    for (n, some) in insns.chunks(8).enumerate() {
        let bundles = some.iter().map(|&insn| Bundle::with(&[insn]).expect("one fits"));
        let bytes: Vec<u8> = bundles.clone().flat_map(|bundle| bundle.encode().as_bytes().to_vec()).collect();
        seeds.put("decode", &format!("rows{n}"), &bytes)?;
        let text: String = bundles.map(|bundle| format!("{bundle}\n")).collect();
        seeds.put("decode", &format!("text{n}"), text.as_bytes())?;
    }
    let wide = Bundle::parse("vlda wl0, [p0], #32; vldb wl2, [p1], #32; st r0, [p2, #0]; add r0, r1, r2; mov r3, r4; vmac cm5, cm6, x4, x5, r9")
        .expect("six slots");
    seeds.put("decode", "wide", wide.encode().as_bytes())
}

fn commands() -> Vec<Command> {
    vec![
        Command::Write { addr: addr(0, 2, 0x1_F000), value: 3 },
        Command::MaskWrite { addr: addr(0, 2, 0x3_2000), mask: 3, value: 1 },
        Command::DmaWrite { addr: addr(1, 1, 0xA_0000), data: (0..8).collect() },
        Command::Write64 { addr: u64::from(addr(2, 0, 0x1_F000)), value: 1 << 10 },
        Command::MaskWrite64 { addr: u64::from(addr(3, 0, 0x1_F004)), mask: 0xff, value: 1 << 4 },
        Command::Nop { words: 2 },
    ]
}

fn ops() -> Vec<Op> {
    let at = addr(0, 0, 0x1_D020);
    vec![
        Op::BlockWrite { addr: at, data: vec![16, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000] },
        Op::DdrPatch { register: at + 4, arg_index: 0, arg_plus: 64 },
        Op::Write { addr: addr(0, 0, 0x1_D214), value: 1 },
        Op::MaskWrite { addr: addr(0, 2, 0x3_2000), value: 2, mask: 2 },
        Op::MaskPoll { addr: addr(0, 2, 0x3_2004), value: 1 << 20, mask: 1 << 20 },
        Op::MaskPollBusy { addr: addr(3, 2, 0x1_F000), value: 1, mask: 0x3f },
        Op::Noop,
        Op::wait(Direction::S2mm, 0, 0, 0),
    ]
}

fn containers(seeds: &Seeds) -> io::Result<()> {
    seeds.put("pdi", "whole", &pdi::write(&commands()))?;
    seeds.put("pdi", "empty", &pdi::write(&[]))?;
    for (n, command) in commands().into_iter().enumerate() {
        let bare = npu_container::cdo::write(&[command]);
        seeds.put("pdi", &format!("cdo{n}"), &bare)?;
        seeds.put("pdi", &format!("body{n}"), &bare[4 * npu_container::cdo::HEADER_WORDS..])?;
    }
    let header = Header::npu1(4);
    seeds.put("txn", "whole", &txn::write(&header, &ops()))?;
    for (n, op) in ops().into_iter().enumerate() {
        seeds.put("txn", &format!("op{n}"), &txn::write(&header, &[op]))?;
    }
    let image = pdi::write(&commands()[..1]);
    let file = xclbin::Builder::new("kernel", "main", &image, 4, 5, *b"0123456789abcdef").write();
    seeds.put("xclbin", "whole", &file.expect("a plain kernel"))?;
    let file = xclbin::Builder::new("k", "i", &[0; 4], 1, 0, [0; 16]).write();
    seeds.put("xclbin", "small", &file.expect("a plain kernel"))
}

fn entry(bytes: u64) -> FileEntry {
    FileEntry { bytes, sha256: "00".repeat(32) }
}

fn packages(seeds: &Seeds) -> io::Result<()> {
    let text = str::to_owned;
    let producer = Producer { name: text("bennu"), version: text("0.1.0") };
    let model = ModelDims {
        name: text("tiny"),
        hidden: 256,
        intermediate: 512,
        layers: 1,
        heads: 2,
        kv_heads: 2,
        head_dim: 128,
        vocab: 64,
    };
    let kernel = Kernel {
        kernel: text("k"),
        seq: 8,
        numerics: text("w8a8"),
        context: None,
        tiles: 16,
        columns: 4,
        args: vec![Argument {
            index: 0,
            name: text("x"),
            direction: npu_package::Direction::In,
            bytes: 4096,
            dtype: Dtype::Bf16,
            shape: vec![8, 256],
            layout: text("row_major"),
            file: None,
        }],
        files: Files { pdi: text("a.pdi"), xclbin: text("a.xclbin"), txn: text("a.txn") },
        instruction_words: 10,
        programs: vec![Program {
            tile: [0, 2],
            file: text("a.bin"),
            bytes: 4,
            symbols: BTreeMap::from([(text("entry"), 0)]),
            early_reads: vec![16],
            partial_locks: vec![32],
        }],
        report: Report {
            program_bytes_max: 4,
            data_bytes_max: 5,
            memtile_bytes_max: 6,
            bundles: 7,
            bds: 8,
            locks: 9,
            routes: 10,
            loops: vec![LoopReport { name: text("gemm"), ii_declared: 8, ii_reached: 8, vmac_per_ii: 8 }],
            bound: Bound { resource: text("vec"), cycles: 1000 },
            phases: Vec::new(),
            sections: Vec::new(),
        },
    };
    let digests = ["a.pdi", "a.xclbin", "a.txn", "a.bin"].map(|name| (text(name), entry(4)));
    let manifest = Manifest {
        format_version: npu_package::FORMAT_VERSION,
        producer: producer.clone(),
        device: text("npu1"),
        model: model.clone(),
        kernels: vec![kernel],
        digests: BTreeMap::from(digests),
    };
    seeds.put("manifest", "manifest", &manifest.text())?;
    let empty = Manifest { kernels: Vec::new(), digests: BTreeMap::new(), ..manifest };
    seeds.put("manifest", "empty", &empty.text())?;
    let of = |kind| entry(model.panels(kind).expect("multiples of 256").bytes() as u64);
    let layer = PackedLayer {
        layer: 0,
        qkv: text("layer_000.qkv.bin"),
        qkv_entry: of(ProjectionKind::Qkv),
        o: text("layer_000.o.bin"),
        o_entry: of(ProjectionKind::O),
        norms: text("layer_000.norms.bin"),
        norms_entry: entry(8 * model.head_dim as u64),
    };
    let attention = AttentionFacts {
        layer_kinds: vec![Layer::Local; model.layers],
        sliding_window: 32,
        rope_local: Rotation { theta: 1e4, factor: 1.0 },
        rope_global: Rotation { theta: 1e6, factor: 8.0 },
        query_pre_attn_scalar: 168.0,
        rms_norm_eps: 1e-6,
        max_positions: 1024,
    };
    let packed = PackedManifest {
        format_version: npu_package::PACKED_VERSION,
        producer,
        model,
        scheme: text("w8a8"),
        attention,
        layers: vec![layer],
    };
    seeds.put("manifest", "packed", &packed.text())
}

/// Shim 3 to mem tile to a core's ring, and a loop inside shim 0.
fn ring() -> Design {
    let mut d = Design::default();
    d.shim(0).connect(0, SHIM, 5, 4).connect(0, SHIM, 9, 5);
    d.shim(3).connect(3, SHIM, 5, 12).connect(3, MEM, 7, 11).connect(3, 2, 5, 1);
    d.connect(3, 2, 1, 5).connect(3, MEM, 13, 7).connect(3, SHIM, 14, 4);
    d.lock(3, 2, 0, 1).lock(3, 2, 1, 0);
    d.bd(3, 2, 0, &bd(0, 4).locks((0, -1), (1, 1)).next(0)).start(3, 2, Direction::S2mm, 0, 0);
    d.bd(3, 2, 1, &bd(0, 4).locks((1, -1), (0, 1)).next(1)).start(3, 2, Direction::Mm2s, 0, 1);
    d.bd(1, MEM, 2, &bd(0x100, 12).dims(&[(1, 4), (8, 3)])).start(1, MEM, Direction::Mm2s, 0, 2);
    d.write(0, 2, 0x3_2000, 0).write(0, 2, 0x3_2000, 1).write(1, 2, 0x3_6060, 1);
    d
}

/// Streams for the design of the `sim_run` target.
fn streams() -> Vec<Vec<Op>> {
    use Direction::{Mm2s, S2mm};
    let stream = |build: fn(&mut Design)| {
        let mut d = Design::default();
        build(&mut d);
        d.ops
    };
    vec![
        stream(|d| {
            d.op_transfer(0, S2mm, 0, 3, 16, 1).op_transfer(0, Mm2s, 0, 1, 16, 0).op_wait(0, S2mm, 0);
        }),
        stream(|d| {
            d.op_transfer(3, S2mm, 0, 3, 8, 1).op_transfer(3, Mm2s, 0, 1, 8, 0).op_wait(3, S2mm, 0);
        }),
        stream(|d| {
            d.op_bd(0, 3, &bd(0, 16).dims(&[(1, 4), (8, 2), (16, 0)]), 1, 0).op_push(0, S2mm, 0, 3, 1, true);
            d.op_bd(0, 1, &bd(0, 8), 0, 32).op_push(0, Mm2s, 0, 1, 2, false).op_wait(0, S2mm, 0);
        }),
        ops(),
    ]
}

fn simulator(seeds: &Seeds) -> io::Result<()> {
    let image = ring().pdi();
    seeds.put_form("sim_load", "pdi", 0, &image)?;
    seeds.put_form("sim_load", "commands", 1, &image[pdi::CDO_OFFSET + 4 * npu_container::cdo::HEADER_WORDS..])?;
    for (n, command) in ring().cdo.into_iter().enumerate() {
        let bare = npu_container::cdo::write(&[command]);
        seeds.put_form("sim_load", &format!("command{n}"), 1, &bare[4 * npu_container::cdo::HEADER_WORDS..])?;
    }
    // Drawn: form, tile and register choices, value. Every kind of register of every kind of tile.
    for row in 0..3u8 {
        for kind in 0..14 {
            for form in [0, 1, 3, 0x60, 0x83, 0xC0, 0xE0] {
                let bytes = [form, row << 2, kind, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
                seeds.put_form("sim_load", &format!("drawn{row}_{kind}_{form}"), 2, &bytes)?;
                seeds.put_form("sim_run", &format!("drawn{row}_{kind}_{form}"), 1, &bytes)?;
            }
        }
    }
    for (n, ops) in streams().into_iter().enumerate() {
        seeds.put_form("sim_run", &format!("stream{n}"), 0, &txn::write(&Header::npu1(4), &ops))?;
    }
    for form in (0..=0xff).step_by(5) {
        seeds.put_form("sim_run", &format!("op{form}"), 1, &[form, 0x13, 0, 1, 0, 0, 0, 0x80, 0, 0, 0, 0])?;
    }
    programs(seeds)
}

fn programs(seeds: &Seeds) -> io::Result<()> {
    let sources = [
        "movxm r0, #5\nmovxm p0, #0x70000\nst r0, [p0, #0]\nnop\nnop\nnop\nnop\nlda r1, [p0, #0]\nnop\nnop\nnop\nnop\nnop\nnop\nnop\ndone\nnop\nnop\nnop\nnop\nnop",
        "movxm ls, #0x90\nmovxm le, #0xa0\nmovxm lc, #4\nnop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\ndone\nnop\nnop\nnop\nnop\nnop",
        "movxm r0, #-1\nacq #48, r0\nnop\nnop\nnop\nnop\nrel #48, r0\nnop\ndone\nnop\nnop\nnop\nnop\nnop",
        "j #16\nnop\nnop\nnop\nnop\nnop",
        "vbcst.8 x0, r0\nvbcst.8 x1, r1\nnop\nnop\nvmul cm0, x0, x1, r2\nnop\nnop\nnop\nnop\nnop\nnop\nvmac cm0, cm0, x0, x1, r2\nnop\nnop\nnop\nnop\nnop\nnop\ndone\nnop\nnop\nnop\nnop\nnop",
    ];
    for (n, source) in sources.into_iter().enumerate() {
        let encode = |line: &str| {
            let bundle = Bundle::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            bundle.encode_at_least(16).expect("16 bytes").as_bytes().to_vec()
        };
        let bytes: Vec<u8> = source.lines().flat_map(encode).collect();
        for form in [0, 2, 6] {
            seeds.put_form("sim_core", &format!("program{n}_{form}"), form, &bytes)?;
        }
    }
    // Every row on its own: number, operands, spacing.
    for op in OpId::all() {
        let operands = op.row().given().count();
        for seed in [0, 1] {
            let mut bytes = (op.as_usize() as u16).to_le_bytes().to_vec();
            bytes.extend(std::iter::repeat_n(seed, operands));
            bytes.push(7);
            seeds.put_form("sim_core", &format!("row{}_{seed}", op.as_usize()), 7, &bytes)?;
        }
    }
    Ok(())
}

/// A byte for the driver, then changes of an answer: ioctl, its turn, two bytes for the place, the value.
fn driver(seeds: &Seeds) -> io::Result<()> {
    for driver in 0..3 {
        seeds.put("driver", &format!("untouched-{driver}"), &[driver])?;
        for ioctl in 0..18 {
            seeds.put("driver", &format!("{driver}-{ioctl}"), &[driver, ioctl, 0, 8, 0, 0xFF, ioctl, 1, 28, 0, 0])?;
        }
    }
    seeds.put("driver", "filler", &[0xFF; 128])
}

fn main() -> io::Result<()> {
    let Some(directory) = env::args_os().nth(1) else {
        return Err(io::Error::other("give the directory to write to"));
    };
    let seeds = Seeds(Path::new(&directory).to_owned());
    decode(&seeds)?;
    containers(&seeds)?;
    packages(&seeds)?;
    driver(&seeds)?;
    simulator(&seeds)
}
