//! From text to a [`Condition`]: parse, resolve every name, and put a slot in the place of every read.
//!
//! A slot is an identifier such as `@0`, which cannot be written in an expression. Evaluation reads exactly the slots, so a request part
//! that the text does not name is never looked at. Comprehensions get a step counter, `@step`, so that they cannot run away.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, SourceInfo,
    operators,
};
use cel::common::types::CelString;

use super::environment::{Environment, Multitude, Place, Profile, Record, Unknown};
use super::functions::{self, Style, TYPES};
use super::lexis::{self, TooDeep};
use super::path::{Path, Source, Step, is_identifier};
use super::references::References;
use super::shortcut::Test;
use super::{Condition, ConditionError, Interpreter, LENGTH, LOOPS, NESTING};

/// The identifier that counts a step of a comprehension.
pub(super) const STEP: &str = "@step";

/// Where the language's extensions keep their functions.
const NAMESPACES: &[&str] = &["base64", "cel", "ip", "json", "lists", "math", "optional", "regex", "sets", "strings"];

/// What an evaluation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The value at a place.
    Value(Path),
    /// Is the place filled?
    Presence(Path),
    /// All header fields, or all query parameters.
    Names(Multitude),
}

/// Which parts of an expression are evaluated without the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortcuts {
    Taken,
    /// For comparing the two.
    #[cfg(test)]
    Avoided,
}

/// A name or a call that does not compile, and where.
struct Problem {
    node: u64,
    unknown: Unknown,
}

impl Problem {
    fn at(node: u64) -> impl Fn(Unknown) -> Self {
        move |unknown| Self { node, unknown }
    }

    fn new(node: u64, message: impl Into<String>) -> Self {
        Self { node, unknown: Unknown::new(message) }
    }

    fn with_help(mut self, help: &str) -> Self {
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

pub(super) fn compile(
    text: &str,
    environment: &Environment,
    shortcuts: Shortcuts,
) -> Result<Condition, ConditionError> {
    let (expression, source) = parse(text, environment)?;
    let mut compiler = Compiler { environment, slots: Vec::new(), bound: Vec::new(), loops: 0 };
    let rewritten = compiler.rewrite(expression, Use::Value).and_then(|rewritten| {
        if environment.profile == Profile::Native && is_never_boolean(&rewritten.expr) {
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
    let test = match shortcuts {
        Shortcuts::Taken => Test::build(rewritten, &slots),
        #[cfg(test)]
        Shortcuts::Avoided => Test::Expression(Box::new(rewritten)),
    };
    Ok(Condition {
        references: References::of(&slots),
        test,
        slots: slots.into(),
        profile: environment.profile,
        fields: environment.fields(),
        credential_headers: environment.credential_headers().clone(),
        interpreter: Interpreter(environment.interpreter().clone()),
    })
}

fn parse(text: &str, environment: &Environment) -> Result<(IdedExpr, SourceInfo), ConditionError> {
    let plain = |message: String| ConditionError { message, help: None, offset: None };
    if text.len() > LENGTH {
        return Err(plain(format!("the condition is longer than {LENGTH} bytes")));
    }
    if text.trim().is_empty() {
        return Err(plain("the condition is empty".to_owned()));
    }
    // SECURITY: the parser and the evaluator recurse: `a_deep_condition_is_refused_before_it_is_parsed`.
    lexis::check_nesting(text).map_err(|TooDeep(at)| {
        let letters = text.get(..at).map_or(0, |before| before.chars().count());
        let message = format!("the condition nests deeper than {NESTING} levels");
        ConditionError { message, help: None, offset: Some(lexis::position(text, letters)) }
    })?;
    let Some(parsed) = on_a_large_stack(|| environment.interpreter().parser().parse_with_source_info(text)) else {
        return Err(plain("the condition is not an expression".to_owned()));
    };
    parsed.map_err(|errors| {
        let Some(first) = errors.errors.into_iter().next() else {
            return plain("the condition is not an expression".to_owned());
        };
        let place = |number: isize| usize::try_from(number).ok().filter(|&number| number > 0);
        ConditionError {
            message: format!("the condition is not an expression: {}", retell(&first.msg)),
            help: None,
            offset: place(first.pos.0).zip(place(first.pos.1)),
        }
    })
}

/// The parser's message in our words.
fn retell(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message).trim_end_matches('.');
    let token = |quoted: &str| match quoted.trim_matches('\'') {
        "<EOF>" => "the end".to_owned(),
        token => format!("`{token}`"),
    };
    for (start, told) in [
        ("mismatched input ", "unexpected"),
        ("extraneous input ", "unexpected"),
        ("no viable alternative at input ", "unexpected"),
        ("token recognition error at: ", "unreadable"),
    ] {
        if let Some(rest) = message.strip_prefix(start) {
            return format!("{told} {}", token(rest.split(" expecting ").next().unwrap_or(rest)));
        }
    }
    match message.strip_prefix("missing ").and_then(|rest| rest.split_once(" at ")) {
        Some((missing, at)) => format!("missing {} before {}", token(missing), token(at)),
        None => message.to_owned(),
    }
}

/// Runs the parser on a thread of its own: it takes up to 200 KiB of stack a level where it is not optimised. `None` when it panics, which must
/// not take a reload with it.
fn on_a_large_stack<T: Send>(parser: impl FnOnce() -> T + Send) -> Option<T> {
    const STACK: usize = 32 * 1024 * 1024;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, parser).ok()?.join().ok()
    })
}

struct Compiler<'e> {
    environment: &'e Environment,
    slots: Vec<Slot>,
    /// Variables of the comprehensions around.
    bound: Vec<String>,
    loops: usize,
}

