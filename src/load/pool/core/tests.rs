//! The pool's rules, held against whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BORROWERS: usize = 6;
const MS: u64 = 1_000_000;

fn plan(size: u32) -> PoolPlan {
    PoolPlan {
        size,
        on_return: OnReturn::Keep,
        min_idle: 0,
        max_lifetime: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        validation: Validation::None,
        order: LendOrder::Lifo,
        borrow_timeout: Duration::from_millis(50),
    }
}

fn plans() -> impl Strategy<Value = PoolPlan> {
    let span = || prop_oneof![Just(Duration::ZERO), (1u64..40).prop_map(Duration::from_millis)];
    (
        1u32..5,
        0u32..5,
        span(),
        span(),
        any::<[bool; 3]>(),
        (1u64..60).prop_map(Duration::from_millis),
    )
        .prop_map(
            |(size, min_idle, max_lifetime, idle_timeout, [lifo, validates, keeps], borrow_timeout)| PoolPlan {
                size,
                on_return: if keeps { OnReturn::Keep } else { OnReturn::Close },
                min_idle: if keeps { min_idle.min(size) } else { 0 },
                max_lifetime,
                idle_timeout,
                validation: if validates { Validation::Peek } else { Validation::None },
                order: if lifo { LendOrder::Lifo } else { LendOrder::Fifo },
                borrow_timeout,
            },
        )
}

/// What may happen; the number picks which of those it can happen to.
#[derive(Clone, Copy, Debug)]
enum Event {
    Borrow(usize),
    GiveBack(usize, bool),
    Opened(usize, bool),
    Validated(usize, bool),
    Time(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..BORROWERS).prop_map(Event::Borrow),
        3 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(n, sound)| Event::GiveBack(n, sound)),
        4 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(n, ok)| Event::Opened(n, ok)),
        3 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(n, ok)| Event::Validated(n, ok)),
        3 => (0u64..30).prop_map(|ms| Event::Time(ms * MS)),
    ];
    prop::collection::vec(event, 0..120)
}

/// What someone who sees the actions only knows.
#[derive(Debug, Default)]
struct Seen {
    now: u64,
    opening: BTreeSet<usize>,
    /// Open connections with the time at which they were opened.
    open: BTreeMap<usize, u64>,
    /// In the order in which they became idle, with the time.
    idle: Vec<(usize, u64)>,
    /// Connection → borrower.
    lent: BTreeMap<usize, usize>,
    validating: BTreeMap<usize, usize>,
    /// Borrowers that wait in the order in which they asked, with the time.
    waiting: Vec<(usize, u64)>,
    /// When each borrower last asked.
    asked_at: [u64; BORROWERS],
    asked: usize,
    answered: usize,
}

impl Seen {
    /// Takes note of an action and holds it against the rules.
    fn take(&mut self, action: Action, plan: &PoolPlan) {
        let lifetime = nanos(plan.max_lifetime);
        match action {
            Action::Open { connection } => {
                assert!(!self.open.contains_key(&connection) && self.opening.insert(connection));
            }
            Action::Lend { connection, borrower } => {
                assert!(self.open.contains_key(&connection), "{connection} is not open");
                let old = lifetime > 0 && self.now - self.open[&connection] >= lifetime;
                assert!(!old, "lent beyond its lifetime");
                if let Some(at) = self.idle.iter().position(|(idle, _)| *idle == connection) {
                    assert!(plan.validation == Validation::None, "lent without validation");
                    self.take_idle(at, plan.order);
                }
                if let Some(whose) = self.validating.remove(&connection) {
                    assert_eq!(whose, borrower);
                } else {
                    self.first_in_line(borrower);
                }
                assert_eq!(self.lent.insert(connection, borrower), None, "lent twice");
                self.answered += 1;
            }
            Action::Validate { connection } => {
                let at = self.idle.iter().position(|(idle, _)| *idle == connection);
                self.take_idle(at.expect("only idle ones are validated"), plan.order);
                let borrower = self.waiting.first().expect("somebody waits").0;
                self.first_in_line(borrower);
                self.validating.insert(connection, borrower);
            }
            Action::Close { connection, why } => {
                let opened = self.open.remove(&connection).expect("only what is open is closed");
                let idle = self.idle.iter().position(|(idle, _)| *idle == connection);
                match why {
                    Why::Lifetime => assert!(self.now - opened >= lifetime && lifetime > 0),
                    Why::Idle => {
                        assert_eq!(idle, Some(0), "the one that was idle the longest");
                        assert!(self.now - self.idle[0].1 >= nanos(plan.idle_timeout));
                        assert!(self.idle.len() > plan.min_idle as usize);
                    }
                    _ => {}
                }
                idle.map(|at| self.idle.remove(at));
                self.validating.remove(&connection);
            }
            Action::TimeOut { borrower } | Action::Fail { borrower } => {
                let at = self.waiting.iter().position(|(waiting, _)| *waiting == borrower);
                if let (Action::TimeOut { .. }, Some(at)) = (action, at) {
                    assert!(self.now - self.waiting[at].1 >= nanos(plan.borrow_timeout));
                }
                if let Action::Fail { .. } = action {
                    assert_eq!(at, Some(0), "the one that has waited the longest");
                }
                at.map(|at| self.waiting.remove(at));
                self.answered += 1;
            }
        }
    }

