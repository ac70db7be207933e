//! Is there a device node, and may this user open it?

use std::os::unix::fs::MetadataExt;

use crate::check::{Check, CheckId};
use crate::device::Device;
use crate::diagnose::Subject;
use crate::host::Host;
use crate::pci::Function;

const ID: CheckId = CheckId::Node;

// SOURCE: errno values of Linux on x86-64, asm-generic/errno-base.h.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;

/// Name and members of a group.
fn group(host: &Host, gid: u32) -> Option<(String, Vec<String>)> {
    host.text("/etc/group")?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id, members) = (fields.next()?, fields.nth(1)?, fields.next().unwrap_or_default());
        (id.parse() == Ok(gid)).then(|| (name.to_owned(), members.split(',').map(str::to_owned).collect()))
    })
}

fn user(host: &Host, uid: u32) -> Option<String> {
    host.text("/etc/passwd")?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

pub(crate) fn check(subject: &Subject<'_>, npu: &Function) -> Check {
    let host = subject.host;
    let Some(name) = npu.node(host) else {
        return Check::fail(
            ID,
            format!("the driver made no node for {}", npu.address),
            "see `driver` and `firmware`: the node comes when the driver has started the device",
        );
    };
    let place = format!("/dev/accel/{name}");
    let Ok(file) = host.metadata(&place) else {
        return Check::fail(
            ID,
            format!("the driver made {name}, but {place} is not there"),
            format!(
                "in a container, pass it in (--device {place}); else `sudo udevadm trigger --subsystem-match=accel`"
            ),
        );
    };
    let (group_name, members) =
        group(host, file.gid()).unwrap_or_else(|| (format!("group {}", file.gid()), Vec::new()));
    let mode = file.mode() & 0o777;
    let evidence = format!("{place}, mode {mode:04o}, group {group_name}");
    match subject.device {
        Device::Open(_) => return Check::pass(ID, format!("{evidence}; opened")),
        Device::Refused { errno: Some(EACCES | EPERM | ENOENT), .. } | Device::NoNode => {}
        // Permissions are not what stood in the way.
        Device::Refused { answer, .. } => {
            return Check::pass(ID, format!("{evidence}; let through to the driver, which refused: {answer}"));
        }
    }
    let Some(me) = host.identity() else {
        return Check::unknown(ID, format!("{evidence}; /proc/self/status does not tell who asks"));
    };
    let bits = if file.uid() == me.uid {
        mode >> 6
    } else if me.groups.contains(&file.gid()) {
        mode >> 3
    } else {
        mode
    };
    let refused = matches!(subject.device, Device::Refused { errno: Some(EACCES | EPERM), .. });
    if !refused && (bits & 6 == 6 || me.ignores_modes()) {
        return Check::pass(ID, evidence);
    }
    let who = user(host, me.uid).unwrap_or_else(|| format!("user {}", me.uid));
    let evidence = format!("{evidence}; {who} may not open it");
    if members.contains(&who) {
        return Check::fail(
            ID,
            format!("{evidence} yet, being a member of {group_name} since after this login"),
            "log out and in again (of the whole desktop session), or boot again",
        );
    }
    if group_name == "root" || mode >> 3 & 6 != 6 {
        // SOURCE: udev(7); the rule that systemd ships for render nodes, for accel nodes.
        return Check::fail(
            ID,
            evidence,
            r#"write `SUBSYSTEM=="accel", KERNEL=="accel*", GROUP="render", MODE="0660"` to /etc/udev/rules.d/70-accel.rules, join that group (`sudo usermod -aG render $USER`), and boot again"#,
        );
    }
    Check::fail(ID, evidence, format!("`sudo usermod -aG {group_name} {who}`, then log out and in again"))
}
