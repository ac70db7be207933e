//! Probes timed by the host.
//!
//! What a dispatch costs drops out where two probes differ only in size: rates and clocks come from the difference of their least times.

use std::time::Duration;

use aie2_kernels::KernelError;
use aie2_kernels::probe::{self, Answer, Probe, Timing};
use amdxdna::Device;
use amdxdna::kernel::Kernel;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::run::{Host, Loaded, TIMEOUT, UNTIMED_TIMEOUT};

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The device.
    #[error(transparent)]
    Device(#[from] amdxdna::Error),
    /// A probe does not compile.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The NPU gave other bytes than the probe has to give.
    #[error("{probe}, call {call}: {says}")]
    Wrong {
        /// The probe.
        probe: &'static str,
        /// Which call, counted from 1.
        call: usize,
        /// What its output says.
        says: String,
        /// What to do about it.
        change: &'static str,
    },
    /// A time without meaning.
    #[error("{probe}: more work took less time: {few_s} s for the smaller, {many_s} s for the larger")]
    NotMonotonic {
        /// The probe.
        probe: &'static str,
        /// Least time of the smaller.
        few_s: f64,
        /// Least time of the larger.
        many_s: f64,
    },
}

impl MeasureError {
    /// What to do about it.
    pub fn remedy(&self) -> &str {
        match self {
            MeasureError::Device(error) => error.remedy(),
            MeasureError::Kernel(_) => "report it: a probe of bennu itself was refused",
            MeasureError::Wrong { change, .. } => change,
            MeasureError::NotMonotonic { .. } => "end other programs that use the NPU or the memory, or raise --repeat",
        }
    }
}

/// Times of the calls of one program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Calls timed.
    pub calls: usize,
    /// Least, in microseconds.
    pub min_us: f64,
    /// Median.
    pub median_us: f64,
    /// Greatest.
    pub max_us: f64,
}

impl Times {
    /// Of at least one call.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let us = |i: usize| times.get(i).map_or(f64::NAN, |t| t.as_secs_f64() * 1e6);
        let calls = times.len();
        Self { calls, min_us: us(0), median_us: us(calls / 2), max_us: us(calls.saturating_sub(1)) }
    }

    /// Least time in seconds.
    pub fn min_s(&self) -> f64 {
        self.min_us / 1e6
    }
}

/// Sizes of a probe's operands.
pub fn sizes(probe: &Probe) -> Vec<usize> {
    probe.compiled.operands.iter().map(|operand| operand.bytes).collect()
}

/// First call, which also loads the PDI, and as many more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timed {
    /// The first call: PDI load, firmware's own beginnings.
    pub first_us: f64,
    /// The others.
    pub times: Times,
    /// Clock of the array in MHz that the driver reports while the context is there.
    pub array_mhz: u32,
}

/// Calls a probe whose every call gives the same, and times it. The outputs of the first and the last call are judged.
///
/// # Errors
/// See [`MeasureError`].
pub fn time<K: Kernel>(
    device: &Device<K>,
    probe: &Probe,
    repeat: usize,
    host: Host<'_>,
) -> Result<Timed, MeasureError> {
    let compiled = &probe.compiled;
    let mut loaded = Loaded::new(device, compiled.columns.into(), &compiled.pdi, &compiled.txn, &sizes(probe))?;
    loaded.write(0, &probe.input)?;
    let mut run = |call: usize, judged: bool| {
        if judged {
            loaded.write(1, &probe.output)?;
        }
        let time = loaded.run(host)?;
        if judged {
            judge(probe, call, 0, &loaded.read(1, probe.output.len())?)?;
        }
        Ok::<_, MeasureError>(time)
    };
    let first = run(0, true)?;
    let times = (1..=repeat).map(|call| run(call, call == repeat)).collect::<Result<Vec<_>, _>>()?;
    let array_mhz = device.clocks()?.h.mhz;
    Ok(Timed { first_us: first.as_secs_f64() * 1e6, times: Times::of(times), array_mhz })
}

