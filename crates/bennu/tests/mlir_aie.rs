//! `bennu compile --emit mlir` and `--toolchain mlir-aie`: files, reports, and a compiler that is a script.

mod run;
#[path = "../../gemma/tests/synthetic/mod.rs"]
mod synthetic;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use npu_package::Package;
use object::{Object, ObjectSegment};
use run::{Run, json};
use serde_json::Value;
use synthetic::Synthetic;
use tempfile::TempDir;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A small model, and a directory for packages and programs.
struct Rig {
    model: TempDir,
    directory: TempDir,
}

/// What a script does that stands for aiecc: it finds its arguments in $out, $xclbin, $insts, $module and $stem.
const COPIES: &str = r#"
[ -s "$module" ] || exit 7
sed -n 's/.*elf_file = "\([^"]*\)".*/\1/p' "$module" | while read -r elf; do [ -s "$elf" ] || exit 8; done || exit 8
mkdir -p "$out"
cp "$stem.xclbin" "$out/$xclbin"
cp "$stem.txn" "$out/$insts"
"#;

impl Rig {
    fn new() -> Self {
        Rig { model: Synthetic::int8(1).saved(), directory: tempfile::tempdir().unwrap() }
    }

    fn package(&self) -> PathBuf {
        self.directory.path().join("package")
    }

    /// Puts a program into a directory below the rig's.
    fn program(&self, directory: &str, name: &str, script: &str) -> PathBuf {
        let directory = self.directory.path().join(directory);
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        directory
    }

    fn aiecc(&self, directory: &str, does: &str) -> PathBuf {
        let script = format!(
            r#"#!/bin/sh
for argument in "$@"; do
    case $argument in
        --output-dir=*) out=${{argument#*=}} ;;
        --xclbin-name=*) xclbin=${{argument#*=}} ;;
        --npu-insts-name=*) insts=${{argument#*=}} ;;
        *.mlir) module=$argument ;;
    esac
done
stem=${{module%.mlir}}
{does}"#
        );
        self.program(directory, "aiecc", &script)
    }

    /// Compiles with `--toolchain mlir-aie` and nothing on the PATH but the system's programs and `path`.
    fn toolchain(&self, path: Option<&Path>, environment: &[(&str, &Path)]) -> Run {
        let mut directories: Vec<&Path> = path.into_iter().collect();
        directories.extend([Path::new("/usr/bin"), Path::new("/bin")]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bennu"));
        command.args(["compile", "--toolchain", "mlir-aie", "--seq", "1", "--json"]);
        command.args(["--model", text(self.model.path()), "--out", text(&self.package())]);
        command.env("PATH", std::env::join_paths(directories).unwrap());
        command.env_remove("MLIR_AIE_INSTALL_DIR").env_remove("VIRTUAL_ENV");
        command.envs(environment.iter().copied());
        command.output().unwrap().into()
    }

    /// Exit code 1, nothing written, and every part on stderr.
    #[track_caller]
    fn assert_refused(&self, run: &Run, parts: &[&str]) {
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{part:?} is not in: {}", run.stderr);
        }
        let left: Vec<_> =
            fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("package")), "left behind: {left:?}");
    }

    #[track_caller]
    fn assert_built(&self, run: &Run) -> Value {
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        Package::open(self.package()).unwrap().verify().unwrap();
        assert!(!self.package().join("aiecc.work").exists());
        serde_json::from_str(&run.stdout).unwrap()
    }
}

#[test]
fn modules_and_programs_stand_beside_the_kernels() {
    let rig = Rig::new();
    let arguments = |out: &'static str| {
        let out = text(&rig.directory.path().join(out)).to_owned();
        ["compile", "--emit", "mlir", "--seq", "1", "--model", text(rig.model.path()), "--out", &out, "--json"]
            .map(str::to_owned)
            .to_vec()
    };
    let compile = |out| json(&arguments(out).iter().map(String::as_str).collect::<Vec<_>>());
    let report = compile("package");
    compile("again");
    assert_eq!(report["no_module"], serde_json::json!([]));
    let package = Package::open(rig.package()).unwrap();
    package.verify().unwrap();
    let modules = report["modules"].as_array().unwrap();
    assert_eq!(modules.len(), package.manifest().kernels.len());
    for (module, kernel) in modules.iter().zip(&package.manifest().kernels) {
        let name = module["module"].as_str().unwrap();
        assert_eq!(name.trim_end_matches(".mlir"), kernel.files.pdi.trim_end_matches(".pdi"));
        assert!(module.get("aiecc").is_none());
        let contents = String::from_utf8(package.read_file(name).unwrap()).unwrap();
        let again = fs::read_to_string(rig.directory.path().join("again").join(name)).unwrap();
        assert_eq!(contents, again);
        for program in &kernel.programs {
            let file = program.file.replace(".core.bin", ".core.elf");
            assert!(contents.contains(&format!("elf_file = \"{file}\"")), "{name}: {file}");
            let (elf, binary) = (package.read_file(&file).unwrap(), package.read_file(&program.file).unwrap());
            let read = object::File::parse(&elf[..]).unwrap();
            let segments: Vec<_> = read.segments().map(|s| (s.address(), s.data().unwrap().to_vec())).collect();
            assert_eq!(segments, [(0, binary)]);
        }
    }
    let table = run::bennu(&[
        "compile",
        "--emit",
        "mlir",
        "--seq",
        "1",
        "--model",
        text(rig.model.path()),
        "--out",
        text(&rig.directory.path().join("table")),
    ]);
    assert!(table.stdout.contains("\nmodule w8a16_qkv_projection_s1.mlir\n"), "{}", table.stdout);
}

