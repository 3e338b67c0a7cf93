//! Which constants and variables an expression names, whether they exist or not.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::{ConditionError, Environment, parse};

/// The names behind `C.` and `V.` in an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `x` of `C.x` and `constants.x`.
    pub constants: BTreeSet<Box<str>>,
    /// `x` of `V.x` and `variables.x`, also in `has(V.x)`.
    pub variables: BTreeSet<Box<str>>,
}

impl Named {
    /// Parses an expression that could have names, and looks for them. What a loop calls `C` or `V` counts too, as Cerbos has it.
    pub fn of(text: &str, environment: &Environment) -> Result<Self, ConditionError> {
        if !text.contains(['C', 'V']) && !text.contains("constants") && !text.contains("variables") {
            return Ok(Self::default());
        }
        let (root, _) = parse::parse(text, environment)?;
        let mut named = Self::default();
        let mut rest = vec![&root];
        while let Some(expression) = rest.pop() {
            named.look_at(expression);
            children(&expression.expr, &mut rest);
        }
        Ok(named)
    }

    fn look_at(&mut self, expression: &IdedExpr) {
        let Expr::Select(select) = &expression.expr else { return };
        let Expr::Ident(name) = &select.operand.expr else { return };
        match name.as_str() {
            "C" | "constants" => self.constants.insert(select.field.as_str().into()),
            "V" | "variables" => self.variables.insert(select.field.as_str().into()),
            _ => false,
        };
    }
}

fn children<'e>(expression: &'e Expr, into: &mut Vec<&'e IdedExpr>) {
    match expression {
        Expr::Call(call) => into.extend(call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Comprehension(loops) => {
            into.extend([&loops.iter_range, &loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result])
        }
        Expr::List(list) => into.extend(&list.elements),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_children(&entry.expr, into)),
        Expr::Struct(message) => message.entries.iter().for_each(|entry| entry_children(&entry.expr, into)),
        Expr::Select(select) => into.push(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_children<'e>(entry: &'e EntryExpr, into: &mut Vec<&'e IdedExpr>) {
    match entry {
        EntryExpr::MapEntry(pair) => into.extend([&pair.key, &pair.value]),
        EntryExpr::StructField(field) => into.push(&field.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let text = "has(V.a) && [C.b, {C.c: variables.d}].exists(x, x == constants.e) || V.f.g == P.attr.V.h || \"V.i\" == now()";
        let named = Named::of(text, &Environment::cerbos()).unwrap();
        let names = |set: &BTreeSet<Box<str>>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!((names(&named.constants), names(&named.variables)), ("b c e".to_owned(), "a d f".to_owned()));
    }
}
