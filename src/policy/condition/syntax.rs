//! Forms of the syntax tree: looked for, and built.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::path::Step;

/// The identifier that counts a step of a comprehension.
pub(super) const STEP: &str = "@step";

/// The identifier of what the evaluation may cost.
pub(super) const METER: &str = "@meter";

/// Puts the counter where every step passes, in the forms that the interpreter knows how to run without copying: a guard on a step that
/// collects, and the condition of the loop for the others.
pub(super) fn count_steps(comprehension: &mut ComprehensionExpr) {
    let step = || IdedExpr { id: 0, expr: Expr::Ident(STEP.to_owned()) };
    let both = |second: IdedExpr| operator(0, operators::LOGICAL_AND, vec![step(), second]);
    if let Expr::Call(call) = &mut comprehension.loop_step.expr {
        if let (operators::CONDITIONAL, Some(guard)) = (call.func_name.as_str(), call.args.first_mut()) {
            *guard = both(std::mem::take(guard));
            return;
        }
        if call.func_name == operators::ADD {
            let collect = std::mem::take(&mut comprehension.loop_step);
            let keep = IdedExpr { id: 0, expr: Expr::Ident(comprehension.accu_var.clone()) };
            comprehension.loop_step = operator(0, operators::CONDITIONAL, vec![step(), collect, keep]);
            return;
        }
    }
    comprehension.loop_cond = both(std::mem::take(&mut comprehension.loop_cond));
}

/// A call of an operator or a global function.
pub(super) fn operator(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

/// `google.protobuf.Timestamp` or `google.protobuf.Duration`, the types of times and durations.
pub(super) fn is_type_name(expr: &Expr) -> bool {
    let Expr::Select(name) = expr else { return false };
    let Expr::Select(package) = &name.operand.expr else { return false };
    matches!(name.field.as_str(), "Timestamp" | "Duration")
        && package.field == "protobuf"
        && matches!(&package.operand.expr, Expr::Ident(root) if root == "google")
}

/// An index that is written out.
pub(super) fn fixed_step(index: &IdedExpr) -> Option<Step> {
    match &index.expr {
        Expr::Literal(LiteralValue::String(key)) => Some(Step::Key(key.inner().into())),
        Expr::Literal(LiteralValue::Int(index)) => Some(Step::Index(*index.inner())),
        Expr::Literal(_)
        | Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => None,
    }
}

/// Can it be seen without running that the expression is not a boolean?
pub(super) fn is_never_boolean(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) => true,
        Expr::Call(call) => matches!(
            call.func_name.as_str(),
            operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::NEGATE
                | "size"
                | "string"
                | "int"
                | "uint"
                | "double"
                | "timestamp"
                | "duration"
        ),
        Expr::Unspecified | Expr::Comprehension(_) | Expr::Ident(_) | Expr::Select(_) | Expr::Struct(_) => false,
    }
}
