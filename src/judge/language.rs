//! What an expression can say beyond CEL's own functions: the strings extension (`format`, `join`, …), over a list of
//! numbers `min`, `max` and `sum`, and `inconclusive('why')`, which is neither true nor false.

use std::sync::Arc;

use cel::{Context, Env, ExecutionError, Value, extensions, functions};

/// A context with every function and no variable.
pub(super) fn context() -> Context<'static, 'static> {
    let mut env = Env::stdlib();
    // Refused only where a name is taken already, and then it is there.
    let _ = extensions::strings(&mut env);
    let mut context = Context::with_env(Arc::new(env));
    let _ = context.add_function("min", functions::min);
    let _ = context.add_function("max", functions::max);
    let _ = context.add_function("sum", |list: Arc<Vec<Value>>| sum(&list));
    let _ = context.add_function(INCONCLUSIVE, |why: Arc<String>| inconclusive(&why));
    context
}

/// The function by which an expression says that its records cannot answer.
pub(super) const INCONCLUSIVE: &str = "inconclusive";

fn inconclusive(why: &str) -> Result<Value, ExecutionError> {
    Err(ExecutionError::function_error(INCONCLUSIVE, why))
}

/// Int where every number is one, else double.
fn sum(list: &[Value]) -> Result<Value, ExecutionError> {
    let integers: Option<Vec<i64>> = list.iter().map(integer).collect();
    if let Some(total) = integers.and_then(|all| all.into_iter().try_fold(0_i64, i64::checked_add)) {
        return Ok(total.into());
    }
    let doubles: Option<f64> = list.iter().map(double).sum();
    let fault = || ExecutionError::function_error("sum", "expected a list of numbers");
    doubles.map(Value::from).ok_or_else(fault)
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(int) => Some(*int),
        _ => None,
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::UInt(uint) => Some(*uint as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cel::Program;

    fn value(text: &str) -> Result<Value, ExecutionError> {
        Program::compile(text).unwrap().execute(&context())
    }

    #[test]
    fn numbers_are_put_into_words() {
        for (text, expected) in [
            (
                "'%d ports, %.3f to %.2f s'.format([28232, 60.0071, 62])",
                "28232 ports, 60.007 to 62.00 s",
            ),
            ("[1, 2].map(n, string(n)).join(', ')", "1, 2"),
            ("'%.1f %%'.format([max([0.5, 1.25, 1])])", "1.2 %"),
        ] {
            assert_eq!(value(text), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_an_error_wherever_it_is_asked() {
        assert!(
            value("inconclusive('one CPU')")
                .unwrap_err()
                .to_string()
                .contains("one CPU")
        );
        assert!(value("1 == 1 ? inconclusive('one CPU') : true").is_err());
        assert_eq!(value("1 == 2 ? inconclusive('one CPU') : true"), Ok(true.into()));
    }

    #[test]
    fn lists_of_numbers_have_a_least_a_greatest_and_a_sum() {
        assert_eq!(value("min([3, 1, 2])"), Ok(1.into()));
        assert_eq!(value("max([3, 1, 2])"), Ok(3.into()));
        assert_eq!(value("sum([3, 1, 2])"), Ok(6.into()));
        assert_eq!(value("sum([3, 0.5])"), Ok(3.5.into()));
        assert_eq!(value("sum([])"), Ok(0.into()));
        assert!(value("sum(['a'])").is_err());
        assert!(value("sum([9223372036854775807, 1]) > 9.2e18 ").is_ok());
    }
}
