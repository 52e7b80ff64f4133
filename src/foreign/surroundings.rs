//! What a program finds around it: names in /etc/hosts, a /proc of its own processes, the user that started linger.
//!
//! Everything is prepared before fork(), so that what is done between fork() and exec() is system calls alone. Mounts are
//! made in a mount namespace of the program's own (mount_namespaces(7)): nobody else sees them and they end with it.
//! Where linger stands in a user namespace of its own, in which everybody is root, the program is put into one more, that
//! has the user's own ids again (user_namespaces(7)): a server that refuses to run as root runs, and files have their owner.
#![allow(unsafe_code)] // mount(2), unshare(2) and write(2) after fork(), without allocating.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::net::IpAddr;

use nix::libc;

/// What could not be arranged: one bit each, as the tree's first process reports it.
const NO_MOUNTS: i32 = 1;
const NO_PROC: i32 = 2;
const NO_HOSTS: i32 = 4;
const NO_IDENTITY: i32 = 8;

const HOSTS: &str = "/etc/hosts";
/// Covered by a tmpfs for the moment in which the file of names is made: there is one everywhere.
const FOR_A_MOMENT: &CStr = c"/tmp";
const MADE: &CStr = c"/tmp/hosts";

#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Whether a mount namespace may be made.
    mounts: bool,
    /// Whether /proc is to show a PID namespace of the program's own.
    proc: bool,
    /// The whole text of /etc/hosts.
    hosts: Option<Vec<u8>>,
    /// What is written into uid_map and gid_map.
    identity: Option<[Vec<u8>; 2]>,
    /// RLIMIT_NOFILE as it was before linger raised it.
    descriptors: Option<libc::rlimit>,
}

impl Surroundings {
    /// Whether a mount namespace may be made, and whether there is a PID namespace for /proc to show.
    pub(super) fn new(mounts: bool, proc: bool) -> Self {
        Self {
            mounts,
            proc,
            ..Self::default()
        }
    }

    /// /etc/hosts as it is, and these names.
    pub(super) fn name(&mut self, names: &[(String, IpAddr)]) {
        let Ok(mut text) = fs::read(HOSTS) else { return };
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        for (name, address) in names {
            text.extend_from_slice(format!("{address}\t{name}\n").as_bytes());
        }
        self.hosts = (!names.is_empty()).then_some(text);
    }

    /// The user who started linger, where linger has moved into a user namespace.
    pub(super) fn be_the_user(&mut self) {
        // Inside 0, outside the id, one of them: as lab::privilege wrote it.
        let map = |file: &str| {
            let text = fs::read_to_string(file).ok()?;
            let mut words = text.split_whitespace();
            let (inside, outside, count) = (words.next()?, words.next()?, words.next()?);
            (inside == "0" && count == "1" && outside != "0" && words.next().is_none())
                .then(|| format!("{outside} 0 1").into_bytes())
        };
        self.identity = map("/proc/self/uid_map")
            .zip(map("/proc/self/gid_map"))
            .map(|(user, group)| [user, group]);
    }

    pub(super) fn descriptors(&mut self, limits: Option<(u64, u64)>) {
        self.descriptors = limits.map(|(soft, hard)| libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        });
    }

    /// After fork(), in the tree's first process. Returns what could not be had, for [`trouble`].
    pub(super) fn arrange(&self) -> i32 {
        if !self.mounts {
            return if self.hosts.is_some() { NO_HOSTS } else { 0 };
        }
        // SAFETY: plain system calls on constant, terminated strings.
        let own = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
        };
        if !own {
            return NO_MOUNTS;
        }
        let mut trouble = 0;
        if let Some(text) = &self.hosts
            && !bind_hosts(text)
        {
            trouble |= NO_HOSTS;
        }
        if self.proc && !mount_proc() {
            trouble |= NO_PROC;
        }
        trouble
    }

    /// After fork(), in the program's own process, last before exec(). Returns what could not be had.
    ///
    /// # Errors
    /// The limit of descriptors cannot be restored.
    pub(super) fn enter(&self) -> io::Result<i32> {
        if let Some(limit) = &self.descriptors {
            // SAFETY: a plain system call on a structure that lives.
            check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) })?;
        }
        match &self.identity {
            Some(maps) if !take_identity(maps) => Ok(NO_IDENTITY),
            _ => Ok(0),
        }
    }
}

