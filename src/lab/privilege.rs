//! The right to make network namespaces: held already (root), or had from a user namespace of one's own.
//!
//! Rests on user_namespaces(7): whoever makes a user namespace holds every capability inside it, and over each network
//! namespace made from within. Many systems forbid it, each by a setting of its own; the refusals name the setting.

use std::fmt;
use std::fs;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::Unavailable;
use super::namespace::Namespace;

pub(super) const USER_NAMESPACES: &str = "user.max_user_namespaces";
/// Debian's and Ubuntu's own; absent elsewhere.
pub(super) const DEBIAN_RESTRICTION: &str = "kernel.unprivileged_userns_clone";
/// Ubuntu 23.10 and later: a user namespace can be made, and holds no capability.
pub(super) const APPARMOR_RESTRICTION: &str = "kernel.apparmor_restrict_unprivileged_userns";

const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What entitles the process to make network namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// CAP_SYS_ADMIN and CAP_NET_ADMIN were held from the start.
    Root,
    /// They are held in a user namespace that the process has moved into.
    UserNamespace,
    /// Root of a machine that was booted for the trials: what the kernel has once for all namespaces may be set too.
    Machine,
    /// Nothing: enough for topology host.
    None,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root | Self::Machine => "root",
            Self::UserNamespace => "user namespace",
            Self::None => "no privilege",
        })
    }
}

/// Acquires what it takes to make network namespaces, once, while the process has one thread: a user namespace is the
/// whole process's, and the kernel moves no process that has threads. With the capabilities in hand nothing is done.
///
/// # Errors
/// What forbids user namespaces here, by the setting's name, and how it is allowed.
pub fn acquire() -> Result<Privilege, Unavailable> {
    if holds_capabilities() {
        return Ok(Privilege::Root);
    }
    // Inside, the ids read as the overflow ids until they are mapped.
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(forbidden)?;
    // Absent before Linux 3.19, which maps groups without it.
    let _ = fs::write("/proc/self/setgroups", "deny");
    for (file, map) in [("uid_map", format!("0 {uid} 1")), ("gid_map", format!("0 {gid} 1"))] {
        fs::write(format!("/proc/self/{file}"), map).map_err(|error| {
            forbidding_setting().unwrap_or_else(|| {
                Unavailable::new(
                    format!("the user namespace could not be given its ids: write /proc/self/{file}: {error}"),
                    "run as root, or use --lab host",
                )
            })
        })?;
    }
    // Where capabilities are taken away, this is where it shows.
    Namespace::create()?;
    Ok(Privilege::UserNamespace)
}

/// As [`acquire`], for the first process of a machine that was booted for the trials.
///
/// # Errors
/// As [`acquire`].
pub fn acquire_in_a_booted_machine() -> Result<Privilege, Unavailable> {
    acquire().map(|privilege| match privilege {
        Privilege::Root => Privilege::Machine,
        other => other,
    })
}

pub(super) fn apparmor_restricts() -> Unavailable {
    Unavailable::new(
        format!("{APPARMOR_RESTRICTION} is 1: a user namespace may be made, but its capabilities are taken away"),
        format!("sysctl -w {APPARMOR_RESTRICTION}=0, run as root, or use --lab host"),
    )
}

/// The value of a sysctl, with its white space trimmed; None where this kernel lacks it.
pub(super) fn kernel_setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(text.trim().to_owned())
}

/// Names the setting that forbids user namespaces, if one does.
pub(super) fn forbidding_setting() -> Option<Unavailable> {
    let allow = |name: &str, value: &str| {
        Unavailable::new(
            format!(
                "{name} is {}: user namespaces are forbidden",
                kernel_setting(name).unwrap_or_default()
            ),
            format!("sysctl -w {name}={value}, run as root, or use --lab host"),
        )
    };
    let is = |name, value| kernel_setting(name).is_some_and(|found| found == value);
    if is(USER_NAMESPACES, "0") {
        Some(allow(USER_NAMESPACES, "1024"))
    } else if is(DEBIAN_RESTRICTION, "0") {
        Some(allow(DEBIAN_RESTRICTION, "1"))
    } else if is(APPARMOR_RESTRICTION, "1") {
        Some(apparmor_restricts())
    } else {
        None
    }
}

fn forbidden(errno: Errno) -> Unavailable {
    let or_root = |remedy: &str| format!("{remedy}, run as root, or use --lab host");
    if let (Errno::ENOSPC | Errno::EUSERS | Errno::EPERM, Some(setting)) = (errno, forbidding_setting()) {
        return setting;
    }
    match (errno, threads()) {
        (Errno::EINVAL, Some(threads)) if threads > 1 => Unavailable::new(
            format!("the process has {threads} threads, and a user namespace is entered with one only"),
            "acquire it before any thread is started",
        ),
        (Errno::EINVAL | Errno::ENOSYS, _) => Unavailable::new(
            "the kernel was built without user namespaces (CONFIG_USER_NS)",
            or_root("use a kernel with CONFIG_USER_NS=y"),
        ),
        (Errno::ENOSPC | Errno::EUSERS, _) => Unavailable::new(
            format!(
                "no more user namespaces are allowed: {USER_NAMESPACES} is {}, or they are nested too deep (32)",
                kernel_setting(USER_NAMESPACES).unwrap_or_default()
            ),
            or_root(&format!("raise {USER_NAMESPACES}")),
        ),
        (other, _) => Unavailable::new(
            format!("a user namespace was refused (unshare: {other}), and no sysctl forbids it"),
            or_root("leave the container or chroot, or give it a seccomp profile that allows unshare()"),
        ),
    }
}

fn holds_capabilities() -> bool {
    let both = CAP_NET_ADMIN | CAP_SYS_ADMIN;
    let effective = status("CapEff:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    effective.is_some_and(|mask| mask & both == both)
}

fn threads() -> Option<u32> {
    status("Threads:")?.parse().ok()
}

/// A field of /proc/self/status.
fn status(field: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}
