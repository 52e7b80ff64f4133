//! A program of somebody else's in one side's namespace: started, signalled, waited for, ended with its whole tree.
#![allow(unsafe_code)] // pre_exec: the child divides itself between fork() and exec().

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sched::{CloneFlags, unshare};

use super::connects::{Choice, Supervisor, prepare};
use super::ended::{Ended, How};
use super::surroundings::{Surroundings, trouble};
use super::tail::Tail;
use super::threads::Threads;
use super::tree::{Group, Lives, MESSAGE, Order, Told, Tree};
use crate::lab::{Privilege, Side, Unavailable};

/// How long a tree that was told to end by SIGKILL may take: only a process in the kernel's own hands does not.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// Lines of output that are told of a program that failed.
const LINES_TOLD: usize = 12;

/// What is started.
#[derive(Clone, Debug)]
pub enum CommandLine {
    /// A program and its arguments.
    Argv(OsString, Vec<OsString>),
    /// What `/bin/sh -c` is given.
    Shell(String),
}

/// Where a program's streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Linger's own.
    Inherited,
    /// Linger's own, but what goes to stdout goes to stderr.
    OnStderr,
    /// Stdin is empty; the end of stdout and stderr is kept, to tell why the program failed.
    Kept,
}

/// A program that is to be started.
#[derive(Debug)]
pub struct Program {
    pub command: CommandLine,
    /// Added to linger's own environment.
    pub environment: Vec<(OsString, OsString)>,
    /// None: linger's own.
    pub directory: Option<PathBuf>,
    pub streams: Streams,
    pub group: Group,
    pub lives: Lives,
    /// Added to /etc/hosts, where a mount namespace can be had.
    pub names: Vec<(String, IpAddr)>,
    /// RLIMIT_NOFILE, soft and hard, as it was before linger raised it; None leaves it.
    pub descriptors: Option<(u64, u64)>,
    /// Whether PID, mount and user namespaces are to be used. False is for where they are known to be forbidden.
    pub contained: bool,
    /// Whether and how its connect() calls are observed; None: nobody asks.
    pub connects: Option<Choice>,
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot start `{name}`: no such program on PATH, or no such file (nor the interpreter that it names)")]
    NotFound { name: String },
    #[error("cannot start `{name}`: {source}; expected an executable file")]
    NotExecutable { name: String, source: io::Error },
    #[error("cannot start `{name}`: {source}")]
    Refused { name: String, source: io::Error },
    #[error(transparent)]
    Lab(#[from] Unavailable),
}

/// A program that was started. Killed with its whole tree when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    /// The tree's first process, until it is reaped.
    first: Arc<Mutex<Option<i32>>>,
    ends: Receiver<Ended>,
    ended: Option<Ended>,
    tail: Option<Tail>,
    contained: bool,
}

impl Program {
    /// Starts the program in a side's namespace. It is a child of a thread there, called as the side, which waits for it.
    ///
    /// # Errors
    /// There is no such program, it cannot be executed, or the machine has no room for it.
    pub fn start(self, side: &Side, privilege: Privilege) -> Result<Running, StartError> {
        let name = self.name();
        let (started, start) = mpsc::channel();
        let (ends_to, ends) = mpsc::channel();
        let first = Arc::new(Mutex::new(None));
        let held = Arc::clone(&first);
        // The parent-death signal is the thread's: this thread must last as long as the program.
        let _thread = side.spawn(side.name(), move || match self.launch(privilege) {
            Ok(launched) => {
                let first = held
                    .lock()
                    .map(|mut first| *first = Some(launched.child.id().cast_signed()));
                drop(first);
                let _ = started.send(Ok((launched.contained, launched.tail.clone())));
                launched.attend(&held, &ends_to);
            }
            Err(error) => _ = started.send(Err(error)),
        })?;
        let gone = || io::Error::other("the thread that starts it ended");
        match start.recv().unwrap_or_else(|_| Err(gone())) {
            Ok((contained, tail)) => Ok(Running {
                name,
                first,
                ends,
                ended: None,
                tail,
                contained,
            }),
            Err(source) => Err(match source.kind() {
                io::ErrorKind::NotFound => StartError::NotFound { name },
                io::ErrorKind::PermissionDenied => StartError::NotExecutable { name, source },
                _ if source.raw_os_error() == Some(libc::ENOEXEC) => StartError::NotExecutable { name, source },
                _ => StartError::Refused { name, source },
            }),
        }
    }

    fn name(&self) -> String {
        match &self.command {
            CommandLine::Argv(program, _) => program.to_string_lossy().into_owned(),
            CommandLine::Shell(line) => line.clone(),
        }
    }

