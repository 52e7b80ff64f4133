//! What the eyes see is what `ss`, `nstat` and each other see.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;

use linger::observe::{Config, Eyes, Observer, Side, Socket, Source};
use linger::tcp::{FourTuple, State};

use crate::namespace::{churn, inside, listen, run, sysctl, until};

fn dump(eyes: &mut Eyes) -> Vec<Socket> {
    let mut sockets = Vec::new();
    eyes.dump(|socket| sockets.push(socket)).unwrap();
    sockets
}

fn by_state(sockets: &[Socket]) -> BTreeMap<FourTuple, State> {
    sockets.iter().map(|socket| (socket.tuple, socket.state)).collect()
}

fn time_wait_by_ss() -> usize {
    run("ss", &["-Htan", "state", "time-wait"]).lines().count()
}

#[test]
fn both_sources_list_the_same_sockets_of_both_families() {
    inside(|| {
        let (v4, v6) = (listen("127.0.0.1:0").0, listen("[::1]:0").0);
        let (dual, _) = listen("[::]:0");
        churn(&v4, 70);
        churn(&v6, 30);
        let mapped = TcpStream::connect(("127.0.0.1", dual.local_addr().unwrap().port())).unwrap();
        let accepted = dual.accept().unwrap();
        let (mut diag, mut proc) = (
            Eyes::open_with(Source::SockDiag).unwrap(),
            Eyes::open_with(Source::ProcNetTcp).unwrap(),
        );
        let (by_diag, by_proc) = (dump(&mut diag), dump(&mut proc));
        assert_eq!(by_state(&by_diag), by_state(&by_proc));
        let waiting: Vec<_> = by_diag
            .iter()
            .filter(|socket| socket.state == State::TimeWait)
            .collect();
        assert_eq!(waiting.len(), 100);
        assert_eq!(waiting.len(), time_wait_by_ss());
        assert_eq!(diag.mini_sockets().unwrap(), Some(100));
        assert!(
            waiting
                .iter()
                .all(|s| s.mini && (50_000..=60_000).contains(&s.expires_ms) && s.cookie != 0)
        );
        let tuple = FourTuple {
            local: mapped.local_addr().unwrap(),
            remote: mapped.peer_addr().unwrap(),
        };
        // The accepted end is an IPv6 socket with mapped addresses; it is told as the same connection's other end.
        assert_eq!(by_state(&by_diag)[&tuple], State::Established);
        assert_eq!(by_state(&by_diag)[&tuple.reversed()], State::Established);
        drop(accepted);
    });
}

#[test]
fn eyes_go_on_seeing_the_namespace_they_were_opened_in() {
    let (mut eyes, source, listener) = inside(|| {
        let (listener, _) = listen("127.0.0.1:0");
        let eyes = Eyes::open().unwrap();
        churn(&listener, 20);
        let source = eyes.source();
        (eyes, source, listener)
    });
    // Here is another namespace, where none of these is.
    assert_eq!(source, Source::SockDiag);
    let waiting = dump(&mut eyes).iter().filter(|s| s.state == State::TimeWait).count();
    assert_eq!(waiting, 20);
    assert_eq!(eyes.mini_sockets().unwrap(), Some(20));
    assert_eq!(eyes.counters().unwrap().get("ActiveOpens"), Some(20));
    drop(listener);
}

#[test]
fn counters_are_those_of_nstat() {
    inside(|| {
        let (listener, _) = listen("127.0.0.1:0");
        churn(&listener, 11);
        let counters = Eyes::open().unwrap().counters().unwrap();
        let shown = run("nstat", &["-asz"]);
        for (ours, theirs) in [
            ("ActiveOpens", "TcpActiveOpens"),
            ("PassiveOpens", "TcpPassiveOpens"),
            ("TW", "TcpExtTW"),
        ] {
            let line = shown
                .lines()
                .find(|line| line.split_whitespace().next() == Some(theirs))
                .unwrap();
            let theirs: i64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            assert_eq!(counters.get(ours), Some(theirs));
            assert_eq!(theirs, 11);
        }
    });
}

fn observer(endpoint: std::net::SocketAddr, tuples: bool, source: Source) -> Observer {
    let config = Config {
        ports: false,
        server_endpoints: vec![endpoint],
        tuples,
        origin: Instant::now(),
    };
    Observer::start(Eyes::open_with(source).unwrap(), None, config).unwrap()
}

#[test]
fn in_one_namespace_each_side_is_told_by_the_servers_endpoint() {
    inside(|| {
        let (listener, address) = listen("127.0.0.1:0");
        let (elsewhere, _) = listen("127.0.0.1:0");
        let observer = observer(address, false, Source::SockDiag);
        churn(&listener, 40);
        churn(&elsewhere, 7);
        // The server closes first: 5 more on its side.
        for _ in 0..5 {
            let client = TcpStream::connect(address).unwrap();
            drop(listener.accept().unwrap());
            assert_eq!(std::io::Read::read(&mut &client, &mut [0; 1]).unwrap(), 0);
        }
        let open = TcpStream::connect(address).unwrap();
        observer.look_now().unwrap();
        let observed = observer.finish();
        assert_eq!((observed.client.end, observed.server.end), (40, 5));
        assert_eq!((observed.client.peak, observed.server.peak), (40, 5));
        assert_eq!(observed.client.states["TIME_WAIT"], 40);
        assert_eq!(observed.client.states["ESTABLISHED"], 1);
        assert_eq!(observed.server.states["LISTEN"], 1);
        assert_eq!(observed.counters.0["ActiveOpens"], 53);
        assert_eq!(observed.counters.1, None);
        assert_eq!(observed.cost.trouble, None);
        drop(open);
    });
}

