//! What is open inside one namespace: its counters, its sockstat and its list of sockets.
//!
//! A file of procfs stays bound to the network namespace of the thread that opened it, a netlink socket to that of the
//! thread that made it. So eyes are opened once, inside, and one observer thread outside looks through several.
//! Must not know which side of a trial the namespace is.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::counters::Snapshot;
use super::proc_net_tcp;
use super::sock_diag::{DiagError, Listing, SockDiag};
use super::socket::Socket;
use super::sockstat;

/// What tells states and timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    SockDiag,
    ProcNetTcp,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SockDiag => "sock_diag",
            Self::ProcNetTcp => "/proc/net/tcp",
        })
    }
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("cannot read {file} of the namespace: {source}")]
    File { file: &'static str, source: io::Error },
    #[error("expected {expected} in {file}, found none")]
    Missing { expected: &'static str, file: &'static str },
    #[error("{lines} lines of {file} do not read as sockets")]
    Lines { lines: u64, file: &'static str },
    #[error("the list of sockets changed so much under a dump that the kernel calls it interrupted")]
    Interrupted,
    #[error(transparent)]
    SockDiag(#[from] DiagError),
}

/// One namespace's procfs file, kept open and read again from its beginning.
#[derive(Debug)]
struct ProcFile {
    name: &'static str,
    file: File,
}

impl ProcFile {
    /// Through the thread's own directory: /proc/self is the thread group's, and thread-self is not there before 3.17. Linux
    /// 3.13 has no `net` below /proc/self/task, but a thread's id stands for itself in /proc too, though it is not listed.
    fn open(name: &'static str) -> Result<Self, LookError> {
        let thread = nix::unistd::gettid();
        let open = |directory: String| File::open(format!("{directory}/net/{name}"));
        match open(format!("/proc/self/task/{thread}")).or_else(|_| open(format!("/proc/{thread}"))) {
            Ok(file) => Ok(Self { name, file }),
            Err(source) => Err(LookError::File { file: name, source }),
        }
    }

    /// The whole text, in place of what `into` held.
    fn read(&mut self, into: &mut Vec<u8>) -> Result<(), LookError> {
        into.clear();
        let read = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.read_to_end(into));
        read.map(|_| ()).map_err(|source| LookError::File {
            file: self.name,
            source,
        })
    }
}

/// Where the list of sockets comes from.
#[derive(Debug)]
enum List {
    SockDiag(SockDiag),
    /// tcp, and tcp6 where the kernel has IPv6.
    ProcNetTcp(Vec<ProcFile>),
}

/// What one namespace shows to whoever holds it, on whatever thread.
#[derive(Debug)]
pub struct Eyes {
    sockstat: ProcFile,
    /// Absent where the kernel has no IPv6.
    sockstat6: Option<ProcFile>,
    sockstat_is_ours: bool,
    snmp: ProcFile,
    netstat: ProcFile,
    list: List,
    text: Vec<u8>,
}

impl Eyes {
    /// Opens the eyes in the calling thread's network namespace: sock_diag, or /proc/net/tcp where the kernel has none.
    ///
    /// # Errors
    /// [`LookError::File`] when procfs is not mounted or hides its files.
    pub fn open() -> Result<Self, LookError> {
        Self::open_with(Source::SockDiag).or_else(|_| Self::open_with(Source::ProcNetTcp))
    }

    /// Like [`Eyes::open`], with the list of sockets from `source` and nowhere else.
    ///
    /// # Errors
    /// Also [`LookError::SockDiag`] when sock_diag was asked for and does not answer.
    pub fn open_with(source: Source) -> Result<Self, LookError> {
        let list = match source {
            Source::SockDiag => {
                let mut diag = SockDiag::open()?;
                // Only a dump tells whether the modules behind the socket are there.
                diag.dump(Listing::All, |_| {})?;
                List::SockDiag(diag)
            }
            Source::ProcNetTcp => {
                let mut files = vec![ProcFile::open("tcp")?];
                files.extend(ProcFile::open("tcp6").ok());
                List::ProcNetTcp(files)
            }
        };
        Ok(Self {
            sockstat: ProcFile::open("sockstat")?,
            sockstat6: ProcFile::open("sockstat6").ok(),
            // One change (Linux 4.12) gave namespaces a sysctl and a count of their own: the sysctl tells of the count.
            sockstat_is_ours: Path::new("/proc/sys/net/ipv4/tcp_max_tw_buckets").exists(),
            snmp: ProcFile::open("snmp")?,
            netstat: ProcFile::open("netstat")?,
            list,
            text: Vec::new(),
        })
    }

    /// What tells states and timers.
    #[must_use]
    pub fn source(&self) -> Source {
        match self.list {
            List::SockDiag(_) => Source::SockDiag,
            List::ProcNetTcp(_) => Source::ProcNetTcp,
        }
    }

    /// Mini-sockets of the namespace: TIME_WAIT and orphaned FIN_WAIT2, IPv4 and IPv6. None on kernels that only count
    /// them for the whole machine (before 4.12).
    ///
    /// # Errors
    /// [`LookError`] when sockstat cannot be read or has no `tw`.
    pub fn mini_sockets(&mut self) -> Result<Option<u64>, LookError> {
        if !self.sockstat_is_ours {
            return Ok(None);
        }
        self.sockstat.read(&mut self.text)?;
        let missing = LookError::Missing {
            expected: "the number `tw` of TCP",
            file: "sockstat",
        };
        sockstat::time_wait(&self.text).map(Some).ok_or(missing)
    }

    /// Sockets of the namespace that are no mini-sockets, listeners among them, IPv4 and IPv6.
    ///
    /// # Errors
    /// [`LookError`] when sockstat cannot be read or has no `inuse`.
    pub fn in_use(&mut self) -> Result<u64, LookError> {
        let mut sum = 0;
        for file in std::iter::once(&mut self.sockstat).chain(&mut self.sockstat6) {
            file.read(&mut self.text)?;
            sum += sockstat::in_use(&self.text).ok_or(LookError::Missing {
                expected: "the number `inuse` of TCP",
                file: "sockstat",
            })?;
        }
        Ok(sum)
    }

    /// The namespace's counters.
    ///
    /// # Errors
    /// [`LookError::File`] when snmp or netstat cannot be read.
    pub fn counters(&mut self) -> Result<Snapshot, LookError> {
        let mut texts = [String::new(), String::new()];
        for (file, text) in [&mut self.snmp, &mut self.netstat].into_iter().zip(&mut texts) {
            file.read(&mut self.text)?;
            *text = String::from_utf8_lossy(&self.text).into_owned();
        }
        Ok(Snapshot::parse([&texts[0], &texts[1]]))
    }

    /// Visits each TCP socket of the namespace.
    ///
    /// # Errors
    /// Any [`LookError`]; what was visited till then is incomplete.
    pub fn dump(&mut self, visit: impl FnMut(Socket)) -> Result<(), LookError> {
        self.list(Listing::All, visit)
    }

    /// Visits each TCP socket of the namespace that is wanted. /proc/net/tcp has no filter: there all are read.
    ///
    /// # Errors
    /// As [`Eyes::dump`].
    pub fn list(&mut self, wanted: Listing, mut visit: impl FnMut(Socket)) -> Result<(), LookError> {
        match &mut self.list {
            List::SockDiag(diag) => match diag.dump(wanted, visit)? {
                true => Ok(()),
                false => Err(LookError::Interrupted),
            },
            List::ProcNetTcp(files) => {
                for file in files {
                    file.read(&mut self.text)?;
                    let lines = proc_net_tcp::parse(&self.text, |socket| {
                        if wanted.includes(socket.state) {
                            visit(socket);
                        }
                    });
                    if lines > 0 {
                        return Err(LookError::Lines { lines, file: file.name });
                    }
                }
                Ok(())
            }
        }
    }
}