    fn command(&self) -> Command {
        let mut command = match &self.command {
            CommandLine::Argv(program, arguments) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            CommandLine::Shell(line) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", line]);
                command
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// On the thread that stays.
    fn launch(self, privilege: Privilege) -> io::Result<Launched> {
        let entitled = self.contained && privilege != Privilege::None;
        let mut command = self.command();
        let tail = match self.streams {
            Streams::Inherited => None,
            Streams::OnStderr => {
                command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
                None
            }
            Streams::Kept => Some(keep(&mut command)?),
        };
        let (hook, supervisor) = self.connects.map(prepare).transpose()?.unzip();
        // Of this thread's children alone; it starts no thread any more.
        let contained = entitled && unshare(CloneFlags::CLONE_NEWPID).is_ok();
        let mut surroundings = Surroundings::new(entitled, contained);
        surroundings.name(&self.names);
        surroundings.descriptors(self.descriptors);
        if entitled && privilege == Privilege::UserNamespace {
            surroundings.be_the_user();
        }
        let (reader, writer) = io::pipe()?;
        let tree = Tree {
            contained,
            report: writer.as_raw_fd(),
            reader: reader.as_raw_fd(),
            lives: self.lives,
            group: self.group,
            surroundings,
            hook,
        };
        // SAFETY: between fork and exec only system calls are made, on what was prepared before; see `tree`.
        unsafe { command.pre_exec(move || tree.divide()) };
        let began = Instant::now();
        let child = command.spawn()?;
        drop::<PipeWriter>(writer);
        Ok(Launched {
            child,
            reports: reader,
            began,
            contained,
            tail,
            supervisor,
        })
    }
}

/// Stdin is empty, stdout and stderr go to one pipe whose end is kept.
fn keep(command: &mut Command) -> io::Result<Tail> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    Tail::follow(reader)
}

/// A program that runs, on its own thread.
struct Launched {
    child: Child,
    reports: PipeReader,
    began: Instant,
    contained: bool,
    tail: Option<Tail>,
    supervisor: Option<Supervisor>,
}

impl Launched {
    /// Reads the reports until the tree is over, and reaps its first process.
    fn attend(mut self, first: &Mutex<Option<i32>>, ends: &Sender<Ended>) {
        let mut ended = Ended::lost();
        let mut bytes = [0; MESSAGE];
        while self.reports.read_exact(&mut bytes).is_ok() {
            match Told::read(bytes) {
                Some(Told::Trouble(bits)) => ended.trouble.extend(trouble(bits)),
                Some(Told::Ended(status)) => {
                    ended.after = self.began.elapsed();
                    ended.how = How::of(status);
                }
                Some(Told::Over { forced, cpu_micros }) => {
                    ended.left_behind = forced;
                    ended.cpu_seconds = cpu_micros as f64 / 1e6;
                }
                None => {}
            }
        }
        if ended.how == How::Lost {
            ended.after = self.began.elapsed();
        }
        // From here on its number may become another's.
        *first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.child.wait();
        // Not before the tree is over: it would be left with a connect() that nobody answers.
        ended.connects = self.supervisor.take().map(Supervisor::finish);
        // Whoever started it may have given up waiting.
        let _ = ends.send(ended);
    }
}

impl Running {
    /// Passes a signal on to the program itself.
    pub fn signal(&self, number: i32) {
        self.order(Order::Pass(number));
    }

    /// Sends SIGTERM to the whole tree.
    pub fn terminate(&self) {
        self.order(Order::Terminate);
    }

    /// Sends SIGKILL to the whole tree.
    pub fn kill(&self) {
        self.order(Order::Kill);
    }

    /// What the tree's threads have had of the CPUs; of none once it is over.
    #[must_use]
    pub fn threads(&self) -> Threads {
        let first = *self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.map(Threads::of).unwrap_or_default()
    }

    fn order(&self, order: Order) {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = *first {
            order.give(first);
        }
    }

    /// Waits for the end of the tree, at most so long.
    pub fn wait(&mut self, limit: Duration) -> Option<&Ended> {
        if self.ended.is_none() {
            self.ended = match self.ends.recv_timeout(limit) {
                Ok(ended) => Some(ended),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Ended::lost()),
            };
        }
        self.ended.as_ref()
    }

    /// Ends the tree: SIGTERM, then SIGKILL after `grace`. True where SIGKILL was needed.
    pub fn end(&mut self, grace: Duration) -> bool {
        self.terminate();
        if self.wait(grace).is_some() {
            return false;
        }
        self.kill();
        self.wait(KILLED_WITHIN);
        true
    }

    /// The last lines that the program printed, where its streams are kept.
    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.tail
            .as_ref()
            .map(|tail| tail.lines(LINES_TOLD))
            .unwrap_or_default()
    }

    /// The program as it was named.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs in a PID namespace of its own.
    #[must_use]
    pub fn is_contained(&self) -> bool {
        self.contained
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.wait(Duration::ZERO).is_none() {
            self.kill();
            self.wait(KILLED_WITHIN);
        }
    }
}
