//! Which statement a query is: as much SQL as it takes to answer SELECTs of constants and what drivers ask for when they
//! connect, and to tell the rest of SQL from what is none. No tables, no expressions.
//!
//! Nothing is allocated: a SELECT's list is read again whenever it is needed.

use super::super::server::Asked;
use super::constant::{Item, Value, item};
use super::lexer::{Lexer, Text, Token};
use super::variables::{self, Variable};

/// Columns at the most, as in MySQL.
const MAX_COLUMNS: usize = 4096;

#[derive(Clone, Copy, Debug)]
pub(super) enum Statement<'a> {
    /// One row of constants.
    Select(Select<'a>),
    /// SHOW VARIABLES: those that the rest of the statement names.
    Variables(Wanted<'a>),
    /// A SHOW of what there is none of: its columns.
    NoRows(&'static [&'static str]),
    SetAutocommit(bool),
    Use(Text<'a>),
    /// OK, and nothing comes of it.
    Done,
    Failed(Problem<'a>),
}

/// Why a statement is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem<'a> {
    Empty,
    /// It is no SQL from here on.
    Syntax(&'a [u8]),
    /// It is SQL, and its answer would take more than constants.
    Unsupported,
    UnknownVariable(&'a [u8]),
}

#[derive(Clone, Copy)]
enum Verb {
    Select,
    Show,
    Set,
    Use,
    /// Changes data or tables, or is about transactions.
    Done,
    /// Its answer would be rows.
    Rows,
}

/// The words that a statement begins with.
const VERBS: &[(&str, Verb)] = &[
    ("select", Verb::Select),
    ("show", Verb::Show),
    ("set", Verb::Set),
    ("use", Verb::Use),
    ("begin", Verb::Done),
    ("start", Verb::Done),
    ("commit", Verb::Done),
    ("rollback", Verb::Done),
    ("savepoint", Verb::Done),
    ("release", Verb::Done),
    ("xa", Verb::Done),
    ("insert", Verb::Done),
    ("update", Verb::Done),
    ("delete", Verb::Done),
    ("replace", Verb::Done),
    ("load", Verb::Done),
    ("do", Verb::Done),
    ("create", Verb::Done),
    ("alter", Verb::Done),
    ("drop", Verb::Done),
    ("rename", Verb::Done),
    ("truncate", Verb::Done),
    ("lock", Verb::Done),
    ("unlock", Verb::Done),
    ("grant", Verb::Done),
    ("revoke", Verb::Done),
    ("flush", Verb::Done),
    ("analyze", Verb::Rows),
    ("call", Verb::Rows),
    ("check", Verb::Rows),
    ("checksum", Verb::Rows),
    ("deallocate", Verb::Rows),
    ("desc", Verb::Rows),
    ("describe", Verb::Rows),
    ("execute", Verb::Rows),
    ("explain", Verb::Rows),
    ("handler", Verb::Rows),
    ("kill", Verb::Rows),
    ("optimize", Verb::Rows),
    ("prepare", Verb::Rows),
    ("repair", Verb::Rows),
    ("table", Verb::Rows),
    ("values", Verb::Rows),
    ("with", Verb::Rows),
];

/// What is shown of which there is none, by its last word, and the columns of it.
const SHOWN: &[(&str, &[&str], Asked)] = &[
    ("warnings", &["Level", "Code", "Message"], Asked::SetUp),
    ("errors", &["Level", "Code", "Message"], Asked::SetUp),
    ("status", &["Variable_name", "Value"], Asked::Request),
    ("databases", &["Database"], Asked::Request),
    ("schemas", &["Database"], Asked::Request),
    ("tables", &["Tables"], Asked::Request),
];

/// What a query is, and whether its client asks for something by it.
pub(super) fn read(query: &[u8]) -> (Statement<'_>, Asked) {
    let mut lexer = Lexer::new(query);
    let start = lexer.left();
    let verb = match lexer.next() {
        Token::End => return failed(Problem::Empty),
        Token::Word(word) => VERBS
            .iter()
            .find(|(verb, _)| word.eq_ignore_ascii_case(verb.as_bytes())),
        Token::Mark(b';') if lexer.peek() == Token::End => return failed(Problem::Empty),
        // A SELECT between brackets.
        Token::Mark(b'(') => return failed(Problem::Unsupported),
        _ => None,
    };
    match verb {
        None => failed(Problem::Syntax(start)),
        Some((_, Verb::Select)) => select(lexer),
        Some((_, Verb::Show)) => show(lexer),
        Some((_, Verb::Set)) => set(lexer),
        Some((_, Verb::Use)) => match lexer.next() {
            Token::Word(name) => (Statement::Use(Text::plain(name)), Asked::SetUp),
            Token::Name(name) => (Statement::Use(name), Asked::SetUp),
            _ => failed(Problem::Syntax(start)),
        },
        Some((_, Verb::Done)) => (Statement::Done, Asked::Request),
        Some((_, Verb::Rows)) => failed(Problem::Unsupported),
    }
}

fn failed(problem: Problem<'_>) -> (Statement<'_>, Asked) {
    (Statement::Failed(problem), Asked::Mistake)
}

/// `SHOW [GLOBAL|SESSION|LOCAL|FULL|COUNT(*)] VARIABLES|WARNINGS|…`
fn show(mut lexer: Lexer<'_>) -> (Statement<'_>, Asked) {
    let start = lexer.left();
    let mut what = lexer.next();
    if ["global", "session", "local", "full"]
        .iter()
        .any(|whose| what.is(whose))
    {
        what = lexer.next();
    }
    if what.is("variables") {
        let next = lexer.peek();
        let is_known = next.is("like") || next.is("where") || matches!(next, Token::End | Token::Mark(b';'));
        return match is_known {
            true => (Statement::Variables(Wanted { by: lexer }), Asked::SetUp),
            false => failed(Problem::Syntax(lexer.left())),
        };
    }
    match (what, SHOWN.iter().find(|(name, ..)| what.is(name))) {
        (_, Some((_, columns, asked))) => (Statement::NoRows(columns), *asked),
        (Token::Word(_), None) => failed(Problem::Unsupported),
        _ => failed(Problem::Syntax(start)),
    }
}

/// Which variables SHOW VARIABLES is about: `LIKE '<pattern>'`, or `WHERE` and a condition, of which the strings alone are
/// looked at. Without any string all of them are meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    by: Lexer<'a>,
}

impl Wanted<'_> {
    pub(super) fn is(self, variable: &Variable) -> bool {
        let (mut lexer, mut any) = (self.by, false);
        loop {
            match lexer.next() {
                Token::String(pattern) if variables::like(variable.name.as_bytes(), pattern.raw) => return true,
                Token::String(_) => any = true,
                Token::End => return !any,
                _ => {}
            }
        }
    }
}

/// Drivers compare the status flag with what they `SET autocommit` to; nothing else that is set is kept.
fn set(mut lexer: Lexer<'_>) -> (Statement<'_>, Asked) {
    if lexer.peek() == Token::End {
        return failed(Problem::Syntax(b""));
    }
    let mut autocommit = None;
    loop {
        let is_it = match lexer.next() {
            Token::End => break,
            Token::Word(name) | Token::Variable(name) => {
                variables::find(name).is_some_and(|variable| variable.name == "autocommit")
            }
            _ => false,
        };
        if is_it && (lexer.next() == Token::Mark(b'=') || lexer.next() == Token::Mark(b'=')) {
            autocommit = match lexer.next() {
                Token::Number(b"1") => Some(true),
                Token::Number(b"0") => Some(false),
                on if on.is("on") || on.is("true") => Some(true),
                off if off.is("off") || off.is("false") => Some(false),
                _ => autocommit,
            };
        }
    }
    (
        autocommit.map_or(Statement::Done, Statement::SetAutocommit),
        Asked::SetUp,
    )
}

/// A list of constants, known to be one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Select<'a> {
    list: Lexer<'a>,
    pub(super) columns: usize,
}

