//! What the parser rewrites: comprehensions with two variables, and `cel.bind`.
//!
//! The trees have the shapes that cel-go gives them, for whoever checks them; `compile` turns them into what the interpreter runs.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, operators};
use cel::parser::{Macro, MacroExprHelper, ParseError};
use cel::{DeclarationError, Env};

/// The accumulator of every comprehension that a macro leaves.
pub(in super::super) const RESULT: &str = "@result";

/// Puts entries into a map: `(map, key, value)` or `(map, map)`.
pub(in super::super) const INSERT: &str = "cel.@mapInsert";

type Outcome = Result<Option<IdedExpr>, ParseError>;

/// Declares the macros.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    for (name, count, expand) in [
        ("all", 3, all as fn(&mut Parts<'_, '_>) -> Outcome),
        ("exists", 3, exists),
        ("existsOne", 3, exists_one),
        ("exists_one", 3, exists_one),
        ("transformList", 3, transform_list),
        ("transformList", 4, transform_list),
        ("transformMap", 3, transform_map),
        ("transformMap", 4, transform_map),
        ("transformMapEntry", 3, transform_entries),
        ("transformMapEntry", 4, transform_entries),
    ] {
        env.add_macro(Macro::receiver(name, count, move |helper, target, arguments| {
            let Some(range) = target.take() else { return Ok(None) };
            let mut arguments = std::mem::take(arguments).into_iter();
            let first = variable(helper, arguments.next())?;
            let (at, second) = (first.0, variable(helper, arguments.next())?.1);
            if first.1 == second {
                return Err(helper.new_error(at, "both variables have the same name"));
            }
            let body = arguments.next_back().unwrap_or_default();
            expand(&mut Parts { helper, range, variables: (first.1, second), filter: arguments.next(), body })
        }))?;
    }
    env.add_macro(Macro::receiver("bind", 3, bind))
}

/// What a macro with two variables is made of.
struct Parts<'h, 'p> {
    helper: &'h mut MacroExprHelper<'p>,
    range: IdedExpr,
    variables: (String, String),
    filter: Option<IdedExpr>,
    body: IdedExpr,
}

fn variable(helper: &MacroExprHelper<'_>, argument: Option<IdedExpr>) -> Result<(u64, String), ParseError> {
    let argument = argument.unwrap_or_default();
    match argument.expr {
        Expr::Ident(name) => Ok((argument.id, name)),
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => Err(helper.new_error(argument.id, "argument must be a simple name")),
    }
}

impl Parts<'_, '_> {
    fn node(&mut self, expr: Expr) -> IdedExpr {
        self.helper.next_expr(expr)
    }

    fn literal(&mut self, literal: LiteralValue) -> IdedExpr {
        self.node(Expr::Literal(literal))
    }

    fn truth(&mut self, value: bool) -> IdedExpr {
        self.literal(LiteralValue::Boolean(value.into()))
    }

    fn result(&mut self) -> IdedExpr {
        self.node(Expr::Ident(RESULT.to_owned()))
    }

