//! Three-valued truth (Kleene, 1952): what a record lacks makes a part of an expression unknown, and the whole only where it
//! hangs on that part. `false && unknown` is false: a claim that fails in its first half is refuted, although its second was
//! never measured. `true && unknown` is unknown: a missing measurement is never a pass.
//!
//! CEL takes an error for an unknown in the same way, but calls a name absent that is null, and tells of no name which of
//! several is missing; so `&&`, `||`, `!`, `?:`, `all` and `exists` are taken apart here, and CEL is left the rest.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Value};

use super::expression::{Scope, shown};
use super::paths::path_text;

/// Whether something is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    /// What is missing, or not as the expression needs it.
    Unknown(String),
}

impl Truth {
    /// Of two unknowns the first is told.
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::False => Self::False,
            Self::True => other(),
            Self::Unknown(why) => match other() {
                Self::False => Self::False,
                Self::True | Self::Unknown(_) => Self::Unknown(why),
            },
        }
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        self.not().and(|| other().not()).not()
    }

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

/// How an expression is made of others that are true or false.
enum Form<'e> {
    And(&'e IdedExpr, &'e IdedExpr),
    Or(&'e IdedExpr, &'e IdedExpr),
    Not(&'e IdedExpr),
    Choice(&'e IdedExpr, &'e IdedExpr, &'e IdedExpr),
    /// Whether it is true of all members of a list.
    All(Members<'e>),
    /// Whether it is true of one at least.
    Exists(Members<'e>),
    /// CEL's own.
    Whole,
}

/// `list.all(name, of_each)`.
struct Members<'e> {
    list: &'e IdedExpr,
    name: &'e str,
    of_each: &'e IdedExpr,
}

impl<'e> Form<'e> {
    fn of(node: &'e IdedExpr) -> Self {
        match &node.expr {
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_AND, [a, b]) => Self::And(a, b),
                (operators::LOGICAL_OR, [a, b]) => Self::Or(a, b),
                (operators::LOGICAL_NOT, [a]) => Self::Not(a),
                (operators::CONDITIONAL, [condition, then, otherwise]) => Self::Choice(condition, then, otherwise),
                _ => Self::Whole,
            },
            Expr::Comprehension(comprehension) => Self::of_macro(comprehension).unwrap_or(Self::Whole),
            _ => Self::Whole,
        }
    }

    /// The parser has made loops of `all` and `exists`: an accumulator that begins true or false, and takes in each member by
    /// `&&` or `||`.
    fn of_macro(all: &'e ComprehensionExpr) -> Option<Self> {
        let is_accumulator = |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if *name == all.accu_var);
        let Expr::Call(step) = &all.loop_step.expr else {
            return None;
        };
        let [accumulator, of_each] = step.args.as_slice() else {
            return None;
        };
        if all.iter_var2.is_some() || !is_accumulator(accumulator) || !is_accumulator(&all.result) {
            return None;
        }
        let members = Members {
            list: &all.iter_range,
            name: &all.iter_var,
            of_each,
        };
        let begins = match &all.accu_init.expr {
            Expr::Literal(LiteralValue::Boolean(begins)) => *begins.inner(),
            _ => return None,
        };
        match (step.func_name.as_str(), begins) {
            (operators::LOGICAL_AND, true) => Some(Self::All(members)),
            (operators::LOGICAL_OR, false) => Some(Self::Exists(members)),
            _ => None,
        }
    }
}

