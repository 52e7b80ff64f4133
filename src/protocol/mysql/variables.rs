//! The system variables that drivers and pools ask for when they connect, as MySQL 5.7 has them where nobody has set
//! anything, and as this server is.

use super::MAX_COMMAND;
use super::login::SERVER_VERSION;

/// One system variable.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) setting: Setting,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    Text(&'static str),
    Number(u64),
    /// 1 or 0 in a SELECT, ON or OFF in SHOW VARIABLES.
    Switch(bool),
    /// The one switch that a connection can set.
    Autocommit,
}

const fn text(name: &'static str, value: &'static str) -> Variable {
    Variable {
        name,
        setting: Setting::Text(value),
    }
}

const fn number(name: &'static str, value: u64) -> Variable {
    Variable {
        name,
        setting: Setting::Number(value),
    }
}

const fn off(name: &'static str) -> Variable {
    Variable {
        name,
        setting: Setting::Switch(false),
    }
}

const CHARSET: &str = "utf8mb4";
const COLLATION: &str = "utf8mb4_general_ci";

/// In the order of SHOW VARIABLES: by name.
pub(super) const VARIABLES: &[Variable] = &[
    number("auto_increment_increment", 1),
    number("auto_increment_offset", 1),
    Variable {
        name: "autocommit",
        setting: Setting::Autocommit,
    },
    text("character_set_client", CHARSET),
    text("character_set_connection", CHARSET),
    text("character_set_database", CHARSET),
    text("character_set_results", CHARSET),
    text("character_set_server", CHARSET),
    text("character_set_system", "utf8"),
    text("collation_connection", COLLATION),
    text("collation_database", COLLATION),
    text("collation_server", COLLATION),
    text("default_storage_engine", "InnoDB"),
    text("have_ssl", "DISABLED"),
    text("init_connect", ""),
    number("interactive_timeout", 28_800),
    text("license", "MIT OR Apache-2.0"),
    number("lower_case_table_names", 0),
    number("max_allowed_packet", MAX_COMMAND as u64),
    number("net_buffer_length", 16_384),
    number("net_read_timeout", 30),
    number("net_write_timeout", 60),
    off("performance_schema"),
    number("protocol_version", 10),
    number("query_cache_size", 0),
    text("query_cache_type", "OFF"),
    off("read_only"),
    off("sql_auto_is_null"),
    text("sql_mode", ""),
    text("system_time_zone", "UTC"),
    text("time_zone", "SYSTEM"),
    text("transaction_isolation", "REPEATABLE-READ"),
    off("transaction_read_only"),
    text("tx_isolation", "REPEATABLE-READ"),
    off("tx_read_only"),
    text("version", SERVER_VERSION),
    text("version_comment", "linger"),
    number("wait_timeout", 28_800),
];

/// The variable of this name, with or without its scope (`session.`, `global.`, `local.`).
pub(super) fn find(name: &[u8]) -> Option<&'static Variable> {
    let name = match name.iter().position(|&byte| byte == b'.') {
        Some(dot) => {
            let scope = &name[..dot];
            let known = ["session", "global", "local"];
            known
                .iter()
                .find(|known| scope.eq_ignore_ascii_case(known.as_bytes()))?;
            &name[dot + 1..]
        }
        None => name,
    };
    VARIABLES
        .iter()
        .find(|variable| name.eq_ignore_ascii_case(variable.name.as_bytes()))
}

/// LIKE, without regard to case: `%` is anything, `_` one character, and a backslash takes the next one as it is.
pub(super) fn like(name: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    // Where the last `%` was, and how much of the name it stands for.
    let mut anything: Option<(usize, usize)> = None;
    loop {
        let (wanted, width) = match pattern[of..] {
            [b'\\', escaped, ..] => (Some(escaped), 2),
            [b'%', ..] => {
                anything = Some((of + 1, at));
                of += 1;
                continue;
            }
            [b'_', ..] => (name.get(at).copied(), 1),
            [byte, ..] => (Some(byte), 1),
            [] => (None, 0),
        };
        match (name.get(at), wanted) {
            (None, None) if of == pattern.len() => return true,
            (Some(byte), Some(wanted)) if byte.eq_ignore_ascii_case(&wanted) => (at, of) = (at + 1, of + width),
            _ => match &mut anything {
                Some((after, from)) if *from < name.len() => {
                    *from += 1;
                    (at, of) = (*from, *after);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `like` means, without thrift.
    fn plainly_like(name: &[u8], pattern: &[u8]) -> bool {
        match (name, pattern) {
            (_, [b'%', rest @ ..]) => (0..=name.len()).any(|skipped| plainly_like(&name[skipped..], rest)),
            ([_, name @ ..], [b'_', rest @ ..]) => plainly_like(name, rest),
            ([byte, name @ ..], [b'\\', wanted, rest @ ..]) => byte == wanted && plainly_like(name, rest),
            (_, [b'\\', _, ..]) => false,
            ([byte, name @ ..], [wanted, rest @ ..]) => byte == wanted && plainly_like(name, rest),
            (name, pattern) => name.is_empty() && pattern.is_empty(),
        }
    }

    proptest! {
        #[test]
        fn like_is_what_its_definition_says(name in "[ab_%]{0,8}", pattern in r"([ab_%]|\\[ab_%]){0,8}") {
            prop_assert_eq!(
                like(name.as_bytes(), pattern.as_bytes()),
                plainly_like(name.as_bytes(), pattern.as_bytes())
            );
        }
    }

    #[test]
    fn a_variable_is_found_by_its_name_in_any_case_and_scope() {
        for name in ["sql_mode", "SQL_MODE", "session.sql_mode", "GLOBAL.sql_mode"] {
            assert_eq!(find(name.as_bytes()).unwrap().name, "sql_mode");
        }
        assert!(find(b"no_such").is_none() && find(b"other.sql_mode").is_none());
        assert!(
            VARIABLES.is_sorted_by_key(|variable| variable.name),
            "as SHOW VARIABLES sorts them"
        );
    }
}