    fn call(&mut self, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
        self.node(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
    }

    fn body(&mut self) -> IdedExpr {
        std::mem::take(&mut self.body)
    }

    /// Where a filter says no, the step leaves the result alone.
    fn filtered(&mut self, step: IdedExpr) -> IdedExpr {
        let Some(filter) = self.filter.take() else { return step };
        let keep = self.result();
        self.call(operators::CONDITIONAL, vec![filter, step, keep])
    }

    fn comprehension(
        &mut self,
        accu_init: IdedExpr,
        loop_cond: IdedExpr,
        loop_step: IdedExpr,
        result: IdedExpr,
    ) -> Outcome {
        let (iter_var, second) = std::mem::take(&mut self.variables);
        let comprehension = ComprehensionExpr {
            iter_range: std::mem::take(&mut self.range),
            iter_var,
            iter_var2: Some(second),
            accu_var: RESULT.to_owned(),
            accu_init,
            loop_cond,
            loop_step,
            result,
        };
        Ok(Some(self.node(Expr::Comprehension(Box::new(comprehension)))))
    }
}

fn all(parts: &mut Parts<'_, '_>) -> Outcome {
    let (so_far, body) = (parts.result(), parts.body());
    let step = parts.call(operators::LOGICAL_AND, vec![so_far, body]);
    let so_far = parts.result();
    let goes_on = parts.call(operators::NOT_STRICTLY_FALSE, vec![so_far]);
    let (start, result) = (parts.truth(true), parts.result());
    parts.comprehension(start, goes_on, step, result)
}

fn exists(parts: &mut Parts<'_, '_>) -> Outcome {
    let (so_far, body) = (parts.result(), parts.body());
    let step = parts.call(operators::LOGICAL_OR, vec![so_far, body]);
    let so_far = parts.result();
    let not_yet = parts.call(operators::LOGICAL_NOT, vec![so_far]);
    let goes_on = parts.call(operators::NOT_STRICTLY_FALSE, vec![not_yet]);
    let (start, result) = (parts.truth(false), parts.result());
    parts.comprehension(start, goes_on, step, result)
}

fn exists_one(parts: &mut Parts<'_, '_>) -> Outcome {
    let (so_far, one) = (parts.result(), parts.literal(LiteralValue::Int(1.into())));
    let more = parts.call(operators::ADD, vec![so_far, one]);
    let (body, keep) = (parts.body(), parts.result());
    let step = parts.call(operators::CONDITIONAL, vec![body, more, keep]);
    let (count, one) = (parts.result(), parts.literal(LiteralValue::Int(1.into())));
    let result = parts.call(operators::EQUALS, vec![count, one]);
    let (start, goes_on) = (parts.literal(LiteralValue::Int(0.into())), parts.truth(true));
    parts.comprehension(start, goes_on, step, result)
}

fn transform_list(parts: &mut Parts<'_, '_>) -> Outcome {
    let (so_far, body) = (parts.result(), parts.body());
    let item = parts.node(Expr::List(ListExpr::new(vec![body])));
    let step = parts.call(operators::ADD, vec![so_far, item]);
    let step = parts.filtered(step);
    let start = parts.node(Expr::List(ListExpr::new(vec![])));
    let (goes_on, result) = (parts.truth(true), parts.result());
    parts.comprehension(start, goes_on, step, result)
}

fn transform_map(parts: &mut Parts<'_, '_>) -> Outcome {
    let key = Expr::Ident(parts.variables.0.clone());
    let (so_far, key, body) = (parts.result(), parts.node(key), parts.body());
    let step = parts.call(INSERT, vec![so_far, key, body]);
    into_map(parts, step)
}

fn transform_entries(parts: &mut Parts<'_, '_>) -> Outcome {
    let (so_far, body) = (parts.result(), parts.body());
    let step = parts.call(INSERT, vec![so_far, body]);
    into_map(parts, step)
}

fn into_map(parts: &mut Parts<'_, '_>, step: IdedExpr) -> Outcome {
    let step = parts.filtered(step);
    let start = parts.node(Expr::Map(MapExpr { entries: vec![] }));
    let (goes_on, result) = (parts.truth(true), parts.result());
    parts.comprehension(start, goes_on, step, result)
}

/// `cel.bind(name, value, expression)`: a loop that never runs, whose accumulator is the name.
fn bind(helper: &mut MacroExprHelper<'_>, target: &mut Option<IdedExpr>, arguments: &mut Vec<IdedExpr>) -> Outcome {
    if !matches!(target.as_ref().map(|target| &target.expr), Some(Expr::Ident(name)) if name == "cel") {
        return Ok(None);
    }
    let mut arguments = std::mem::take(arguments).into_iter();
    let (_, name) = variable(helper, arguments.next())?;
    let comprehension = ComprehensionExpr {
        iter_range: helper.next_expr(Expr::List(ListExpr::new(vec![]))),
        iter_var: "#unused".to_owned(),
        iter_var2: None,
        accu_var: name.clone(),
        accu_init: arguments.next().unwrap_or_default(),
        loop_cond: helper.next_expr(Expr::Literal(LiteralValue::Boolean(false.into()))),
        loop_step: helper.next_expr(Expr::Ident(name)),
        result: arguments.next().unwrap_or_default(),
    };
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(comprehension)))))
}
