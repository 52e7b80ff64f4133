//! One file a subcommand, or a folder. Errors become words and exit codes here, and only here.

mod booted;
mod check;
mod compare;
mod exec;
pub(crate) mod guest;
mod interrupt;
mod kernels;
mod list;
mod needs;
mod progress;
mod report;
mod run;
mod show;
mod verify;

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{Cli, Command};
use linger::lab::Unavailable;
use linger::record::store::StoreError;
use linger::scenario::Problems;

/// The process's exit code (the table is in `linger --help`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Met = 0,
    Internal = 1,
    Invalid = 2,
    Unmet = 3,
    Unavailable = 4,
    Inconclusive = 5,
    Interrupted = 130,
}

impl Exit {
    /// The exit that the judge's code stands for.
    fn of(code: i32) -> Self {
        [Self::Met, Self::Unmet, Self::Unavailable, Self::Inconclusive]
            .into_iter()
            .find(|exit| *exit as i32 == code)
            .unwrap_or(Self::Internal)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints the error that ended a command, once.
pub(crate) fn tell_error(error: &anyhow::Error) {
    tell(format_args!("linger: {error:#}"));
}

/// Runs one command.
pub(crate) fn dispatch(command: Command) -> Result<std::process::ExitCode> {
    let exit = match command {
        // Its exit code is the program's.
        Command::Exec(options) => return exec::exec(&options),
        Command::Run(options) => run::run(&options),
        Command::Verify(options) => {
            let options = options.settled();
            for_booted_kernels(&options.kernel, options.of_booted_kernels())?;
            verify::verify(&options)
        }
        Command::List(options) => list::list(&options),
        Command::Show(options) => show::show(&options),
        Command::Check(options) => check::check(&options),
        Command::Kernels(options) => kernels::kernels(&options),
        Command::Report(options) => report::report(&options),
        Command::Compare(options) => compare::compare(&options),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "linger", &mut text);
            print(&text)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            print(&text)
        }
    };
    exit.map(Into::into)
}

/// The exit code of an error that ended a command.
pub(crate) fn exit_code(error: &anyhow::Error) -> Exit {
    if error.is::<Problems>() || error.is::<Usage>() || error.is::<StoreError>() {
        Exit::Invalid
    } else if error.is::<Unavailable>() {
        Exit::Unavailable
    } else {
        Exit::Internal
    }
}

/// Input that is the user's to mend.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Refuses options that would change nothing: those for booted kernels where none is.
fn for_booted_kernels<const N: usize>(kernels: &[String], options: [(&str, bool); N]) -> Result<(), Usage> {
    let given = options.into_iter().find(|(_, given)| *given);
    match given.filter(|_| kernels.iter().all(|kernel| kernel == booted::HOST)) {
        Some((option, _)) => Err(Usage(format!(
            "{option} is for booted kernels, and none is: name one with --kernel"
        ))),
        None => Ok(()),
    }
}

/// Tells the user something on stderr. Nobody there to read it is no reason to lose a measurement.
fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes to `file`, or to stdout where there is none.
fn write(file: Option<&Path>, text: &str) -> Result<()> {
    match file {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Usage(format!("cannot write to `{}`: {error}", path.display())).into()),
        None => print(text.as_bytes()).map(drop),
    }
}

/// Writes to stdout; a reader that went away (`| head`) is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<Exit> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Met),
    }
}
