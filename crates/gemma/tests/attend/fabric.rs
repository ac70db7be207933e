//! A package with the interfaces of the kernels and none of their programs, and a packed model that fits it.

use std::path::Path;

use gemma::{Checkpoint, PackedWeights, Unwatched};
use npu_container::cdo::Command;
use npu_container::txn::{self, Direction as Way, Header, Op};
use npu_container::{pdi, xclbin};
use npu_package::layout::{GroupSize, KvFormat, KvHeads, KvSegment, ProjectionKind, names};
use npu_package::{
    Argument, Bound, Context, Direction, Dtype, Files, Kernel, Layer, Manifest, ModelDims, PART_ALIGN, Package,
    PackageWriter, Part, Producer, Report,
};
use tempfile::TempDir;

use crate::synthetic::{HEAD_DIM, HEADS, HIDDEN, KV_HEADS, Synthetic};

pub const LAYERS: usize = 6;
/// The one global layer of six.
pub const GLOBAL: usize = 5;
/// Keys that a query of a local layer sees.
pub const WINDOW: usize = 32;
pub const QKV: usize = (HEADS + 2 * KV_HEADS) * HEAD_DIM;

pub fn packed() -> (TempDir, PackedWeights) {
    packed_of(&Synthetic::int8(LAYERS))
}

pub fn packed_of(made: &Synthetic) -> (TempDir, PackedWeights) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packed");
    gemma::pack(&Checkpoint::open(made.saved().path()).unwrap(), &path, false, &Unwatched).unwrap();
    let weights = PackedWeights::open(&path).unwrap();
    (dir, weights)
}

pub fn dims() -> ModelDims {
    ModelDims {
        name: "tiny".to_owned(),
        hidden: HIDDEN,
        intermediate: 512,
        layers: LAYERS,
        heads: HEADS,
        kv_heads: KV_HEADS,
        head_dim: HEAD_DIM,
        vocab: 512,
    }
}

pub fn heads(format: KvFormat) -> KvHeads {
    KvHeads::new(KV_HEADS, HEAD_DIM, format).unwrap()
}

pub fn segment(slots: usize) -> KvSegment {
    KvSegment::new(heads(KvFormat::Bf16), slots).unwrap()
}

/// What a package is to hold.
pub struct Fabric {
    pub seq: usize,
    pub history: usize,
    pub slots: usize,
    /// Kernels for few positions beside the others.
    pub decode: bool,
    pub complete: bool,
    pub modular: bool,
    pub groups: Option<GroupSize>,
    pub cache: KvFormat,
    /// A last change of kernels.
    pub change: fn(&mut Vec<Kernel>),
}

impl Default for Fabric {
    fn default() -> Self {
        Fabric {
            seq: 8,
            history: 0,
            slots: 48,
            decode: false,
            complete: false,
            modular: true,
            groups: None,
            cache: KvFormat::Bf16,
            change: |_| {},
        }
    }
}

fn argument(name: &str, direction: Direction, bytes: usize) -> Argument {
    Argument {
        index: 0,
        name: name.to_owned(),
        direction,
        bytes: bytes as u64,
        dtype: Dtype::U8,
        shape: vec![bytes],
        layout: names::OPAQUE.to_owned(),
        file: None,
        parts: Vec::new(),
    }
}

/// A buffer that several operands share, each on pages of its own.
fn shared(name: &str, direction: Direction, operands: &[(&str, usize)]) -> Argument {
    let (mut parts, mut end) = (Vec::new(), 0u64);
    for &(name, bytes) in operands {
        let offset = end.next_multiple_of(PART_ALIGN);
        end = offset + bytes as u64;
        parts.push(Part {
            name: name.to_owned(),
            offset,
            bytes: bytes as u64,
            dtype: Dtype::U8,
            shape: vec![bytes],
            layout: names::OPAQUE.to_owned(),
            file: None,
        });
    }
    Argument { parts, ..argument(name, direction, end as usize) }
}

/// A stream that writes every output and cache from end to end, so that its transfers reach as far as they may.
fn stream(args: &[Argument]) -> Vec<u8> {
    let mut ops = Vec::new();
    let written = |arg: &&Argument| arg.direction == Direction::Out;
    for (bd, arg) in args.iter().filter(written).enumerate() {
        let address = 0x1D000 + 0x20 * bd as u32;
        let length = (arg.bytes / 4) as u32;
        ops.push(Op::BlockWrite {
            addr: address,
            data: vec![length, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000],
        });
        ops.push(Op::ddr_patch(address + 4, arg.index as u32, 0).unwrap());
        ops.push(Op::Write { addr: 0x1D204, value: 1 << 31 | bd as u32 });
        ops.push(Op::wait(Way::S2mm, 0, 0, 0));
    }
    txn::write(&Header::npu1(4), &ops)
}