impl Scope<'_> {
    /// Whether an expression is true.
    pub(super) fn truth(&self, node: &IdedExpr) -> Truth {
        match Form::of(node) {
            Form::And(a, b) => self.truth(a).and(|| self.truth(b)),
            Form::Or(a, b) => self.truth(a).or(|| self.truth(b)),
            Form::Not(a) => self.truth(a).not(),
            Form::Choice(condition, then, otherwise) => match self.truth(condition) {
                Truth::True => self.truth(then),
                Truth::False => self.truth(otherwise),
                unknown @ Truth::Unknown(_) => unknown,
            },
            Form::All(members) => self.of_members(&members, Truth::True, |all, each| all.and(each)),
            Form::Exists(members) => self.of_members(&members, Truth::False, |any, each| any.or(each)),
            Form::Whole => truth_of(node, self.measured(node)),
        }
    }

    /// The value of an expression: of a choice that of the branch taken, so that the other may lack what it needs.
    ///
    /// # Errors
    /// Which name is missing, or why there is no value.
    pub(super) fn told(&self, node: &IdedExpr) -> Result<Value, String> {
        match Form::of(node) {
            Form::Choice(condition, then, otherwise) => match self.truth(condition) {
                Truth::True => self.told(then),
                Truth::False => self.told(otherwise),
                Truth::Unknown(why) => Err(why),
            },
            Form::Whole => self.measured(node),
            _ => match self.truth(node) {
                Truth::True => Ok(Value::Bool(true)),
                Truth::False => Ok(Value::Bool(false)),
                Truth::Unknown(why) => Err(why),
            },
        }
    }

    fn of_members(
        &self,
        members: &Members<'_>,
        begin: Truth,
        with: impl Fn(Truth, &dyn Fn() -> Truth) -> Truth,
    ) -> Truth {
        let list = match self.told(members.list) {
            Ok(Value::List(list)) => list,
            Ok(other) => return Truth::Unknown(format!("{} is no list", shown(&other))),
            Err(why) => return Truth::Unknown(why),
        };
        list.iter().fold(begin, |so_far, member| {
            with(so_far, &|| {
                let mut context: Context<'_, '_> = self.context.new_inner_scope();
                context.add_variable_from_value(members.name, member.clone());
                self.within(&context).truth(members.of_each)
            })
        })
    }
}