/// The outcome of an output, if it is the modelled one; `like` is the call of the probe's outcomes that this one must equal.
///
/// # Errors
/// [`MeasureError::Wrong`].
pub fn judge(probe: &Probe, call: usize, like: usize, out: &[u8]) -> Result<(), MeasureError> {
    let (says, change) = match probe.judge(like, out) {
        Answer::Outcome(0) => return Ok(()),
        Answer::Outcome(other) => {
            let outcome = &probe.outcomes[other];
            (outcome.says.to_owned(), outcome.change.unwrap_or(probe.otherwise))
        }
        Answer::Unknown(d) => (
            format!(
                "{} bytes differ from what the probe must give, the first at {:#x}: {:#04x} instead of {:#04x}",
                d.bytes, d.first, d.found, d.expected
            ),
            probe.otherwise,
        ),
    };
    Err(MeasureError::Wrong { probe: probe.name(), call: call + 1, says, change })
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A difference of two sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slope {
    /// Least times of the smaller and of the larger, in microseconds.
    pub min_us: [f64; 2],
    /// Seconds of what the larger has more.
    pub seconds: f64,
    /// Clock of the array in MHz that the driver reports meanwhile.
    pub array_mhz: u32,
}

/// Times both probes and takes the difference.
///
/// # Errors
/// See [`MeasureError`].
pub fn slope<K: Kernel>(
    device: &Device<K>,
    [few, many]: [&Probe; 2],
    effort: Effort,
    host: Host<'_>,
) -> Result<Slope, MeasureError> {
    let repeat = effort.repeat;
    let (small, large) = (time(device, few, repeat, host)?, time(device, many, repeat, host)?);
    let array_mhz = large.array_mhz;
    let (small, large) = (small.times, large.times);
    let seconds = large.min_s() - small.min_s();
    if seconds <= 0.0 && !effort.untimed {
        return Err(MeasureError::NotMonotonic { probe: few.name(), few_s: small.min_s(), many_s: large.min_s() });
    }
    Ok(Slope { min_us: [small.min_us, large.min_us], seconds, array_mhz })
}

/// Cycles of a repetition, at a clock.
///
/// # Errors
/// See [`MeasureError`].
pub fn cycles<K: Kernel>(
    device: &Device<K>,
    timing: &Timing,
    hz: f64,
    effort: Effort,
    host: Host<'_>,
) -> Result<f64, MeasureError> {
    let [few, many] = &timing.probes;
    Ok(timing.cycles_of(0.0, slope(device, [few, many], effort, host)?.seconds * hz))
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Timed calls of each program, at least one.
    pub repeat: usize,
    /// Bytes of a channel in the larger of two bandwidth measurements.
    pub channel_bytes: u32,
    /// Iterations of the loop that shows the clock, few and many.
    pub clock_iterations: [u32; 2],
    /// Times mean nothing, as on a virtual NPU: programs run and outputs are judged, times are not.
    pub untimed: bool,
}

impl Effort {
    /// Enough that the host's clock counts for nothing: some 0.1 s of the loop at 1 GHz.
    pub const fn real(repeat: usize, channel_bytes: u32) -> Self {
        Self { repeat, channel_bytes, clock_iterations: [100_000, 12_600_000], untimed: false }
    }

    /// As little as runs every program twice.
    pub const fn untimed() -> Self {
        Self { repeat: 1, channel_bytes: 128 << 10, clock_iterations: [100, 2100], untimed: true }
    }

    /// How long a command may take.
    pub const fn timeout(self) -> Duration {
        if self.untimed { UNTIMED_TIMEOUT } else { TIMEOUT }
    }
}

/// The clock of the array in MHz.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ArrayClock {
    /// From a loop of known length.
    pub measured_mhz: f64,
    /// By the driver, meanwhile.
    pub reported_mhz: u32,
}

/// Measures the clock of the array.
///
/// # Errors
/// See [`MeasureError`].
pub fn clock<K: Kernel>(device: &Device<K>, effort: Effort, host: Host<'_>) -> Result<ArrayClock, MeasureError> {
    let [few, many] = effort.clock_iterations;
    let timing = probe::bundles(few, many)?;
    let [small, large] = &timing.probes;
    let slope = slope(device, [small, large], effort, host)?;
    let measured_mhz = timing.cycles * f64::from(many - few) / slope.seconds / 1e6;
    Ok(ArrayClock { measured_mhz, reported_mhz: slope.array_mhz })
}

/// Which way data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From DDR to the array.
    Read,
    /// From the array to DDR.
    Write,
}

impl Way {
    /// Both.
    pub const ALL: [Way; 2] = [Way::Read, Way::Write];

    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Way::Read => "read",
            Way::Write => "write",
        }
    }

    fn probe(self, channels: &[(u8, u8)], bytes: u32) -> Result<Probe, KernelError> {
        match self {
            Way::Read => probe::read_bandwidth(channels, bytes),
            Way::Write => probe::write_bandwidth(channels, bytes),
        }
    }
}

/// What channels carry together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bandwidth {
    /// Direction.
    pub way: Way,
    /// (column, channel) of the shims.
    pub channels: Vec<(u8, u8)>,
    /// Bytes of each channel in the smaller and in the larger measurement.
    pub bytes_per_channel: [u32; 2],
    /// The times.
    pub slope: Slope,
    /// Bytes per second of all these channels.
    pub bytes_per_s: f64,
    /// SHA-256 of the configuration and of the larger stream.
    pub pdi_sha256: String,
    /// Of the stream.
    pub txn_sha256: String,
}

/// Measures channels; the bytes are rounded down to what the probes serve.
///
/// # Errors
/// See [`MeasureError`].
pub fn bandwidth<K: Kernel>(
    device: &Device<K>,
    way: Way,
    channels: &[(u8, u8)],
    effort: Effort,
    host: Host<'_>,
) -> Result<Bandwidth, MeasureError> {
    let many_bytes = effort.channel_bytes / probe::UNIT_BYTES * probe::UNIT_BYTES;
    let few_bytes = (many_bytes / 4 / probe::UNIT_BYTES * probe::UNIT_BYTES).max(probe::UNIT_BYTES);
    let (few, many) = (way.probe(channels, few_bytes)?, way.probe(channels, many_bytes)?);
    let slope = slope(device, [&few, &many], effort, host)?;
    let more = u64::from(many_bytes - few_bytes) * channels.len() as u64;
    Ok(Bandwidth {
        way,
        channels: channels.to_vec(),
        bytes_per_channel: [few_bytes, many_bytes],
        bytes_per_s: more as f64 / slope.seconds,
        pdi_sha256: digest(&many.compiled.pdi),
        txn_sha256: digest(&many.compiled.txn),
        slope,
    })
}
