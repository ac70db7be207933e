//! `bennu-lab timeline`: what every compute tile did over the time of a run, as an SVG.
//!
//! A column of a row is a stretch of time; its colours stack up to the cycles of the stretch. Inside a stretch between two waits of a core
//! the shares of multiplying, other bundles and bank conflicts are the mean of that stretch.

use std::fmt::Write as _;
use std::path::PathBuf;

use aie2_sim::port::BlockReason;
use aie2_sim::record::{CoreActivity, CoreTrack};
use anyhow::{Context, Result};
use npu_package::Package;
use serde_json::json;

use crate::look::Look;
use crate::machine::{clock_hz, pick};

/// Arguments of `timeline`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Package directory
    package: PathBuf,

    /// Kernel; may be left out if the package holds one
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,

    /// Sequence length of the kernel; may be left out if there is one
    #[arg(long, value_name = "N")]
    seq: Option<usize>,

    /// Kind of the layer, `local` or `global`, of a kernel of attention
    #[arg(long, value_name = "KIND")]
    layer: Option<String>,

    /// File to write
    #[arg(long, value_name = "FILE.svg")]
    out: PathBuf,

    /// Seed of the random data
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the verb.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let package = Package::open(&args.package)?;
    let kernel = pick(package.manifest(), args.kernel.as_deref(), args.seq, args.layer.as_deref())?;
    let look = Look::at(&package, kernel, args.seed, 0..u64::MAX)?;
    let svg = draw(&look);
    std::fs::write(&args.out, &svg).with_context(|| format!("writing {}", args.out.display()))?;
    let shares = total(&look);
    if json {
        let shares: serde_json::Map<_, _> =
            CLASSES.iter().zip(shares).map(|(c, s)| (c.name.into(), json!(s))).collect();
        println!(
            "{:#}",
            json!({ "out": args.out, "bytes": svg.len(), "cycles": look.record.cycles, "shares": shares })
        );
    } else {
        println!("{}: {}, S = {}, {} cycles", args.out.display(), look.kernel, look.seq, look.record.cycles);
        CLASSES.iter().zip(shares).for_each(|(c, s)| println!("  {:<45} {:.1} %", c.name, s * 1e2));
    }
    Ok(())
}

/// One kind of cycle.
struct Class {
    name: &'static str,
    colour: &'static str,
}

// Okabe and Ito, "Color Universal Design", 2008: told apart with every kind of colour vision.
const CLASSES: [Class; 6] = [
    Class { name: "vmac issued", colour: "#0072b2" },
    Class { name: "other bundles", colour: "#56b4e9" },
    Class { name: "memory: bank conflicts, lock cycles", colour: "#d55e00" },
    Class { name: "waits for stream or cascade", colour: "#cc79a7" },
    Class { name: "waits for lock", colour: "#f0c566" },
    Class { name: "off or done", colour: "#e9ebee" },
];
const MEMORY: usize = 2;
const STREAM: usize = 3;
const LOCK: usize = 4;
const OFF: usize = 5;

type Shares = [f64; CLASSES.len()];

/// Cycles of each class in `buckets` equal stretches of the run.
fn shares(track: &CoreTrack, cycles: u64, buckets: usize) -> Vec<Shares> {
    let width = cycles as f64 / buckets as f64;
    let mut out = vec![[0.0; CLASSES.len()]; buckets];
    let mut seen = vec![0.0; buckets];
    for s in &track.slices {
        let mut mix: Shares = [0.0; CLASSES.len()];
        match s.activity {
            CoreActivity::Run(w) => {
                let all = (w.bundles + w.own_stalls + w.dma_stalls).max(1) as f64;
                mix[0] = w.vmacs.min(w.bundles) as f64 / all;
                mix[1] = w.bundles.saturating_sub(w.vmacs) as f64 / all;
                mix[MEMORY] = (w.own_stalls + w.dma_stalls) as f64 / all;
            }
            CoreActivity::Wait(BlockReason::Lock { .. }) => mix[LOCK] = 1.0,
            CoreActivity::Wait(
                BlockReason::StreamRead
                | BlockReason::StreamWrite
                | BlockReason::CascadeRead
                | BlockReason::CascadeWrite,
            ) => mix[STREAM] = 1.0,
        }
        let (from, to) = (s.from as f64, s.to as f64);
        for b in (from / width) as usize..buckets.min((to / width).ceil() as usize) {
            let part = (to.min((b + 1) as f64 * width) - from.max(b as f64 * width)).max(0.0) / width;
            seen[b] += part;
            mix.iter().zip(&mut out[b]).for_each(|(m, o)| *o += m * part);
        }
    }
    out.iter_mut().zip(seen).for_each(|(o, seen)| o[OFF] = (1.0 - seen).max(0.0));
    out
}

/// Shares of the whole run over all cores.
pub fn total(look: &Look) -> [f64; 6] {
    let cores = &look.record.cores;
    let mut sum = [0.0; CLASSES.len()];
    for core in cores {
        shares(core, look.record.cycles, 1)[0].iter().zip(&mut sum).for_each(|(s, t)| *t += s / cores.len() as f64);
    }
    sum
}

const WIDTH: usize = 1200;
const LEFT: usize = 96;
const RIGHT: usize = 92;
const TOP: usize = 112;
/// Pixels of one stretch of time, of a row, and between rows and columns of tiles.
const STEP: usize = 2;
const ROW: usize = 24;
const GAP: usize = 4;
const COLUMN_GAP: usize = 12;

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            // A narrow space that does not break.
            out.push('\u{202f}');
        }
        out.push(d);
    }
    out
}