    fn take_idle(&mut self, at: usize, order: LendOrder) {
        let wanted = match order {
            LendOrder::Lifo => self.idle.len() - 1,
            LendOrder::Fifo => 0,
        };
        assert_eq!(at, wanted, "{order:?}");
        self.idle.remove(at);
    }

    fn first_in_line(&mut self, borrower: usize) {
        assert_eq!(self.waiting.first().map(|(first, _)| *first), Some(borrower));
        self.waiting.remove(0);
    }

    /// What holds whenever everything that was decided is done.
    fn at_rest(&self, core: &Core, plan: &PoolPlan) {
        let (size, min_idle) = (plan.size as usize, plan.min_idle as usize);
        let all = self.open.len() + self.opening.len();
        assert!(all <= size);
        assert_eq!((core.open(), core.opening()), (self.open.len(), self.opening.len()));
        assert_eq!(core.lent(), self.lent.len() + self.validating.len());
        assert_eq!(core.waiting(), self.waiting.len());
        assert!(
            self.waiting.is_empty() || self.idle.is_empty(),
            "nobody waits beside an idle one"
        );
        assert!(
            all == size || self.opening.len() >= self.waiting.len(),
            "one is opened for each that waits"
        );
        let enough = self.idle.len() + self.opening.len() >= self.waiting.len() + min_idle;
        assert!(
            all == size || enough || self.now < core.retry_at,
            "min_idle is restored"
        );
        let too_long = |since: u64, span: Duration| !span.is_zero() && self.now - since >= nanos(span);
        assert!(
            self.idle
                .iter()
                .all(|(idle, _)| !too_long(self.open[idle], plan.max_lifetime))
        );
        let stale = self
            .idle
            .iter()
            .filter(|(_, since)| too_long(*since, plan.idle_timeout));
        assert!(stale.count() == 0 || self.idle.len() <= min_idle);
        assert!(
            self.waiting
                .iter()
                .all(|(_, since)| self.now - since < nanos(plan.borrow_timeout))
        );
        let under_way = self.waiting.len() + self.validating.len();
        assert_eq!(
            self.asked,
            self.answered + under_way,
            "each that asked is answered once"
        );
        if let Some(deadline) = core.next_deadline() {
            assert!(deadline > self.now, "what is due is done");
        }
    }
}

fn pick<T: Copy>(all: impl Iterator<Item = T>, number: usize) -> Option<T> {
    let all: Vec<T> = all.collect();
    (!all.is_empty()).then(|| all[number % all.len()])
}

fn happen(core: &mut Core, seen: &mut Seen, event: Event, plan: &PoolPlan) {
    let now = seen.now;
    match event {
        Event::Borrow(borrower) => {
            let busy = |borrower| {
                let whom = seen.lent.values().chain(seen.validating.values());
                whom.chain(seen.waiting.iter().map(|(waiting, _)| waiting))
                    .any(|it| it == borrower)
            };
            if !busy(&borrower) {
                seen.waiting.push((borrower, now));
                seen.asked_at[borrower] = now;
                seen.asked += 1;
                core.borrow(borrower, now);
            }
        }
        Event::GiveBack(number, sound) => {
            if let Some(connection) = pick(seen.lent.keys().copied(), number) {
                seen.lent.remove(&connection);
                let opened = seen.open[&connection];
                let old = !plan.max_lifetime.is_zero() && now - opened >= nanos(plan.max_lifetime);
                if sound && !old && plan.on_return == OnReturn::Keep && seen.waiting.is_empty() {
                    seen.idle.push((connection, now));
                }
                core.give_back(connection, (!sound).then_some(Why::Error), now);
            }
        }
        Event::Opened(number, ok) => {
            if let Some(connection) = pick(seen.opening.iter().copied(), number) {
                seen.opening.remove(&connection);
                if ok {
                    seen.open.insert(connection, now);
                    if seen.waiting.is_empty() {
                        seen.idle.push((connection, now));
                    }
                    core.opened(connection, now);
                } else {
                    core.open_failed(connection, now);
                }
            }
        }
        Event::Validated(number, sound) => {
            if let Some((connection, borrower)) = pick(seen.validating.iter().map(|(c, b)| (*c, *b)), number) {
                let lives = plan.max_lifetime.is_zero() || now - seen.open[&connection] < nanos(plan.max_lifetime);
                if !(sound && lives) {
                    // It waits again, before all who asked after it; when it asked, the core knows.
                    let ticket = |borrower: usize| core.borrowers[borrower].ticket;
                    let at = seen
                        .waiting
                        .partition_point(|(other, _)| ticket(*other) < ticket(borrower));
                    seen.waiting.insert(at, (borrower, seen.asked_at[borrower]));
                    seen.validating.remove(&connection);
                }
                core.validated(connection, sound, now);
            }
        }
        Event::Time(later) => {
            seen.now += later;
            core.tick(seen.now);
        }
    }
}

