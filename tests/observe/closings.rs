//! Who closed, and how: what the witness saw against what was done, both kernels' counters, and tcpdump.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use linger::observe::Eyes;
use linger::observe::closings::{Destinations, Witness};
use linger::observe::counters::{Snapshot, delta};
use linger::record::schema::{BothEnds, ClientWaited, ClosedFirst, Closings, TimeWaitExpected};
use linger::tcp::{Closer, Loss};
use socket2::{Domain, SockRef, Socket, Type};

use crate::namespace::{churn, inside, joined, listen, run, until};

const FIN: u8 = 1;
const SYN: u8 = 2;

fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn read_to_end(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 16]);
}

/// One connection that `first` closes with FIN, or RST, and the other end after it.
fn closed(listener: &TcpListener, first: Closer, abortive: bool) {
    let (client, server) = pair(listener);
    let (first, mut last) = match first {
        Closer::Client => (client, server),
        Closer::Server => (server, client),
    };
    if abortive {
        SockRef::from(&first).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(first);
    read_to_end(&mut last);
}

/// One connection on which both ends send FIN before they have the other's.
fn closed_at_once(listener: &TcpListener) {
    let (mut client, mut server) = pair(listener);
    let losing_fin = Loss {
        with: FIN,
        ..Loss::default()
    };
    for end in [&client, &server] {
        SockRef::from(end).attach_filter(&losing_fin.program()).unwrap();
    }
    for end in [&client, &server] {
        end.shutdown(Shutdown::Write).unwrap();
    }
    for end in [&client, &server] {
        SockRef::from(end).detach_filter().unwrap();
    }
    read_to_end(&mut client);
    read_to_end(&mut server);
}

/// One SYN that nothing answers, and its retransmission.
fn unanswered(listener: &TcpListener) -> Socket {
    let losing_syn = Loss {
        with: SYN,
        ..Loss::default()
    };
    SockRef::from(listener).attach_filter(&losing_syn.program()).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&listener.local_addr().unwrap().into()).unwrap_err();
    socket
}

fn time_wait(eyes: &mut Eyes) -> u64 {
    eyes.mini_sockets().unwrap().expect("Linux 4.12 counts by namespace")
}

fn finish_complete(witness: Witness) -> Closings {
    let closings = witness.finish();
    assert!(closings.incomplete.is_empty(), "{:?}", closings.incomplete);
    assert_eq!(
        closings.opened,
        closings.established + closings.refused + closings.unanswered + closings.abandoned
    );
    closings
}

#[test]
fn every_way_to_close_is_told_as_it_was_done_and_both_kernels_agree() {
    let server = || {
        let (listener, _) = listen("10.0.0.2:7000");
        let (deaf, _) = listen("10.0.0.2:7001");
        (listener, deaf, Eyes::open().unwrap())
    };
    joined(server, |(listener, deaf, mut server_eyes)| {
        let mut eyes = Eyes::open().unwrap();
        let before = [eyes.counters().unwrap(), server_eyes.counters().unwrap()];
        let witness = Witness::open(Destinations::Any, Instant::now()).unwrap();
        for (count, first, abortive) in [
            (40, Closer::Client, false),
            (30, Closer::Server, false),
            (20, Closer::Client, true),
            (10, Closer::Server, true),
        ] {
            for _ in 0..count {
                closed(&listener, first, abortive);
            }
        }
        closed_at_once(&listener);
        let nobody: SocketAddr = "10.0.0.2:9".parse().unwrap();
        for _ in 0..7 {
            TcpStream::connect(nobody).unwrap_err();
        }
        let waiting = unanswered(&deaf);
        let open = pair(&listener);
        let (half_closed, _other_half) = pair(&listener);
        half_closed.shutdown(Shutdown::Write).unwrap();
        // The two FINs that were lost are sent again after 200 ms; then TIME_WAIT is on both ends.
        until("TIME_WAIT on both ends", || {
            time_wait(&mut eyes) == 41 && time_wait(&mut server_eyes) == 31
        });
        let counters = changes(before, [&mut eyes, &mut server_eyes]);
        let closings = finish_complete(witness);
        drop((waiting, open));

        assert_eq!(closings.opened as i64, counters[0]["ActiveOpens"]);
        assert_eq!(closings.established as i64, counters[1]["PassiveOpens"]);
        assert_eq!(closings.refused as i64, counters[0]["AttemptFails"]);
        assert_eq!((closings.opened, closings.established), (111, 103));
        assert_eq!((closings.refused, closings.unanswered, closings.abandoned), (7, 1, 0));
        let first = ClosedFirst {
            client_fin: 41,
            client_rst: 20,
            server_fin: 30,
            server_rst: 10,
            simultaneous: 1,
        };
        assert_eq!(closings.closed_first, first);
        assert_eq!(closings.client_waited, ClientWaited { yes: 30, no: 62 });
        assert_eq!(closings.reset_after_fin, BothEnds::default());
        let holders = TimeWaitExpected {
            client: 40,
            server: 30,
            both: 1,
            neither: 30,
        };
        assert_eq!(closings.time_wait, holders);
        assert_eq!((closings.open_at_end, closings.half_closed_at_end), (1, 1));
        assert_eq!(closings.concurrency.peak, 2);
        assert_eq!(closings.strays, 0);
        assert_eq!(closings.lifetime.unwrap().count, 102);
    });
}

