//! `bennu top`: what the NPU does, as far as this driver tells.

use std::io::{IsTerminal, stdout};
use std::thread;
use std::time::{Duration, Instant};

use amdxdna::kernel::Kernel;
use amdxdna::{ContextInfo, Device, Error, Options, PowerMode, SensorKind};
use gemma::Watch;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::format::{Columns, binary_bytes, grouped};
use crate::npu;
use crate::progress::Progress;
use crate::report::{Report, print};

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Looks once and ends
    #[arg(long)]
    once: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 3600".to_owned()),
    }
}

const EXAMPLES: &str = "\
Examples:
  bennu top
  bennu top --once --json
  bennu top --json --interval 5 | jq -c '.contexts'

Until Ctrl-C, or once. Rates are counted between two looks. With --json every look is one document. What the driver does not
tell says so in its place.";

/// How often Ctrl-C is looked for.
const SLICE: Duration = Duration::from_millis(50);
/// Moves the cursor home and clears what follows.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Runs the verb.
pub fn run(args: &Args, json: bool) -> Result<Box<dyn Report>, Failure> {
    let progress = Progress::with_interrupt()?;
    let host = npu::host();
    // Nothing is allocated: queries need no memory.
    let device = npu::open(&host, "looking at the NPU", 0, Options::default())?;
    let mut look = Look::of(&device, None);
    if args.once {
        return Ok(Box::new(look));
    }
    loop {
        if !json && stdout().is_terminal() {
            eprint!("{CLEAR}");
        }
        print(&look, json)?;
        let next = Instant::now() + Duration::from_secs_f64(args.interval);
        while Instant::now() < next {
            if progress.cancelled() {
                return Ok(Box::new(Ended));
            }
            thread::sleep(SLICE.min(next.saturating_duration_since(Instant::now())));
        }
        look = Look::of(&device, Some(&look));
        if let Some(gone) = look.gone.take() {
            let remedy = gone.remedy();
            return Err(Failure::refused(gone).with_remedy(remedy));
        }
    }
}

/// The end of a live view: everything was printed.
struct Ended;

impl Report for Ended {
    fn json(&self) -> Value {
        json!({ "ended": true })
    }
    fn table(&self) -> String {
        String::new()
    }
}

/// A fact, or why the driver does not tell it.
type Told<T> = Result<T, String>;

/// One look at the NPU.
struct Look {
    at: Instant,
    node: String,
    driver: String,
    array: String,
    firmware: Told<String>,
    /// Name and MHz.
    clocks: Told<Vec<(String, u32)>>,
    power_mode: Told<&'static str>,
    /// Label, value, unit.
    sensors: Told<Vec<(String, f64, String)>>,
    /// Busy share of columns, in percent.
    utilisation: Told<Vec<(String, f64)>>,
    resources: Told<[u64; 5]>,
    contexts: Told<Vec<Seen>>,
    last_error: Told<Option<String>>,
    telemetry: Told<()>,
    gone: Option<Error>,
}

/// A context, and its commands per second since the last look.
struct Seen {
    info: ContextInfo,
    rate: Option<f64>,
}

fn mode(mode: PowerMode) -> &'static str {
    match mode {
        PowerMode::Default => "default",
        PowerMode::Low => "low",
        PowerMode::Medium => "medium",
        PowerMode::High => "high",
        PowerMode::Turbo => "turbo",
    }
}

