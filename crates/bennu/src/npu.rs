//! The machine's NPU, open, or the refusal that says what is in the way.

use std::env;
use std::path::{Path, PathBuf};

use amdxdna::{Device, Options};
use gemma::{HardwareCause, Refusal};
use npu_host::{AieccPlaces, Function, Generation, Host, Needs, diagnose};

/// The machine this process runs on.
pub fn host() -> Host {
    Host::at("/", env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default())
}

/// Where the user says that MLIR-AIE is.
pub fn mlir_aie_places() -> AieccPlaces {
    let place = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    AieccPlaces { install: place("MLIR_AIE_INSTALL_DIR"), python: place("VIRTUAL_ENV") }
}

/// The device node of the NPU, if the driver has made one.
pub fn node(host: &Host) -> Option<PathBuf> {
    let npu = Function::all(host).into_iter().find(|function| function.generation == Generation::Npu1)?;
    Some(Path::new("/dev/accel").join(npu.node(host)?))
}

/// A device that did not open. Only `open` itself says something of permissions and of the IOMMU.
pub fn refused(error: &amdxdna::Error) -> npu_host::Device {
    let errno = match error {
        amdxdna::Error::Open { errno, .. } => Some(errno.0),
        _ => None,
    };
    npu_host::Device::Refused { errno, answer: error.to_string() }
}

/// Opens the NPU for `what`, which needs so much memory. Nothing is made on it yet.
pub fn open(host: &Host, what: &str, bytes: u64, options: Options) -> Result<Device, Refusal> {
    let (device, error) = match node(host) {
        Some(node) => match Device::open_node(&node, options) {
            Ok(device) => return Ok(device),
            Err(error) => (refused(&error), Some(error)),
        },
        None => (npu_host::Device::NoNode, None),
    };
    let needs = Needs { what: what.to_owned(), ram_bytes: bytes, locked_bytes: bytes, xrt: false, mlir_aie: false };
    match (diagnose(host, &device, &needs).verdict(), error) {
        (Err(cause), _) => Err(Refusal::not_ready(cause)),
        // The files say nothing against it: the driver's own answer is all there is.
        (Ok(()), error) => {
            let doing = "opening the NPU".to_owned();
            let error = error.map_or_else(|| "the driver has made no device node".into(), Into::into);
            Err(Refusal::HardwareRequired { source: HardwareCause::Driver { doing, error } })
        }
    }
}
