//! What the fuzz targets of the wire protocols check: no bytes make a session panic, consume more than it is given, wait
//! for more than an input buffer holds, or read a stream otherwise when it comes in other chunks.

use std::sync::Arc;

use linger::protocol::{ClientSession, Kind, ServerSession, Settings};

#[path = "../../tests/protocol/drive.rs"]
mod drive;

/// The first four bytes choose the side, whether the login is behind it, a failing request, and the chunks; the rest is
/// what comes over the wire.
pub fn check(kind: Kind, data: &[u8]) {
    let [choice, chunks @ .., last] = data.first_chunk::<4>().copied().unwrap_or_default();
    let stream = data.get(4..).unwrap_or_default();
    let chunks = [chunks[0].into(), chunks[1].into(), usize::from(last) * 16];
    let settings = Arc::new(Settings {
        request_bytes: u32::from(choice >> 6),
        response_bytes: 3,
        max_requests: if choice & 8 == 0 { 0 } else { 5 },
        password: (choice & 16 != 0).then(|| "secret".into()),
        ..Settings::default()
    });
    if choice & 1 == 0 {
        let session = || {
            let (mut server, _) = meet(kind, &settings, choice & 2 == 0);
            if choice & 4 != 0 {
                server.fail_next();
            }
            server
        };
        let cut = drive::serve(&mut session(), stream, &chunks);
        assert_eq!(cut, drive::serve(&mut session(), stream, &[]));
    } else {
        let session = || meet(kind, &settings, choice & 2 == 0).1;
        let cut = drive::follow(&mut session(), stream, &chunks, true);
        assert_eq!(cut, drive::follow(&mut session(), stream, &[], true));
    }
}

/// Both sides of a connection, before or after the login.
fn meet(kind: Kind, settings: &Arc<Settings>, log_in: bool) -> (ServerSession, ClientSession) {
    let mut server = ServerSession::new(kind, Arc::clone(settings), 1);
    let mut client = ClientSession::new(kind, Arc::clone(settings));
    if log_in || kind != Kind::Mysql {
        let mut greeting = Vec::new();
        server.greet(&mut greeting);
        let login = drive::follow(&mut client, &greeting, &[], false).out;
        let welcome = drive::serve(&mut server, &login, &[]).out;
        drive::follow(&mut client, &welcome, &[], false);
        assert!(client.is_ready());
    }
    (server, client)
}
