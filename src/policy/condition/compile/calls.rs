//! Calls: which functions there are, how they are called, and what they are paid with.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use cel::common::types::CelString;

use super::super::environment::{Place, Profile, Record};
use super::super::functions::{self, Pattern, Style};
use super::super::path::{Step, is_identifier};
use super::super::syntax::{METER, fixed_step, operator};
use super::{Compiler, Problem, Slot, Use};

impl Compiler<'_> {
    pub(super) fn call(&mut self, id: u64, call: CallExpr) -> Result<IdedExpr, Problem> {
        if let Some(presence) = self.key_in_map(id, &call)? {
            return Ok(presence);
        }
        let namespace = self.namespace(&call);
        let name = match &namespace {
            Some(namespace) => format!("{namespace}.{}", call.func_name),
            None => call.func_name.clone(),
        };
        // Operators have names that cannot be written.
        if is_identifier(&call.func_name) {
            let style = match (&namespace, &call.target) {
                (Some(_), _) => Style::Namespaced,
                (None, Some(_)) => Style::Member,
                (None, None) => Style::Global,
            };
            functions::check(self.environment.profile, &name, style).map_err(Problem::at(id))?;
            functions::check_arguments(self.environment.profile, &call).map_err(Problem::at(id))?;
        }
        if name == "matches" {
            return self.matches(id, call);
        }
        let purpose = |position: usize| match (name.as_str(), position) {
            (operators::INDEX, 0) | (operators::IN, 1) | ("size", _) => Use::Map,
            _ => Use::Value,
        };
        let target = match call.target {
            Some(target) if namespace.is_none() => Some(self.rewrite(*target, purpose(0))?),
            Some(_) | None => None,
        };
        let arguments = call.args.into_iter().enumerate();
        let args = arguments.map(|(position, argument)| self.rewrite(argument, purpose(position)));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        Ok(match name.as_str() {
            "now" => self.now(id),
            "timeSince" => {
                let args = std::iter::once(self.now(id)).chain(target).chain(args).collect();
                operator(id, "@since", args)
            }
            "string" if self.environment.profile == Profile::Cerbos => {
                self.call_by_name(id, name, None, vec![operator(id, "@written", args)])
            }
            "format" if self.environment.profile == Profile::Cerbos && may_have_decimals(target.as_ref()) => {
                kept(formatted(id, target, args))
            }
            name if args.is_empty() && functions::tells_time(name) => {
                let target = target.map(|time| operator(id, "@utc", vec![time]));
                self.call_by_name(id, name.to_owned(), target, args)
            }
            _ => self.call_by_name(id, name, target, args),
        })
    }

    /// Calls a function under the name that the interpreter knows, with the meter where it must be paid.
    fn call_by_name(&self, id: u64, name: String, target: Option<IdedExpr>, args: Vec<IdedExpr>) -> IdedExpr {
        if self.environment.profile == Profile::Native {
            return IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name, target: target.map(Box::new), args }) };
        }
        let is_collected = match args.first().map(|first| &first.expr) {
            Some(Expr::Ident(first)) => name == operators::ADD && first == functions::RESULT,
            _ => false,
        };
        let grows = functions::grows(&name) && !is_collected;
        let call = match functions::internal(&name) {
            Some((name, functions::Paid::Before)) => {
                let meter = IdedExpr { id: 0, expr: Expr::Ident(METER.to_owned()) };
                operator(id, name, std::iter::once(meter).chain(target).chain(args).collect())
            }
            Some((name, functions::Paid::Never)) => operator(id, name, target.into_iter().chain(args).collect()),
            None => IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name, target: target.map(Box::new), args }) },
        };
        if grows { kept(call) } else { call }
    }

    /// Resolves what becomes part of a list or a map, and pays for it.
    pub(super) fn rewrite_part(&mut self, expression: IdedExpr, part: Part) -> Result<IdedExpr, Problem> {
        let value = self.rewrite(expression, Use::Value)?;
        let is_free = self.environment.profile == Profile::Native || matches!(value.expr, Expr::Literal(_));
        Ok(match part {
            _ if is_free => value,
            Part::Value => kept(value),
            Part::Key => with_meter(value.id, "@key", value),
        })
    }

    /// `math` of `math.abs(x)`.
    fn namespace(&self, call: &CallExpr) -> Option<String> {
        match call.target.as_ref().map(|target| &target.expr) {
            Some(Expr::Ident(name)) if functions::NAMESPACES.contains(&name.as_str()) && self.bound(name).is_none() => {
                Some(name.clone())
            }
            Some(_) | None => None,
        }
    }

    /// A pattern that is known is compiled here, once.
    fn matches(&mut self, id: u64, call: CallExpr) -> Result<IdedExpr, Problem> {
        let mut operands = call.target.map(|target| *target).into_iter().chain(call.args);
        let (text, pattern) = (operands.next().unwrap_or_default(), operands.next().unwrap_or_default());
        let known = if let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr {
            Some(CelString::inner(pattern).to_owned())
        } else {
            match self.place(&pattern)? {
                Some(Place::Path(path)) => path.fixed_text().map(str::to_owned),
                Some(Place::Record(..) | Place::Names(..) | Place::Variable(_) | Place::Global(..)) | None => None,
            }
        };
        let text = self.rewrite(text, Use::Value)?;
        if let Some(known) = known {
            match Pattern::compile(&known) {
                Some(pattern) => {
                    let pattern = self.slot(id, Slot::Pattern(pattern));
                    return Ok(operator(id, "@matches", vec![text, pattern]));
                }
                None if self.environment.profile == Profile::Native => {
                    return Err(Problem::new(id, format!("`{known}` is not a regular expression")));
                }
                // Cerbos finds out when it is asked, if it ever is.
                None => {}
            }
        }
        if self.environment.profile == Profile::Native {
            // SECURITY: compiling a pattern costs far more than its length: `a_pattern_out_of_the_request_is_refused`.
            return Err(
                Problem::new(id, "the pattern of `matches` is not a literal").with_help("write the pattern out")
            );
        }
        let meter = IdedExpr { id: 0, expr: Expr::Ident(METER.to_owned()) };
        let pattern = self.rewrite(pattern, Use::Value)?;
        Ok(operator(id, "@matches", vec![meter, text, pattern]))
    }

    /// The time of the decision.
    fn now(&mut self, id: u64) -> IdedExpr {
        self.slot(id, Slot::Now)
    }

    /// `"key" in map` asks like `has()` where the map is known to be one.
    fn key_in_map(&mut self, id: u64, call: &CallExpr) -> Result<Option<IdedExpr>, Problem> {
        let (operators::IN, [key, map]) = (call.func_name.as_str(), call.args.as_slice()) else {
            return Ok(None);
        };
        let (Some(step @ Step::Key(_)), Some(place)) = (fixed_step(key), self.place(map)?) else {
            return Ok(None);
        };
        let is_map = match &place {
            Place::Names(..) | Place::Record(Record::Captures, _) => true,
            Place::Path(path) => path.is_map(),
            Place::Record(..) | Place::Variable(_) | Place::Global(..) => false,
        };
        if !is_map {
            return Ok(None);
        }
        match self.step(place, step).map_err(Problem::at(id))? {
            Place::Path(path) => Ok(Some(self.slot(id, Slot::Presence(path)))),
            Place::Record(..) | Place::Names(..) | Place::Variable(_) | Place::Global(..) => Ok(None),
        }
    }
}