impl<'a> Select<'a> {
    pub(super) fn items(self) -> impl Iterator<Item = Item<'a>> {
        let mut lexer = self.list;
        (0..self.columns).map_while(move |_| {
            let item = item(&mut lexer).ok()?;
            lexer.next();
            Some(item)
        })
    }
}

/// `<item>, …` and no more than `FROM DUAL`, `LIMIT` and a semicolon after them.
fn select(lexer: Lexer<'_>) -> (Statement<'_>, Asked) {
    let (list, mut at, mut columns, mut asked) = (lexer, lexer, 0, Asked::Request);
    if matches!(at.peek(), Token::End | Token::Mark(b';')) {
        return failed(Problem::Syntax(b""));
    }
    loop {
        match item(&mut at) {
            Err(problem) => return failed(problem),
            Ok(item) if columns == 0 => asked = select_is(item.value),
            Ok(_) => {}
        }
        columns += 1;
        if at.peek() != Token::Mark(b',') {
            break;
        }
        at.next();
    }
    match end(at) {
        _ if columns > MAX_COLUMNS => failed(Problem::Unsupported),
        Ok(()) => (Statement::Select(Select { list, columns }), asked),
        Err(problem) => failed(problem),
    }
}

/// What drivers ask of their own accord is about the connection.
fn select_is(first: Value<'_>) -> Asked {
    match first {
        Value::Variable(_) | Value::Version | Value::Database | Value::User | Value::ConnectionId => Asked::SetUp,
        _ => Asked::Request,
    }
}