fn truth_of(node: &IdedExpr, value: Result<Value, String>) -> Truth {
    match value {
        Ok(Value::Bool(truth)) => truth.into(),
        Ok(other) => {
            let what = path_text(node).map_or_else(|| "a part".to_owned(), |path| format!("`{path}`"));
            Truth::Unknown(format!("{what} gives {}, neither true nor false", shown(&other)))
        }
        Err(why) => Truth::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::judge::expression::{Evidence, on_large_stack};
    use crate::record::fixture;
    use crate::record::schema::Record;

    /// A formula over three facts: of a record that has it so, of one that has it otherwise, and of one that has nothing.
    #[derive(Clone, Debug)]
    enum Formula {
        Fact(usize),
        Literal(bool),
        Not(Box<Formula>),
        And(Box<Formula>, Box<Formula>),
        Or(Box<Formula>, Box<Formula>),
        Choice(Box<Formula>, Box<Formula>, Box<Formula>),
        All(Vec<usize>),
        Exists(Vec<usize>),
    }

    /// What each fact is.
    const FACTS: [Option<bool>; 3] = [Some(true), Some(false), None];

    /// Kleene's tables, row by row: true, false, unknown.
    fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
        match (a, b) {
            (Some(true), Some(true)) => Some(true),
            (Some(true), Some(false)) => Some(false),
            (Some(true), None) => None,
            (Some(false), _) => Some(false),
            (None, Some(true)) => None,
            (None, Some(false)) => Some(false),
            (None, None) => None,
        }
    }

    fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
        match (a, b) {
            (Some(true), _) => Some(true),
            (Some(false), Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (Some(false), None) => None,
            (None, Some(true)) => Some(true),
            (None, Some(false)) => None,
            (None, None) => None,
        }
    }

    impl Formula {
        fn table(&self) -> Option<bool> {
            let facts = |of: &[usize]| of.iter().map(|fact| FACTS[*fact]).collect::<Vec<_>>();
            match self {
                Self::Fact(fact) => FACTS[*fact],
                Self::Literal(truth) => Some(*truth),
                Self::Not(a) => a.table().map(|truth| !truth),
                Self::And(a, b) => and(a.table(), b.table()),
                Self::Or(a, b) => or(a.table(), b.table()),
                Self::Choice(condition, then, otherwise) => match condition.table()? {
                    true => then.table(),
                    false => otherwise.table(),
                },
                Self::All(of) => facts(of).into_iter().fold(Some(true), and),
                Self::Exists(of) => facts(of).into_iter().fold(Some(false), or),
            }
        }

        fn text(&self) -> String {
            let list = |of: &[usize]| {
                of.iter()
                    .map(|fact| format!("records[{fact}]"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            match self {
                Self::Fact(fact) => format!("records[{fact}].outcomes.ok == 1"),
                Self::Literal(truth) => truth.to_string(),
                Self::Not(a) => format!("!({})", a.text()),
                Self::And(a, b) => format!("({}) && ({})", a.text(), b.text()),
                Self::Or(a, b) => format!("({}) || ({})", a.text(), b.text()),
                Self::Choice(condition, then, otherwise) => {
                    format!("({}) ? ({}) : ({})", condition.text(), then.text(), otherwise.text())
                }
                Self::All(of) => format!("[{}].all(r, r.outcomes.ok == 1)", list(of)),
                Self::Exists(of) => format!("[{}].exists(r, r.outcomes.ok == 1)", list(of)),
            }
        }
    }

    fn formula() -> impl Strategy<Value = Formula> {
        let members = || prop::collection::vec(0..FACTS.len(), 0..4);
        let leaf = prop_oneof![
            6 => (0..FACTS.len()).prop_map(Formula::Fact),
            1 => any::<bool>().prop_map(Formula::Literal),
            1 => members().prop_map(Formula::All),
            1 => members().prop_map(Formula::Exists),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let part = move || inner.clone().prop_map(Box::new);
            prop_oneof![
                part().prop_map(Formula::Not),
                (part(), part()).prop_map(|(a, b)| Formula::And(a, b)),
                (part(), part()).prop_map(|(a, b)| Formula::Or(a, b)),
                (part(), part(), part()).prop_map(|(a, b, c)| Formula::Choice(a, b, c)),
            ]
        })
    }

    fn facts() -> [Record; 3] {
        let mut records = [fixture::exhaustion(), fixture::exhaustion(), fixture::exhaustion()];
        records[0].outcomes.as_mut().unwrap().ok = 1;
        records[2].outcomes = None;
        records
    }

    fn truth(text: &str) -> Result<bool, String> {
        let records = facts();
        let records: Vec<&Record> = records.iter().collect();
        on_large_stack(|| Evidence::of_all(&records).is_true(text)).unwrap()
    }

    #[test]
    fn a_claim_that_fails_in_its_first_part_is_false_whatever_the_others_would_be() {
        assert_eq!(
            truth("records[1].outcomes.ok == 1 && records[2].outcomes.ok == 1"),
            Ok(false)
        );
        assert_eq!(
            truth("records[2].outcomes.ok == 1 && records[1].outcomes.ok == 1"),
            Ok(false)
        );
        assert_eq!(
            truth("records[0].outcomes.ok == 1 || records[2].outcomes.ok == 1"),
            Ok(true)
        );
        let unknown = truth("records[0].outcomes.ok == 1 && records[2].outcomes.ok == 1").unwrap_err();
        assert!(unknown.contains("no `records[2].outcomes.ok`"), "{unknown}");
    }

    #[test]
    fn what_all_of_a_list_are_is_false_where_one_is_not_and_unknown_where_one_is_not_measured() {
        assert_eq!(truth("records.all(r, r.outcomes.ok == 1)"), Ok(false));
        assert_eq!(truth("records.exists(r, r.outcomes.ok == 1)"), Ok(true));
        let unknown = truth("[records[0], records[2]].all(r, r.outcomes.ok == 1)").unwrap_err();
        assert!(unknown.contains("no `r.outcomes.ok`"), "{unknown}");
        assert_eq!(truth("[].all(r, r.outcomes.ok == 1)"), Ok(true));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_formula_is_what_the_three_valued_tables_say(formula in formula()) {
            let text = formula.text();
            prop_assume!(text.len() < 2000);
            prop_assert_eq!(truth(&text).ok(), formula.table(), "{}", text);
        }
    }
}
