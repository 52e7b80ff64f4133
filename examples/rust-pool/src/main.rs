//! Requests to Redis over r2d2's pool, or over a connection each, for `linger exec` to look at:
//!
//!     linger exec --protocol redis -- target/release/rust-pool --pool 8
//!     linger exec --protocol redis -- target/release/rust-pool --no-pool
//!
//! The server is $LINGER_HOST:$LINGER_PORT. What it does is what any service does with a pool: threads that borrow a
//! connection, ask, and give it back by dropping it.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use redis::{Client, Commands, Connection};

const USAGE: &str = "usage: rust-pool (--pool SIZE | --no-pool) [--requests N] [--threads N]
SIZE connections at the most (r2d2), or one a request; 1000 requests and 4 threads unless said otherwise.
LINGER_HOST and LINGER_PORT say where the server is.";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

struct Options {
    /// None: a connection a request.
    pool: Option<u32>,
    requests: u64,
    threads: u64,
}

fn options() -> Result<Options> {
    let mut arguments = env::args().skip(1);
    let (mut pool, mut requests, mut threads) = (None, 1000, 4);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().ok_or(format!("{argument} needs a number\n{USAGE}"));
        match argument.as_str() {
            "--pool" => pool = Some(Some(number()?.parse()?)),
            "--no-pool" => pool = Some(None),
            "--requests" => requests = number()?.parse()?,
            "--threads" => threads = number()?.parse()?,
            _ => return Err(format!("unknown argument {argument}\n{USAGE}").into()),
        }
    }
    match pool {
        Some(pool) if threads > 0 && pool != Some(0) => Ok(Options {
            pool,
            requests,
            threads,
        }),
        _ => Err(USAGE.into()),
    }
}

/// Asks as often as its turn comes, each time over what `connection` gives. Returns how often it failed.
fn ask<C: std::ops::DerefMut<Target = Connection>>(left: &AtomicU64, connection: impl Fn() -> Result<C>) -> u64 {
    let mut failed = 0;
    while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
        let answer = connection().and_then(|mut connection| Ok(connection.get::<_, Option<Vec<u8>>>("key")?));
        if let Err(error) = answer {
            if failed == 0 {
                eprintln!("a request failed: {error}");
            }
            failed += 1;
        }
    }
    failed
}

fn run() -> Result<u64> {
    let options = options()?;
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set\n{USAGE}"));
    let client = Client::open((variable("LINGER_HOST")?, variable("LINGER_PORT")?.parse()?))?;
    let left = AtomicU64::new(options.requests);
    let each = |work: &(dyn Fn() -> u64 + Sync)| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..options.threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(1)).sum()
        })
    };
    let failed: u64 = match options.pool {
        Some(size) => {
            let pool = r2d2::Pool::builder().max_size(size).build(client)?;
            each(&|| ask(&left, || Ok(pool.get()?)))
        }
        None => each(&|| ask(&left, || Ok(Box::new(client.get_connection()?)))),
    };
    println!("{} requests, {failed} failed", options.requests);
    Ok(failed)
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
