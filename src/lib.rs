//! linger reproduces, measures and gates TCP TIME_WAIT and ephemeral-port exhaustion.
//!
//! Data goes one way: [`scenario`] → [`lab`] → [`load`], [`sequence`] or [`foreign`] (+ [`observe`]) → [`record`] →
//! [`judge`] → [`report`]. [`trial`] is the only place that wires them together; [`machine`] boots other kernels for it.
//! Nothing imports downstream. The words are the README's.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

pub mod foreign;
pub mod judge;
pub mod lab;
pub mod load;
pub mod machine;
pub mod model;
pub mod observe;
pub mod protocol;
pub mod record;
pub mod report;
pub mod scenario;
pub mod sequence;
pub mod tcp;
pub mod trial;
