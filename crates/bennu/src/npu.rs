//! The machine's NPU, open, or the refusal that says what is in the way.

use std::env;
use std::path::Path;

use amdxdna::{Device, Options};
use gemma::{HardwareCause, Refusal};
use npu_host::{Function, Generation, Host, Needs, diagnose};

/// The machine this process runs on.
pub fn host() -> Host {
    Host::at("/", env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default())
}

/// Opens the NPU for `what`, which needs so much memory. Nothing is made on it yet.
pub fn open(host: &Host, what: &str, bytes: u64, options: Options) -> Result<Device, Refusal> {
    let node = Function::all(host).iter().find(|f| f.generation == Generation::Npu1).and_then(|f| f.node(host));
    let (refused, error) = match node {
        Some(name) => match Device::open_node(&Path::new("/dev/accel").join(name), options) {
            Ok(device) => return Ok(device),
            Err(error) => {
                let errno = match &error {
                    amdxdna::Error::Open { errno, .. } => Some(errno.0),
                    _ => None,
                };
                (npu_host::Device::Refused { errno, answer: error.to_string() }, Some(error))
            }
        },
        None => (npu_host::Device::NoNode, None),
    };
    let needs = Needs { what: what.to_owned(), ram_bytes: bytes, locked_bytes: bytes, xrt: false, mlir_aie: false };
    match (diagnose(host, &refused, &needs).verdict(), error) {
        (Err(cause), _) => Err(Refusal::not_ready(cause)),
        // The files say nothing against it: the driver's own answer is all there is.
        (Ok(()), error) => {
            let doing = "opening the NPU".to_owned();
            let error = error.map_or_else(|| "the driver has made no device node".into(), Into::into);
            Err(Refusal::HardwareRequired { source: HardwareCause::Driver { doing, error } })
        }
    }
}
