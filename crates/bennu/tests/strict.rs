//! The program that ships has neither the simulator nor a library that computes tensors.
//!
//! What this proves: no crate of the simulator, of the specifications, of the tests' fake driver or of a known library of tensor arithmetic is
//! linked, by the dependency graph and by the symbols of the built program; no shared library but the system's own is loaded at its start; and no
//! function of the crates that run (`gemma`, `npu-package`, `npu-host`, `amdxdna`) has the name of a tensor operation.
//!
//! What it does not prove: that the arithmetic which is there, of `quantize` and `pack` on weights and of rotation tables, is not more than that.
//! Kernels' names (`aie2_kernels::w8a8::gemm`) stand for the code that emits them.

mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;

/// Our own crates that may be part of the program.
const OURS: [&str; 10] = [
    "aie2-array",
    "aie2-codegen",
    "aie2-isa",
    "aie2-kernels",
    "amdxdna",
    "bennu",
    "gemma",
    "npu-container",
    "npu-host",
    "npu-package",
];

/// Our own crates that must not be. Their symbols have these names with underscores.
const DEVELOPERS: [&str; 5] = ["aie2-sim", "oracle", "bennu-lab", "amdxdna-fake", "check-graph"];

/// Words in names of crates that compute tensors on CPU or GPU, or hand them to something that does.
const LIBRARIES: [&str; 31] = [
    "ndarray",
    "nalgebra",
    "matrixmultiply",
    "faer",
    "gemm",
    "blas",
    "lapack",
    "mkl",
    "candle",
    "burn",
    "dfdx",
    "tch",
    "torch",
    "tract",
    "ort",
    "onnx",
    "tensorflow",
    "ggml",
    "llama",
    "mistralrs",
    "cubecl",
    "wgpu",
    "cudarc",
    "rocm",
    "hip",
    "vulkano",
    "opencl",
    "oneapi",
    "xrt",
    "arrayfire",
    "autograd",
];

/// Functions that such libraries export to C.
const FUNCTIONS: [&str; 8] = ["sgemm", "dgemm", "hgemm", "cblas_", "openblas", "mkl_", "ggml_", "xrtKernel"];

/// Names of operations on tensors.
const OPERATIONS: [&str; 12] = [
    "matmul",
    "matvec",
    "gemm",
    "gemv",
    "dot_product",
    "einsum",
    "softmax",
    "rmsnorm",
    "rms_norm",
    "gelu",
    "attention_cpu",
    "conv2d",
];

/// Shared libraries of the system.
const SYSTEM: [&str; 6] =
    ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2"];

/// Whether a word stands in a name on its own: `ort` in `ort-sys`, not in `sort`.
fn has_word(name: &str, word: &str) -> bool {
    name.split(['-', '_']).any(|part| part == word || (word.len() > 4 && part.starts_with(word)))
}

