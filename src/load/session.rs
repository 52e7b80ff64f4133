//! What the sessions of both ends take from the plan.

use crate::protocol::{Kind, Settings};
use crate::scenario::spec::Protocol;

/// What is spoken; None where nothing is.
pub(super) fn kind(protocol: Protocol) -> Option<Kind> {
    match protocol {
        Protocol::None => None,
        Protocol::Echo => Some(Kind::Echo),
        Protocol::Http => Some(Kind::Http),
        Protocol::Mysql => Some(Kind::Mysql),
        Protocol::Memcached => Some(Kind::Memcached),
        Protocol::Redis => Some(Kind::Redis),
    }
}

/// The sizes of requests and responses, and after how many of them the server closes (0: never).
pub(super) fn settings(request_bytes: u32, response_bytes: u32, max_requests: u32) -> Settings {
    Settings {
        request_bytes,
        response_bytes,
        max_requests,
        ..Settings::default()
    }
}
