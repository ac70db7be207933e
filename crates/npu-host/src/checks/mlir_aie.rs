//! MLIR-AIE: found or not. bennu compiles its kernels itself.

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
    let packages = PYTHON.into_iter().flat_map(|root| {
        let versions = host.names(root).into_iter().filter(|name| name.starts_with("python3"));
        versions.flat_map(move |version| {
            ["site-packages", "dist-packages"].map(|kind| format!("{root}/{version}/{kind}/mlir_aie"))
        })
    });
    packages.chain(["/opt/mlir-aie".to_owned()]).find(|place| host.exists(place))
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
