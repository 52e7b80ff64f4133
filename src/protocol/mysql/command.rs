//! The command phase: what a command is, and what its client means by it ("Text Protocol", "Utility Commands").
//!
//! What drivers and pools say of their own accord is set-up and no request: COM_PING, COM_INIT_DB, COM_RESET_CONNECTION,
//! COM_CHANGE_USER, COM_SET_OPTION, and the queries `SET …`, `USE …`, `SELECT` of a `@@variable` or of what is known of the
//! connection (`VERSION()`, `DATABASE()`, …), `SHOW VARIABLES`, `SHOW WARNINGS`. `SELECT 1` and `COMMIT` are requests: who
//! means what by them cannot be seen.

use super::super::server::Asked;
use super::OWN_QUERY;
use super::lexer::Text;
use super::reply::Reply;
use super::sql::{self, Statement};

#[derive(Clone, Copy, Debug)]
pub(super) enum Command<'a> {
    Quit,
    /// COM_PING, COM_INIT_DB, COM_RESET_CONNECTION: OK, and what they change.
    Ping,
    InitDb(&'a [u8]),
    Reset,
    /// COM_SET_OPTION
    SetOption,
    Statistics,
    /// COM_CHANGE_USER
    ChangeUser,
    /// What linger's own client asks for.
    Own,
    Query(Statement<'a>, Asked),
    Unknown,
}

/// What a command changes about its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect<'a> {
    Autocommit(bool),
    Database(Text<'a>),
}

/// Whether a command is linger's own client's, judged by its first bytes: of a long one no more are looked at.
pub(super) fn is_own(command: &[u8]) -> bool {
    command
        .strip_prefix(&[0x03])
        .is_some_and(|query| query.starts_with(OWN_QUERY))
}

impl<'a> Command<'a> {
    pub(super) fn read(command: &'a [u8]) -> Self {
        match command {
            [0x01, ..] => Self::Quit,
            [0x02, database @ ..] => Self::InitDb(database),
            [0x03, ..] if is_own(command) => Self::Own,
            [0x03, query @ ..] => {
                let (statement, asked) = sql::read(query);
                Self::Query(statement, asked)
            }
            [0x09, ..] => Self::Statistics,
            [0x0e, ..] => Self::Ping,
            [0x11, ..] => Self::ChangeUser,
            [0x1b, ..] => Self::SetOption,
            [0x1f, ..] => Self::Reset,
            _ => Self::Unknown,
        }
    }

    pub(super) fn asked(self) -> Asked {
        match self {
            Self::Quit | Self::Ping | Self::InitDb(_) | Self::Reset | Self::SetOption | Self::ChangeUser => {
                Asked::SetUp
            }
            Self::Statistics | Self::Own => Asked::Request,
            Self::Query(_, asked) => asked,
            Self::Unknown => Asked::Mistake,
        }
    }

    pub(super) fn effect(self) -> Option<Effect<'a>> {
        match self {
            Self::InitDb(name) => Some(Effect::Database(Text::plain(name))),
            Self::Reset => Some(Effect::Autocommit(true)),
            Self::Query(Statement::Use(name), _) => Some(Effect::Database(name)),
            Self::Query(Statement::SetAutocommit(on), _) => Some(Effect::Autocommit(on)),
            _ => None,
        }
    }

    /// Answers it; `own_bytes` is how many linger's own client gets.
    pub(super) fn answer(self, own_bytes: u32, reply: &mut Reply<'_>) {
        match self {
            Self::Quit => {}
            Self::Ping | Self::InitDb(_) | Self::Reset => reply.ok(),
            Self::SetOption => reply.eof(),
            Self::Statistics => reply.statistics(),
            Self::Own => reply.own(own_bytes),
            Self::ChangeUser | Self::Unknown => reply.error(1047, b"08S01", b"unknown command", b""),
            Self::Query(statement, _) => match statement {
                Statement::Select(select) => reply.select(select),
                Statement::Variables(wanted) => reply.variables(wanted),
                Statement::NoRows(columns) => reply.no_rows(columns),
                Statement::SetAutocommit(_) | Statement::Use(_) | Statement::Done => reply.ok(),
                Statement::Failed(problem) => reply.problem(problem),
            },
        }
    }
}