#[test]
fn what_aiecc_makes_is_taken_into_the_package() {
    let rig = Rig::new();
    let path = rig.aiecc("bin", COPIES);
    let report = rig.assert_built(&rig.toolchain(Some(&path), &[]));
    let package = Package::open(rig.package()).unwrap();
    for module in report["modules"].as_array().unwrap() {
        let built = &module["aiecc"];
        assert_eq!(built["same_stream"], true);
        let stem = module["module"].as_str().unwrap().trim_end_matches(".mlir");
        assert_eq!(built["xclbin"], format!("{stem}.mlir-aie.xclbin"));
        let file = |name: &Value| package.read_file(name.as_str().unwrap()).unwrap();
        assert_eq!(file(&built["xclbin"]), package.read_file(&format!("{stem}.xclbin")).unwrap());
        assert_eq!(file(&built["instructions"]), package.read_file(&format!("{stem}.txn")).unwrap());
    }
    assert!(!report["modules"].as_array().unwrap().is_empty());
}

#[test]
fn aiecc_is_found_where_it_was_installed() {
    for (variable, directory) in [("MLIR_AIE_INSTALL_DIR", "aie"), ("VIRTUAL_ENV", "env")] {
        let rig = Rig::new();
        rig.aiecc(&format!("{directory}/bin"), COPIES);
        let place = rig.directory.path().join(directory);
        rig.assert_built(&rig.toolchain(None, &[(variable, &place)]));
    }
    // the package of a Python environment, in which aiecc is a script of Python's
    let rig = Rig::new();
    let script = r#"
import os, shutil, sys
options = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("--") and "=" in a)
module = sys.argv[-1]
os.makedirs(options["output-dir"], exist_ok=True)
stem = module.removesuffix(".mlir")
shutil.copy(stem + ".xclbin", os.path.join(options["output-dir"], options["xclbin-name"]))
shutil.copy(stem + ".txn", os.path.join(options["output-dir"], options["npu-insts-name"]))
"#;
    rig.program("env/lib/python3.12/site-packages/mlir_aie/bin", "aiecc.py", script);
    let place = rig.directory.path().join("env");
    // python3 is wherever this machine has it
    let python = std::env::split_paths(&std::env::var_os("PATH").unwrap()).find(|path| path.join("python3").is_file());
    rig.assert_built(&rig.toolchain(Some(&python.expect("python3 on the PATH")), &[("VIRTUAL_ENV", &place)]));
}

#[test]
fn without_aiecc_nothing_is_compiled() {
    let rig = Rig::new();
    let place = rig.directory.path().join("nothing");
    let run = rig.toolchain(None, &[("MLIR_AIE_INSTALL_DIR", &place)]);
    let searched = format!(
        "  caused by: no aiecc or aiecc.py on the PATH, none in MLIR_AIE_INSTALL_DIR ({}), VIRTUAL_ENV is not set, none in mlir_aie among \
         Python's packages, no /opt/mlir-aie/bin\n",
        place.display()
    );
    let remedy = "  remedy: bennu compiles its kernels itself: leave the request for MLIR-AIE away";
    rig.assert_refused(&run, &["error: MLIR-AIE2 not available - real NPU execution required\n", &searched, remedy]);
}

#[test]
fn a_failing_aiecc_is_repeated_in_its_words() {
    let rig = Rig::new();
    let path = rig.aiecc("bin", "echo \"$module: Unable to find a legal routing\" >&2\nexit 3");
    let run = rig.toolchain(Some(&path), &[]);
    let said =
        ["bin/aiecc refused w8a16_qkv_projection_s1.mlir: exit status: 3; it said:", "Unable to find a legal routing"];
    rig.assert_refused(&run, &[said[0], said[1], "remedy: run aiecc by hand"]);
    assert!(!run.stderr.contains("MLIR-AIE2 not available"));
}

#[test]
fn outputs_of_aiecc_are_not_taken_on_trust() {
    for (does, said) in [
        ("exit 0", "ended well and did not write w8a16_qkv_projection_s1.xclbin for w8a16_qkv_projection_s1.mlir"),
        ("mkdir -p $out; cp $stem.xclbin $out/$xclbin", "did not write w8a16_qkv_projection_s1.insts.bin"),
        ("mkdir -p $out; cp $stem.txn $out/$xclbin; cp $stem.txn $out/$insts", "wrote no xclbin for"),
        ("mkdir -p $out; cp $stem.xclbin $out/$xclbin; echo > $out/$insts", "wrote no runtime stream for"),
    ] {
        let rig = Rig::new();
        let path = rig.aiecc("bin", does);
        rig.assert_refused(&rig.toolchain(Some(&path), &[]), &[said]);
    }
    // a stream of other operations, well formed as it is
    let rig = Rig::new();
    let other = format!(
        "{COPIES}\n[ \"$stem\" = w8a16_o_projection_s1 ] && cp w8a16_qkv_projection_s1.txn \"$out/$insts\"; true"
    );
    let path = rig.aiecc("bin", &other);
    let said = "wrote another runtime stream for w8a16_o_projection_s1.mlir than bennu's";
    rig.assert_refused(
        &rig.toolchain(Some(&path), &[]),
        &[said, "the first that differs is", "remedy: run aiecc by hand"],
    );
}
