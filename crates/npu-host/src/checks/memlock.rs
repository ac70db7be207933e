//! May this process lock as much memory as the model needs?

use crate::check::{Check, CheckId};
use crate::diagnose::Subject;
use crate::host::{Host, mib};

const ID: CheckId = CheckId::Memlock;

/// What started this process, as far as its limits go.
enum Session {
    /// Started by the user's service manager: programs of a desktop. PAM's limits do not reach it.
    UserManager,
    /// A login on a terminal or by SSH: PAM's limits hold.
    Login,
    /// A system service.
    Service(String),
    /// Not told.
    Unknown,
}

fn session(host: &Host) -> Session {
    let text = host.text("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::")) else { return Session::Unknown };
    if path.split('/').any(|part| part.starts_with("user@") && part.ends_with(".service")) {
        return Session::UserManager;
    }
    if path.split('/').any(|part| part.starts_with("session-") && part.ends_with(".scope")) {
        return Session::Login;
    }
    match path.split('/').find(|part| part.ends_with(".service")) {
        Some(service) => Session::Service(service.to_owned()),
        None => Session::Unknown,
    }
}

/// Whether a file of PAM's limits speaks of memlock.
fn pam_limit(host: &Host) -> Option<String> {
    let below = host.names("/etc/security/limits.d").into_iter().map(|name| format!("/etc/security/limits.d/{name}"));
    ["/etc/security/limits.conf".to_owned()].into_iter().chain(below).find(|place| {
        let text = host.text(place).unwrap_or_default();
        text.lines()
            .any(|line| !line.trim_start().starts_with('#') && line.split_whitespace().nth(2) == Some("memlock"))
    })
}

const MANAGER: &str = "`sudo systemctl edit user@.service`, add the lines [Service] and LimitMEMLOCK=infinity, and boot again: programs of a \
                       desktop session get the limit of the user's service manager";
const PAM: &str = "write `@render - memlock unlimited` to /etc/security/limits.d/99-npu.conf and log in again";

fn remedy(host: &Host) -> String {
    match session(host) {
        Session::UserManager => match pam_limit(host) {
            Some(place) => format!("{MANAGER}; {place} has a limit, which does not reach them"),
            None => MANAGER.to_owned(),
        },
        Session::Login => PAM.to_owned(),
        Session::Service(name) => {
            format!("`sudo systemctl edit {name}`, add the lines [Service] and LimitMEMLOCK=infinity, and restart it")
        }
        Session::Unknown => format!(
            "raise it where this process is started (container: --ulimit memlock=-1:-1). Terminal or SSH: {PAM}. Desktop: {MANAGER}"
        ),
    }
}

pub(crate) fn check(subject: &Subject<'_>) -> Check {
    let (host, needs) = (subject.host, subject.needs);
    let Some([soft, hard]) = host.memlock() else {
        return Check::unknown(ID, "/proc/self/limits does not tell the limit of locked memory");
    };
    let needed = format!("{} needed for {}", mib(needs.locked_bytes), needs.what);
    let Some(soft) = soft else { return Check::pass(ID, format!("unlimited; {needed}")) };
    let evidence = format!("{} may be locked; {needed}", mib(soft));
    if soft >= needs.locked_bytes {
        return Check::pass(ID, evidence);
    }
    if host.identity().is_some_and(|me| me.ignores_memlock()) {
        return Check::pass(ID, format!("{evidence}; CAP_IPC_LOCK lifts the limit"));
    }
    if hard.is_none_or(|hard| hard >= needs.locked_bytes) {
        return Check::fail(
            ID,
            evidence,
            "the hard limit allows more: `ulimit -l unlimited` in this shell, or `ulimit -Sl $(ulimit -Hl)`",
        );
    }
    Check::fail(ID, evidence, remedy(host))
}
