//! Scripted connections, woven together at random, against what their scripts say.

use std::net::SocketAddr;

use super::super::connection::{FirstClose, Holder, Opening};
use super::super::header::{FIN, RST};
use super::*;
use proptest::prelude::*;

#[derive(Debug, Default)]
struct Told {
    opened: u64,
    open: u64,
    peak: u64,
    taken: u64,
    facts: Vec<Facts>,
}

impl Witnessed for Told {
    fn opened(&mut self, _at: u64) {
        self.opened += 1;
    }
    fn open(&mut self, _at: u64, count: u64) {
        self.open = count;
        self.peak = self.peak.max(count);
    }
    fn taken(&mut self, _at: u64, count: u64) {
        self.taken = self.taken.max(count);
    }
    fn settled(&mut self, facts: &Facts) {
        self.facts.push(*facts);
    }
}

/// What becomes of one connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    Refused,
    Unanswered,
    Abandoned,
    StaysOpen,
    /// This end closes, and the other does not.
    HalfClosed(Closer),
    /// This end closes first, the other after it has got the FIN.
    Closed(Closer),
    Crossing,
    Reset(Closer),
    /// The first end's FIN is answered with a RST.
    FinThenReset(Closer),
}

const SCRIPTS: [Script; 13] = [
    Script::Refused,
    Script::Unanswered,
    Script::Abandoned,
    Script::StaysOpen,
    Script::HalfClosed(Closer::Client),
    Script::HalfClosed(Closer::Server),
    Script::Closed(Closer::Client),
    Script::Closed(Closer::Server),
    Script::Crossing,
    Script::Reset(Closer::Client),
    Script::Reset(Closer::Server),
    Script::FinThenReset(Closer::Client),
    Script::FinThenReset(Closer::Server),
];

fn server() -> SocketAddr {
    "10.2.0.1:7000".parse().unwrap()
}

fn tuple(port: u16) -> FourTuple {
    FourTuple {
        local: SocketAddr::new("10.1.0.1".parse().unwrap(), port),
        remote: server(),
    }
}

/// One connection's segments. Each end has sent 100 bytes when it closes.
struct Wire {
    tuple: FourTuple,
    isn: u32,
    segments: Vec<Header>,
}

impl Wire {
    const SERVER_ISN: u32 = u32::MAX - 50;

    fn send(&mut self, by: Closer, flags: u8, seq: u32, ack: u32) {
        let tuple = if by == Closer::Client {
            self.tuple
        } else {
            self.tuple.reversed()
        };
        self.segments.push(Header {
            tuple,
            flags,
            seq,
            ack,
            length: 0,
            timestamps: None,
        });
    }

    /// FIN or RST of an end that has, or has not, got the other's FIN.
    fn end(&mut self, by: Closer, flag: u8, has_others: bool) {
        let sent = |isn: u32| isn.wrapping_add(101);
        let (own, others) = match by {
            Closer::Client => (self.isn, Self::SERVER_ISN),
            Closer::Server => (Self::SERVER_ISN, self.isn),
        };
        let ack = sent(others).wrapping_add(u32::from(has_others));
        self.send(by, flag | ACK, sent(own), ack);
    }
}

fn other(end: Closer) -> Closer {
    if end == Closer::Client {
        Closer::Server
    } else {
        Closer::Client
    }
}

fn segments(script: Script, tuple: FourTuple, isn: u32, again: bool) -> Vec<Header> {
    let mut wire = Wire {
        tuple,
        isn,
        segments: Vec::new(),
    };
    wire.send(Closer::Client, SYN, isn, 0);
    if again {
        wire.send(Closer::Client, SYN, isn, 0);
    }
    match script {
        Script::Refused => wire.send(Closer::Server, RST | ACK, 0, isn.wrapping_add(1)),
        Script::Unanswered => {}
        _ => wire.send(Closer::Server, SYN | ACK, Wire::SERVER_ISN, isn.wrapping_add(1)),
    }
    match script {
        Script::Refused | Script::Unanswered | Script::StaysOpen => {}
        Script::Abandoned => wire.send(Closer::Client, RST, isn.wrapping_add(1), 0),
        Script::HalfClosed(by) => wire.end(by, FIN, false),
        Script::Closed(by) => {
            wire.end(by, FIN, false);
            if again {
                wire.end(by, FIN, false);
            }
            wire.end(other(by), FIN, true);
        }
        Script::Crossing => {
            wire.end(Closer::Server, FIN, false);
            wire.end(Closer::Client, FIN, false);
        }
        Script::Reset(by) => wire.end(by, RST, false),
        Script::FinThenReset(by) => {
            wire.end(by, FIN, false);
            wire.end(other(by), RST, true);
        }
    }
    wire.segments
}