impl Compiler<'_> {
    /// Resolves names and replaces reads by slots.
    fn rewrite(&mut self, expression: IdedExpr, purpose: Use) -> Result<IdedExpr, Problem> {
        let id = expression.id;
        if let Some(place) = self.place(&expression)? {
            let slot = Self::slot_of(id, place, purpose)?;
            return Ok(self.slot(id, slot));
        }
        let expr = match expression.expr {
            Expr::Literal(_) | Expr::Ident(_) => expression.expr,
            Expr::Select(select) => return self.select(id, select),
            Expr::Call(call) => return self.call(id, call),
            Expr::Comprehension(comprehension) => self.comprehension(id, *comprehension)?,
            Expr::List(list) => {
                let elements = list.elements.into_iter().map(|element| self.rewrite(element, Use::Value));
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

    /// What a chain of names stands for; `None` when it is something else, or starts with a variable or a type.
    fn place(&self, expression: &IdedExpr) -> Result<Option<Place>, Problem> {
        let problem = Problem::at(expression.id);
        match &expression.expr {
            Expr::Ident(name) => {
                let free = !name.starts_with('@') && !self.bound.contains(name) && !TYPES.contains(&name.as_str());
                if free { self.environment.root(name).map(Some).map_err(problem) } else { Ok(None) }
            }
            Expr::Select(select) if !select.test => match self.place(&select.operand)? {
                Some(place) => self.step(place, Step::Key(select.field.as_str().into())).map(Some).map_err(problem),
                None => Ok(None),
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
                    Some(place) => self.step(place, step).map(Some).map_err(problem),
                    None => Ok(None),
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
            (Place::Path(path), _) if path.is_text() => {
                Err(Unknown::new(format!("`{path}` is a text, it has no fields")))
            }
            (Place::Path(mut path), step) => {
                path.steps.push(step);
                Ok(Place::Path(path))
            }
        }
    }

    /// The slot for a place that is used as a value.
    fn slot_of(id: u64, place: Place, purpose: Use) -> Result<Slot, Problem> {
        match place {
            Place::Path(path) => Ok(Slot::Value(path)),
            Place::Names(names, _) if purpose == Use::Map => Ok(Slot::Names(names)),
            Place::Names(_, written) => Err(Problem::new(id, format!("`{written}` is not a value in itself"))
                .with_help("read one of its names, or go through them with `exists` or `all`")),
            Place::Record(_, written) => {
                Err(Problem::new(id, format!("`{written}` is not a value in itself"))
                    .with_help("name one of its fields"))
            }
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

    fn select(&mut self, id: u64, select: SelectExpr) -> Result<IdedExpr, Problem> {
        if select.test {
            if let Some(place) = self.place(&select.operand)? {
                let step = Step::Key(select.field.as_str().into());
                let found = self.step(place, step).map_err(Problem::at(id))?;
                return Ok(match found {
                    Place::Path(path) => self.slot(id, Slot::Presence(path)),
                    // A group of fields is always there.
                    Place::Record(..) | Place::Names(..) => {
                        IdedExpr { id, expr: Expr::Literal(LiteralValue::Boolean(true.into())) }
                    }
                });
            }
        }
        let operand = Box::new(self.rewrite(*select.operand, Use::Map)?);
        Ok(IdedExpr { id, expr: Expr::Select(SelectExpr { operand, field: select.field, test: select.test }) })
    }

    fn map(&mut self, map: MapExpr) -> Result<MapExpr, Problem> {
        let mut entries = map.entries;
        for entry in &mut entries {
            if let EntryExpr::MapEntry(pair) = &mut entry.expr {
                pair.key = self.rewrite(std::mem::take(&mut pair.key), Use::Value)?;
                pair.value = self.rewrite(std::mem::take(&mut pair.value), Use::Value)?;
            }
        }
        Ok(MapExpr { entries })
    }

    fn call(&mut self, id: u64, call: CallExpr) -> Result<IdedExpr, Problem> {
        if let Some(presence) = self.key_in_map(id, &call)? {
            return Ok(presence);
        }
        let name = call.func_name.clone();
        // Operators have names that cannot be written.
        if is_identifier(&name) {
            self.check_namespace(id, &call)?;
            let style = if call.target.is_some() { Style::Member } else { Style::Global };
            functions::check(self.environment.profile, &name, style).map_err(Problem::at(id))?;
            check_arguments(id, &call)?;
        }
        let purpose = |position: usize| match (name.as_str(), position) {
            (operators::INDEX, 0) | (operators::IN, 1) | ("size", _) => Use::Map,
            _ => Use::Value,
        };
        let target = match call.target {
            Some(target) => Some(Box::new(self.rewrite(*target, purpose(0))?)),
            None => None,
        };
        let arguments = call.args.into_iter().enumerate();
        let args = arguments.map(|(position, argument)| self.rewrite(argument, purpose(position)));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        Ok(match name.as_str() {
            "now" => self.now(id),
            "timeSince" => {
                let since = target.map(|target| *target).into_iter().chain(args);
                let args = std::iter::once(self.now(id)).chain(since).collect();
                operator(id, operators::SUBSTRACT, args)
            }
            _ => IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name, target, args }) },
        })
    }

    /// `math.abs(x)` and the like.
    fn check_namespace(&self, id: u64, call: &CallExpr) -> Result<(), Problem> {
        match call.target.as_ref().map(|target| &target.expr) {
            Some(Expr::Ident(name)) if NAMESPACES.contains(&name.as_str()) && !self.bound.contains(name) => {
                Err(Problem::new(id, format!("`{name}.{}` is not supported yet", call.func_name)))
            }
            _ => Ok(()),
        }
    }

    /// The time of the decision: `timestamp(@n)`, where the slot holds seconds.
    fn now(&mut self, id: u64) -> IdedExpr {
        let path = Path { written: "now()".into(), source: Source::Now, steps: vec![] };
        let seconds = self.slot(id, Slot::Value(path));
        operator(id, "timestamp", vec![seconds])
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
            Place::Record(..) => false,
        };
        if !is_map {
            return Ok(None);
        }
        match self.step(place, step).map_err(Problem::at(id))? {
            Place::Path(path) => Ok(Some(self.slot(id, Slot::Presence(path)))),
            Place::Record(..) | Place::Names(..) => Ok(None),
        }
    }

    fn comprehension(&mut self, id: u64, comprehension: ComprehensionExpr) -> Result<Expr, Problem> {
        if comprehension.iter_var2.is_some() {
            return Err(Problem::new(id, "comprehensions with two variables are not supported yet"));
        }
        let iter_range = self.rewrite(comprehension.iter_range, Use::Map)?;
        let accu_init = self.rewrite(comprehension.accu_init, Use::Value)?;
        if self.loops == LOOPS {
            return Err(Problem::new(id, format!("comprehensions nest deeper than {LOOPS}")));
        }
        self.loops += 1;
        self.bound.push(comprehension.iter_var.clone());
        let loop_cond = self.rewrite(comprehension.loop_cond, Use::Value)?;
        let loop_step = self.rewrite(comprehension.loop_step, Use::Value)?;
        let result = self.rewrite(comprehension.result, Use::Value)?;
        self.bound.pop();
        self.loops -= 1;
        let mut counted = ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, ..comprehension };
        count_steps(&mut counted);
        Ok(Expr::Comprehension(Box::new(counted)))
    }
}

