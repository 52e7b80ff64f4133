//! Unnamed network namespaces: made, entered, and kept alive by nothing but a descriptor.
//!
//! A namespace is never given a name (no bind mount, no file under /run), so there is nothing to clean up: the kernel
//! frees it with the last descriptor and thread, SIGKILL included. unshare(2) and setns(2) move the calling thread
//! only, so both happen on threads made for the purpose and the caller stays where it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::gettid;

use super::privilege::{APPARMOR_RESTRICTION, apparmor_restricts, kernel_setting};
use super::{Unavailable, sysctl};

#[derive(Debug)]
pub(super) struct Namespace {
    descriptor: File,
}

impl Namespace {
    /// Makes an empty namespace, its loopback interface still down.
    pub(super) fn create() -> Result<Self, Unavailable> {
        Self::with(&BTreeMap::new())
    }

    /// The same, with those of the sysctls that the kernel fixes as it makes a namespace.
    pub(super) fn with(sysctls: &BTreeMap<String, String>) -> Result<Self, Unavailable> {
        // /proc/self is the thread group's leader, which stays outside; /proc/thread-self is newer (3.17) than the
        // oldest kernel we run on (3.13).
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(forbidden)?;
            if sysctl::prepare_a_child(sysctls)? {
                // A child of the one just made, which ends as the thread leaves it.
                unshare(CloneFlags::CLONE_NEWNET).map_err(forbidden)?;
            }
            let path = format!("/proc/self/task/{}/ns/net", gettid());
            File::open(&path).map_err(|error| {
                Unavailable::new(
                    format!("the new network namespace could not be held: open {path}: {error}"),
                    "mount /proc for this pid namespace",
                )
            })
        };
        let descriptor = on_a_thread("unshare", make)??;
        Ok(Self { descriptor })
    }

    /// Moves the calling thread into the namespace, for good.
    pub(super) fn enter(&self) -> Result<(), Unavailable> {
        setns(&self.descriptor, CloneFlags::CLONE_NEWNET).map_err(|errno| {
            Unavailable::new(
                format!("a thread could not enter the lab's network namespace: setns: {errno}"),
                "run where setns() is allowed: a container's seccomp profile may forbid it",
            )
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Runs `work` inside the namespace and waits for it.
    pub(super) fn run<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> Result<T, Unavailable> {
        on_a_thread(name, || self.enter().map(|()| work()))?
    }
}

/// Runs `work` on a thread of its own and waits for it; its panic goes on in the caller.
pub(super) fn on_a_thread<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, Unavailable> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| no_thread(&error))?;
        thread.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}

pub(super) fn no_thread(error: &io::Error) -> Unavailable {
    Unavailable::new(
        format!("a thread could not be started: {error}"),
        "allow more processes (ulimit -u, or the pids limit of the control group)",
    )
}

fn forbidden(errno: Errno) -> Unavailable {
    match errno {
        Errno::EPERM if kernel_setting(APPARMOR_RESTRICTION).as_deref() == Some("1") => apparmor_restricts(),
        Errno::ENOSPC => Unavailable::new(
            format!(
                "no more network namespaces are allowed: user.max_net_namespaces is {}",
                kernel_setting("user.max_net_namespaces").unwrap_or_default()
            ),
            "sysctl -w user.max_net_namespaces=1024",
        ),
        Errno::EINVAL | Errno::ENOSYS => Unavailable::new(
            "the kernel was built without network namespaces (CONFIG_NET_NS)",
            "use a kernel with CONFIG_NET_NS=y, or --lab host",
        ),
        other => Unavailable::new(
            format!("a network namespace was refused: unshare: {other}"),
            "run as root outside of a container whose seccomp profile forbids it, or use --lab host",
        ),
    }
}
