//! A blocking server on a port of its own, driving one [`ServerSession`] a connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use linger::protocol::{End, Kind, MAX_MESSAGE, ServerSession, Settings, Store};

/// No read waits longer: a session that wedges fails its test instead of stopping it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a connection went: requests answered, and its end; None where the client closed without a word.
pub(crate) type Connection = (u32, Option<End>);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Receiver<Connection>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(kind: Kind, settings: Settings) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (report, connections) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (settings, stopped) = (Arc::new(settings), Arc::clone(&stop));
        std::thread::spawn(move || accept(&listener, kind, &settings, &stopped, &report));
        Self {
            address,
            connections,
            stop,
        }
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// How the next connection to end went.
    pub(crate) fn connection(&self) -> Connection {
        self.connections.recv_timeout(PATIENCE).expect("a connection that ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes accept().
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(
    listener: &TcpListener,
    kind: Kind,
    settings: &Arc<Settings>,
    stopped: &AtomicBool,
    report: &Sender<Connection>,
) {
    let store = Arc::<Store>::default();
    for (number, stream) in listener.incoming().enumerate() {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let session = ServerSession::sharing(kind, Arc::clone(settings), Arc::clone(&store), number as u64 + 1);
        let (stream, report) = (stream.unwrap(), report.clone());
        std::thread::spawn(move || {
            // The test may be over.
            let _ = report.send(converse(stream, session));
        });
    }
}

fn converse(mut stream: TcpStream, mut session: ServerSession) -> Connection {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut input, mut filled, mut out) = (vec![0; MAX_MESSAGE], 0, Vec::new());
    session.greet(&mut out);
    loop {
        if stream.write_all(&out).is_err() {
            return (session.requests(), None);
        }
        out.clear();
        match stream.read(&mut input[filled..]) {
            Ok(0) | Err(_) => return (session.requests(), None),
            Ok(count) => filled += count,
        }
        let mut consumed = 0;
        loop {
            let step = session.receive(&input[consumed..filled], &mut out);
            consumed += step.consumed;
            if step.end.is_some() {
                let _ = stream.write_all(&out);
                return (session.requests(), step.end);
            }
            if step.consumed == 0 {
                break;
            }
        }
        input.copy_within(consumed..filled, 0);
        filled -= consumed;
    }
}
