//! Who else uses the NPU?

use crate::check::{Check, CheckId};
use crate::device::{ContextInUse, Device};
use crate::diagnose::Subject;
use crate::host::Host;
use crate::pci::Function;

const ID: CheckId = CheckId::Contexts;

/// Contexts that the firmware has for all processes together.
// SOURCE: drivers/accel/amdxdna/npu1_regs.c: hwctx_limit 6.
const LIMIT: usize = 6;

/// A process with the node open.
struct User {
    pid: i64,
    name: String,
    /// In a system call that no signal ends.
    hung: bool,
}

impl User {
    fn words(&self) -> String {
        format!("{} (pid {}{})", self.name, self.pid, if self.hung { ", hung in the kernel" } else { "" })
    }
}

/// Processes other than this one with the node open, as far as this user may see.
fn users(host: &Host, node: &str) -> Vec<User> {
    let me = host.link_name("/proc/self");
    let open = |pid: &str| {
        let names = host.names(format!("/proc/{pid}/fd"));
        names.iter().any(|fd| host.link(format!("/proc/{pid}/fd/{fd}")).is_some_and(|to| to.as_os_str() == node))
    };
    host.names("/proc")
        .into_iter()
        .filter(|name| me.as_ref() != Some(name))
        .filter_map(|name| {
            let pid: i64 = name.parse().ok()?;
            open(&name).then(|| user(host, pid))
        })
        .collect()
}

fn user(host: &Host, pid: i64) -> User {
    let name = host.text(format!("/proc/{pid}/comm")).unwrap_or_else(|| "unknown".to_owned());
    // State is the word after the name in parentheses, which may itself contain any character.
    let stat = host.text(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    User { pid, name, hung: state == Some("D") }
}

/// Whether a process that is not in /proc does not exist: not in a container, whose numbers are its own, nor where others are hidden.
fn sees_every_process(host: &Host) -> bool {
    // SOURCE: include/linux/proc_ns.h: PROC_PID_INIT_INO, the namespace that drivers count in.
    const FIRST_NAMESPACE: &str = "pid:[4026531836]";
    host.link("/proc/self/ns/pid").is_some_and(|link| link.as_os_str() == FIRST_NAMESPACE) && host.exists("/proc/1")
}

const RELOAD: &str =
    "`sudo modprobe -r amdxdna && sudo modprobe amdxdna`; if the module is busy, suspend and resume, or boot again";

pub(crate) fn check(subject: &Subject<'_>, npu: &Function) -> Check {
    let host = subject.host;
    let Some(node) = npu.node(host) else { return Check::skipped(ID, "there is no device node") };
    let users = users(host, &format!("/dev/accel/{node}"));
    let contexts: Option<&Vec<ContextInUse>> = match subject.device {
        Device::Open(facts) => facts.contexts.as_ref(),
        Device::NoNode | Device::Refused { .. } => None,
    };
    let gone = |context: &&ContextInUse| sees_every_process(host) && !host.exists(format!("/proc/{}", context.pid));
    if let Some(dead) = contexts.into_iter().flatten().find(gone) {
        let evidence =
            format!("context {} belongs to process {}, which no longer exists: a stale context", dead.id, dead.pid);
        return Check::fail(ID, evidence, RELOAD);
    }
    if let Some(hung) = users.iter().find(|user| user.hung) {
        let evidence = format!("{} holds the device; its last command never ended", hung.words());
        return Check::fail(ID, evidence, RELOAD);
    }
    let names = users.iter().map(User::words).collect::<Vec<_>>().join(", ");
    match contexts {
        Some(contexts) if contexts.len() >= LIMIT => Check::fail(
            ID,
            format!("all {LIMIT} contexts are taken: {}", holders(host, contexts)),
            "end one of these programs",
        ),
        Some(contexts) if !contexts.is_empty() => Check::warn(
            ID,
            format!("{} of {LIMIT} contexts in use: {}", contexts.len(), holders(host, contexts)),
            "figures are slower while others use the NPU: end these programs before measuring",
        ),
        Some(_) if users.is_empty() => Check::pass(ID, "no other process uses the NPU"),
        Some(_) => Check::pass(ID, format!("no context in use; open in {names}")),
        None if users.is_empty() => {
            Check::unknown(ID, "no other visible process has the device open; contexts were not told")
        }
        None => Check::warn(
            ID,
            format!("open in {names}; contexts were not told"),
            "end these programs before measuring; others' contexts may leave no room",
        ),
    }
}

fn holders(host: &Host, contexts: &[ContextInUse]) -> String {
    let words = contexts.iter().map(|context| {
        let user = user(host, context.pid);
        format!(
            "{} columns {}-{}, {} of {} commands done",
            user.words(),
            context.start_column,
            context.start_column.saturating_add(context.columns).saturating_sub(1),
            context.completions,
            context.submissions
        )
    });
    words.collect::<Vec<_>>().join("; ")
}