/// Opening, first close, whether the client waited, and who holds TIME_WAIT.
type Expected = (Opening, Option<FirstClose>, Option<bool>, Option<Holder>);

fn expected(script: Script) -> Expected {
    use Closer::{Client, Server};
    let established = |first, waited, holder| (Opening::Established, Some(first), waited, holder);
    match script {
        Script::Refused => (Opening::Refused, None, None, None),
        Script::Unanswered => (Opening::Unanswered, None, None, None),
        Script::Abandoned => (Opening::Abandoned, None, None, None),
        Script::StaysOpen => (Opening::Established, None, None, None),
        Script::HalfClosed(by) => established(FirstClose::Fin(by), (by == Client).then_some(false), None),
        Script::Closed(Client) => established(FirstClose::Fin(Client), Some(false), Some(Holder::Client)),
        Script::Closed(Server) => established(FirstClose::Fin(Server), Some(true), Some(Holder::Server)),
        Script::Crossing => established(FirstClose::Simultaneous, Some(false), Some(Holder::Both)),
        Script::Reset(by) => established(
            FirstClose::Reset(by),
            (by == Client).then_some(false),
            Some(Holder::Neither),
        ),
        Script::FinThenReset(Client) => established(FirstClose::Fin(Client), Some(false), Some(Holder::Neither)),
        Script::FinThenReset(Server) => established(FirstClose::Fin(Server), Some(true), Some(Holder::Neither)),
    }
}

/// For each port, its connections one after the other.
fn scripts() -> impl Strategy<Value = Vec<Vec<(Script, bool)>>> {
    let one = (prop::sample::select(SCRIPTS.to_vec()), any::<bool>());
    prop::collection::vec(prop::collection::vec(one, 1..4), 1..12)
}

/// Weaves the ports' segments together as `order` says, each port's own in their order.
fn woven(ports: &[Vec<(Script, bool)>], order: &[usize]) -> Vec<Header> {
    let mut queues: Vec<std::collections::VecDeque<Header>> = ports
        .iter()
        .enumerate()
        .map(|(port, connections)| {
            let one = |(number, (script, again)): (usize, &(Script, bool))| {
                segments(
                    *script,
                    tuple(40_000 + port as u16),
                    (u32::MAX - 10).wrapping_add(number as u32 * 1000),
                    *again,
                )
            };
            connections.iter().enumerate().flat_map(one).collect()
        })
        .collect();
    let mut all = Vec::new();
    for turn in order.iter().cycle() {
        queues.retain(|queue| !queue.is_empty());
        let Some(index) = turn.checked_rem(queues.len()) else {
            break;
        };
        all.extend(queues[index].pop_front());
    }
    all
}

fn told(segments: &[Header], fold: &mut Fold) -> Told {
    let mut told = Told::default();
    for (at, segment) in segments.iter().enumerate() {
        fold.see(segment, at as u64, &mut told);
    }
    fold.finish(&mut told);
    told
}