#[test]
fn orphaned_fin_wait2_is_held_and_is_no_time_wait() {
    inside(|| {
        let (listener, address) = listen("127.0.0.1:0");
        let observer = observer(address, false, Source::SockDiag);
        let clients: Vec<_> = (0..9).map(|_| TcpStream::connect(address).unwrap()).collect();
        let servers: Vec<_> = clients.iter().map(|_| listener.accept().unwrap()).collect();
        drop(clients);
        let mut eyes = Eyes::open().unwrap();
        until("nine mini-sockets", || eyes.mini_sockets().unwrap() == Some(9));
        observer.look_now().unwrap();
        let observed = observer.finish();
        assert_eq!(
            (observed.client.peak, observed.client.end, observed.client.held),
            (0, 0, 9)
        );
        assert_eq!(observed.client.states["FIN_WAIT2"], 9);
        drop(servers);
    });
}

/// Kills every TIME_WAIT on one port, as if its time had come.
fn end_time_wait_of(port: u16) {
    run(
        "ss",
        &["-K", "-Htan", "state", "time-wait", &format!("sport = :{port}")],
    );
}

#[test]
fn a_time_wait_that_goes_is_a_departure_and_the_others_are_not() {
    for source in [Source::SockDiag, Source::ProcNetTcp] {
        inside(|| {
            let (listener, address) = listen("127.0.0.1:0");
            let observer = observer(address, true, source);
            let clients = churn(&listener, 30);
            until("all are seen", || observer.latest().time_wait_client == 30);
            observer.look_now().unwrap();
            for client in &clients[..12] {
                end_time_wait_of(client.port());
            }
            until("twelve are gone", || observer.latest().time_wait_client == 18);
            observer.look_now().unwrap();
            let observed = observer.finish();
            let mut gone: Vec<_> = observed.departures.iter().map(|d| (d.side, d.tuple)).collect();
            let mut expected: Vec<_> = clients[..12]
                .iter()
                .map(|local| {
                    (
                        Side::Client,
                        FourTuple {
                            local: *local,
                            remote: address,
                        },
                    )
                })
                .collect();
            gone.sort_by_key(|(_, tuple)| *tuple);
            expected.sort_by_key(|(_, tuple)| *tuple);
            assert_eq!(gone, expected);
            for departure in &observed.departures {
                assert!(departure.last_seen < departure.first_missing);
                assert!(departure.first_seen <= departure.first_missing);
            }
            assert_eq!(observed.client.end, 18);
        });
    }
}

#[test]
fn a_four_tuple_taken_again_is_a_departure() {
    inside(|| {
        sysctl("net.ipv4.tcp_tw_reuse", "1");
        sysctl("net.ipv4.ip_local_port_range", "40000 40000");
        let reuse_delay = std::path::Path::new("/proc/sys/net/ipv4/tcp_tw_reuse_delay");
        if reuse_delay.exists() {
            sysctl("net.ipv4.tcp_tw_reuse_delay", "1");
        }
        let (listener, address) = listen("127.0.0.1:7001");
        let observer = observer(address, true, Source::SockDiag);
        churn(&listener, 1);
        observer.look_now().unwrap();
        until("the port is free again", || {
            TcpStream::connect(address).is_ok_and(|client| {
                drop(client);
                drop(listener.accept().unwrap());
                true
            })
        });
        until("its second TIME_WAIT", || {
            observer.look_now().unwrap();
            observer.latest().time_wait_client == 1
        });
        let observed = observer.finish();
        assert_eq!(observed.departures.len(), 1);
        assert_eq!(observed.departures[0].tuple.local.port(), 40_000);
        assert_eq!(observed.counters.0["TWRecycled"], 1);
    });
}

#[test]
fn two_namespaces_are_observed_from_one_thread() {
    // Nothing joins the two: each side's sockets are loopback connections of its own, and only the endpoint tells.
    let here = inside(|| {
        let (listener, address) = listen("127.0.0.1:7001");
        let eyes = Eyes::open().unwrap();
        churn(&listener, 3);
        (eyes, address)
    });
    let there = inside(|| {
        let eyes = Eyes::open().unwrap();
        let (listener, _) = listen("127.0.0.1:7001");
        churn(&listener, 5);
        eyes
    });
    let config = Config {
        ports: false,
        server_endpoints: vec![here.1],
        tuples: false,
        origin: Instant::now(),
    };
    let observer = Observer::start(here.0, Some(there), config).unwrap();
    observer.look_now().unwrap();
    let observed = observer.finish();
    assert_eq!(observed.client.end, 8);
    assert!(observed.counters.1.is_some());
}

#[test]
fn a_socket_closed_by_force_leaves_nothing_to_hold() {
    inside(|| {
        let (listener, address) = listen("[::1]:0");
        let observer = observer(address, false, Source::SockDiag);
        for _ in 0..4 {
            let client = TcpStream::connect(address).unwrap();
            let server = listener.accept().unwrap();
            socket2::SockRef::from(&client.as_fd())
                .set_linger(Some(std::time::Duration::ZERO))
                .unwrap();
            drop(client);
            drop(server);
        }
        observer.look_now().unwrap();
        let observed = observer.finish();
        assert_eq!((observed.client.held, observed.server.held), (0, 0));
        assert_eq!(observed.counters.0["TCPAbortOnData"], 4);
    });
}