impl Look {
    /// Asks the driver for everything it may tell. `before` is the last look.
    fn of<K: Kernel>(device: &Device<K>, before: Option<&Look>) -> Self {
        let at = Instant::now();
        let mut gone = None;
        let mut told = |error: Error| {
            let text = match &error {
                Error::Unsupported { .. } => format!("this driver does not tell: {error}"),
                error => format!("{error}: {}", error.cause().text()),
            };
            if error.is_unplugged() {
                gone = Some(error);
            }
            text
        };
        let driver = device.driver();
        let array = device.metadata();
        let clocks = device.clocks().map_err(&mut told);
        let sensors = device.sensors().map_err(&mut told);
        let readings = |busy: bool| match &sensors {
            Ok(sensors) => Ok(sensors.iter().filter(|s| (s.kind == SensorKind::ColumnUtilization) == busy).collect()),
            Err(error) => Err(error.clone()),
        };
        let others: Told<Vec<&amdxdna::Sensor>> = readings(false);
        let busy: Told<Vec<&amdxdna::Sensor>> = readings(true);
        let utilisation = busy.and_then(|busy| match busy.is_empty() {
            true => Err("this driver does not tell: no sensor of column utilisation".to_owned()),
            false => Ok(busy.iter().map(|s| (s.label.clone(), s.value())).collect()),
        });
        let seconds = before.map(|before| at.duration_since(before.at).as_secs_f64());
        let done_before = |info: &ContextInfo| {
            let Ok(contexts) = &before?.contexts else { return None };
            let same = |seen: &&Seen| (seen.info.pid, seen.info.context) == (info.pid, info.context);
            contexts.iter().find(same).map(|seen| seen.info.completions)
        };
        let seen = |info: ContextInfo| {
            let rate = match (done_before(&info), seconds) {
                (Some(done), Some(seconds)) if seconds > 0.0 => {
                    Some(info.completions.saturating_sub(done) as f64 / seconds)
                }
                _ => None,
            };
            Seen { info, rate }
        };
        Look {
            at,
            node: device.node().display().to_string(),
            driver: format!("{} {}.{}", driver.name, driver.major, driver.minor),
            array: format!("{} columns, {} rows of compute tiles", array.columns, array.core.rows),
            firmware: device.firmware_version().map_err(&mut told).map(|version| version.to_string()),
            clocks: clocks
                .map(|clocks| [clocks.mp_npu, clocks.h].into_iter().map(|clock| (clock.name, clock.mhz)).collect()),
            power_mode: device.power_mode().map_err(&mut told).map(mode),
            sensors: others.map(|s| s.iter().map(|s| (s.label.clone(), s.value(), s.unit.clone())).collect()),
            utilisation,
            resources: device
                .resource_info()
                .map_err(&mut told)
                .map(|r| [r.clock_max_mhz, r.tops_max, r.tops, r.contexts_max, r.contexts]),
            contexts: device.contexts().map_err(&mut told).map(|contexts| contexts.into_iter().map(seen).collect()),
            last_error: device.last_async_error().map_err(&mut told).map(|error| {
                error.map(|e| {
                    let (kind, module) = (e.kind, e.module);
                    format!("{kind:?} in {module:?}, column {}, row {}, at {} µs", e.column, e.row, e.timestamp_us)
                })
            }),
            // SOURCE: measured by others on Phoenix with firmware 1.5.5.391: GET_INFO/TELEMETRY answers 0xFF in every byte.
            telemetry: Err("the firmware of Phoenix does not tell: it answers with filler".to_owned()),
            gone,
        }
    }
}

fn told<T>(told: &Told<T>, known: impl FnOnce(&T) -> Value) -> Value {
    match told {
        Ok(value) => known(value),
        Err(why) => json!({ "lacking": why }),
    }
}

impl Report for Look {
    fn json(&self) -> Value {
        let readings = |sensors: &Vec<(String, f64, String)>| -> Value {
            sensors.iter().map(|(label, value, unit)| json!({ "label": label, "value": value, "unit": unit })).collect()
        };
        let contexts = |contexts: &Vec<Seen>| -> Value {
            let one = |Seen { info, rate }: &Seen| {
                json!({
                    "context": info.context,
                    "pid": info.pid,
                    "first_column": info.first_column,
                    "columns": info.columns,
                    "submissions": info.submissions,
                    "completions": info.completions,
                    "completions_per_s": rate,
                    "migrations": info.migrations,
                    "preemptions": info.preemptions,
                    "errors": info.errors,
                    "process": info.details.as_ref().map(|d| d.process.clone()),
                    "heap_bytes": info.details.as_ref().map(|d| d.heap_bytes),
                    "suspensions": info.details.as_ref().map(|d| d.suspensions),
                    "active": info.details.as_ref().map(|d| d.active),
                })
            };
            contexts.iter().map(one).collect()
        };
        json!({
            "node": self.node,
            "driver": self.driver,
            "array": self.array,
            "firmware": told(&self.firmware, |version| json!(version)),
            "clocks_mhz": told(&self.clocks, |clocks| clocks.iter().map(|(name, mhz)| (name.clone(), json!(mhz))).collect()),
            "power_mode": told(&self.power_mode, |mode| json!(mode)),
            "sensors": told(&self.sensors, readings),
            "utilisation_percent": told(&self.utilisation, |columns| json!(columns.iter().map(|(label, value)| json!({ "label": label, "value": value })).collect::<Vec<_>>())),
            "resources": told(&self.resources, |[clock, tops_max, tops, contexts_max, contexts]| {
                json!({ "clock_max_mhz": clock, "tops_max": tops_max, "tops": tops, "contexts_max": contexts_max, "contexts": contexts })
            }),
            "contexts": told(&self.contexts, contexts),
            "last_error": told(&self.last_error, |error| json!(error)),
            "telemetry": told(&self.telemetry, |()| Value::Null),
        })
    }

