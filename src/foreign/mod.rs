//! Other people's programs in the lab: started in one side's namespace, waited for, signalled, ended with all that they
//! started themselves.
//!
//! `program` starts one, `ended` tells how it ended; `server` is a program that is waited for until it listens. A program runs
//! below a tiny first process (`tree`), in surroundings of its own (`surroundings`): a PID namespace where one can be had,
//! so that nothing outlives the program or linger itself, however either ends. `connects` hears what its connect() calls
//! give, `threads` tells what it has had of the CPUs. Must not know what the program is for.

pub mod connects;
mod ended;
pub mod program;
pub mod server;
mod surroundings;
mod tail;
mod threads;
mod tree;

pub use ended::{Ended, How};
pub use program::{CommandLine, Program, Running, StartError, Streams};
pub use server::{Server, ServerError};
pub use threads::{Threads, Used};
pub use tree::{Group, Lives};