proptest! {
    #[test]
    fn every_connection_is_told_of_as_its_script_says_however_they_are_woven(
        ports in scripts(), order in prop::collection::vec(0usize..100, 1..50), kept in 1usize..5,
    ) {
        let mut fold = Fold::bounded(Destinations::To(vec![server()]), 100, kept.max(ports.len()));
        let told = told(&woven(&ports, &order), &mut fold);
        let mut found: Vec<(FourTuple, u64, Expected, u32)> = told
            .facts
            .iter()
            .map(|facts| {
                let story = (facts.opening, facts.first_close, facts.client_waited, facts.time_wait());
                (facts.tuple, facts.opened_at, story, facts.syn_retransmissions)
            })
            .collect();
        found.sort_by_key(|(tuple, at, ..)| (*tuple, *at));
        let found: Vec<(FourTuple, Expected, u32)> =
            found.into_iter().map(|(tuple, _, story, again)| (tuple, story, again)).collect();
        let scripted: Vec<(FourTuple, Expected, u32)> = ports
            .iter()
            .enumerate()
            .flat_map(|(port, connections)| {
                connections
                    .iter()
                    .map(move |(script, again)| (tuple(40_000 + port as u16), expected(*script), u32::from(*again)))
            })
            .collect();
        prop_assert_eq!(found, scripted);
        prop_assert_eq!((fold.strays, fold.elsewhere, fold.not_followed), (0, 0, 0));
        prop_assert_eq!(told.opened, told.facts.len() as u64);
        prop_assert!(told.peak <= told.taken && told.taken <= told.opened.min(ports.len() as u64));
    }

    #[test]
    fn any_segments_are_folded_and_each_connection_told_once(
        soup in prop::collection::vec((0u16..3, any::<bool>(), 0u8..32, 0u32..4, 0u32..4), 0..200),
        followed in 1usize..4,
    ) {
        let segments: Vec<Header> = soup
            .into_iter()
            .map(|(port, back, flags, seq, ack)| Header {
                // Port 2 connects to itself.
                tuple: if port == 2 {
                    FourTuple { local: server(), remote: server() }
                } else if back {
                    tuple(port).reversed()
                } else {
                    tuple(port)
                },
                flags,
                seq,
                ack,
                length: 0,
                timestamps: None,
            })
            .collect();
        let mut fold = Fold::bounded(Destinations::Any, followed, 2);
        let told = told(&segments, &mut fold);
        prop_assert_eq!(told.opened, told.facts.len() as u64);
        let open = told.facts.iter().filter(|facts| is_open(facts));
        prop_assert_eq!(told.open, open.count() as u64 - lost_open(&told));
        prop_assert!(fold.table.is_empty() && fold.ended.is_empty());
    }

    #[test]
    fn the_table_holds_no_more_than_its_bounds(count in 1usize..200, followed in 1usize..20, kept in 1usize..20) {
        let mut fold = Fold::bounded(Destinations::Any, followed, kept);
        let mut told = Told::default();
        for port in 0..count {
            for segment in segments(Script::Closed(Closer::Client), tuple(port as u16), 5, false) {
                fold.see(&segment, 0, &mut told);
                prop_assert!(fold.table.len() <= followed && fold.ended.len() <= kept);
            }
        }
        prop_assert_eq!(told.opened, count as u64);
        prop_assert_eq!(fold.not_followed, 0);
    }
}

/// Whether the client has it open: it sent neither FIN nor RST, and got no RST.
fn is_open(facts: &Facts) -> bool {
    let reset = matches!(facts.first_close, Some(FirstClose::Reset(_))) || facts.reset_after_fin.is_some();
    facts.established_at.is_some() && facts.client_waited.is_none() && !reset
}

/// Connections that were open when their four-tuple was used anew: they count as open no more.
fn lost_open(told: &Told) -> u64 {
    let mut last = HashMap::new();
    for facts in &told.facts {
        let newest = last.entry(facts.tuple).or_insert(facts.opened_at);
        *newest = facts.opened_at.max(*newest);
    }
    let lost = told
        .facts
        .iter()
        .filter(|facts| is_open(facts) && facts.opened_at < last[&facts.tuple]);
    lost.count() as u64
}

#[test]
fn a_client_that_closes_before_it_opens_the_next_needs_one_at_once_however_late_the_server_closes() {
    let mut fold = Fold::new(Destinations::Any);
    let all: Vec<Vec<Header>> = (0..20)
        .map(|port| segments(Script::Closed(Closer::Client), tuple(port), 5, false))
        .collect();
    let (clients, servers): (Vec<_>, Vec<_>) = all.iter().map(|segments| segments.split_at(3)).unzip();
    let told = told(&[clients.concat(), servers.concat()].concat(), &mut fold);
    assert_eq!((told.peak, told.taken), (1, 20));
}

#[test]
fn a_port_is_taken_from_the_syn_to_the_servers_close_and_through_the_clients_time_wait() {
    for (script, taken) in [
        (Script::Closed(Closer::Client), 10),
        (Script::Crossing, 10),
        (Script::Closed(Closer::Server), 1),
        (Script::Reset(Closer::Client), 1),
        (Script::Refused, 1),
        (Script::StaysOpen, 10),
    ] {
        let all: Vec<Header> = (0..10)
            .flat_map(|port| segments(script, tuple(port), 5, false))
            .collect();
        assert_eq!(told(&all, &mut Fold::new(Destinations::Any)).taken, taken, "{script:?}");
    }
}

