//! What observing connect() costs the program: `cargo bench --bench connects`.
//!
//! The program is this one again, with two arguments: it connects 20,000 times over loopback, one after the other, and resets
//! each connection. Rounds take turns between off, notify and trace; medians are printed, and of the ratios within a round.
#![allow(unsafe_code)] // pre_exec: the hook installs itself between fork() and exec().

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use linger::foreign::connects::{Choice, prepare};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, SockRef, Socket, Type};

const CONNECTS: u32 = 20_000;
const ROUNDS: usize = 15;
const CHOICES: [(&str, Choice); 3] = [
    ("off", Choice::Off),
    ("notify", Choice::Notify),
    ("trace", Choice::Trace),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, address] = arguments.as_slice()
        && word == "program"
    {
        return program(address.parse().expect("an address"));
    }
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run it as root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("iproute2").success());
    // TcpListener's own backlog of 128 drops SYNs on a busy machine, and each costs a second.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("an address");
    socket.listen(4096).expect("a listener");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut times = [const { Vec::new() }; CHOICES.len()];
    for round in 0..=ROUNDS {
        for (index, (_, choice)) in CHOICES.iter().enumerate() {
            let micros = run(*choice, address);
            // The first round warms up.
            if round > 0 {
                times[index].push(micros);
            }
        }
    }
    for ((name, _), times_of_it) in CHOICES.iter().zip(&times) {
        let mut ratios: Vec<f64> = times_of_it
            .iter()
            .zip(&times[0])
            .map(|(time, off)| time / off)
            .collect();
        let (time, ratio) = (median(&mut times_of_it.clone()), median(&mut ratios));
        println!(
            "{name:8} {time:7.2} µs a connection, {ratio:.2} × off in the same round (medians of {ROUNDS} rounds)"
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds a connection, as the program itself took the time.
fn run(choice: Choice, address: SocketAddr) -> f64 {
    let (hook, supervisor) = prepare(choice).expect("a supervisor");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["program", &address.to_string()]).stdout(Stdio::piped());
    // SAFETY: system calls alone.
    unsafe {
        command.pre_exec(move || {
            let program = libc::fork();
            if program != 0 {
                let mut status = 0;
                libc::waitpid(program, &raw mut status, 0);
                libc::_exit(libc::WEXITSTATUS(status));
            }
            hook.install()
        });
    }
    let child = command.spawn().expect("this program again");
    drop(command);
    let output = child.wait_with_output().expect("its output");
    let connects = supervisor.finish();
    let observed = if choice == Choice::Off { 0 } else { CONNECTS.into() };
    assert_eq!(connects.attempts, observed, "{:?}", connects.notes);
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a time")
}

fn program(address: SocketAddr) {
    let begun = Instant::now();
    for _ in 0..CONNECTS {
        let stream = TcpStream::connect(address).expect("a connection");
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }
    println!("{}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(CONNECTS));
}
