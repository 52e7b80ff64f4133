//! What a SELECT's list is made of here: literals, `@@variables` and what is known of the connection, with their names.

use super::lexer::{Lexer, Text, Token};
use super::sql::Problem;
use super::variables::{self, Variable};

/// One column of a SELECT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// Its alias, or its text.
    pub(super) name: Text<'a>,
    pub(super) value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Null,
    Integer {
        negative: bool,
        digits: &'a [u8],
    },
    /// With so many digits after the point.
    Decimal {
        negative: bool,
        digits: &'a [u8],
        scale: u8,
    },
    /// With an exponent.
    Double {
        negative: bool,
        digits: &'a [u8],
    },
    String(Text<'a>),
    Variable(&'static Variable),
    Version,
    Database,
    User,
    ConnectionId,
}

/// `<constant> [[AS] <alias>]`
pub(super) fn item<'a>(lexer: &mut Lexer<'a>) -> Result<Item<'a>, Problem<'a>> {
    let start = lexer.left();
    let (value, after) = constant(lexer)?;
    let text = &start[..start.len() - after.len()];
    let name = match (value, alias(lexer)?) {
        (_, Some(alias)) => alias,
        (Value::String(text), None) => text,
        (_, None) => Text::plain(text),
    };
    Ok(Item { name, value })
}

/// The alias, where there is one.
fn alias<'a>(lexer: &mut Lexer<'a>) -> Result<Option<Text<'a>>, Problem<'a>> {
    let named = lexer.peek().is("as");
    if named {
        lexer.next();
    }
    let alias = match lexer.peek() {
        next if !named && (next.is("from") || next.is("limit")) => return Ok(None),
        Token::Word(alias) => Text::plain(alias),
        Token::String(alias) | Token::Name(alias) => alias,
        _ if named => return Err(Problem::Syntax(lexer.left())),
        _ => return Ok(None),
    };
    lexer.next();
    Ok(Some(alias))
}

/// A constant, and what follows right after it.
fn constant<'a>(lexer: &mut Lexer<'a>) -> Result<(Value<'a>, &'a [u8]), Problem<'a>> {
    let mut negative = false;
    let mut signed = false;
    while let Token::Mark(sign @ (b'-' | b'+')) = lexer.peek() {
        (negative, signed) = (negative != (sign == b'-'), true);
        lexer.next();
    }
    let start = lexer.left();
    let (token, mut after) = lexer.clone_next();
    lexer.next();
    let value = match token {
        Token::Number(text) => number(negative, text),
        _ if signed => return Err(Problem::Unsupported),
        Token::String(text) => string(text, lexer)?,
        Token::Variable(name) => match variables::find(name) {
            Some(variable) => Value::Variable(variable),
            None => return Err(Problem::UnknownVariable(name)),
        },
        Token::Word(_) if token.is("null") => Value::Null,
        Token::Word(_) if token.is("true") => one_digit(b"1"),
        Token::Word(_) if token.is("false") => one_digit(b"0"),
        Token::Word(word) => match after {
            // `_utf8mb4'…'`, `N'…'`
            [b'\'', ..] if word[0] == b'_' || word.eq_ignore_ascii_case(b"n") => {
                let (text, after_text) = lexer.clone_next();
                let Token::String(text) = text else {
                    return Err(Problem::Syntax(start));
                };
                after = after_text;
                lexer.next();
                string(text, lexer)?
            }
            _ => {
                let (value, after_call) = function(word, after, lexer)?;
                after = after_call;
                value
            }
        },
        Token::Broken | Token::End | Token::Mark(b';' | b',') => return Err(Problem::Syntax(start)),
        Token::Name(_) | Token::Mark(_) => return Err(Problem::Unsupported),
    };
    Ok((value, after))
}

/// Strings that follow each other are one: that is not spoken.
fn string<'a>(text: Text<'a>, lexer: &Lexer<'a>) -> Result<Value<'a>, Problem<'a>> {
    match lexer.peek() {
        Token::String(_) => Err(Problem::Unsupported),
        _ => Ok(Value::String(text)),
    }
}

const fn one_digit(digits: &'static [u8]) -> Value<'static> {
    Value::Integer {
        negative: false,
        digits,
    }
}

fn number(negative: bool, text: &[u8]) -> Value<'_> {
    let zeros = text.iter().position(|&byte| byte != b'0').unwrap_or(text.len());
    // The last digit before a point, an exponent or the end stays.
    let shown = match text.get(zeros) {
        Some(b'1'..=b'9') => zeros,
        _ => zeros.saturating_sub(1),
    };
    let digits = &text[shown..];
    if text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        return Value::Double { negative, digits };
    }
    match digits.iter().position(|&byte| byte == b'.') {
        Some(point) => Value::Decimal {
            negative,
            digits,
            scale: u8::try_from(digits.len() - point - 1).unwrap_or(u8::MAX),
        },
        None if digits.len() > 19 => Value::Decimal {
            negative,
            digits,
            scale: 0,
        },
        None => Value::Integer {
            negative: negative && digits != b"0",
            digits,
        },
    }
}

/// `<name>()` of what is known of the connection, and what follows right after it. CURRENT_USER does without brackets.
fn function<'a>(
    name: &'a [u8],
    mut after: &'a [u8],
    lexer: &mut Lexer<'a>,
) -> Result<(Value<'a>, &'a [u8]), Problem<'a>> {
    const FUNCTIONS: &[(&str, Value<'_>)] = &[
        ("version", Value::Version),
        ("database", Value::Database),
        ("schema", Value::Database),
        ("user", Value::User),
        ("session_user", Value::User),
        ("system_user", Value::User),
        ("current_user", Value::User),
        ("connection_id", Value::ConnectionId),
    ];
    let found = FUNCTIONS
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
    let (known, value) = found.ok_or(Problem::Unsupported)?;
    if lexer.peek() == Token::Mark(b'(') {
        lexer.next();
        let (bracket, after_bracket) = lexer.clone_next();
        if bracket != Token::Mark(b')') {
            return Err(Problem::Unsupported);
        }
        lexer.next();
        after = after_bracket;
    } else if *known != "current_user" {
        return Err(Problem::Unsupported);
    }
    Ok((*value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_the_zeros_before_them_and_nothing_else() {
        for (text, negative, digits, scale) in [
            ("007", false, "7", None),
            ("-0", false, "0", None),
            ("00.50", false, "0.50", Some(2)),
            ("- -1", false, "1", None),
            ("-18446744073709551616", true, "18446744073709551616", Some(0)),
        ] {
            let (value, _) = constant(&mut Lexer::new(text.as_bytes())).unwrap();
            let (this, got, of) = match value {
                Value::Integer { negative, digits } => (negative, digits, None),
                Value::Decimal {
                    negative,
                    digits,
                    scale,
                } => (negative, digits, Some(scale)),
                _ => panic!("{value:?}"),
            };
            assert_eq!((this, got, of), (negative, digits.as_bytes(), scale), "{text}");
        }
        let value = constant(&mut Lexer::new(b"1e3")).unwrap().0;
        assert!(matches!(value, Value::Double { digits: b"1e3", .. }));
    }
}
