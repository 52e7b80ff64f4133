//! What a claim's `figure` tells: all of it, or what of it was measured.

use cel::Value;
use cel::common::ast::{Expr, IdedExpr, operators};

use super::expression::{Scope, shown};

/// What stands for a part of a figure that was not measured.
const NOT_MEASURED: &str = "?";

/// A figure in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figure {
    /// None where nothing of it could be told.
    pub(super) text: Option<String>,
    /// Why a part of it, or the whole, could not be told.
    pub(super) unsaid: Option<String>,
}

impl Figure {
    pub(super) fn untold(why: impl Into<String>) -> Self {
        Self {
            text: None,
            unsaid: Some(why.into()),
        }
    }
}

impl Scope<'_> {
    /// A figure that is put together by `+`, as most are, is told part by part.
    pub(super) fn figure(&self, node: &IdedExpr) -> Figure {
        let parts = summands(node);
        let values: Vec<_> = parts.iter().map(|part| self.told(part)).collect();
        let words: Option<Vec<String>> = values.iter().map(words).collect();
        let unsaid = values.iter().find_map(|value| value.as_ref().err()).cloned();
        if unsaid.is_some() {
            let is_measured = |(part, value): (&&IdedExpr, &Result<_, _>)| value.is_ok() && !is_literal(part);
            let says_anything = parts.iter().zip(&values).any(is_measured);
            return Figure {
                text: words.filter(|_| says_anything).map(|words| words.concat()),
                unsaid,
            };
        }
        let text = words.map_or_else(|| self.told(node).map(|sum| shown(&sum)), |words| Ok(words.concat()));
        match text {
            Ok(text) => Figure {
                text: Some(text),
                unsaid: None,
            },
            Err(why) => Figure::untold(why),
        }
    }
}

/// None of what is no text: a sum of numbers is not told in part.
fn words(value: &Result<Value, String>) -> Option<String> {
    match value {
        Ok(Value::String(words)) => Some(words.to_string()),
        Ok(_) => None,
        Err(_) => Some(NOT_MEASURED.to_owned()),
    }
}

/// `a`, `b` and `c` of `a + b + c`.
fn summands(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) if call.func_name == operators::ADD && call.args.len() == 2 => {
            call.args.iter().flat_map(summands).collect()
        }
        _ => vec![node],
    }
}

fn is_literal(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Literal(_))
}
