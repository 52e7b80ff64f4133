//! SQL's tokens, as far as statements are told apart by them: words, numbers, quoted text, `@@variables`, comments.

/// Text as it stands in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    /// What it stands between, with its doubles in `raw` for each that is meant, and backslashes to escape unless it is a
    /// backtick; 0 where all of it stands for itself.
    pub(super) quote: u8,
}

impl<'a> Text<'a> {
    pub(super) const fn plain(raw: &'a [u8]) -> Self {
        Self { raw, quote: 0 }
    }

    /// The bytes that are meant.
    pub(super) fn bytes(self) -> impl Iterator<Item = u8> {
        let mut left = self.raw;
        std::iter::from_fn(move || {
            let (byte, taken) = match *left {
                [] => return None,
                // LIKE's wildcards keep theirs.
                [b'\\', escaped, ..] if self.escapes() && !matches!(escaped, b'%' | b'_') => (meant(escaped), 2),
                [byte, next, ..] if byte == self.quote && byte == next => (byte, 2),
                [byte, ..] => (byte, 1),
            };
            left = &left[taken..];
            Some(byte)
        })
    }

    /// How many bytes are meant.
    pub(super) fn len(self) -> usize {
        match self.quote {
            0 => self.raw.len(),
            _ => self.bytes().count(),
        }
    }

    fn escapes(self) -> bool {
        matches!(self.quote, b'\'' | b'"')
    }
}

