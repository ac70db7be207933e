//! What stands behind a figure.

use amdxdna::kernel::Kernel;
use amdxdna::{Device, Error};
use serde::Serialize;

/// Device, driver, firmware and clocks of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// Device node.
    pub node: String,
    /// Name the driver gives itself.
    pub driver: String,
    /// Its version.
    pub driver_version: String,
    /// Version of the firmware.
    pub firmware: String,
    /// Columns and rows of the array, the column without a shim included.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
    /// Version of the array.
    pub array_version: String,
    /// Clock of the firmware's processor in MHz.
    pub processor_mhz: u32,
    /// Clock of the array in MHz, as the driver reports it before anything runs.
    pub array_mhz: u32,
    /// How clocks are chosen.
    pub power_mode: Answer,
    /// Release of the Linux kernel.
    pub linux: Answer,
}

/// Something a driver may not tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It did.
    Is(String),
    /// It did not, and why.
    Unknown(String),
}

impl Answer {
    fn of<T: ToString, E: ToString>(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Answer::Is(value.to_string()),
            Err(error) => Answer::Unknown(error.to_string()),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Answer::Is(value) => value.clone(),
            Answer::Unknown(why) => format!("unknown ({why})"),
        }
    }
}

/// Where Linux tells its release.
const OS_RELEASE: &str = "/proc/sys/kernel/osrelease";

impl Identity {
    /// Asks the device.
    ///
    /// # Errors
    /// What the driver answers to the queries of firmware and clocks, which every driver has.
    pub fn of<K: Kernel>(device: &Device<K>) -> Result<Self, Error> {
        let (driver, metadata, clocks) = (device.driver(), device.metadata(), device.clocks()?);
        Ok(Self {
            node: device.node().display().to_string(),
            driver: driver.name.clone(),
            driver_version: format!("{}.{}.{}", driver.major, driver.minor, driver.patch),
            firmware: device.firmware_version()?.to_string(),
            columns: metadata.columns,
            rows: metadata.rows,
            array_version: format!("{}.{}", metadata.version.major, metadata.version.minor),
            processor_mhz: clocks.mp_npu.mhz,
            array_mhz: clocks.h.mhz,
            power_mode: Answer::of(device.power_mode().map(|mode| format!("{mode:?}"))),
            linux: Answer::of(std::fs::read_to_string(OS_RELEASE).map(|release| release.trim().to_owned())),
        })
    }

    /// Lines of a table: name and value.
    pub fn lines(&self) -> Vec<[String; 2]> {
        [
            ("device", self.node.clone()),
            ("driver", format!("{} {}", self.driver, self.driver_version)),
            ("firmware", self.firmware.clone()),
            ("array", format!("{} columns, {} rows, version {}", self.columns, self.rows, self.array_version)),
            ("array clock", format!("{} MHz", self.array_mhz)),
            ("processor clock", format!("{} MHz", self.processor_mhz)),
            ("power mode", self.power_mode.text()),
            ("Linux", self.linux.text()),
        ]
        .map(|(name, value)| [name.to_owned(), value])
        .into()
    }
}
