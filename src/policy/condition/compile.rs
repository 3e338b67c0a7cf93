//! From text to a [`Condition`]: parse, resolve every name, and put a slot in the place of every read.
//!
//! A slot is an identifier such as `@0`, which cannot be written in an expression. Evaluation reads exactly the slots, so a request part
//! that the text does not name is never looked at. Comprehensions get a step counter, `@step`, so that they cannot run away.

mod calls;
mod loops;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators};

use super::environment::{Environment, Message, Multitude, Place, Profile, Unknown};
use super::functions::{Pattern, TYPES};
use super::lexis;
use super::parse;
use super::path::{Path, Step};
use super::references::References;
use super::shortcut::Test;
use super::syntax::{fixed_step, is_never_boolean, is_type_name, operator};
use super::{Computed, Condition, ConditionError, Interpreter, Program, check};
use calls::Part;

/// What an evaluation reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Slot {
    /// The value at a place.
    Value(Path),
    /// Is the place filled?
    Presence(Path),
    /// All header fields, or all query parameters.
    Names(Multitude),
    /// `now()`
    Now,
    /// The value of a variable.
    Variable(Box<str>),
    /// Does a variable have a value?
    HasVariable(Box<str>),
    /// A message of the Cerbos protocol, as a map of what is set in it.
    Message(Message),
    /// The value of a global name, if it has one.
    Global(Box<str>, Option<Computed>),
    /// A regular expression.
    Pattern(Pattern),
    /// What `cel.bind` gives a name: evaluated when it is first read.
    Bound(Box<IdedExpr>),
}

/// Which parts of an expression are evaluated without the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortcuts {
    Taken,
    /// For comparing the two.
    #[cfg(test)]
    Avoided,
}

/// What does not compile, and where.
#[derive(Debug)]
pub(super) struct Problem {
    /// The node of the syntax tree.
    pub(super) node: u64,
    pub(super) unknown: Unknown,
}

impl Problem {
    pub(super) fn at(node: u64) -> impl Fn(Unknown) -> Self {
        move |unknown| Self { node, unknown }
    }

    pub(super) fn new(node: u64, message: impl Into<String>) -> Self {
        Self { node, unknown: Unknown::new(message) }
    }

    pub(super) fn with_help(mut self, help: &str) -> Self {
        self.unknown = self.unknown.with_help(help);
        self
    }
}

/// May the expression be a map of all header fields or query parameters?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is indexed, searched, counted or gone through.
    Map,
    /// It is a value like any other.
    Value,
}

/// A condition, which must be able to be true or false.
pub(super) fn compile(
    text: &str,
    environment: &Environment,
    shortcuts: Shortcuts,
) -> Result<Condition, ConditionError> {
    let (root, program) = compile_expression(text, environment, Wanted::Boolean)?;
    let test = match shortcuts {
        Shortcuts::Taken => Test::build(root, &program.slots),
        #[cfg(test)]
        Shortcuts::Avoided => Test::Expression(Box::new(root)),
    };
    Ok(Condition { test, program })
}

/// What the author wants of an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// True or false.
    Boolean,
    /// Any value.
    Value,
}

/// An expression whose names are slots, and the slots.
pub(super) fn compile_expression(
    text: &str,
    environment: &Environment,
    wanted: Wanted,
) -> Result<(IdedExpr, Program), ConditionError> {
    let (expression, source) = parse::parse(text, environment)?;
    let mut compiler = Compiler { environment, slots: Vec::new(), bound: Vec::new(), loops: 0 };
    let checked = match environment.profile {
        Profile::Native => Ok(()),
        Profile::Cerbos => check::check(&expression, environment),
    };
    let rewritten = checked.and_then(|()| compiler.rewrite(expression, Use::Value)).and_then(|rewritten| {
        let must_decide = environment.profile == Profile::Native && wanted == Wanted::Boolean;
        if must_decide && compiler.is_never_boolean(&rewritten.expr) {
            return Err(Problem::new(rewritten.id, "the condition is never true or false")
                .with_help("a condition compares, as in `principal.id == path.user`"));
        }
        Ok(rewritten)
    });
    let rewritten = rewritten.map_err(|problem| {
        let offset = source.offset_for(problem.node).map(|(start, _)| lexis::place(text, start as usize));
        ConditionError { message: problem.unknown.message, help: problem.unknown.help, offset }
    })?;
    let slots = compiler.slots;
    let program = Program {
        references: References::of(&slots),
        slots: slots.into(),
        profile: environment.profile,
        fields: environment.fields(),
        credential_headers: environment.credential_headers().clone(),
        interpreter: Interpreter(environment.interpreter().clone()),
    };
    Ok((rewritten, program))
}