fn end(mut lexer: Lexer<'_>) -> Result<(), Problem<'_>> {
    let mut next = lexer.next();
    if next.is("from") && lexer.next().is("dual") {
        next = lexer.next();
    }
    if next.is("limit") && matches!(lexer.next(), Token::Number(rows) if rows != b"0") {
        next = lexer.next();
    }
    let left = lexer.left();
    match next {
        Token::End => Ok(()),
        Token::Mark(b';') if left.is_empty() => Ok(()),
        // A second statement, where one is taken.
        Token::Mark(b';') => Err(Problem::Syntax(left)),
        Token::Broken => Err(Problem::Syntax(b"")),
        _ => Err(Problem::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The statement in words, and what it is for.
    fn told(query: &str) -> (String, Asked) {
        let (statement, asked) = read(query.as_bytes());
        let told = match statement {
            Statement::Select(select) => select
                .items()
                .map(|item| shown(item.name))
                .collect::<Vec<_>>()
                .join("|"),
            Statement::Variables(wanted) => {
                let names = variables::VARIABLES.iter().filter(|variable| wanted.is(variable));
                names.map(|variable| variable.name).collect::<Vec<_>>().join("|")
            }
            Statement::NoRows(columns) => columns.join("|"),
            Statement::SetAutocommit(on) => format!("autocommit {on}"),
            Statement::Use(name) => format!("use {}", shown(name)),
            Statement::Done => "ok".into(),
            Statement::Failed(Problem::UnknownVariable(name)) => format!("no {}", name.escape_ascii()),
            Statement::Failed(Problem::Syntax(from)) => format!("syntax at {}", from.escape_ascii()),
            Statement::Failed(problem) => format!("{problem:?}"),
        };
        (told, asked)
    }

    fn shown(text: Text<'_>) -> String {
        String::from_utf8_lossy(&text.bytes().collect::<Vec<u8>>()).into_owned()
    }

    #[test]
    fn what_drivers_say_of_their_own_accord_is_set_up() {
        for (query, expected) in [
            ("select @@version_comment limit 1", "@@version_comment"),
            ("SELECT VERSION()", "VERSION()"),
            ("SET NAMES utf8mb4", "ok"),
            ("SET AUTOCOMMIT = 0", "autocommit false"),
            ("set @@session.autocommit=ON", "autocommit true"),
            ("SET NAMES utf8, autocommit:=1, sql_mode = ''", "autocommit true"),
            ("SET sql_mode = ''", "ok"),
            ("/*!40101 SET NAMES utf8 */", "ok"),
            ("SELECT @@session.sql_mode AS a, @@autocommit b", "a|b"),
            (
                "select database(), user( ) , current_user",
                "database()|user( )|current_user",
            ),
            ("SHOW WARNINGS LIMIT 64", "Level|Code|Message"),
            ("SHOW SESSION VARIABLES LIKE 'a'", ""),
            ("SHOW VARIABLES LIKE 'lower_case\\_table%'", "lower_case_table_names"),
            (
                "SHOW VARIABLES WHERE Variable_name IN ('sql_mode', \"tx_isolation\")",
                "sql_mode|tx_isolation",
            ),
            ("USE `a``b`", "use a`b"),
        ] {
            assert_eq!(told(query), (expected.into(), Asked::SetUp), "{query}");
        }
        assert_eq!(
            told("SHOW VARIABLES").0.matches('|').count() + 1,
            variables::VARIABLES.len()
        );
    }

    #[test]
    fn what_a_program_asks_for_is_a_request() {
        for (query, expected) in [
            ("SELECT 1;", "1"),
            ("/* ping */ SELECT 42", "42"),
            (
                "SELECT 1, - 2.50, 'it''s' , NULL AS `n``o`, TRUE t",
                "1|- 2.50|it's|n`o|t",
            ),
            ("SELECT _utf8mb4'a', N'b' FROM DUAL LIMIT 1", "a|b"),
            ("SELECT 1 AS one, @@sql_mode", "one|@@sql_mode"),
            ("SHOW TABLES", "Tables"),
            ("BEGIN", "ok"),
            ("insert into t values (1)", "ok"),
            ("CREATE TABLE t (a INT)", "ok"),
        ] {
            assert_eq!(told(query), (expected.into(), Asked::Request), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_a_mistake() {
        for (query, expected) in [
            ("", "Empty"),
            (" ; ", "Empty"),
            ("/* without end", "Empty"),
            ("garbage", "syntax at garbage"),
            ("-- hello\n12 monkeys", "syntax at 12 monkeys"),
            ("\0\u{1}", "syntax at \\x00\\x01"),
            ("SELECT", "syntax at "),
            ("SELECT 1,", "syntax at "),
            ("SELECT 'a", "syntax at \\'a"),
            ("SELECT 1; SELECT 2", "syntax at SELECT 2"),
            ("SELECT 1 AS", "syntax at "),
            ("SET", "syntax at "),
            ("USE 1", "syntax at USE 1"),
            ("SHOW VARIABLES ALIKE", "syntax at ALIKE"),
            ("SELECT @@no_such, 1", "no no_such"),
            ("SELECT a FROM t WHERE b = @@c", "Unsupported"),
            ("SELECT 1 FROM t", "Unsupported"),
            ("SELECT 1 + 1", "Unsupported"),
            ("SELECT 1 LIMIT 0", "Unsupported"),
            ("SELECT NOW()", "Unsupported"),
            ("SELECT -'a'", "Unsupported"),
            ("SELECT *", "Unsupported"),
            ("EXPLAIN SELECT 1", "Unsupported"),
            ("SHOW PROCESSLIST", "Unsupported"),
            ("(SELECT 1)", "Unsupported"),
        ] {
            assert_eq!(told(query), (expected.into(), Asked::Mistake), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_list_of_constants_is_read_as_it_was_written(
            constants in prop::collection::vec((any::<i32>(), any::<u8>(), "[a-z]{0,8}"), 1..9)
        ) {
            let written: Vec<(String, String)> = constants
                .into_iter()
                .map(|(number, kind, word)| match kind % 4 {
                    0 => (number.to_string(), number.to_string()),
                    1 => (format!("'{word}'"), word),
                    2 => (format!("{number} AS `{word}`"), word),
                    _ => (format!("NULL c_{word}"), format!("c_{word}")),
                })
                .collect();
            let list: Vec<&str> = written.iter().map(|(text, _)| &**text).collect();
            let names: Vec<&str> = written.iter().map(|(_, name)| &**name).collect();
            let query = format!("SELECT {}", list.join(" , "));
            prop_assert_eq!(told(&query), (names.join("|"), Asked::Request));
        }

        #[test]
        fn a_select_has_as_many_items_as_columns(
            words in prop::collection::vec(prop::sample::select(&[
                "SELECT", "1", "-", "'a'", "'", "\"b\"", "`c`", ",", ";", "AS", "x", "@@sql_mode", "@@", "(", ")", "version",
                "FROM", "DUAL", "LIMIT", "NULL", "_utf8", "--", "/*", "*/", "#", "SET", "SHOW", "VARIABLES", "LIKE", "=", "\u{e9}",
            ][..]), 0..12),
            spaced: bool,
        ) {
            let query = format!("SELECT {}", words.join(if spaced { " " } else { "" }));
            for query in [&query[..], &query["SELECT ".len()..]] {
                if let (Statement::Select(select), _) = read(query.as_bytes()) {
                    prop_assert_eq!(select.items().count(), select.columns);
                }
                told(query);
            }
        }
    }
}
