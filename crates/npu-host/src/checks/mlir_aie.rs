//! MLIR-AIE: found or not. bennu compiles its kernels itself.

use std::path::{Path, PathBuf};

use crate::check::{Check, CheckId};
use crate::diagnose::Subject;
use crate::host::Host;

const ID: CheckId = CheckId::MlirAie;

const PROGRAMS: [&str; 3] = ["aiecc", "aiecc.py", "aie-opt"];
const PYTHON: [&str; 3] = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];

fn find(host: &Host) -> Option<String> {
    if let Some(program) = host.program(&PROGRAMS) {
        return Some(program.display().to_string());
    }
    let place = installed(host, &AieccPlaces::default()).into_iter().find(|place| host.exists(place));
    place.map(|place| place.display().to_string())
}

/// Where a user may have put MLIR-AIE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AieccPlaces {
    /// `MLIR_AIE_INSTALL_DIR`.
    pub install: Option<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub python: Option<PathBuf>,
}

/// The driver of MLIR-AIE's compiler, under either of its names.
const DRIVERS: [&str; 2] = ["aiecc", "aiecc.py"];

/// Directories of an installation, whether they are there or not.
fn installed(host: &Host, places: &AieccPlaces) -> Vec<PathBuf> {
    let libraries = places.python.iter().map(|python| python.join("lib")).chain(PYTHON.map(PathBuf::from));
    let packages = libraries.flat_map(|library| {
        let versions = host.names(&library).into_iter().filter(|name| name.starts_with("python3"));
        let packages = versions.flat_map(move |version| {
            ["site-packages", "dist-packages"].map(|kind| library.join(&version).join(kind).join("mlir_aie"))
        });
        packages.collect::<Vec<_>>()
    });
    places.install.iter().cloned().chain(packages).chain([PathBuf::from("/opt/mlir-aie")]).collect()
}

/// Finds the driver of MLIR-AIE's compiler: on the PATH, where it was installed, in the user's Python environment.
///
/// # Errors
/// Where it was looked for.
pub fn aiecc(host: &Host, places: &AieccPlaces) -> Result<PathBuf, String> {
    if let Some(program) = host.program(&DRIVERS) {
        return Ok(program);
    }
    let environment = places.python.iter().map(|python| python.join("bin"));
    let binaries = environment.chain(installed(host, places).into_iter().map(|place| place.join("bin")));
    let program = |directory: &PathBuf| DRIVERS.map(|name| directory.join(name));
    let is_file = |path: &PathBuf| host.metadata(path).is_ok_and(|found| found.is_file());
    let found = binaries.collect::<Vec<_>>().iter().flat_map(program).find(is_file);
    found.ok_or_else(|| {
        let named = |name: &str, value: Option<&Path>| match value {
            Some(value) => format!("none in {name} ({})", value.display()),
            None => format!("{name} is not set"),
        };
        format!(
            "no {} on the PATH, {}, {}, none in mlir_aie among Python's packages, no /opt/mlir-aie/bin",
            DRIVERS.join(" or "),
            named("MLIR_AIE_INSTALL_DIR", places.install.as_deref()),
            named("VIRTUAL_ENV", places.python.as_deref()),
        )
    })
}

pub(crate) fn check(subject: &Subject<'_>) -> Check {
    match find(subject.host) {
        Some(place) => Check::pass(ID, format!("found: {place}; bennu does not need it")),
        None => {
            let places = format!(
                "no {} on the PATH, no mlir_aie among Python's packages, no /opt/mlir-aie",
                PROGRAMS.join(", ")
            );
            if subject.needs.mlir_aie {
                Check::fail(
                    ID,
                    format!("asked for, and not found: {places}"),
                    "bennu compiles its kernels itself: leave the request away and run `bennu compile`, or install MLIR-AIE so that aiecc is \
                     on the PATH",
                )
            } else {
                Check::skipped(ID, "not found; bennu does not need it")
            }
        }
    }
}
