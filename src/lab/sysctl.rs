//! Sysctls of a network namespace: written, read back, and told apart where they do not take.
//!
//! Why the host stays untouched. /proc/sys/net shows each thread the tables of its own network namespace. The kernel
//! registers a global table in the initial namespace only, so that a global sysctl is absent from ours; where one is
//! shown all the same it is read-only, for root too (net_ctl_permissions; since Linux 5.13 ensure_safe_net_sysctl takes
//! the write bits away from every entry whose data is global). The few that were global, shown and writable before
//! that are listed below and refused. So we write only from inside a new namespace, only below /proc/sys/net, only to
//! files that are writable there, and never to those few. Which sysctl is per namespace differs by kernel: it is
//! probed here by presence and never by version.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Side, Unavailable};
use crate::scenario::plan::SysctlPlan;

const ROOT: &str = "/proc/sys";

/// Global data that a namespace of its own could write before Linux 5.13.
const LEAKED_BEFORE_5_13: [&str; 5] = [
    "net.ipv4.tcp_allowed_congestion_control",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_expect_max",
    "net.netfilter.nf_conntrack_max",
    "net.nf_conntrack_max",
];

/// How many chains the namespace's table of connections has; negative where it shares the machine's. Fixed as the
/// namespace is made, by [`CHILD_EHASH_ENTRIES`] of the namespace in which that happens (Linux 6.1).
const EHASH_ENTRIES: &str = "net.ipv4.tcp_ehash_entries";
const CHILD_EHASH_ENTRIES: &str = "net.ipv4.tcp_child_ehash_entries";

/// What bears on TIME_WAIT, port selection, the accept queue and timeouts, and is read back into each record.
pub(super) const THAT_MATTER: [&str; 29] = [
    "net.core.somaxconn",
    "net.ipv4.ip_autobind_reuse",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_challenge_ack_limit",
    CHILD_EHASH_ENTRIES,
    "net.ipv4.tcp_congestion_control",
    EHASH_ENTRIES,
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_invalid_ratelimit",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_orphan_retries",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_rfc1337",
    "net.ipv4.tcp_rto_min_us",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_recycle",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_tw_reuse_delay",
];

/// What the catalogue's scenarios set (from Linux 4.15 on each is per namespace).
pub(super) const THAT_SCENARIOS_SET: [&str; 13] = [
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_rfc1337",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_tw_reuse_delay",
];

/// What scenarios set and kernels before 4.15 have once for the whole machine: not shown in a namespace of its own, it holds
/// there all the same.
pub(super) const THAT_HOLD_FROM_OUTSIDE: [&str; 13] = [
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_rfc1337",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_recycle",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_orphan_retries",
];

/// The values of those that the calling thread's namespace has.
pub(super) fn read_all<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, String> {
    let read = |name: &str| Some((name.to_owned(), read(&path(name)?).ok()?));
    names.into_iter().filter_map(read).collect()
}

/// What both sides of one namespace ask for.
pub(super) fn merged(plan: &SysctlPlan) -> Result<BTreeMap<String, String>, Unavailable> {
    let mut both = plan.client.clone();
    for (name, value) in &plan.server {
        match both.insert(name.clone(), value.clone()) {
            Some(clients) if normal(&clients) != normal(value) => {
                return Err(Unavailable::new(
                    format!(
                        "{name} is to be {clients} on the client and {value} on the server, which share a namespace"
                    ),
                    "give both the same value, or use --lab pair",
                ));
            }
            _ => {}
        }
    }
    Ok(both)
}

/// Lets the next namespace that the calling thread makes have what is fixed as it is made. The thread is in a new
/// namespace, which nobody else uses. Returns whether there is such a thing among `sysctls`.
pub(super) fn prepare_a_child(sysctls: &BTreeMap<String, String>) -> Result<bool, Unavailable> {
    let Some(entries) = sysctls.get(EHASH_ENTRIES) else {
        return Ok(false);
    };
    let Some(file) = path(CHILD_EHASH_ENTRIES).filter(|file| file.exists()) else {
        return Err(Unavailable::new(
            format!(
                "{EHASH_ENTRIES} is one for the whole machine on this kernel: namespaces have no table of their own"
            ),
            "use Linux 6.1 or later, or leave it out",
        ));
    };
    fs::write(&file, format!("{entries}\n")).map_err(|error| match error.kind() {
        ErrorKind::ReadOnlyFilesystem => read_only(),
        _ => Unavailable::new(
            format!("the kernel refused a table of connections with {EHASH_ENTRIES} = {entries}: {error}"),
            "ask for a power of two up to 16777216",
        ),
    })?;
    Ok(true)
}

/// Whether the namespace was made with the table that was asked for.
fn check_table(side: &Side, value: &str) -> Result<(), Unavailable> {
    let file = path(EHASH_ENTRIES).unwrap_or_default();
    let has = side.run(|| read(&file))?.unwrap_or_else(|error| error.to_string());
    if has == normal(value) {
        return Ok(());
    }
    Err(Unavailable::new(
        format!(
            "{EHASH_ENTRIES} is to be {value} on the {}, whose namespace was made with {has}",
            side.name()
        ),
        "ask for a power of two for which there is memory (8 bytes each), and before the lab is made: a table keeps its size",
    ))
}

