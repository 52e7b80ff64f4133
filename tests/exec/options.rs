//! What `linger exec` is told: each option does something, or is refused by the name that was typed.

use tempfile::tempdir;

use crate::exec;
use crate::support::{linger, run, said};

#[test]
fn what_would_do_nothing_is_refused_with_what_does_it() {
    let directory = tempdir().unwrap();
    let refused: [(&[&str], &str); 12] = [
        (&["--set", "server.exec=redis-server"], "--server-exec"),
        (&["--set", "server.protocol=redis"], "--protocol"),
        (&["--set", "server.addresses=2"], "one address and one port"),
        (&["--set", "server.ports=2"], "--port"),
        (
            &["--port", "80", "--server-exec", "true", "--set", "server.listen=false"],
            "--server-exec takes its place",
        ),
        (
            &["--mode", "abortive"],
            "--mode abortive: it is how the built-in server closes",
        ),
        (&["--set", "close.mode=abortive"], "expected --closer server"),
        (
            &["--mode", "quit-wait"],
            "possible values: graceful, abortive, half-close",
        ),
        (&["--server-within", "3s"], "--server-exec"),
        (&["--lab", "host"], "possible values: loopback, pair, nat, routed"),
        (&["--error-rate", "2"], "--error-rate 2: expected a number from 0 to 1"),
        (&["--latency", "soon"], "--latency soon: `soon` is not a length of time"),
    ];
    for (options, told) in refused {
        let output = run(linger(
            directory.path(),
            &[&["exec"], options, &["--", "true"]].concat(),
        ));
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", said(&output));
        assert!(said(&output).contains(told), "{options:?}: {}", said(&output));
    }
}

#[test]
fn no_time_at_all_is_no_time_out_as_in_scenarios() {
    let directory = tempdir().unwrap();
    let (record, output) = exec(directory.path(), &["--timeout", "0s"], &["true"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(record["exec"]["ended"]["timed_out"], false);
}