    fn table(&self) -> String {
        let mut lines = Columns::new("ll");
        let mut line = |name: &str, told: Told<String>| lines.row([name.to_owned(), told.unwrap_or_else(|why| why)]);
        line("driver", Ok(self.driver.clone()));
        line("array", Ok(self.array.clone()));
        line("firmware", self.firmware.clone());
        let clocks = |clocks: &Vec<(String, u32)>| {
            clocks.iter().map(|(name, mhz)| format!("{name} {mhz} MHz")).collect::<Vec<_>>().join(", ")
        };
        line("clocks", self.clocks.as_ref().map(clocks).map_err(Clone::clone));
        line("power mode", self.power_mode.clone().map(str::to_owned));
        match &self.sensors {
            Ok(sensors) if sensors.is_empty() => {
                line("power", Err("this driver does not tell: no sensor of power".into()))
            }
            Ok(sensors) => sensors.iter().for_each(|(label, value, unit)| line(label, Ok(format!("{value} {unit}")))),
            Err(why) => line("power", Err(why.clone())),
        }
        let busy = |columns: &Vec<(String, f64)>| {
            columns.iter().map(|(label, value)| format!("{label} {value:.0} %")).collect::<Vec<_>>().join(", ")
        };
        line("utilisation", self.utilisation.as_ref().map(busy).map_err(Clone::clone));
        let resources = |[clock, tops_max, tops, contexts_max, contexts]: &[u64; 5]| {
            format!("{tops} of {tops_max} TOPS, at most {clock} MHz; {contexts} of {contexts_max} contexts")
        };
        line("resources", self.resources.as_ref().map(resources).map_err(Clone::clone));
        let error = |error: &Option<String>| error.clone().unwrap_or_else(|| "none".to_owned());
        line("last error", self.last_error.as_ref().map(error).map_err(Clone::clone));
        line("telemetry", self.telemetry.clone().map(|()| String::new()));
        let mut text = format!("{}\n{}", self.node, lines.render());
        match &self.contexts {
            Err(why) => text.push_str(&format!("\ncontexts: {why}\n")),
            Ok(contexts) if contexts.is_empty() => text.push_str("\nno contexts\n"),
            Ok(contexts) => {
                let mut lines = Columns::new("rrlrrrrrr");
                let head = ["context", "pid", "process", "columns", "submitted", "done", "per s", "errors", "heap"];
                lines.row(head.map(str::to_owned));
                for Seen { info, rate } in contexts {
                    let details = info.details.as_ref();
                    lines.row([
                        info.context.to_string(),
                        info.pid.to_string(),
                        details.map_or_else(|| "not told".to_owned(), |d| d.process.clone()),
                        format!("{}..{}", info.first_column, info.first_column + info.columns),
                        grouped(info.submissions),
                        grouped(info.completions),
                        rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
                        grouped(info.errors),
                        details.map_or_else(|| "not told".to_owned(), |d| binary_bytes(d.heap_bytes)),
                    ]);
                }
                text.push_str(&format!("\n{}", lines.render()));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use amdxdna::{ContextConfig, Errno, Ioctl};
    use amdxdna_fake::{Driver, FakeKernel};

    use super::*;

    #[test]
    fn a_new_driver_tells_nearly_everything() {
        let fake = FakeKernel::new(Driver::current());
        let device = fake.open(Options::default()).unwrap();
        let _context = device.create_context(ContextConfig { columns: 2, ..ContextConfig::default() }).unwrap();
        let look = Look::of(&device, None);
        let json = look.json();
        for known in ["firmware", "clocks_mhz", "power_mode", "resources", "contexts"] {
            assert!(json[known].get("lacking").is_none(), "{known}: {}", json[known]);
        }
        assert_eq!(json["driver"], "amdxdna_accel_driver 0.16");
        assert_eq!(
            (&json["contexts"][0]["columns"], &json["contexts"][0]["completions_per_s"]),
            (&json!(2), &Value::Null)
        );
        assert!(json["telemetry"]["lacking"].as_str().unwrap().contains("filler"));
        let again = Look::of(&device, Some(&look)).json();
        assert_eq!(again["contexts"][0]["completions_per_s"], 0.0);
        let table = look.table();
        for part in ["/dev/accel/accel0", "amdxdna_accel_driver 0.16", "telemetry", "submitted"] {
            assert!(table.contains(part), "{part:?} is not in {table}");
        }
    }

    #[test]
    fn what_the_first_driver_lacks_says_so() {
        let device = FakeKernel::new(Driver::mainline_6_14()).open(Options::default()).unwrap();
        let look = Look::of(&device, None);
        let json = look.json();
        for lacking in ["resources", "last_error", "telemetry", "utilisation_percent"] {
            assert!(json[lacking]["lacking"].is_string(), "{lacking}: {}", json[lacking]);
        }
        assert_eq!(json["contexts"], json!([]));
        assert!(look.table().contains("this driver does not tell: the driver has no query RESOURCE_INFO"));
        assert!(look.table().contains("no contexts"));
    }

    #[test]
    fn a_query_that_fails_has_its_cause_and_a_device_that_is_gone_ends_the_view() {
        let fake = FakeKernel::new(Driver::current());
        let device = fake.open(Options::default()).unwrap();
        fake.fail(Ioctl::GetInfo, 0, Errno::EACCES);
        let look = Look::of(&device, None);
        assert!(look.gone.is_none());
        assert!(look.json()["clocks_mhz"]["lacking"].as_str().unwrap().contains("EACCES"));
        fake.unplug();
        assert!(Look::of(&device, None).gone.is_some());
    }
}
