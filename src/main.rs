//! Dispatches a command, prints an error once, ends with its exit code.
#![forbid(unsafe_code)]

mod cli;
mod command;

use std::process::ExitCode;

use clap::Parser;
use linger::machine::guest;

fn main() -> ExitCode {
    // Before anything else: a guest has no arguments, and may enter no namespace once it has threads.
    if guest::is_guest() {
        guest::main(command::guest::conduct);
    }
    let cli = cli::Cli::parse();
    match command::dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            command::tell_error(&error);
            command::exit_code(&error).into()
        }
    }
}
