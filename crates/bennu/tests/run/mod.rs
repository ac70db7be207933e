//! Runs the built program.
#![allow(dead_code)] // each test binary uses its own part

use std::process::{Command, Output};

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Run {
            code: output.status.code().expect("the program ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub fn bennu(arguments: &[&str]) -> Run {
    Command::new(env!("CARGO_BIN_EXE_bennu")).args(arguments).output().unwrap().into()
}

/// Runs `script` with the program as `$0` and `arguments` as `$1`...
pub fn shell(script: &str, arguments: &[&str]) -> Run {
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_bennu")]).args(arguments).output().unwrap().into()
}

/// The document a successful run prints.
#[track_caller]
pub fn json(arguments: &[&str]) -> serde_json::Value {
    let run = bennu(arguments);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

/// Exit code 1, nothing on stdout, and every part on stderr.
#[track_caller]
pub fn assert_refused(arguments: &[&str], parts: &[&str]) {
    let run = bennu(arguments);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{arguments:?}: {}", run.stderr);
    for part in parts {
        assert!(run.stderr.contains(part), "{part:?} is not in: {}", run.stderr);
    }
}