/// Crates that `bennu` links, itself among them: over normal and build dependencies.
fn linked() -> BTreeSet<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--all-features",
            "--manifest-path",
            manifest,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> =
        list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let shipped = |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev");
        let deps = node["deps"].as_array().unwrap().iter().filter(shipped).map(|dep| text(&dep["pkg"])).collect();
        links.insert(text(&node["id"]), deps);
    }
    let root = names.iter().find(|(id, name)| *name == "bennu" && id.contains("path+")).unwrap().0.clone();
    let (mut open, mut seen) = (vec![root.clone()], BTreeSet::from([root]));
    while let Some(id) = open.pop() {
        for next in &links[&id] {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen.iter().map(|id| names[id].clone()).collect()
}

/// Names of all symbols of a program, mangled.
fn symbols(program: &Path) -> Vec<String> {
    let bytes = std::fs::read(program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols = file.symbols().chain(file.dynamic_symbols());
    symbols.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).filter(|name| !name.is_empty()).collect()
}

/// Whether a mangled name has a crate, module or function of this name. Both manglings write the length before it; the older one also
/// spells types out, as in `$LT$gemma..plan..Plan$u20$as$u20$..`.
fn mentions(symbol: &str, name: &str) -> bool {
    let spelled = |before: &str| symbol.contains(&format!("{before}{name}.."));
    symbol.contains(&format!("{}{name}", name.len()))
        || ["$LT$", "$u20$", "$RF$", "$C$"].iter().any(|before| spelled(before))
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// What of a program's symbols must not be there.
fn forbidden(symbols: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for symbol in symbols {
        let developer = DEVELOPERS.iter().find(|krate| mentions(symbol, &snake(krate)));
        let function = FUNCTIONS.iter().find(|function| symbol.starts_with(**function));
        let runs = ["gemma", "npu_package", "npu_host", "amdxdna"].iter().any(|krate| mentions(symbol, krate));
        let emits = mentions(symbol, "aie2_kernels");
        let operation = OPERATIONS.iter().find(|operation| runs && !emits && mentions(symbol, operation));
        found.extend(developer.or(function).or(operation).map(|what| format!("{what} in {symbol}")));
    }
    found
}

#[test]
fn the_dependency_graph_has_no_simulator_and_no_tensor_library() {
    let linked = linked();
    // Were these not found, nothing else would be.
    for needed in ["bennu", "gemma", "aie2-kernels", "clap", "serde_json"] {
        assert!(linked.contains(needed), "{needed} is not in {linked:?}");
    }
    let developers: Vec<_> = DEVELOPERS.iter().filter(|krate| linked.contains(**krate)).collect();
    assert!(developers.is_empty(), "{developers:?}");
    let foreign = linked.iter().filter(|name| !OURS.contains(&name.as_str()));
    let tensors: Vec<_> = foreign.filter(|name| LIBRARIES.iter().any(|word| has_word(name, word))).collect();
    assert!(tensors.is_empty(), "{tensors:?}");
}

#[test]
fn words_are_found_in_names_of_crates() {
    for (name, word) in [
        ("ort-sys", "ort"),
        ("openblas-src", "openblas"),
        ("candle-core", "candle"),
        ("gemm-f16", "gemm"),
        ("llama-cpp-2", "llama"),
    ] {
        assert!(has_word(name, word), "{name}");
    }
    for name in ["gemma", "sort", "portable-atomic", "memmap2", "burning"] {
        assert!(!["gemm", "ort", "burn", "hip"].iter().any(|word| has_word(name, word)), "{name}");
    }
}

#[test]
fn the_symbols_of_the_program_have_no_simulator_and_no_tensor_operation() {
    let symbols = symbols(Path::new(env!("CARGO_BIN_EXE_bennu")));
    // A stripped program would prove nothing.
    for krate in OURS {
        let count = symbols.iter().filter(|symbol| mentions(symbol, &snake(krate))).count();
        assert!(count > 0, "no symbol of {krate} among {}: is the program stripped?", symbols.len());
    }
    assert_eq!(forbidden(&symbols), Vec::<String>::new());
}

/// What a program would have that computes on the CPU.
mod gemma {
    pub mod oracle {
        #[inline(never)]
        pub fn witness(x: u32) -> u32 {
            std::hint::black_box(x)
        }
    }
    #[inline(never)]
    pub fn softmax(x: u32) -> u32 {
        std::hint::black_box(x)
    }
}

#[test]
fn both_manglings_are_read() {
    for symbol in [
        "_ZN8aie2_sim4core4exec17h0123456789abcdefE",
        "_ZN54_$LT$aie2_sim..core..Fault$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE",
        "_ZN4core3ptr37drop_in_place$LT$aie2_sim..Array$GT$17h0123456789abcdefE",
        "_RNvNtCs1234_8aie2_sim4core4exec",
    ] {
        assert_eq!(forbidden(&[symbol.to_owned()]), [format!("aie2-sim in {symbol}")]);
    }
    let innocent =
        ["_ZN5gemma4plan4Plan3new17h0123456789abcdefE", "_ZN12aie2_kernels4w8a84gemm4emit17h0123456789abcdefE"];
    assert!(forbidden(&innocent.map(str::to_owned)).is_empty());
}

#[test]
fn symbols_of_a_program_that_has_them_are_found() {
    assert_eq!(gemma::oracle::witness(1) + gemma::softmax(1), 2);
    let found = forbidden(&symbols(&std::env::current_exe().unwrap()));
    for what in ["oracle in ", "softmax in "] {
        assert!(found.iter().any(|line| line.starts_with(what)), "{what}: {found:?}");
    }
}

#[test]
fn no_shared_library_but_the_systems() {
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_bennu")).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = |name: &str| file.section_by_name(name).unwrap().data().unwrap();
    let (dynamic, strings) = (section(".dynamic"), section(".dynstr"));
    // SOURCE: ELF gABI, chapter 5: pairs of tag and value; DT_NEEDED is 1.
    let words: Vec<u64> = dynamic.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let needed: Vec<&str> = words
        .chunks_exact(2)
        .filter(|entry| entry[0] == 1)
        .map(|entry| {
            let rest = &strings[entry[1] as usize..];
            std::str::from_utf8(&rest[..rest.iter().position(|&byte| byte == 0).unwrap()]).unwrap()
        })
        .collect();
    assert!(needed.contains(&"libc.so.6"), "{needed:?}");
    assert!(needed.iter().all(|library| SYSTEM.contains(library)), "{needed:?}");
}
