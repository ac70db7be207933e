//! Tells everything the driver tells: `cargo run -p amdxdna --example query`.

use std::process::ExitCode;

use amdxdna::{Device, Error};

fn main() -> ExitCode {
    match query() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.explain());
            ExitCode::FAILURE
        }
    }
}

fn query() -> Result<(), Error> {
    for node in Device::discover()? {
        println!("{}: {}", node.path.display(), node.id);
    }
    let device = Device::open()?;
    let driver = device.driver();
    println!("driver      {} {}.{}.{}", driver.name, driver.major, driver.minor, driver.patch);
    let metadata = device.metadata();
    println!("array       {} columns, {} rows, {} of cores", metadata.columns, metadata.rows, metadata.core.rows);
    tell("firmware", device.firmware_version(), |version| version.to_string());
    tell("array is", device.aie_version(), |version| format!("version {}.{}", version.major, version.minor));
    tell("clocks", device.clocks(), |clocks| {
        format!("{} {} MHz, {} {} MHz", clocks.mp_npu.name, clocks.mp_npu.mhz, clocks.h.name, clocks.h.mhz)
    });
    tell("power mode", device.power_mode(), |mode| format!("{mode:?}"));
    tell("resources", device.resource_info(), |info| format!("{info:?}"));
    tell("last error", device.last_async_error(), |error| format!("{error:?}"));
    tell("sensors", device.sensors(), |sensors| {
        let readings = sensors.iter().map(|sensor| format!("{} {} {}", sensor.label, sensor.value(), sensor.unit));
        readings.collect::<Vec<_>>().join(", ")
    });
    tell("contexts", device.contexts(), |contexts| format!("{contexts:?}"));
    tell("status", device.aie_status(), |status| format!("columns {:#b}", status.columns));
    println!("{:#?}", device.features()?);
    Ok(())
}

/// A line for an answer; the driver may not have it, or not for this user.
fn tell<T>(name: &str, answer: Result<T, Error>, show: impl FnOnce(&T) -> String) {
    let text = answer.as_ref().map_or_else(ToString::to_string, show);
    println!("{name:11} {text}");
}