/// What the bits of [`Surroundings::arrange`] and [`Surroundings::enter`] mean to a user.
pub(super) fn trouble(bits: i32) -> Vec<&'static str> {
    [
        (
            NO_MOUNTS,
            "no mount namespace could be had: /etc/hosts does not name the server, /proc shows other processes",
        ),
        (
            NO_PROC,
            "/proc shows the processes of outside, with their numbers there",
        ),
        (
            NO_HOSTS,
            "/etc/hosts does not name the server: use LINGER_HOST and LINGER_PORT",
        ),
        (
            NO_IDENTITY,
            "no further user namespace could be had: the program believes that it is root",
        ),
    ]
    .into_iter()
    .filter(|(bit, _)| bits & bit != 0)
    .map(|(_, told)| told)
    .collect()
}

fn bind_hosts(text: &[u8]) -> bool {
    let hosts = c"/etc/hosts";
    let none: *const libc::c_char = std::ptr::null();
    // SAFETY: plain system calls on constant, terminated strings and on a slice that lives.
    unsafe {
        if libc::mount(
            c"tmpfs".as_ptr(),
            FOR_A_MOMENT.as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            none.cast(),
        ) != 0
        {
            return false;
        }
        let bound = write_whole(MADE, libc::O_CREAT, text)
            && libc::mount(MADE.as_ptr(), hosts.as_ptr(), none.cast(), libc::MS_BIND, none.cast()) == 0;
        // What is bound keeps the file system alive.
        libc::umount2(FOR_A_MOMENT.as_ptr(), libc::MNT_DETACH);
        bound
    }
}

fn mount_proc() -> bool {
    // SAFETY: a plain system call on constant, terminated strings.
    unsafe {
        libc::mount(
            c"proc".as_ptr(),
            c"/proc".as_ptr(),
            c"proc".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            std::ptr::null(),
        ) == 0
    }
}

fn take_identity([user, group]: &[Vec<u8>; 2]) -> bool {
    // SAFETY: a plain system call.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return false;
    }
    // Absent before Linux 3.19, which maps groups without it.
    write_whole(c"/proc/self/setgroups", 0, b"deny");
    write_whole(c"/proc/self/uid_map", 0, user) && write_whole(c"/proc/self/gid_map", 0, group)
}

/// Writes a file at once; a new one is there for all to read.
fn write_whole(path: &CStr, flags: i32, bytes: &[u8]) -> bool {
    // SAFETY: plain system calls on a terminated string and on a slice that lives.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC | flags, 0o644);
        if file < 0 {
            return false;
        }
        if flags != 0 {
            libc::fchmod(file, 0o644);
        }
        let written = libc::write(file, bytes.as_ptr().cast(), bytes.len());
        libc::close(file);
        usize::try_from(written) == Ok(bytes.len())
    }
}

pub(super) fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added_to_what_the_file_says() {
        let mut surroundings = Surroundings::default();
        surroundings.name(&[("server.linger".into(), "10.2.0.1".parse().unwrap())]);
        let text = String::from_utf8(surroundings.hosts.unwrap()).unwrap();
        assert!(text.ends_with("10.2.0.1\tserver.linger\n"), "{text}");
        assert!(text.starts_with(&fs::read_to_string(HOSTS).unwrap()), "{text}");
    }

    #[test]
    fn each_trouble_has_its_words() {
        assert_eq!(trouble(0), [""; 0]);
        assert_eq!(trouble(NO_PROC | NO_IDENTITY).len(), 2);
    }
}
