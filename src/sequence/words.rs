//! Steps in words, for the record and the screen.

use super::tap;
use crate::scenario::step::{Action, Connect, End, Flag, Lose, Undrop};

pub(super) fn of(action: &Action) -> String {
    let kind = action.kind().replace('_', " ");
    let rest = match action {
        Action::Listen(step) => {
            let reuse = if step.reuse_address { " with SO_REUSEADDR" } else { "" };
            format!("{} on port {}{reuse}", step.listener, step.port)
        }
        Action::StopListening(step) => step.listener.clone(),
        Action::Connect(step) | Action::StartConnect(step) => connect(step),
        Action::AwaitConnect(step) => step.connection.clone(),
        Action::Accept(step) => step.connection.clone(),
        Action::Send(step) => match (&step.text, step.bytes) {
            (Some(text), _) => format!("{} `{text}`", step.end),
            (None, Some(0) | None) => format!("{} until nothing moves", step.end),
            (None, Some(bytes)) => format!("{} {bytes} bytes", step.end),
        },
        Action::Recv(step) => step.end.to_string(),
        Action::Transfer(step) => format!("{} bytes from {}", step.bytes, step.from),
        Action::Shutdown(step) => step.end.to_string(),
        Action::Close(step) => match step.linger_seconds {
            Some(seconds) => format!("{}, {} {seconds} s", step.end, step.mode),
            None => format!("{}, {}", step.end, step.mode),
        },
        Action::Drop(step) => lose(step),
        Action::Undrop(step) => undrop(step),
        Action::ExpectState(step) | Action::AwaitState(step) => step.end.to_string(),
        Action::ExpectCounter(step) | Action::AwaitCounter(step) => format!("{} {}", step.side, step.name),
        Action::Mark(step) => step.moment.clone(),
        Action::Inject(step) => format!("{} to {}", flags(&step.flags), step.to),
        Action::Replay(step) => match &step.into {
            Some(into) => format!("a segment of {} into {into}", step.of),
            None => format!("{} of {}", flags(&step.with), step.of),
        },
        Action::AwaitSegment(step) => format!("of {}", step.from),
        Action::Sysctl(step) => format!("{} {} = {}", step.side, step.name, step.value),
        Action::Wait(step) => step.time.to_string(),
    };
    format!("{kind} {rest}")
}

fn connect(step: &Connect) -> String {
    let mut words = step.connection.clone();
    if step.from_address > 0 {
        words.push_str(&format!(" from address {}", step.from_address));
    }
    if step.from_port > 0 {
        words.push_str(&format!(" from port {}", step.from_port));
    }
    if let Some(range) = &step.port_range {
        words.push_str(&format!(" from ports {range}"));
    }
    words
}

fn undrop(step: &Undrop) -> String {
    let whom = whom(step.end.as_ref(), step.listener.as_deref());
    match step.after {
        0 => whom,
        after => format!("{whom} after {after} lost"),
    }
}

fn lose(step: &Lose) -> String {
    let mut words = match step.with.as_slice() {
        [] => "segments".to_owned(),
        with => flags(with),
    };
    if !step.without.is_empty() {
        words.push_str(&format!(" without {}", flags(&step.without)));
    }
    if step.acknowledging_fin {
        words.push_str(" acknowledging its FIN");
    }
    format!("{words} to {}", whom(step.end.as_ref(), step.listener.as_deref()))
}

fn whom(end: Option<&End>, listener: Option<&str>) -> String {
    match (end, listener) {
        (Some(end), _) => end.to_string(),
        (None, listener) => format!("listener {}", listener.unwrap_or_default()),
    }
}

fn flags(flags: &[Flag]) -> String {
    match flags {
        [] => "the first segment".to_owned(),
        flags => tap::flags(Flag::bits(flags)),
    }
}
