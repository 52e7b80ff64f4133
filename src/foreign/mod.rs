//! Other people's programs in the lab.

pub mod connects;
