//! Progress bars and Ctrl-C for verbs that take long.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// Between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(100);
/// Shorter work needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// What Ctrl-C sets.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether Ctrl-C came since a verb has taken it over.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A bar on stderr that appears after a second if stderr is a terminal, and a flag that Ctrl-C raises.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    terminal: bool,
}

impl Progress {
    /// Takes over Ctrl-C and termination for the rest of the process: from here on they ask the work to stop and clean
    /// up instead of ending the process in the middle of it.
    pub fn with_interrupt() -> Result<Self, Failure> {
        match ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)) {
            // Nothing else of this program sets one.
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
            Err(error) => return Err(Failure::refused(error)),
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Ok(Progress { bar, started: Instant::now(), terminal: stderr().is_terminal() })
    }
}

impl Progress {
    /// What Ctrl-C sets.
    pub fn interrupted(&self) -> &AtomicBool {
        &INTERRUPTED
    }

    /// Shows that work of unknown length goes on, until the progress is dropped.
    pub fn spin(&self, what: &'static str) {
        if self.terminal {
            self.bar.set_message(what);
            self.bar.enable_steady_tick(TICK);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl gemma::Watch for Progress {
    fn plan(&self, total_bytes: u64) {
        self.bar.set_length(total_bytes);
        let style = ProgressStyle::with_template(
            "{wide_bar} {percent:>3} %  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta}\n{wide_msg}",
        );
        // PANIC: the template is a constant of this file.
        self.bar.set_style(style.expect("template is valid"));
    }

    fn at(&self, item: &str) {
        self.bar.set_message(item.to_owned());
    }

    fn advance(&self, bytes: u64) {
        if self.terminal && self.bar.is_hidden() && self.started.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(bytes);
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
