//! /proc/net/tcp and tcp6: the list of sockets for kernels whose sock_diag is missing (proc_net_tcp.rst).
//!
//! Twice as slow as sock_diag, with timers in hundredths of a second and no cookie. Must not know whose sockets they are.

use std::net::{IpAddr, SocketAddr};

use super::socket::{Socket, endpoint};
use crate::tcp::{FourTuple, State};

/// A tick of `tm->when`: 1/USER_HZ, which is 100 on every architecture but Alpha.
const TICK_MS: u64 = 10;

/// Visits each socket of a file's text; the first line is the heading. The number of lines that could not be read.
pub fn parse(text: &[u8], mut visit: impl FnMut(Socket)) -> u64 {
    let mut unread = 0;
    for line in text
        .split(|byte| *byte == b'\n')
        .skip(1)
        .filter(|line| !line.is_empty())
    {
        match std::str::from_utf8(line).ok().and_then(socket) {
            Some(socket) => visit(socket),
            None => unread += 1,
        }
    }
    unread
}

/// One line: `sl local remote st tx:rx tr:when …`.
fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = State::from_kernel(u8::from_str_radix(fields.next()?, 16).ok()?)?;
    let (timer, when) = fields.nth(1)?.split_once(':')?;
    let ticks = u64::from_str_radix(when, 16).ok()?;
    Some(Socket {
        tuple: FourTuple { local, remote },
        state,
        mini: timer == "03",
        expires_ms: u32::try_from(ticks.saturating_mul(TICK_MS)).unwrap_or(u32::MAX),
        cookie: 0,
    })
}

/// `0100007F:1F90`: the address in words of 32 bits as the machine reads its network order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word =
        |at: usize| -> Option<[u8; 4]> { Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes()) };
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::from(bytes)
        }
        _ => return None,
    };
    Some(endpoint(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn hex(address: SocketAddr) -> String {
        let octets = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let words = octets
            .chunks_exact(4)
            .map(|word| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap())));
        format!("{}:{:04X}", words.collect::<String>(), address.port())
    }

    fn read(text: &[u8]) -> (Vec<Socket>, u64) {
        let mut sockets = Vec::new();
        let unread = parse(text, |socket| sockets.push(socket));
        (sockets, unread)
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_the_kernel_writes_it(
            (local, remote) in prop_oneof![
                any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
                any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            ],
            ports: (u16, u16), state in prop::sample::select(State::ALL.to_vec()), mini: bool, ticks in 0u32..6000,
        ) {
            let tuple = FourTuple { local: SocketAddr::new(local, ports.0), remote: SocketAddr::new(remote, ports.1) };
            let line = format!("{HEADING}   0: {} {} {:02X} 00000000:00000000 {}:{ticks:08X} 00000000     0        0 0 3 0000000000000000\n",
                hex(tuple.local), hex(tuple.remote), state as u8, if mini { "03" } else { "01" });
            let (sockets, unread) = read(line.as_bytes());
            prop_assert_eq!(unread, 0);
            let tuple = FourTuple { local: endpoint(tuple.local), remote: endpoint(tuple.remote) };
            prop_assert_eq!(sockets, vec![Socket { tuple, state, mini, expires_ms: ticks * 10, cookie: 0 }]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }

        #[test]
        fn arbitrary_words_never_panic(text in "([0-9A-F:é]{0,40}[ \n]){0,20}") {
            read(text.as_bytes());
        }
    }

    #[test]
    fn a_line_cut_short_is_counted_and_not_guessed() {
        let text = format!("{HEADING}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n");
        assert_eq!(read(text.as_bytes()), (vec![], 1));
    }
}
