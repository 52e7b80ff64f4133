//! Dispatches a command, prints an error once, ends with its exit code.
#![forbid(unsafe_code)]

mod cli;
mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match command::dispatch(cli.command) {
        Ok(code) => code.into(),
        Err(error) => {
            command::tell_error(&error);
            command::exit_code(&error).into()
        }
    }
}
