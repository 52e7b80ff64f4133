//! Leaf: the words of TCP that every room shares — four-tuples, states, who closes and how, socket options.
//!
//! Knows RFC 9293 and the kernel's socket interface; knows nothing of scenarios, labs or records.

pub mod close;
pub mod errno;
pub mod filter;
pub mod four_tuple;
pub mod options;
pub mod state;

pub use close::{CloseMode, Closer};
pub use filter::Loss;
pub use four_tuple::FourTuple;
pub use state::State;
