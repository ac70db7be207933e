//! What happened, as a log of one line per message and as counters.
//!
//! ```text
//! 0.912345 recv mgmt CREATE_CONTEXT id=0x1d00000f bytes=28 start=1 columns=4 ..
//! 0.912399 send mgmt CREATE_CONTEXT id=0x1d00000f bytes=76 status=0x00000000
//! 0.950001 note ctx=1 PDI of unit 0 loaded: ..
//! ```
//! Seconds since the device was made; `recv`, `send` or `note`; then the channel.

use crate::message::{Opcode, Status};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::time::Instant;

/// The channel of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Of the device as a whole.
    Device,
    /// Management.
    Management,
    /// A context.
    Context(u32),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("device"),
            Self::Management => f.write_str("mgmt"),
            Self::Context(id) => write!(f, "ctx={id}"),
        }
    }
}

/// An operation by name, or by number if npu1 does not have it.
pub struct Name(pub u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Opcode::of(self.0) {
            Some(opcode) => opcode.fmt(f),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// Events since the device was made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Requests received, by name; those npu1 does not have as `unknown`.
    pub messages: BTreeMap<String, u64>,
    /// Times the firmware was started.
    pub boots: u64,
    /// Suspends of the firmware.
    pub suspends: u64,
    /// Contexts made.
    pub contexts_made: u64,
    /// PDIs loaded.
    pub pdis: u64,
    /// Instruction streams started.
    pub runs: u64,
    /// Instruction streams that ended well.
    pub completed: u64,
    /// Instruction streams that ended with an error status.
    pub failed: u64,
    /// Instruction streams that never end.
    pub hung: u64,
    /// Commands in which the simulator panicked: errors of the model, not of the guest.
    pub panics: u64,
    /// Interrupts signalled.
    pub interrupts: u64,
    /// Things the model does not know, and requests that break the protocol.
    pub refusals: u64,
    /// Faults that have fired.
    pub faults_fired: u64,
}

/// The log and the counters.
pub struct Journal {
    start: Instant,
    out: Option<Box<dyn Write + Send>>,
    /// The counters.
    pub counters: Counters,
}

impl Journal {
    /// A journal that also writes its lines to `out`.
    pub fn new(out: Option<Box<dyn Write + Send>>) -> Self {
        Self { start: Instant::now(), out, counters: Counters::default() }
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        let seconds = self.start.elapsed().as_secs_f64();
        let Some(out) = &mut self.out else { return };
        // Some reasons have several lines; an event has one.
        let text = text.to_string();
        let parts: Vec<&str> = text.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
        if let Err(error) = writeln!(out, "{seconds:.6} {}", parts.join("; ")).and_then(|()| out.flush()) {
            eprintln!("virtual-phoenix: the log ends here: {error}");
            self.out = None;
        }
    }

    /// A request came in.
    pub fn received(&mut self, line: Line, id: u32, opcode: u32, bytes: usize, detail: &str) {
        // One entry for all that have no name: a guest has as many numbers as it likes.
        let name = Opcode::of(opcode).map_or("unknown", Opcode::name);
        *self.counters.messages.entry(name.to_owned()).or_default() += 1;
        let blank = if detail.is_empty() { "" } else { " " };
        self.line(format_args!("recv {line} {} id={id:#010x} bytes={bytes}{blank}{detail}", Name(opcode)));
    }

    /// An answer goes out.
    pub fn sent(&mut self, line: Line, id: u32, opcode: u32, bytes: usize, status: Option<Status>, detail: &str) {
        let status = status.map_or_else(String::new, |status| format!(" status={status}"));
        let blank = if detail.is_empty() { "" } else { " " };
        self.line(format_args!("send {line} {} id={id:#010x} bytes={bytes}{status}{blank}{detail}", Name(opcode)));
    }

    /// Anything else.
    pub fn note(&mut self, line: Line, text: fmt::Arguments<'_>) {
        self.line(format_args!("note {line} {text}"));
    }

    /// Something the model does not know or the protocol forbids.
    pub fn refused(&mut self, line: Line, text: fmt::Arguments<'_>) {
        self.counters.refusals += 1;
        self.line(format_args!("note {line} refused: {text}"));
    }
}