fn changes(before: [Snapshot; 2], eyes: [&mut Eyes; 2]) -> Vec<BTreeMap<String, i64>> {
    before
        .iter()
        .zip(eyes)
        .map(|(before, eyes)| delta(before, &eyes.counters().unwrap()))
        .collect()
}

#[test]
fn loopback_shows_each_segment_twice_and_it_counts_once_in_both_families() {
    inside(|| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (listener, address) = listen(address);
            let mut eyes = Eyes::open().unwrap();
            let before = eyes.counters().unwrap();
            let witness = Witness::open(Destinations::To(vec![address]), Instant::now()).unwrap();
            churn(&listener, 500);
            let (elsewhere, _) = listen("127.0.0.1:0");
            churn(&elsewhere, 3);
            let closings = finish_complete(witness);
            let counters = delta(&before, &eyes.counters().unwrap());
            assert_eq!((closings.opened, closings.established), (500, 500));
            assert_eq!(closings.closed_first.client_fin, 500);
            assert_eq!(closings.time_wait.client, 500);
            assert_eq!((closings.elsewhere, closings.strays), (3, 0));
            assert_eq!(counters["PassiveOpens"], 503);
            // SYN, SYN-ACK and two FINs each.
            assert_eq!(closings.segments, 503 * 4);
            assert_eq!(closings.syn_retransmissions + closings.fin_retransmissions, 0);
        }
    });
}

#[test]
fn four_tuples_that_are_used_again_and_again_are_told_apart_at_full_speed() {
    inside(|| {
        // Few ports, given back at once since the server closes first: each has dozens of incarnations.
        run("sysctl", &["-qw", "net.ipv4.ip_local_port_range=40000 40499"]);
        let (listener, address) = listen("127.0.0.1:0");
        let witness = Witness::open(Destinations::To(vec![address]), Instant::now()).unwrap();
        for _ in 0..10_000 {
            closed(&listener, Closer::Server, false);
        }
        let closings = finish_complete(witness);
        assert_eq!((closings.opened, closings.established), (10_000, 10_000));
        assert_eq!(closings.closed_first.server_fin, 10_000);
        assert_eq!(closings.client_waited.yes, 10_000);
        assert_eq!(closings.time_wait.server, 10_000);
        let over_time = &closings.concurrency.over_time;
        assert_eq!(over_time.iter().map(|point| point.opened).sum::<u64>(), 10_000);
        assert_eq!(closings.concurrency.peak, 1);
    });
}

/// Lines of tcpdump by their flags, such as `S.`.
fn by_flags(lines: &[String]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in lines {
        if let Some((_, rest)) = line.split_once(": Flags [") {
            let flags = rest.split(']').next().unwrap_or_default();
            *counts.entry(flags.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn tcpdump_sees_the_same_segments() {
    let server = || listen("10.0.0.2:7000").0;
    joined(server, |listener| {
        // Without -s a frame of tcpdump's ring is 256 KiB long, and a burst of 64 segments fills it.
        let mut capture = Command::new("tcpdump")
            .args([
                "-n",
                "-l",
                "-Q",
                "inout",
                "-i",
                "c0",
                "-B",
                "16384",
                "-s",
                "128",
                "--immediate-mode",
            ])
            .arg("tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs tcpdump");
        let mut said = BufReader::new(capture.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("listening") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "tcpdump has ended");
        }
        let stdout = BufReader::new(capture.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        // As they come: tcpdump must never wait for a full pipe.
        let reader =
            std::thread::spawn(move || stdout.lines().for_each(|line| told.lock().unwrap().push(line.unwrap())));
        let witness = Witness::open(Destinations::Any, Instant::now()).unwrap();
        for (first, abortive) in [(Closer::Client, false), (Closer::Server, false), (Closer::Client, true)] {
            for _ in 0..50 {
                closed(&listener, first, abortive);
            }
        }
        TcpStream::connect("10.0.0.2:9").unwrap_err();
        let closings = finish_complete(witness);
        until("tcpdump has told of the last segment", || {
            lines.lock().unwrap().len() as u64 >= closings.segments
        });
        capture.kill().unwrap();
        capture.wait().unwrap();
        reader.join().unwrap();
        let text = lines.lock().unwrap();
        let flags = by_flags(&text);
        let count = |name: &str| flags.get(name).copied().unwrap_or(0);
        assert_eq!(closings.segments, flags.values().sum::<u64>(), "{flags:?}");
        assert_eq!(closings.opened, count("S"), "{flags:?}");
        assert_eq!(closings.established, count("S."), "{flags:?}");
        let first = closings.closed_first;
        assert_eq!(2 * (first.client_fin + first.server_fin), count("F."), "{flags:?}");
        assert_eq!(
            first.client_rst + closings.refused,
            count("R.") + count("R"),
            "{flags:?}"
        );
    });
}

fn witnesses_running() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |path: std::path::PathBuf| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
    threads
        .filter(|thread| name(thread.path()).trim() == "closings")
        .count()
}

#[test]
fn a_witness_that_is_dropped_ends_its_thread() {
    inside(|| {
        drop(Witness::open(Destinations::Any, Instant::now()).unwrap());
        until("the thread has ended", || witnesses_running() == 0);
    });
}