/// Puts the counter where every step passes, in the forms that the interpreter knows how to run without copying: a guard on a step that
/// collects, and the condition of the loop for the others.
fn count_steps(comprehension: &mut ComprehensionExpr) {
    let step = || IdedExpr { id: 0, expr: Expr::Ident(STEP.to_owned()) };
    let both = |second: IdedExpr| operator(0, operators::LOGICAL_AND, vec![step(), second]);
    if let Expr::Call(call) = &mut comprehension.loop_step.expr {
        if call.func_name == operators::CONDITIONAL {
            if let Some(guard) = call.args.first_mut() {
                *guard = both(std::mem::take(guard));
                return;
            }
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

fn operator(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

/// An index that is written out.
fn fixed_step(index: &IdedExpr) -> Option<Step> {
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

/// Arguments that a request must not choose.
fn check_arguments(id: u64, call: &CallExpr) -> Result<(), Problem> {
    let text = |position: usize| match call.args.get(position).map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(text))) => Some(CelString::inner(text)),
        _ => None,
    };
    let arity = |wanted: usize, written: &str| {
        if call.args.len() + usize::from(call.target.is_some()) == wanted {
            return Ok(());
        }
        Err(Problem::new(id, format!("`{}` is written `{written}`", call.func_name)))
    };
    match call.func_name.as_str() {
        "now" => arity(0, "now()"),
        "timeSince" => arity(1, "timeSince(t)"),
        "matches" => {
            arity(2, "x.matches(pattern)")?;
            // SECURITY: compiling a pattern costs far more than its length: `a_pattern_out_of_the_request_is_refused`.
            let Some(pattern) = text(0) else {
                return Err(
                    Problem::new(id, "the pattern of `matches` is not a literal").with_help("write the pattern out")
                );
            };
            match cel::Context::default().resolve(&IdedExpr { id, expr: Expr::Call(probe(pattern)) }) {
                Ok(_) => Ok(()),
                Err(_) => Err(Problem::new(id, format!("`{pattern}` is not a regular expression"))),
            }
        }
        // SECURITY: replacing nothing by much multiplies lengths: `a_replacement_out_of_the_request_is_refused`.
        "replace" if text(0).is_none_or(str::is_empty) || text(1).is_none() => {
            Err(Problem::new(id, "what `replace` looks for and what it puts there are not literals")
                .with_help("write both out"))
        }
        _ => Ok(()),
    }
}

/// `"".matches(pattern)`: an error when the pattern is not one.
fn probe(pattern: &str) -> CallExpr {
    let text = |text: &str| IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::String(text.to_owned().into())) };
    CallExpr { func_name: "matches".to_owned(), target: Some(Box::new(text(""))), args: vec![text(pattern)] }
}

/// Can it be seen without running that the expression is not a boolean?
fn is_never_boolean(expr: &Expr) -> bool {
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