/// What a backslash and this mean.
fn meant(escaped: u8) -> u8 {
    match escaped {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 26,
        byte => byte,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a [u8]),
    /// Digits, with a point and an exponent where it has them; no sign.
    Number(&'a [u8]),
    /// Between quotes.
    String(Text<'a>),
    /// Between backticks.
    Name(Text<'a>),
    /// What follows `@@`.
    Variable(&'a [u8]),
    Mark(u8),
    /// Quoted text without its end.
    Broken,
    End,
}

impl Token<'_> {
    pub(super) fn is(self, word: &str) -> bool {
        matches!(self, Token::Word(this) if this.eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    left: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(query: &'a [u8]) -> Self {
        let mut lexer = Self { left: query };
        lexer.skip();
        lexer
    }

    /// What is still to come, from the next token on.
    pub(super) fn left(&self) -> &'a [u8] {
        self.left
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.clone_next().0
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let (token, left) = self.clone_next();
        self.left = left;
        self.skip();
        token
    }

    /// The token, and what follows right after it: to know where it ends.
    pub(super) fn clone_next(&self) -> (Token<'a>, &'a [u8]) {
        let left = self.left;
        let (token, taken) = match left {
            [] => (Token::End, 0),
            [quote @ (b'\'' | b'"' | b'`'), rest @ ..] => quoted(*quote, rest),
            [b'@', b'@', rest @ ..] => {
                let name = &rest[..run(rest, |byte| is_of_word(byte) || byte == b'.')];
                (Token::Variable(name), 2 + name.len())
            }
            [b'0'..=b'9', ..] => {
                let length = number(left);
                match left.get(length) {
                    // `1a` is a name.
                    Some(&byte) if is_of_word(byte) => word(left),
                    _ => (Token::Number(&left[..length]), length),
                }
            }
            [byte, ..] if is_of_word(*byte) => word(left),
            [byte, ..] => (Token::Mark(*byte), 1),
        };
        (token, &left[taken..])
    }

    /// Passes over spaces and comments. `/*!50000 … */` is none: what is in it is to be executed.
    fn skip(&mut self) {
        loop {
            let left = self.left;
            let taken = match left {
                [byte, ..] if byte.is_ascii_whitespace() => 1,
                [b'/', b'*', b'!', rest @ ..] => 3 + run(rest, |byte| byte == b'M' || byte.is_ascii_digit()),
                [b'/', b'*', rest @ ..] => {
                    2 + rest
                        .windows(2)
                        .position(|pair| pair == b"*/")
                        .map_or(rest.len(), |at| at + 2)
                }
                [b'*', b'/', ..] => 2,
                [b'#', ..] | [b'-', b'-'] => run(left, |byte| byte != b'\n'),
                [b'-', b'-', byte, ..] if byte.is_ascii_whitespace() => run(left, |byte| byte != b'\n'),
                _ => return,
            };
            self.left = &left[taken..];
        }
    }
}

fn word(left: &[u8]) -> (Token<'_>, usize) {
    let length = run(left, is_of_word);
    (Token::Word(&left[..length]), length)
}

fn quoted(quote: u8, rest: &[u8]) -> (Token<'_>, usize) {
    let mut at = 0;
    loop {
        match rest[at..] {
            [] => return (Token::Broken, rest.len() + 1),
            [b'\\', _, ..] if quote != b'`' => at += 2,
            [byte, next, ..] if byte == quote && next == quote => at += 2,
            [byte, ..] if byte == quote => break,
            _ => at += 1,
        }
    }
    let raw = &rest[..at];
    let text = Text { raw, quote };
    let token = if quote == b'`' {
        Token::Name(text)
    } else {
        Token::String(text)
    };
    (token, at + 2)
}

/// The length of the number at the start: digits, then `.` and digits, then an exponent.
fn number(left: &[u8]) -> usize {
    let digits = |from: usize| run(&left[from..], |byte| byte.is_ascii_digit());
    let mut end = digits(0);
    if left.get(end) == Some(&b'.') && left.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end += 1 + digits(end + 1);
    }
    if matches!(left.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(left.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(left.len().min(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// How many bytes from the start on are so.
fn run(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !is(byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(query: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(query.as_bytes());
        std::iter::from_fn(|| Some(lexer.next()).filter(|token| *token != Token::End)).collect()
    }

    #[test]
    fn a_query_falls_into_its_tokens() {
        use Token::{Broken, Mark, Number, String, Variable, Word};
        let text = |raw: &'static str, quote| Text {
            raw: raw.as_bytes(),
            quote,
        };
        assert_eq!(
            tokens("SELECT /* a */ 1.5e3, -1 -- b\n, @@session.a# c\n, 'a''b\\'c' `d``e` 1a /*!40101 x */ \"f"),
            [
                Word(b"SELECT"),
                Number(b"1.5e3"),
                Mark(b','),
                Mark(b'-'),
                Number(b"1"),
                Mark(b','),
                Variable(b"session.a"),
                Mark(b','),
                String(text("a''b\\'c", b'\'')),
                Token::Name(text("d``e", b'`')),
                Word(b"1a"),
                Word(b"x"),
                Broken,
            ]
        );
        assert_eq!(tokens("/* without end"), []);
        assert_eq!(tokens("1e"), [Word(b"1e")]);
    }

    proptest! {
        #[test]
        fn text_means_what_was_quoted(meant in "[a'\"`\\\\\n\t\0%_é]{0,12}", quote in prop::sample::select(vec!['\'', '"'])) {
            let mut raw = String::new();
            for character in meant.chars() {
                match character {
                    '\n' => raw.push_str("\\n"),
                    '\0' => raw.push_str("\\0"),
                    '\\' => raw.push_str("\\\\"),
                    _ if character == quote => raw.extend([quote, quote]),
                    _ => raw.push(character),
                }
            }
            let query = format!("{quote}{raw}{quote}");
            let [Token::String(text)] = tokens(&query)[..] else {
                panic!("{query}");
            };
            prop_assert_eq!(text.bytes().collect::<Vec<u8>>(), meant.as_bytes());
            prop_assert_eq!(text.len(), meant.len());
        }

        #[test]
        fn any_bytes_are_tokens_to_their_end(query in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut lexer = Lexer::new(&query);
            for _ in 0..=query.len() {
                if lexer.next() == Token::End {
                    return Ok(());
                }
            }
            prop_assert!(false, "it does not end");
        }
    }
}
