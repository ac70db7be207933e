//! The control channel: a line in, a line out, on a UNIX socket.
//!
//! | line | answer |
//! |---|---|
//! | `fault NAME [ARG..]` | `ok`, or `error TEXT` |
//! | `clear` | `ok`; faults that have not fired are forgotten |
//! | `count` | one line of JSON |

use crate::device::Shared;
use crate::fault::Fault;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Longest line; what is longer ends the connection.
const MAX_LINE_BYTES: u64 = 4096;

/// The answer to a line; `None`: it is blank.
pub fn answer(device: &Shared, line: &str) -> Option<String> {
    let line = line.trim();
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some(match (verb, rest.trim()) {
        ("", _) => return None,
        ("fault", text) => match text.parse::<Fault>() {
            Ok(fault) => {
                device.lock().inject(fault);
                "ok".into()
            }
            Err(error) => format!("error {error}"),
        },
        ("clear", "") => {
            device.lock().clear_faults();
            "ok".into()
        }
        ("count", "") => device.lock().counts().to_string(),
        ("clear" | "count", extra) => format!("error {verb} does not take {extra:?}"),
        _ => format!("error {verb:?} is none of fault, clear, count"),
    })
}

fn converse(device: &Shared, stream: UnixStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return writer.write_all(b"error a line without end\n");
        }
        if let Some(answer) = answer(device, &String::from_utf8_lossy(&line)) {
            writer.write_all(format!("{answer}\n").as_bytes())?;
        }
    }
}

/// Listens on `path` in a thread; every connection has one of its own.
///
/// # Errors
/// The socket cannot be bound, or there is no thread.
pub fn listen(path: &Path, device: Arc<Shared>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming() {
            let device = Arc::clone(&device);
            let serve = move |stream| {
                if let Err(error) = converse(&device, stream) {
                    eprintln!("virtual-phoenix: control connection: {error}");
                }
            };
            let spawned = stream.and_then(|stream| {
                thread::Builder::new().name("control connection".into()).spawn(move || serve(stream)).map(drop)
            });
            if let Err(error) = spawned {
                eprintln!("virtual-phoenix: control socket: {error}");
                return;
            }
        }
    })?;
    Ok(())
}
