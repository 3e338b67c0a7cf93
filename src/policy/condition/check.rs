//! The types of a Cerbos condition: refuses when it is loaded what Cerbos refuses then.
//!
//! Cerbos checks with cel-go, and these are its rules: what comes out of a request is `dyn` and fits everywhere, everything else must fit an
//! overload. Checks the tree as it was parsed, before names are resolved. Does not check that a variable or a constant exists, nor that a
//! function is implemented: `environment` and `functions` do. Native conditions are not checked.
//! Invariant: ends in bounded time, and refuses what it cannot judge in that time.

mod advice;
mod declarations;
mod format;
mod overloads;
mod types;
mod unify;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};

use self::advice::Attempt;
use self::overloads::Overload;
use self::types::Type;
use self::unify::{Unifier, most_general};
use super::compile::Problem;
use super::environment::{Environment, Profile};
use super::functions;

/// The operators that take any number of booleans.
const LOGIC: [&str; 2] = [operators::LOGICAL_AND, operators::LOGICAL_OR];

/// Does the expression have a type in that language?
pub(super) fn check(expression: &IdedExpr, environment: &Environment) -> Result<(), Problem> {
    match environment.profile {
        Profile::Native => return Ok(()),
        Profile::Cerbos => {}
    }
    let mut checker = Checker::default();
    let outcome = checker.infer(expression);
    // SECURITY: types can double with every name: `types_that_double_are_refused_in_time`.
    if checker.types.is_spent() {
        return Err(Problem::new(expression.id, "the types in the condition are too involved to check"));
    }
    outcome.map(|_| ())
}

/// What is known while an expression is gone through.
#[derive(Default)]
struct Checker {
    types: Unifier,
    /// Variables of the comprehensions around.
    locals: Vec<(String, Type)>,
    nodes: HashMap<u64, Type>,
}

impl Checker {
    /// The type of an expression; the first thing that is wrong with it.
    fn infer(&mut self, expression: &IdedExpr) -> Result<Type, Problem> {
        let id = expression.id;
        let inferred = match &expression.expr {
            Expr::Literal(literal) => type_of_literal(literal),
            Expr::Ident(name) => self.name(id, name)?,
            Expr::Select(select) => self.select(expression, select)?,
            Expr::Call(call) => self.call(id, call)?,
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::List(list) => self.list(list)?,
            Expr::Map(map) => self.map(map)?,
            Expr::Struct(message) => {
                return Err(Problem::new(id, format!("unknown message type `{}`", message.type_name)));
            }
            Expr::Unspecified => return Err(Problem::new(id, "the condition is not an expression")),
        };
        self.nodes.insert(id, inferred.clone());
        Ok(inferred)
    }

    fn name(&self, id: u64, name: &str) -> Result<Type, Problem> {
        let name = name.strip_prefix('.').unwrap_or(name);
        let local = self.locals.iter().rev().find(|(known, _)| known == name).map(|(_, known)| known.clone());
        local.or_else(|| declarations::root(name)).ok_or_else(|| advice::unknown_name(id, name))
    }

    fn select(&mut self, expression: &IdedExpr, select: &SelectExpr) -> Result<Type, Problem> {
        if let Some(named) = advice::chain(expression).as_deref().and_then(declarations::type_named) {
            return Ok(named);
        }
        let operand = self.infer(&select.operand)?;
        let operand = self.types.substitute(&operand);
        let field = match &operand {
            Type::Map(_, value) => (**value).clone(),
            Type::Message(message) => declarations::field(*message, &select.field)
                .ok_or_else(|| advice::unknown_field(expression.id, *message, select))?,
            Type::Dyn => Type::Dyn,
            Type::Variable(_) => {
                self.types.fits(&Type::Dyn, &operand);
                Type::Dyn
            }
            Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Timestamp
            | Type::Duration
            | Type::List(_)
            | Type::Meta(_) => return Err(advice::no_fields(expression.id, &operand, select)),
        };
        Ok(if select.test { Type::Bool } else { self.types.substitute(&field) })
    }

    fn list(&mut self, list: &ListExpr) -> Result<Type, Problem> {
        let mut joined = None;
        for element in &list.elements {
            let element = self.infer(element)?;
            joined = Some(self.join(joined, element));
        }
        Ok(Type::list(joined.unwrap_or_else(|| self.types.fresh())))
    }

    fn map(&mut self, map: &MapExpr) -> Result<Type, Problem> {
        let (mut keys, mut values) = (None, None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
            let key = self.infer(&entry.key)?;
            keys = Some(self.join(keys, key));
            let value = self.infer(&entry.value)?;
            values = Some(self.join(values, value));
        }
        let key = keys.unwrap_or_else(|| self.types.fresh());
        Ok(Type::map(key, values.unwrap_or_else(|| self.types.fresh())))
    }

