//! Looks at the kernel while the load runs, cheaply enough not to disturb it.
//!
//! [`Eyes`] are what one namespace shows, opened once inside it; the [`Observer`] is the one thread that looks through
//! the eyes of both sides; [`counters`], [`slab`] and [`cpu`] read what the ledger and the costs need; [`closings`]
//! tells from the wire who closed. Knows nothing of scenarios, of the load's own counts or of verdicts. Rests on kernel
//! interfaces alone: sock_diag(7), proc(5), packet(7).
#![deny(unsafe_code)]

mod budget;
mod census;
pub mod closings;
pub mod counters;
pub mod cpu;
mod departures;
mod eyes;
mod held_ports;
mod observer;
pub mod proc_net_tcp;
mod samples;
pub mod slab;
pub mod sock_diag;
mod socket;
pub mod sockstat;
mod time_waits;
mod watch;

pub use census::Side;
pub use departures::Departure;
pub use eyes::{Eyes, LookError, Source};
pub use held_ports::PortCount;
pub use observer::{Config, Live, Observed, Observer, SideObserved};
pub use samples::Sample;
pub use socket::Socket;
pub use time_waits::OnSides;