/// What `has()` says where it is known before any request comes.
fn known(id: u64, answer: bool) -> IdedExpr {
    IdedExpr { id, expr: Expr::Literal(LiteralValue::Boolean(answer.into())) }
}

struct Compiler<'e> {
    environment: &'e Environment,
    slots: Vec<Slot>,
    /// Variables of the comprehensions around, the innermost last.
    bound: Vec<Bound>,
    loops: usize,
}

/// A variable of a comprehension.
struct Bound {
    name: String,
    /// What to write in its place; `None` where the interpreter knows it by its name.
    stands_for: Option<IdedExpr>,
    /// The place it is another name for.
    place: Option<Place>,
}

impl Compiler<'_> {
    /// Resolves names and replaces reads by slots.
    fn rewrite(&mut self, expression: IdedExpr, purpose: Use) -> Result<IdedExpr, Problem> {
        let id = expression.id;
        if self.environment.profile == Profile::Cerbos && is_type_name(&expression.expr) {
            return Ok(expression);
        }
        if let Some(place) = self.place(&expression)? {
            let slot = self.slot_of(id, place, purpose)?;
            return Ok(self.slot(id, slot));
        }
        let expr = match expression.expr {
            Expr::Literal(_) => expression.expr,
            Expr::Ident(name) => {
                let stands_for = self.bound(&name).and_then(|bound| bound.stands_for.as_ref());
                stands_for.map_or(Expr::Ident(name), |stands_for| stands_for.expr.clone())
            }
            Expr::Select(select) => return self.select(id, select),
            Expr::Call(call) => return self.call(id, call),
            Expr::Comprehension(comprehension) => return self.comprehension(id, *comprehension),
            Expr::List(list) => {
                let elements = list.elements.into_iter().map(|element| self.rewrite_part(element, Part::Value));
                Expr::List(ListExpr::new(elements.collect::<Result<_, _>>()?))
            }
            Expr::Map(map) => Expr::Map(self.map(map)?),
            Expr::Struct(strct) => {
                return Err(Problem::new(id, format!("unknown message type `{}`", strct.type_name)));
            }
            Expr::Unspecified => return Err(Problem::new(id, "the condition is not an expression")),
        };
        Ok(IdedExpr { id, expr })
    }

    /// The innermost variable of that name.
    fn bound(&self, name: &str) -> Option<&Bound> {
        self.bound.iter().rev().find(|bound| bound.name == name)
    }

    /// What a chain of names stands for; `None` when it is something else, or starts with a variable or a type.
    fn place(&self, expression: &IdedExpr) -> Result<Option<Place>, Problem> {
        let problem = Problem::at(expression.id);
        match &expression.expr {
            Expr::Ident(name) => {
                if let Some(bound) = self.bound(name) {
                    return Ok(bound.place.clone());
                }
                let free = !name.starts_with('@') && !TYPES.contains(&name.as_str());
                if free { self.environment.root(name).map(Some).map_err(problem) } else { Ok(None) }
            }
            Expr::Select(select) if !select.test => match self.place(&select.operand)? {
                Some(Place::Variable(_) | Place::Global(..)) | None => Ok(None),
                Some(place) => self.step(place, Step::Key(select.field.as_str().into())).map(Some).map_err(problem),
            },
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [operand, index] = call.args.as_slice() else {
                    return Ok(None);
                };
                let Some(step) = fixed_step(index) else {
                    return Ok(None);
                };
                match self.place(operand)? {
                    Some(Place::Record(record, written)) if record.is_message() => Err(problem(
                        Unknown::new(format!("`{written}` is not a map")).with_help("its fields stand after a dot"),
                    )),
                    // The value of a variable is stepped into by the interpreter.
                    Some(Place::Variable(_) | Place::Global(..)) | None => Ok(None),
                    Some(place) => self.step(place, step).map(Some).map_err(problem),
                }
            }
            Expr::Select(_)
            | Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Unspecified => Ok(None),
        }
    }

    fn step(&self, place: Place, step: Step) -> Result<Place, Unknown> {
        match (place, step) {
            (Place::Record(record, written), Step::Key(name)) => self.environment.field(record, &written, &name),
            (Place::Record(_, written), Step::Index(index)) => {
                Err(Unknown::new(format!("`{written}` has no field `{index}`")))
            }
            (Place::Names(names, written), Step::Key(name)) => self.environment.named(names, &written, &name),
            (Place::Names(_, written), Step::Index(_)) => {
                Err(Unknown::new(format!("the names in `{written}` are texts")))
            }
            (Place::Path(path), Step::Key(_)) if path.is_list() => {
                Err(Unknown::new(format!("`{path}` is a list, it has no fields")))
            }
            (Place::Path(path), _) if path.is_text() => {
                Err(Unknown::new(format!("`{path}` is a text, it has no fields")))
            }
            (Place::Path(mut path), step) => {
                path.steps.push(step);
                Ok(Place::Path(path))
            }
            (Place::Variable(name) | Place::Global(name, _), _) => {
                Err(Unknown::new(format!("`{name}` is not known before any request comes")))
            }
        }
    }

    /// The slot for a place that is used as a value.
    fn slot_of(&self, id: u64, place: Place, purpose: Use) -> Result<Slot, Problem> {
        match place {
            Place::Path(path) => Ok(Slot::Value(path)),
            Place::Variable(name) => Ok(Slot::Variable(name)),
            Place::Global(name, value) => Ok(Slot::Global(name, value)),
            Place::Names(names, _) if purpose == Use::Map => Ok(Slot::Names(names)),
            Place::Names(_, written) => Err(Problem::new(id, format!("`{written}` is not a value in itself"))
                .with_help("read one of its names, or go through them with `exists` or `all`")),
            Place::Record(record, written) => match self.environment.message(record, &written) {
                Some(message) => Ok(Slot::Message(message)),
                None => Err(Problem::new(id, format!("`{written}` is not a value in itself"))
                    .with_help("name one of its fields")),
            },
        }
    }

    /// An identifier for a slot; the same slot twice is one.
    fn slot(&mut self, id: u64, slot: Slot) -> IdedExpr {
        let index = self.slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        IdedExpr { id, expr: Expr::Ident(format!("@{index}")) }
    }

    /// Can it be seen without running that the expression is not a boolean?
    fn is_never_boolean(&self, expr: &Expr) -> bool {
        let Expr::Ident(name) = expr else {
            return is_never_boolean(expr);
        };
        let slot = name.strip_prefix('@').and_then(|index| index.parse::<usize>().ok());
        match slot.and_then(|index| self.slots.get(index)) {
            Some(Slot::Value(path)) => path.is_text() || path.is_list() || path.is_map(),
            Some(Slot::Presence(_) | Slot::Variable(_) | Slot::HasVariable(_) | Slot::Global(..) | Slot::Bound(_)) => {
                false
            }
            Some(Slot::Names(_) | Slot::Message(_) | Slot::Now | Slot::Pattern(_)) | None => true,
        }
    }

    fn select(&mut self, id: u64, select: SelectExpr) -> Result<IdedExpr, Problem> {
        let operand = if select.test { self.place(&select.operand)? } else { None };
        if let Some(place @ (Place::Path(_) | Place::Record(..) | Place::Names(..))) = operand {
            let step = Step::Key(select.field.as_str().into());
            return Ok(match self.step(place, step).map_err(Problem::at(id))? {
                Place::Path(path) => self.slot(id, Slot::Presence(path)),
                Place::Record(record, written) => match record.presence(&written) {
                    Some(path) => self.slot(id, Slot::Presence(path)),
                    None => known(id, true),
                },
                Place::Names(..) => known(id, true),
                Place::Variable(name) => self.slot(id, Slot::HasVariable(name)),
                Place::Global(_, value) => known(id, value.is_some_and(|value| !value.is_null())),
            });
        }
        let operand = Box::new(self.rewrite(*select.operand, Use::Value)?);
        if select.test && self.environment.profile == Profile::Cerbos {
            let field = Expr::Literal(LiteralValue::String(select.field.into()));
            return Ok(operator(id, "@has", vec![*operand, IdedExpr { id: 0, expr: field }]));
        }
        Ok(IdedExpr { id, expr: Expr::Select(SelectExpr { operand, field: select.field, test: select.test }) })
    }

    fn map(&mut self, map: MapExpr) -> Result<MapExpr, Problem> {
        let mut entries = map.entries;
        for entry in &mut entries {
            if let EntryExpr::MapEntry(pair) = &mut entry.expr {
                pair.key = self.rewrite_part(std::mem::take(&mut pair.key), Part::Key)?;
                pair.value = self.rewrite_part(std::mem::take(&mut pair.value), Part::Value)?;
            }
        }
        Ok(MapExpr { entries })
    }
}