/// Sets `name` to `value` inside the side's namespace and reads it back; for the whole machine where the kernel has it only
/// once and the machine is ours.
pub(super) fn set(side: &Side, name: &str, value: &str) -> Result<(), Unavailable> {
    let path = path(name).ok_or_else(|| {
        Unavailable::new(
            format!("`{name}` is not a sysctl of a network namespace"),
            "name one below net., dotted as sysctl(8) has it, such as net.ipv4.tcp_tw_reuse",
        )
    })?;
    if name == EHASH_ENTRIES {
        return check_table(side, value);
    }
    let globals = side.globals();
    if side.namespace_descriptor().is_none() || LEAKED_BEFORE_5_13.contains(&name) {
        return match globals.are_ours() {
            true => globals.set(side.name(), name, path, value),
            false => Err(not_per_namespace(name)),
        };
    }
    let back = side.run(|| fs::write(&path, format!("{value}\n")).and_then(|()| read(&path)))?;
    match back {
        Err(error) if globals.are_ours() && is_global(&path, &error) => globals.set(side.name(), name, path, value),
        Ok(back) if normal(&back) == normal(value) => Ok(()),
        Ok(back) => Err(Unavailable::new(
            format!(
                "{name} on the {} was set to {value} and read back as {back}",
                side.name()
            ),
            "ask for a value that this kernel keeps as it is",
        )),
        Err(error) => Err(refused(&path, side.name(), name, value, &error)),
    }
}

/// Whether a write inside a namespace failed because the kernel has the sysctl once for all. Called on a thread outside.
fn is_global(path: &Path, error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) && path.exists()
}

/// What not every kernel has, though it is no slip of the pen.
const KERNELS_THAT_HAVE: [(&str, &str); 9] = [
    ("net.ipv4.ip_autobind_reuse", "Linux 5.7 or later"),
    ("net.ipv4.ip_unprivileged_port_start", "Linux 4.11 or later"),
    (CHILD_EHASH_ENTRIES, "Linux 6.1 or later"),
    (EHASH_ENTRIES, "Linux 6.1 or later"),
    ("net.ipv4.tcp_migrate_req", "Linux 5.14 or later"),
    ("net.ipv4.tcp_rto_min_us", "Linux 6.11 or later"),
    ("net.ipv4.tcp_syn_linear_timeouts", "Linux 6.5 or later"),
    ("net.ipv4.tcp_tw_recycle", "Linux 4.11 or earlier"),
    ("net.ipv4.tcp_tw_reuse_delay", "Linux 6.14 or later"),
];

/// Why a write inside a namespace failed. Called on a thread of the host's namespace, which is only read.
fn refused(path: &Path, side: &str, name: &str, value: &str, error: &io::Error) -> Unavailable {
    match error.kind() {
        ErrorKind::NotFound if !path.exists() => {
            let known = KERNELS_THAT_HAVE.iter().find(|(known, _)| *known == name);
            let remedy = match (known, nearest(name)) {
                (Some((_, kernels)), _) => format!("use a kernel that has it ({kernels}), or leave it out"),
                (None, Some(nearest)) if !THAT_MATTER.contains(&name) => format!("write {nearest}, if that is meant"),
                _ => "use a kernel that has it, or leave it out".to_owned(),
            };
            Unavailable::new(format!("this kernel has no sysctl {name}"), remedy)
        }
        ErrorKind::ReadOnlyFilesystem => read_only(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied => not_per_namespace(name),
        _ => Unavailable::new(
            format!("the kernel refused {name} = {value} on the {side}: {error}"),
            "ask for a value in the range that the kernel's ip-sysctl documentation gives",
        ),
    }
}

/// Containers mount /proc/sys read-only, and what is mounted over a user's namespace cannot be remounted there.
pub(super) fn read_only() -> Unavailable {
    Unavailable::new(
        "/proc/sys is mounted read-only (a container?)",
        "run the container privileged or with --security-opt systempaths=unconfined, or, as root: \
         mount -o remount,rw /proc/sys",
    )
}

/// What no kernel has per network namespace, to 7.3.
const ALWAYS_GLOBAL: [&str; 2] = ["net.ipv4.tcp_mem", "net.ipv4.tcp_max_orphans"];

fn not_per_namespace(name: &str) -> Unavailable {
    if ALWAYS_GLOBAL.contains(&name) {
        return Unavailable::new(
            format!("{name} is one for the whole machine on every kernel, and linger does not write the host's"),
            "run it in a machine that is booted for it, which belongs to nobody: linger run --kernel (linger kernels lists \
             some)",
        );
    }
    Unavailable::new(
        format!("{name} is not per network namespace on this kernel, and linger does not write the host's"),
        "run it on a kernel on which it is per namespace: linger run --kernel boots one (linger kernels lists them)",
    )
}

/// The file of a sysctl below `net.`, as sysctl(8) has it: dots separate, and a slash stands for a dot within a name
/// (`net.ipv4.conf.eth0/100.forwarding`). None for every other name, so that no path leads out of /proc/sys/net.
fn path(name: &str) -> Option<PathBuf> {
    let mut parts = name.split('.').map(|part| part.replace('/', "."));
    let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    (parts.next()? == "net").then_some(())?;
    let mut path = Path::new(ROOT).join("net");
    let before = path.clone();
    for part in parts {
        sound(&part).then(|| path.push(&part))?;
    }
    (path != before).then_some(path)
}

/// The dotted name of a file below /proc/sys.
fn name(path: &Path) -> Option<String> {
    let parts = path.strip_prefix(ROOT).ok()?.iter();
    let parts: Option<Vec<_>> = parts.map(|part| Some(part.to_str()?.replace('.', "/"))).collect();
    Some(parts?.join("."))
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| normal(&text))
}

