//! The smallest guest: run with a kernel, it boots that kernel with itself inside and prints what it finds there.
//!
//!     cargo run --example guest_probe -- KERNEL [JOB] [--virtual-time] [--kvm] [--memory MIB] [--silence SECONDS]
//!
//! JOB is `look` (the default), or a way to fail, for the tests: `error`, `panic`, `hang`, `crash`, `vanish`, `eat`.

use std::env;
use std::fs;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use linger::lab::{Lab, privilege};
use linger::machine::{self, Acceleration, BootOptions, Clock, Told, guest, image};
use linger::scenario::plan::TrialPlan;
use linger::scenario::spec::Topology;

fn main() -> ExitCode {
    if guest::is_guest() {
        guest::main(conduct);
    }
    match host(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn host(arguments: &[String]) -> Result<(), String> {
    let kernel = arguments
        .first()
        .ok_or("usage: guest_probe KERNEL [JOB] [--virtual-time] [--kvm] [--memory MIB] [--silence SECONDS]")?;
    let job = arguments
        .get(1)
        .filter(|word| !word.starts_with("--"))
        .map_or("look", String::as_str);
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut options = BootOptions::new(program, job.as_bytes().to_vec());
    for (index, word) in arguments.iter().enumerate() {
        let number = || {
            arguments
                .get(index + 1)
                .and_then(|number| number.parse().ok())
                .ok_or(format!("{word} takes a number"))
        };
        match word.as_str() {
            "--virtual-time" => options.clock = Clock::Virtual,
            "--kvm" => options.acceleration = Some(Acceleration::Kvm),
            "--memory" => options.memory_mib = number()?,
            "--silence" => options.silence_limit = Duration::from_secs(number()?.into()),
            _ => {}
        }
    }
    let image = image::open(kernel).map_err(|error| error.to_string())?;
    let print = &mut |told: Told<'_>| match told {
        Told::Booting(after) => eprintln!("booting, {:.0} s", after.as_secs_f64()),
        Told::Line(line) => println!("{line}"),
    };
    let finished = machine::run(&image, &options, &AtomicBool::new(false), print).map_err(|error| error.to_string())?;
    eprintln!(
        "{}: {:?}, {:?} time, program after {:.2} s, off after {:.2} s",
        image.release.as_deref().unwrap_or("unknown release"),
        finished.acceleration,
        options.clock,
        finished.booted_after.as_secs_f64(),
        finished.took.as_secs_f64(),
    );
    Ok(())
}

fn conduct(job: &[u8], say: &mut dyn FnMut(&str)) -> Result<(), String> {
    match job {
        b"look" => look(say),
        b"error" => Err("as asked".to_owned()),
        b"panic" => panic!("as asked"),
        b"hang" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        b"crash" => fs::write("/proc/sysrq-trigger", "c").map_err(|error| format!("no crash: {error}")),
        b"vanish" => {
            say("a line before");
            nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT)
                .map(drop)
                .map_err(|error| error.to_string())
        }
        b"eat" => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(vec![1; 1 << 20]);
            }
        }
        other => Err(format!("unknown job `{}`", String::from_utf8_lossy(other))),
    }
}

fn look(say: &mut dyn FnMut(&str)) -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    say(&format!("release {}", read("/proc/sys/kernel/osrelease")?.trim()));
    say(&format!("uptime {}", read("/proc/uptime")?.trim()));
    say(&format!(
        "ports {}",
        read("/proc/sys/net/ipv4/ip_local_port_range")?
            .trim()
            .replace('\t', " ")
    ));
    for line in read("/proc/net/sockstat")?.lines() {
        say(&format!("sockstat {line}"));
    }
    let modules = read("/proc/modules")?;
    say(&format!(
        "modules {}",
        modules
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect::<Vec<_>>()
            .join(" ")
    ));
    say(&format!(
        "a connection through a veth pair from {}",
        connection_through_a_lab()?
    ));
    Ok(())
}

/// The lab of a trial, built as on the host: two namespaces joined by a veth pair.
fn connection_through_a_lab() -> Result<IpAddr, String> {
    let mut plan: TrialPlan =
        serde_json::from_str(include_str!("../tests/fixtures/plan.json")).map_err(|error| error.to_string())?;
    plan.lab.topology = Topology::Pair;
    let lab = privilege::acquire()
        .and_then(|privilege| Lab::build(&plan, privilege))
        .map_err(|error| error.to_string())?;
    let listener = lab.server.run(|| TcpListener::bind((lab.server.addresses()[0], 0)));
    let listener = listener
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let to = listener.local_addr().map_err(|error| error.to_string())?;
    let connected = lab
        .client
        .run(|| TcpStream::connect(to))
        .map_err(|error| error.to_string())?;
    connected
        .and_then(|stream| stream.local_addr())
        .map(|from| from.ip())
        .map_err(|error| error.to_string())
}