impl Fabric {
    pub fn written(&self) -> (TempDir, Package) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package");
        self.write(&path);
        let package = Package::open(&path).unwrap();
        (dir, package)
    }

    pub fn write(&self, path: &Path) {
        let mut writer = PackageWriter::create(path, true).unwrap();
        let mut kernels = Vec::new();
        let s = self.seq;
        let rows = if self.decode { 4 } else { s };
        let weights = |kind| {
            let panels = dims().panels(kind).unwrap();
            self.groups.map_or(panels, |size| panels.grouped(size)).bytes()
        };
        let groups = self.groups.map_or_else(String::new, |size| format!("group{}_", size.inputs()));
        let coded = self.cache == KvFormat::Int8;
        let suffix = if coded { "_kv8" } else { "" };
        use Direction::{In, Out, Scratch};
        let projection = |kind: ProjectionKind, width: usize, out: usize, rows: usize| {
            let (x, y) = kind.operands();
            vec![
                argument(x, In, 2 * s * width),
                argument("weights", In, weights(kind)),
                argument(y, Out, 2 * rows * out),
                argument("scratch", Scratch, 4096 + width),
            ]
        };
        let (qkv, o) = (ProjectionKind::Qkv, ProjectionKind::O);
        let row = HEADS * HEAD_DIM;
        if self.modular {
            for (infix, rows) in [("", s), ("decode_", rows)].into_iter().take(1 + usize::from(self.decode)) {
                let name = |kind: ProjectionKind| format!("w8a16_{groups}{infix}{}_projection", kind.name());
                kernels.push((name(qkv), "w8a16", None, projection(qkv, HIDDEN, QKV, rows)));
                kernels.push((name(o), "w8a16", None, projection(o, row, HIDDEN, rows)));
            }
        }
        let cache = KvSegment::new(heads(self.cache), self.slots).unwrap().bytes();
        for layer in Layer::ALL {
            let window = match layer {
                Layer::Local => Some(WINDOW),
                Layer::Global => None,
            };
            let context = Some(Context { layer, history: self.history, slots: self.slots, window });
            if self.modular {
                let mut args = vec![
                    argument("qkv", In, 2 * s * QKV),
                    argument("norms", In, 1024),
                    argument("rotations", In, 1024 * (s + 3)),
                    argument("q", Out, 2 * s * row),
                    argument("cache", Out, cache),
                ];
                args.extend(coded.then(|| argument("scratch", Scratch, 2048)));
                kernels.push((format!("norm_rope{suffix}"), "bf16", context, args));
                for name in ["scaled_attention", "decode_attention"].into_iter().take(1 + usize::from(self.decode)) {
                    let args = vec![
                        argument("q", In, 2 * s * row),
                        argument("cache", In, cache),
                        argument("plan", In, 256),
                        argument("ctx", Out, 2 * s * row),
                        argument("scratch", Scratch, 8192),
                    ];
                    kernels.push((format!("{name}{suffix}"), "bf16", context, args));
                }
            }
            if self.complete {
                let args = vec![
                    argument("x", In, 2 * s * HIDDEN),
                    argument("qkv_weights", In, weights(qkv)),
                    argument("o_weights", In, weights(o)),
                    shared("tables", In, &[("norms", 1024), ("plan", 256), ("rotations", 1024 * (s + 3))]),
                    argument("cache", Out, cache),
                    argument("o", Out, 2 * s * HIDDEN),
                    shared(
                        "scratch",
                        Scratch,
                        &[("qkv", 2 * s * QKV), ("q", 2 * s * row), ("ctx", 2 * s * row), ("work", 65_536)],
                    ),
                ];
                kernels.push(("w8a16_attention".to_owned(), "w8a16", context, args));
            }
        }
        let mut listed = Vec::new();
        for (name, numerics, context, mut args) in kernels {
            let place = context.map_or_else(String::new, |at: Context| format!("_{}", at.layer.name()));
            let stem = format!("{name}{place}_s{s}");
            args.iter_mut().enumerate().for_each(|(index, arg)| arg.index = index);
            let files = args.iter_mut().flat_map(|Argument { name, file, parts, .. }| {
                let parts = parts.iter_mut().map(|Part { name, file, .. }| (&*name, file));
                std::iter::once((&*name, file)).chain(parts)
            });
            for (_, file) in files.filter(|(name, _)| *name == "plan") {
                let name = format!("{stem}.plan.bin");
                writer.add_file(&name, &[0x5A; 256]).unwrap();
                *file = Some(name);
            }
            // Kernels of one name have one configuration.
            let tag = name.bytes().fold(0, |sum, byte| sum * 31 % 0xFFFF + u32::from(byte));
            let image = pdi::write(&[Command::MaskWrite { addr: 0x0023_2000, mask: u32::MAX, value: tag }]);
            let txn = stream(&args);
            let container = xclbin::Builder::new("k", "i", &image, 4, args.len(), [1; 16]).write().unwrap();
            let files =
                Files { pdi: format!("{stem}.pdi"), xclbin: format!("{stem}.xclbin"), txn: format!("{stem}.txn") };
            for (file, contents) in [(&files.pdi, &image), (&files.xclbin, &container), (&files.txn, &txn)] {
                writer.add_file(file, contents).unwrap();
            }
            listed.push(Kernel {
                kernel: name,
                seq: s,
                numerics: numerics.to_owned(),
                context,
                tiles: 16,
                columns: 4,
                args,
                files,
                instruction_words: txn.len() / 4,
                programs: Vec::new(),
                report: Report::new(Bound::new("vec", 0)),
            });
        }
        (self.change)(&mut listed);
        let manifest = Manifest {
            format_version: 0,
            producer: Producer { name: "bennu".to_owned(), version: "0.1.0".to_owned() },
            device: "npu1".to_owned(),
            model: dims(),
            kernels: listed,
            digests: Default::default(),
        };
        writer.finish(manifest).unwrap();
    }
}