/// The kernel separates a vector's numbers by tabs and ends every value with a newline.
pub(super) fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The existing sysctl that is a slip of the pen away from `wanted`, if there is one: two letters changed, swapped, left out
/// or put in.
fn nearest(wanted: &str) -> Option<String> {
    let mut found = Vec::new();
    collect(&Path::new(ROOT).join("net"), &mut found);
    let distance = |name: &String| strsim::damerau_levenshtein(name, wanted);
    found
        .into_iter()
        .min_by_key(distance)
        .filter(|name| distance(name) <= 2)
}

fn collect(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), found),
            _ => found.extend(name(&entry.path())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slash_stands_for_a_dot_within_a_name() {
        let file = path("net.ipv4.conf.eth0/100.forwarding").unwrap();
        assert_eq!(file, Path::new("/proc/sys/net/ipv4/conf/eth0.100/forwarding"));
        assert_eq!(name(&file).unwrap(), "net.ipv4.conf.eth0/100.forwarding");
    }

    #[test]
    fn only_names_below_net_have_a_file() {
        for name in [
            "",
            "net",
            "net.",
            "kernel.hostname",
            "net..x",
            "net.//.x",
            "net./.x",
            "/net.x",
            "net/ipv4.x",
        ] {
            assert_eq!(path(name), None, "{name}");
        }
    }

    #[test]
    fn one_namespace_cannot_have_two_values() {
        let side = |value: &str| BTreeMap::from([("net.ipv4.ip_local_port_range".to_owned(), value.to_owned())]);
        let plan = |client: &str, server: &str| SysctlPlan {
            client: side(client),
            server: side(server),
            router: BTreeMap::new(),
        };
        assert!(merged(&plan("1 2", "1\t2")).is_ok());
        let refusal = merged(&plan("1 2", "1 3")).unwrap_err();
        assert!(refusal.reason.contains("share a namespace"), "{refusal}");
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(
            nearest("net.ipv4.tcp_tw_resue").as_deref(),
            Some("net.ipv4.tcp_tw_reuse")
        );
        for other in ["net.x", "net.ipv4.tcp_nope", "net.ipv4.tcp_tw_recycle"] {
            assert_eq!(nearest(other), None);
        }
    }

    #[test]
    fn a_sysctl_of_other_kernels_is_told_by_them_and_a_misspelt_one_by_its_neighbour() {
        let absent = io::Error::from(ErrorKind::NotFound);
        let told = |name: &str| {
            let path = Path::new("/proc/sys/net/none");
            refused(path, "client", name, "1", &absent).to_string()
        };
        let recycle = told("net.ipv4.tcp_tw_recycle");
        assert!(
            recycle.contains("use a kernel that has it (Linux 4.11 or earlier)"),
            "{recycle}"
        );
        let delay = told("net.ipv4.tcp_tw_reuse_delay");
        assert!(delay.contains("(Linux 6.14 or later)"), "{delay}");
        let slip = told("net.ipv4.tcp_tw_resue");
        assert!(slip.contains("write net.ipv4.tcp_tw_reuse, if that is meant"), "{slip}");
        let nonsense = told("net.ipv4.tcp_nope");
        assert!(
            nonsense.ends_with("use a kernel that has it, or leave it out"),
            "{nonsense}"
        );
    }

    #[test]
    fn the_sysctls_that_matter_have_files() {
        assert!(
            THAT_MATTER
                .iter()
                .chain(&LEAKED_BEFORE_5_13)
                .all(|name| path(name).is_some())
        );
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_proc_sys_net(name in "(net)?[./a\\PC]{0,12}") {
            if let Some(path) = path(&name) {
                prop_assert!(path.starts_with("/proc/sys/net"));
                prop_assert!(path.iter().all(|part| part != ".." && part != "."));
                prop_assert!(path.iter().count() > 4);
            }
        }
    }
}