/// What an expression becomes part of.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// An element of a list, a value of a map.
    Value,
    /// A key of a map.
    Key,
}

/// The value of an expression, paid for.
pub(super) fn kept(expression: IdedExpr) -> IdedExpr {
    with_meter(expression.id, "@kept", expression)
}

/// Does the format not show that no number is written with decimals?
fn may_have_decimals(format: Option<&IdedExpr>) -> bool {
    match format.map(|format| &format.expr) {
        Some(Expr::Literal(LiteralValue::String(format))) => functions::may_have_decimals(format.inner()),
        Some(_) | None => true,
    }
}

/// `format`, of what `@format` makes of the format and its arguments: a loop that never runs gives that a name.
fn formatted(id: u64, target: Option<IdedExpr>, args: Vec<IdedExpr>) -> IdedExpr {
    let name = || "@formatted".to_owned();
    let node = |expr| IdedExpr { id, expr };
    let meter = node(Expr::Ident(METER.to_owned()));
    let part = |at: i64| {
        let at = node(Expr::Literal(LiteralValue::Int(at.into())));
        operator(id, operators::INDEX, vec![node(Expr::Ident(name())), at])
    };
    let whole = CallExpr { func_name: "format".to_owned(), target: Some(Box::new(part(0))), args: vec![part(1)] };
    node(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: node(Expr::List(ListExpr::new(vec![]))),
        iter_var: "@unused".to_owned(),
        iter_var2: None,
        accu_var: name(),
        accu_init: operator(id, "@format", std::iter::once(meter).chain(target).chain(args).collect()),
        loop_cond: node(Expr::Literal(LiteralValue::Boolean(false.into()))),
        loop_step: node(Expr::Ident(name())),
        result: node(Expr::Call(whole)),
    })))
}

/// A call that is handed the meter.
pub(super) fn with_meter(id: u64, name: &str, argument: IdedExpr) -> IdedExpr {
    let meter = IdedExpr { id: 0, expr: Expr::Ident(METER.to_owned()) };
    operator(id, name, vec![meter, argument])
}