/// A round number of cycles with five to ten ticks in the run.
fn tick(cycles: u64) -> u64 {
    let mut unit = 1;
    loop {
        for step in [unit, 2 * unit, 5 * unit] {
            if cycles / step <= 8 {
                return step;
            }
        }
        unit *= 10;
    }
}

/// A time in the unit that suits the whole run.
fn time(us: f64, whole: f64) -> String {
    if whole >= 1000.0 { format!("{:.2} ms", us / 1000.0) } else { format!("{us:.1} µs") }
}

/// The picture of a run.
pub fn draw(look: &Look) -> String {
    let record = &look.record;
    let plot = WIDTH - LEFT - RIGHT;
    let buckets = plot / STEP;
    let mut rows = String::new();
    let mut y = TOP;
    let mut column = record.cores.first().map(|c| c.tile.col);
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = rows.write_fmt(text);
        rows.push('\n');
    };
    for core in &record.cores {
        if column.replace(core.tile.col) != Some(core.tile.col) {
            y += COLUMN_GAP;
        }
        let shares = shares(core, record.cycles, buckets);
        let tile = format!("core ({}, {})", core.tile.col, core.tile.row);
        line(format_args!(r#"<g><title>{tile}</title>"#));
        let (text_y, base) = (y + ROW / 2 + 5, y + ROW);
        line(format_args!(r#"<text x="{}" y="{text_y}" text-anchor="end">{tile}</text>"#, LEFT - 8));
        line(format_args!(
            r#"<rect x="{LEFT}" y="{y}" width="{plot}" height="{ROW}" fill="{}"/>"#,
            CLASSES[OFF].colour
        ));
        // Painted from the top of the stack down, each over the one before.
        for class in (0..OFF).rev() {
            let height = |s: &Shares| ((s[..=class].iter().sum::<f64>() * ROW as f64).round() as usize).min(ROW);
            if shares.iter().all(|s| height(s) == 0) || shares.iter().all(|s| s[class] < 1e-3) {
                continue;
            }
            let mut path = format!("M{LEFT} {base}");
            let mut last = 0;
            for (b, h) in shares.iter().map(height).chain([0]).enumerate() {
                if h != last {
                    let _ = write!(path, "H{}V{}", LEFT + b * STEP, base - h);
                    last = h;
                }
            }
            line(format_args!(r#"<path fill="{}" d="{path}Z"/>"#, CLASSES[class].colour));
        }
        let vmac = shares.iter().map(|s| s[0]).sum::<f64>() / buckets as f64 * 1e2;
        line(format_args!(r#"<text x="{}" y="{text_y}">{vmac:.1} %</text></g>"#, LEFT + plot + 10));
        y += ROW + GAP;
    }
    let bottom = y;
    let axis = axis(look, plot, bottom);
    let height = bottom + 84;
    let head = head(look, plot);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#24292f">
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>
{head}{rows}{axis}</svg>
"##
    )
}

fn head(look: &Look, plot: usize) -> String {
    let cycles = look.record.cycles;
    let mut text = format!(
        "<text x=\"{LEFT}\" y=\"30\" font-size=\"18\" font-weight=\"bold\">{}, S = {}</text>\n",
        look.kernel, look.seq
    );
    let facts = format!(
        "{} array cycles, {} at {:.3} GHz, modelled",
        grouped(cycles),
        time(look.micros(cycles), look.micros(cycles)),
        clock_hz() / 1e9
    );
    let _ = writeln!(text, r#"<text x="{}" y="30" text-anchor="end">{facts}</text>"#, LEFT + plot);
    let totals = total(look);
    // Three to a line.
    for (i, (class, share)) in CLASSES.iter().zip(totals).enumerate() {
        let (x, y) = (LEFT + i % 3 * (plot / 3), 60 + i / 3 * 22);
        let _ = writeln!(text, r#"<rect x="{x}" y="{}" width="14" height="14" fill="{}"/>"#, y - 12, class.colour);
        let _ = writeln!(text, r#"<text x="{}" y="{y}">{}, {:.1} %</text>"#, x + 20, class.name, share * 1e2);
    }
    let _ =
        writeln!(text, r##"<text x="{}" y="{}" font-size="12" fill="#57606a">vmac</text>"##, LEFT + plot + 10, TOP - 8);
    text
}

fn axis(look: &Look, plot: usize, bottom: usize) -> String {
    let cycles = look.record.cycles;
    let mut text = format!(r##"<path stroke="#57606a" fill="none" d="M{LEFT} {bottom}h{plot}"/>"##);
    text.push('\n');
    let step = tick(cycles);
    for at in (0..=cycles).step_by(step as usize) {
        let x = LEFT as f64 + at as f64 / cycles as f64 * plot as f64;
        let _ = writeln!(text, r##"<path stroke="#57606a" d="M{x:.1} {bottom}v6"/>"##);
        let _ = writeln!(text, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#, bottom + 22, grouped(at));
        let us = time(look.micros(at), look.micros(cycles));
        let _ = writeln!(
            text,
            r##"<text x="{x:.1}" y="{}" text-anchor="middle" font-size="12" fill="#57606a">{us}</text>"##,
            bottom + 40
        );
    }
    let stretch = cycles as f64 / (plot / STEP) as f64;
    let _ = writeln!(
        text,
        r##"<text x="{LEFT}" y="{}" font-size="12" fill="#57606a">cycles above, time below; {STEP} pixels are {stretch:.0} cycles; every figure is modelled</text>"##,
        bottom + 66
    );
    text
}
