//! Which names of the record an expression reads: `latency.connect.p99_us`, `cell['load.rate']`.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

/// The paths of the record in an expression, such as `latency.connect.p99_us` or `cell['load.rate']`.
#[derive(Default)]
pub(super) struct Paths<'e> {
    pub(super) read: Vec<&'e IdedExpr>,
    /// The same of a macro's variable, such as `r.slab` in `records.all(r, size(r.slab) > 0)`.
    of_members: Vec<&'e IdedExpr>,
    /// What `has()` and `in` ask for, as text.
    guarded: Vec<String>,
}

impl<'e> Paths<'e> {
    pub(super) fn of(node: &'e IdedExpr) -> Self {
        let mut paths = Self::default();
        paths.walk(node, &mut Vec::new());
        paths
    }

    /// Whether the expression itself asks if this path, or what it is a part of, is there.
    pub(super) fn is_guarded(&self, path: &IdedExpr) -> bool {
        let text = path_text(path).unwrap_or_default();
        self.guarded.iter().any(|guard| {
            text.strip_prefix(guard.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether the record's key `name` is read, of the record, of one of `records` or of a member of them.
    pub(super) fn reads(&self, name: &str) -> bool {
        let of_record = |path: &&IdedExpr| match names(path).as_slice() {
            [first, _, key, ..] if first == "records" => key == name,
            [first, ..] => first == name,
            [] => false,
        };
        let of_member = |path: &&IdedExpr| names(path).get(1).is_some_and(|key| key == name);
        self.read.iter().any(of_record) || self.of_members.iter().any(of_member)
    }

    /// `bound` are the variables of the macros around the node.
    fn walk(&mut self, node: &'e IdedExpr, bound: &mut Vec<&'e str>) {
        if path_text(node).is_some() {
            if bound.contains(&root(node)) {
                self.of_members.push(node);
            } else {
                self.read.push(node);
            }
            return;
        }
        match &node.expr {
            Expr::Select(select) => {
                if let (true, Some(operand)) = (select.test, path_text(&select.operand)) {
                    self.guarded.push(joined(&operand, &select.field));
                }
                self.walk(&select.operand, bound);
            }
            Expr::Call(call) => {
                if let Some(guarded) = asked_by_in(call) {
                    self.guarded.push(guarded);
                }
                for part in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                    self.walk(part, bound);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element, bound)),
            Expr::Comprehension(all) => {
                self.walk(&all.iter_range, bound);
                self.walk(&all.accu_init, bound);
                let outside = bound.len();
                bound.extend([all.iter_var.as_str(), all.accu_var.as_str()]);
                bound.extend(all.iter_var2.as_deref());
                for part in [&all.loop_cond, &all.loop_step, &all.result] {
                    self.walk(part, bound);
                }
                bound.truncate(outside);
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.walk(&entry.key, bound);
                        self.walk(&entry.value, bound);
                    }
                }
            }
            Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }
}

/// The text of a path: a name, followed by fields, literal keys and literal indices.
pub(super) fn path_text(node: &IdedExpr) -> Option<String> {
    if let Expr::Ident(name) = &node.expr {
        return Some(name.clone());
    }
    let (parent, key) = step(node)?;
    Some(joined(&path_text(parent)?, &key))
}

/// The names and indices of a path, from its root on.
fn names(node: &IdedExpr) -> Vec<String> {
    match (&node.expr, step(node)) {
        (Expr::Ident(name), _) => vec![name.clone()],
        (_, Some((parent, key))) => {
            let mut names = names(parent);
            names.push(key);
            names
        }
        (_, None) => vec![],
    }
}

/// A path and its next step, written alike whether the expression has `.key` or `['key']`.
fn joined(parent: &str, key: &str) -> String {
    if key.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{parent}[{key}]")
    } else if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        format!("{parent}.{key}")
    } else {
        format!("{parent}['{key}']")
    }
}

/// The last step of a path: what it is a part of, and the part's name.
pub(super) fn step(node: &IdedExpr) -> Option<(&IdedExpr, String)> {
    match &node.expr {
        Expr::Select(select) if !select.test => Some((&select.operand, select.field.clone())),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [parent, key] => Some((parent, literal(key)?)),
            _ => None,
        },
        _ => None,
    }
}

fn literal(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(key)) => Some(key.inner().to_owned()),
        Expr::Literal(LiteralValue::Int(index)) => Some(index.inner().to_string()),
        _ => None,
    }
}

/// The path that `'key' in path` asks for.
fn asked_by_in(call: &CallExpr) -> Option<String> {
    match call.args.as_slice() {
        [key, path] if call.func_name == operators::IN => Some(joined(&path_text(path)?, &literal(key)?)),
        _ => None,
    }
}

fn root(node: &IdedExpr) -> &str {
    match &node.expr {
        Expr::Ident(name) => name,
        _ => step(node).map_or("", |(parent, _)| root(parent)),
    }
}