#[test]
fn a_servers_time_wait_that_a_syn_replaces_is_counted_and_a_clients_is_not() {
    for (script, replaced) in [(Closer::Server, 4), (Closer::Client, 0)] {
        // The table has long forgotten the four-tuple when it is used anew.
        let mut fold = Fold::bounded(Destinations::Any, 4, 2);
        let all: Vec<Header> = (0..5)
            .flat_map(|round| (0..10).map(move |port| (round, port)))
            .filter(|(round, port)| *round == 0 || *port == 0)
            .flat_map(|(round, port)| segments(Script::Closed(script), tuple(port), 5 + 1000 * round, false))
            .collect();
        told(&all, &mut fold);
        assert_eq!(fold.replaced, replaced, "{script:?}");
    }
}

/// SYN, SYN-ACK and a FIN of `by` that `passed` milliseconds later echoes what its peer had sent at `heard`. The clock of
/// each end shows something else, and ticks `ticks` times a millisecond.
fn idle(by: Closer, passed: u64, heard: u64, ticks: u32) -> Option<u64> {
    const STARTS: [u32; 2] = [7, u32::MAX - 20];
    let mut all = segments(Script::HalfClosed(by), tuple(1), 5, false);
    let stamps = |by: Closer, value: u64, echo: u64| {
        let clock = |by: Closer, at: u64| STARTS[by as usize].wrapping_add(ticks * at as u32);
        Some(super::super::header::Timestamps {
            value: clock(by, value),
            echo: clock(other(by), echo),
        })
    };
    all[0].timestamps = stamps(Closer::Client, 0, 0);
    all[1].timestamps = stamps(Closer::Server, 0, 0);
    all[2].timestamps = stamps(by, passed, heard);
    let (mut fold, mut told) = (Fold::new(Destinations::Any), Told::default());
    for (segment, at) in all.iter().zip([0, 0, passed * 1_000_000]) {
        fold.see(segment, at, &mut told);
    }
    fold.finish(&mut told);
    told.facts[0].idle
}

proptest! {
    #[test]
    fn how_long_the_end_that_closes_had_heard_nothing_is_told_by_what_it_echoes(
        by in prop::sample::select(vec![Closer::Client, Closer::Server]), (passed, heard) in (0u64..200_000).prop_flat_map(|p| (Just(p), 0..=p)),
    ) {
        prop_assert_eq!(idle(by, passed, heard, 1), Some((passed - heard) * 1_000_000));
    }
}

#[test]
fn a_clock_that_does_not_tick_in_milliseconds_tells_nothing() {
    assert_eq!(idle(Closer::Client, 2_000, 500, 4), None);
    let mut fold = Fold::new(Destinations::Any);
    let told = told(&segments(Script::Closed(Closer::Client), tuple(1), 5, false), &mut fold);
    assert_eq!(told.facts[0].idle, None, "no timestamps");
}

#[test]
fn a_connection_for_which_there_is_no_room_is_counted_and_not_followed() {
    let mut fold = Fold::bounded(Destinations::Any, 2, 2);
    let all: Vec<Header> = (0..3)
        .flat_map(|port| segments(Script::StaysOpen, tuple(port), 5, false))
        .collect();
    let told = told(&all, &mut fold);
    assert_eq!((told.opened, told.open, fold.not_followed, fold.strays), (2, 2, 1, 1));
}

#[test]
fn connections_to_other_destinations_are_counted_and_not_told_of() {
    let mut fold = Fold::new(Destinations::To(vec!["10.2.0.1:7001".parse().unwrap()]));
    let told = told(&segments(Script::Closed(Closer::Client), tuple(1), 5, false), &mut fold);
    assert_eq!((told.opened, fold.elsewhere, fold.strays), (0, 1, 0));
}

#[test]
fn a_reset_of_the_last_incarnation_is_not_the_new_ones() {
    // LAST_ACK meets a new SYN: the challenge ACK makes the client reset the old connection and ask again.
    let mut fold = Fold::new(Destinations::Any);
    let mut all = segments(Script::HalfClosed(Closer::Server), tuple(1), 5, false);
    let new = segments(Script::StaysOpen, tuple(1), 90_000, true);
    all.push(new[0]);
    all.push(Header {
        flags: RST,
        seq: 106,
        ..new[0]
    });
    all.extend(&new[1..]);
    let told = told(&all, &mut fold);
    let openings: Vec<Opening> = told.facts.iter().map(|facts| facts.opening).collect();
    assert_eq!(openings, [Opening::Established, Opening::Established]);
    assert_eq!((told.open, fold.strays), (1, 1));
    assert_eq!(told.facts[1].syn_retransmissions, 1);
}