    /// What elements of both types have in common.
    fn join(&mut self, before: Option<Type>, next: Type) -> Type {
        match before {
            None => next,
            Some(before) if self.types.fits(&before, &next) => most_general(&before, &next).clone(),
            Some(_) => Type::Dyn,
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Result<Type, Problem> {
        let name = call.func_name.strip_prefix('.').unwrap_or(&call.func_name);
        let mut attempt = Attempt { name: name.to_owned(), is_member: false, written: call.args.iter().collect() };
        if let Some(target) = &call.target {
            match self.qualified(target, name) {
                Some(qualified) => attempt.name = qualified,
                None => {
                    attempt.is_member = true;
                    attempt.written.insert(0, target);
                }
            }
        }
        let is_logic = LOGIC.contains(&name) && !attempt.is_member;
        let overloads = overloads::find(&attempt.name).or(is_logic.then_some(&[]));
        let overloads = overloads.ok_or_else(|| advice::unknown_function(id, &attempt))?;
        let mut given = call.args.iter().map(|argument| self.infer(argument)).collect::<Result<Vec<_>, _>>()?;
        if let (true, Some(target)) = (attempt.is_member, &call.target) {
            given.insert(0, self.infer(target)?);
        }
        if is_logic {
            return self.logic(&attempt, &given);
        }
        let Some(result) = self.overload(overloads, &attempt, &given) else {
            let given: Vec<Type> = given.iter().map(|given| self.types.resolve(given)).collect();
            return Err(advice::no_overload(id, &attempt, overloads, &given));
        };
        if name == "format" {
            self.check_format(id, call)?;
        }
        Ok(result)
    }

    /// The name of a function in a namespace, as `math.abs`.
    fn qualified(&self, target: &IdedExpr, name: &str) -> Option<String> {
        let chain = advice::chain(target)?;
        let space = chain.strip_prefix('.').unwrap_or(&chain);
        let qualified = format!("{space}.{name}");
        let is_free = functions::NAMESPACES.contains(&space) && !self.locals.iter().any(|(local, _)| local == space);
        (is_free || overloads::find(&qualified).is_some()).then_some(qualified)
    }

    /// `&&` and `||`, of as many operands as there are.
    fn logic(&mut self, attempt: &Attempt<'_>, given: &[Type]) -> Result<Type, Problem> {
        for (written, operand) in attempt.written.iter().zip(given) {
            if !self.types.fits(operand, &Type::Bool) {
                let operand = self.types.resolve(operand);
                return Err(advice::not_boolean(written, &operand));
            }
        }
        Ok(Type::Bool)
    }

    /// What the call gives: what its overloads agree on. `None` when none takes what is given.
    fn overload(&mut self, overloads: &[Overload], attempt: &Attempt<'_>, given: &[Type]) -> Option<Type> {
        let mut result = None;
        for overload in overloads.iter().filter(|overload| overload.is_member == attempt.is_member) {
            let (a, b) = (self.types.fresh(), self.types.fresh());
            let wanted: Vec<Type> = overload.takes.iter().map(|shape| shape.instance(&a, &b)).collect();
            if !self.types.all_fit(given, &wanted) {
                continue;
            }
            let gives = self.types.substitute(&overload.gives.instance(&a, &b));
            result = Some(match result {
                None => gives,
                Some(known) if known == gives => known,
                Some(_) => Type::Dyn,
            });
        }
        result
    }

    /// A literal format and the list that is written behind it must go together.
    fn check_format(&mut self, id: u64, call: &CallExpr) -> Result<(), Problem> {
        let (Some(target), [arguments]) = (&call.target, call.args.as_slice()) else {
            return Ok(());
        };
        let (Expr::Literal(LiteralValue::String(text)), Expr::List(list)) = (&target.expr, &arguments.expr) else {
            return Ok(());
        };
        let (types, nodes) = (&mut self.types, &self.nodes);
        format::check(id, text.inner(), &list.elements, |node| match nodes.get(&node) {
            Some(known) => types.resolve(known),
            None => Type::Dyn,
        })
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Result<Type, Problem> {
        let range = self.infer(&comprehension.iter_range)?;
        let gathered = self.infer(&comprehension.accu_init)?;
        let range = self.types.substitute(&range);
        let (first, second) = self.elements(comprehension, &range)?;
        let outside = self.locals.len();
        self.locals.push((comprehension.accu_var.clone(), gathered.clone()));
        self.locals.push((comprehension.iter_var.clone(), first));
        if let Some(name) = &comprehension.iter_var2 {
            self.locals.push((name.clone(), second));
        }
        self.expect(&comprehension.loop_cond, &Type::Bool)?;
        self.expect(&comprehension.loop_step, &gathered)?;
        self.locals.truncate(outside + 1);
        let result = self.infer(&comprehension.result)?;
        self.locals.truncate(outside);
        Ok(self.types.substitute(&result))
    }

    /// What the variables of a comprehension over that range are.
    fn elements(&mut self, comprehension: &ComprehensionExpr, range: &Type) -> Result<(Type, Type), Problem> {
        let pairs = comprehension.iter_var2.is_some();
        match range {
            Type::List(element) if pairs => Ok((Type::Int, (**element).clone())),
            Type::List(element) => Ok(((**element).clone(), Type::Dyn)),
            Type::Map(key, value) => Ok(((**key).clone(), (**value).clone())),
            Type::Dyn | Type::Variable(_) => {
                self.types.fits(&Type::Dyn, range);
                Ok((Type::Dyn, Type::Dyn))
            }
            Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Timestamp
            | Type::Duration
            | Type::Meta(_)
            | Type::Message(_) => Err(advice::not_a_range(&comprehension.iter_range, range)),
        }
    }

    /// An expression whose type is given by where it stands.
    fn expect(&mut self, expression: &IdedExpr, wanted: &Type) -> Result<(), Problem> {
        let given = self.infer(expression)?;
        if self.types.fits(wanted, &given) {
            return Ok(());
        }
        let (given, wanted) = (self.types.resolve(&given), self.types.resolve(wanted));
        Err(Problem::new(expression.id, format!("`{wanted}` should stand here, not `{given}`")))
    }
}

fn type_of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::String,
        LiteralValue::UInt(_) => Type::Uint,
    }
}
