//! How a connection ends: as the plan says, as the server has begun, or for a failure; and the books of it. What of it takes
//! time (the rest of a quit, the server's FIN) is none of the core's business any more.

use std::os::fd::AsFd;

use super::{Driver, Limit};
use crate::load::measured::Ending;
use crate::load::poller::Interest;
use crate::load::pool::core::Why;
use crate::load::pool::link::{Goodbye, Link, State};
use crate::load::{Failure, stream};
use crate::record::tally::{Cause, Phase};

impl Driver<'_> {
    /// The core has no use for the connection any more.
    pub(super) fn bid_farewell(&mut self, index: usize, why: Why) {
        self.deadlines.end(index);
        let Some(mut link) = self.links[index].take() else {
            return;
        };
        self.books.close(why, link.requests);
        // What was being validated for a request that gave up has not answered.
        if let (State::Validating(_), None) = (link.state, link.failure) {
            link.failure = Some((link.state.phase(), Cause::LingerTimeout));
            self.books.validation.failed += 1;
        }
        if let Some(failure) = link.failure {
            return self.end(link, Err(failure));
        }
        match link.say_goodbye(&self.work.close, &mut self.buffer) {
            Ok((Goodbye::Close, ending)) => {
                self.note(&mut link, ending);
                self.end(link, Ok(()));
            }
            Ok((Goodbye::Await, ending)) => {
                self.note(&mut link, ending);
                self.leave(link, State::Leaving);
            }
            Ok((Goodbye::Quit, _)) => self.leave(link, State::Quitting),
            Err(failure) => self.end(link, Err(failure)),
        }
    }

    /// Goes on with a quit of which not all could be sent. Whether more can be done at once.
    pub(super) fn go_on_quitting(&mut self, index: usize) -> bool {
        let Some(link) = &mut self.links[index] else {
            return false;
        };
        match link.quit(self.work.close.mode) {
            Ok((Goodbye::Quit, _)) => {
                self.park(index, Interest::Output, Limit::Io);
                false
            }
            Ok((Goodbye::Await, _)) => {
                link.state = State::Leaving;
                true
            }
            Ok((Goodbye::Close, ending)) => {
                self.finish_leaving(index, Ok(ending));
                false
            }
            Err(failure) => {
                self.finish_leaving(index, Err(failure));
                false
            }
        }
    }

    pub(super) fn note(&mut self, link: &mut Link, ending: Option<Ending>) {
        let now = self.now();
        if let Some(ending) = ending {
            self.measured.ending(&mut link.attempt, ending, now);
        }
    }

    /// Lets a connection wait for the server's FIN, or for the rest of the quit to be sent before, out of the core's sight.
    pub(super) fn leave(&mut self, mut link: Link, state: State) {
        link.state = state;
        let index = self.leaving.pop().unwrap_or_else(|| {
            self.links.push(None);
            self.borrower_of.push(0);
            self.deadlines.grow(self.links.len());
            self.links.len() - 1
        });
        // The poller knows it by its old number.
        if let Some(watched) = link.watched
            && self.poller.modify(link.socket.as_fd(), watched, index as u64).is_err()
        {
            link.watched = None;
        }
        self.links[index] = Some(link);
        self.left += 1;
        self.advance(index);
    }

    /// A connection that left is done. `result` says who ended it, unless that is noted already.
    pub(super) fn finish_leaving(&mut self, index: usize, result: Result<Option<Ending>, Failure>) {
        self.deadlines.end(index);
        if let Some(mut link) = self.links[index].take() {
            self.leaving.push(index);
            self.left -= 1;
            if let Ok(ending) = result {
                self.note(&mut link, ending);
            }
            self.end(link, result.map(drop));
        }
    }

    /// Closes a connection of which nothing but its failure is to be told.
    pub(super) fn give_up(&mut self, index: usize, failure: Failure) {
        self.deadlines.end(index);
        if let Some(link) = self.links[index].take() {
            self.end(link, Err(failure));
        }
    }

    /// close(), and the books of it.
    pub(super) fn end(&mut self, link: Link, result: Result<(), Failure>) {
        let Link {
            socket,
            mut attempt,
            conversation,
            ..
        } = link;
        if let Some(conversation) = conversation {
            self.conversations.end(conversation);
        }
        let closed = stream::close(socket).map_err(|errno| (Phase::Close, Cause::Errno(errno as i32)));
        let now = self.now();
        match result.and(closed) {
            Ok(()) => self.measured.succeed(&attempt, now),
            Err((phase, cause)) => self.measured.fail(&mut attempt, phase, cause, now),
        }
    }
}
