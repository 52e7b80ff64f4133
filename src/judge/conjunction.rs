//! The parts of a conjunction, so that a verdict can tell which of them does not hold.

use cel::common::ast::{Expr, operators};

use super::expression::compile;

/// The parts of `a && b && c` as text; empty when the expression is no conjunction.
///
/// The text is cut rather than the syntax tree, which has lost it. A cut that is wrong (in a string of three quotes,
/// say) leaves a part that does not compile: then nothing is cut.
pub(super) fn conjuncts(text: &str) -> Vec<&str> {
    let is_conjunction = compile(text).is_ok_and(
        |program| matches!(&program.expression().expr, Expr::Call(call) if call.func_name == operators::LOGICAL_AND),
    );
    if !is_conjunction {
        return Vec::new();
    }
    let parts = cut(text);
    if parts.len() > 1 && parts.iter().all(|part| compile(part).is_ok()) {
        parts
    } else {
        Vec::new()
    }
}

/// Cuts at each `&&` outside of brackets and quotes.
fn cut(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth -= 1,
            (None, b'&') if depth == 0 && bytes[at..].starts_with(b"&&") => {
                parts.push(text[begin..at].trim());
                at += 1;
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(text[begin..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_conjunction_is_cut_between_its_parts_only() {
        assert_eq!(
            conjuncts("a == 1 && (b && c) && 'x && y' != d"),
            ["a == 1", "(b && c)", "'x && y' != d"]
        );
        assert_eq!(
            conjuncts("f('\\'&&') && l.all(x, x && true)"),
            ["f('\\'&&')", "l.all(x, x && true)"]
        );
        for whole in ["a == 1", "a && b || c", "(a && b)", "a ? b && c : d", "a &&"] {
            assert!(conjuncts(whole).is_empty(), "{whole}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_without_a_panic(text in ".*") {
            let kept: usize = cut(&text).iter().map(|part| part.len()).sum();
            prop_assert!(kept <= text.len());
        }
    }
}