/// Whether events that lie a moment apart keep the rules.
fn keeps_the_rules(plan: &PoolPlan, events: Vec<Event>) {
    let (mut core, mut seen) = (Core::new(plan, BORROWERS), Seen::default());
    for event in [Event::Time(0)].into_iter().chain(events) {
        // What is due by now is done before anything else happens: so does the driver.
        core.tick(seen.now);
        while let Some(action) = core.next_action() {
            seen.take(action, plan);
        }
        happen(&mut core, &mut seen, event, plan);
        while let Some(action) = core.next_action() {
            seen.take(action, plan);
        }
        seen.at_rest(&core, plan);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_the_pool_keeps_its_rules(plan in plans(), events in events()) {
        keeps_the_rules(&plan, events);
    }
}

/// A pool and what it wants done.
fn actions(core: &mut Core) -> Vec<Action> {
    std::iter::from_fn(|| core.next_action()).collect()
}

/// A pool with `open` idle connections.
fn filled(plan: &PoolPlan, open: u32) -> Core {
    let mut core = Core::new(
        &PoolPlan {
            min_idle: open,
            ..plan.clone()
        },
        BORROWERS,
    );
    core.tick(0);
    for action in actions(&mut core) {
        if let Action::Open { connection } = action {
            core.opened(connection, 0);
        }
    }
    core.min_idle = plan.min_idle as usize;
    core
}

#[test]
fn a_borrower_that_waited_gets_no_connection_after_its_time() {
    let mut core = Core::new(&plan(1), BORROWERS);
    core.borrow(0, 0);
    assert_eq!(actions(&mut core), [Action::Open { connection: 0 }]);
    core.borrow(1, 10 * MS);
    assert_eq!(core.next_deadline(), Some(50 * MS));
    core.tick(50 * MS);
    assert_eq!(actions(&mut core), [Action::TimeOut { borrower: 0 }]);
    // What was opened for the first is the second's.
    core.opened(0, 51 * MS);
    let lend = Action::Lend {
        connection: 0,
        borrower: 1,
    };
    assert_eq!(actions(&mut core), [lend]);
}

#[test]
fn a_connection_that_cannot_be_opened_fails_the_request_that_asked_first() {
    let mut core = Core::new(&plan(2), BORROWERS);
    core.borrow(3, 0);
    core.borrow(4, 0);
    assert_eq!(actions(&mut core).len(), 2);
    core.open_failed(1, MS);
    assert_eq!(actions(&mut core), [Action::Fail { borrower: 3 }]);
}

#[test]
fn a_failed_validation_is_followed_by_the_next_idle_one_and_then_by_a_new_one() {
    let plan = PoolPlan {
        validation: Validation::RoundTrip,
        ..plan(2)
    };
    let mut core = filled(&plan, 2);
    core.borrow(0, 0);
    let [Action::Validate { connection: first }] = actions(&mut core)[..] else {
        panic!("an idle one is validated")
    };
    core.validated(first, false, MS);
    let close = |connection| Action::Close {
        connection,
        why: Why::Validation,
    };
    let second = 1 - first;
    assert_eq!(
        actions(&mut core),
        [close(first), Action::Validate { connection: second }]
    );
    core.validated(second, false, MS);
    let [closed, Action::Open { connection }] = actions(&mut core)[..] else {
        panic!("a new one is opened")
    };
    assert_eq!(closed, close(second));
    // What is new needs no validation.
    core.opened(connection, MS);
    let lend = Action::Lend {
        connection,
        borrower: 0,
    };
    assert_eq!(actions(&mut core), [lend]);
}

#[test]
fn a_lent_connection_whose_lifetime_is_over_is_closed_when_it_is_returned() {
    let plan = PoolPlan {
        max_lifetime: Duration::from_millis(5),
        ..plan(1)
    };
    let mut core = filled(&plan, 1);
    core.borrow(0, MS);
    assert_eq!(actions(&mut core).len(), 1);
    core.tick(6 * MS);
    assert_eq!(actions(&mut core), [], "not while it is lent");
    core.give_back(0, None, 7 * MS);
    let close = Action::Close {
        connection: 0,
        why: Why::Lifetime,
    };
    assert_eq!(actions(&mut core), [close]);
}

#[test]
fn min_idle_is_tried_again_after_a_while_and_not_at_once() {
    let mut core = Core::new(&PoolPlan { min_idle: 1, ..plan(1) }, BORROWERS);
    core.tick(0);
    assert_eq!(actions(&mut core), [Action::Open { connection: 0 }]);
    core.open_failed(0, MS);
    assert_eq!((actions(&mut core), core.next_deadline()), (vec![], Some(MS + RETRY)));
    core.tick(MS + RETRY);
    assert_eq!(actions(&mut core), [Action::Open { connection: 0 }]);
}
