//! One evaluation of one expression: reads its slots, and runs the interpreter where no shortcut does.
//!
//! Values are converted for the interpreter once, when it first asks for them. The work is bounded: the parts of converted values and the
//! steps of comprehensions are counted, and an evaluation that exceeds its budget is an error, whatever its expression makes of it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelMap, CelMapKey, CelString, CelTimestamp};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, Value};

use super::compile::Slot;
use super::environment::{Message, Multitude, Part};
use super::functions::Meter;
use super::names::{Case, NO_SINGLE_READING, Names};
use super::path::is_identifier;
use super::scope::Scope;
use super::syntax::{METER, STEP};
use super::value::Reading;
use super::{Computed, EvaluationError, PARTS, Program, STEP_COST};

/// One evaluation.
pub(super) struct Evaluation<'s> {
    program: &'s Program,
    scope: &'s Scope<'s>,
    /// One cell for each slot; made when the interpreter is first asked.
    converted: OnceLock<Box<[Cell<'s>]>>,
    /// How many parts the converted values have.
    converted_parts: AtomicUsize,
    /// How many parts there are to go through, those of variables too.
    parts: AtomicUsize,
    meter: Meter,
    is_prepared: AtomicBool,
    yes: CelBool,
}

/// A slot's value as the interpreter takes it, or why there is none.
type Cell<'s> = OnceLock<Result<CowVal<'s, 's>, EvaluationError>>;

impl<'s> Evaluation<'s> {
    pub(super) fn new(program: &'s Program, scope: &'s Scope<'s>) -> Self {
        Self {
            program,
            scope,
            converted: OnceLock::new(),
            converted_parts: AtomicUsize::new(0),
            parts: AtomicUsize::new(0),
            meter: Meter::default(),
            is_prepared: AtomicBool::new(false),
            yes: CelBool::from(true),
        }
    }

    /// Reads a slot that holds one value.
    pub(super) fn read(&self, slot: usize) -> Result<Reading<'s>, EvaluationError> {
        match self.program.slots.get(slot) {
            Some(Slot::Value(path)) => path.read(self.scope),
            Some(Slot::Presence(path)) => path.is_present(self.scope, self.program.fields).map(Reading::Bool),
            Some(
                Slot::Names(_)
                | Slot::Message(_)
                | Slot::Now
                | Slot::Variable(_)
                | Slot::HasVariable(_)
                | Slot::Global(..)
                | Slot::Pattern(_)
                | Slot::Bound(_),
            )
            | None => Err(EvaluationError::Internal),
        }
    }

    /// Runs the interpreter on an expression that must be a boolean.
    pub(super) fn interpret(&self, expression: &IdedExpr) -> Result<bool, EvaluationError> {
        self.run(expression, |value| value.downcast_ref::<CelBool>().map(|answer| *answer.inner()))?
            .ok_or(EvaluationError::NotBoolean)
    }

    /// Runs the interpreter on an expression of any type.
    pub(super) fn compute(&self, expression: &IdedExpr) -> Result<Computed, EvaluationError> {
        self.run(expression, Computed::of)?.ok_or(EvaluationError::Types)
    }

    /// Evaluates variables and bound names in the order in which they use each other. What fails here fails where it is read.
    // SECURITY: evaluated where they are read they would nest beyond what the stack holds: `names_that_are_bound_to_each_other_do_not_nest`.
    fn prepare(&self) {
        if self.is_prepared.swap(true, Ordering::Relaxed) {
            return;
        }
        for (slot, reads) in self.program.slots.iter().enumerate() {
            if let (Slot::Variable(_) | Slot::HasVariable(_) | Slot::Bound(_), Some(cell)) = (reads, self.cell(slot)) {
                cell.get_or_init(|| self.convert(slot));
            }
        }
    }

    fn run<T>(&self, expression: &IdedExpr, take: impl Fn(&dyn Val) -> T) -> Result<T, EvaluationError> {
        self.prepare();
        // A panic of the interpreter is an error like any other: it grants nothing.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(self.program.interpreter.0.clone());
            context.set_variable_resolver(self);
            let value = Value::resolve_val(expression, &context)?;
            Ok(take(value.as_ref()))
        }));
        match outcome {
            Err(_) => Err(EvaluationError::Internal),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.explain(&error)),
        }
    }

    /// Did the evaluation cost more than it may?
    pub(super) fn is_spent(&self) -> bool {
        self.meter.is_spent()
    }

    fn cell(&self, slot: usize) -> Option<&Cell<'s>> {
        let slots = self.program.slots.len();
        self.converted.get_or_init(|| (0..slots).map(|_| Cell::new()).collect()).get(slot)
    }

    fn convert(&self, slot: usize) -> Result<CowVal<'s, 's>, EvaluationError> {
        Ok(match self.program.slots.get(slot) {
            Some(Slot::Names(names)) => CowVal::Owned(self.counted(|room| self.names(*names, room))?),
            Some(Slot::Value(_) | Slot::Presence(_)) => {
                let reading = self.read(slot)?;
                CowVal::Owned(self.counted(|room| Ok(reading.into_val(room)))?)
            }
            Some(Slot::Message(message)) => CowVal::Owned(self.counted(|room| self.message(message, room))?),
            Some(Slot::Now) => CowVal::owned(self.now()?),
            Some(Slot::Variable(name)) => {
                let value = self.variable(name)?;
                self.parts.fetch_add(value.parts(), Ordering::Relaxed);
                CowVal::Borrowed(value.value())
            }
            Some(Slot::HasVariable(name)) => CowVal::owned(CelBool::from(self.has_variable(name))),
            Some(Slot::Global(_, Some(value))) => {
                self.parts.fetch_add(value.parts(), Ordering::Relaxed);
                CowVal::Borrowed(value.value())
            }
            Some(Slot::Global(name, None)) => return Err(EvaluationError::Absent(format!("G.{name}").into())),
            Some(Slot::Pattern(pattern)) => CowVal::Borrowed(pattern),
            Some(Slot::Bound(expression)) => {
                let value = self.compute(expression)?;
                self.parts.fetch_add(value.parts(), Ordering::Relaxed);
                CowVal::Owned(value.into_box())
            }
            None => return Err(EvaluationError::Internal),
        })
    }

    /// Converts a value into no more parts than there is room for.
    fn counted(
        &self,
        convert: impl FnOnce(&mut usize) -> Result<Option<Box<dyn Val + 's>>, EvaluationError>,
    ) -> Result<Box<dyn Val + 's>, EvaluationError> {
        let before = PARTS.saturating_sub(self.converted_parts.load(Ordering::Relaxed));
        let mut room = before;
        let value = convert(&mut room)?;
        self.converted_parts.fetch_add(before - room, Ordering::Relaxed);
        self.parts.fetch_add(before - room, Ordering::Relaxed);
        value.ok_or(EvaluationError::TooLarge)
    }

    fn now(&self) -> Result<CelTimestamp, EvaluationError> {
        let seconds = i64::try_from(self.scope.now.seconds()).ok();
        let time = seconds.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, self.scope.nanos));
        time.map(|time| CelTimestamp::from(time.fixed_offset())).ok_or(EvaluationError::Arithmetic)
    }

    fn variable(&self, name: &str) -> Result<&'s Computed, EvaluationError> {
        let scope = self.scope;
        let variables = scope.variables.ok_or_else(|| EvaluationError::Absent(format!("V.{name}").into()))?;
        variables.read(name, scope)
    }

    fn has_variable(&self, name: &str) -> bool {
        self.scope.variables.is_some_and(|variables| variables.is_present(name, self.scope))
    }

    /// What is set in a message.
    fn message(&self, message: &'s Message, room: &mut usize) -> Result<Option<Box<dyn Val + 's>>, EvaluationError> {
        let mut entries: HashMap<CelMapKey<'s>, Box<dyn Val + 's>> = HashMap::new();
        for (name, part) in message {
            let presence = match part {
                Part::Path(path) => Some(path),
                Part::Message(_, presence) => presence.as_ref(),
            };
            if let Some(presence) = presence
                && !presence.is_present(self.scope, self.program.fields)?
            {
                continue;
            }
            let value = match part {
                Part::Path(path) => path.read(self.scope)?.into_val(room),
                Part::Message(message, _) => self.message(message, room)?,
            };
            let Some(value) = value else { return Ok(None) };
            entries.insert(CelMapKey::String(CelString::from(*name)), value);
        }
        Ok(Some(Box::new(CelMap::from(entries))))
    }

    /// All header fields but credentials, or all query parameters.
    fn names(&self, names: Multitude, room: &mut usize) -> Result<Option<Box<dyn Val + 's>>, EvaluationError> {
        let request = self.scope.request.as_ref().ok_or_else(|| EvaluationError::Absent("request".into()))?;
        let mut all = match names {
            Multitude::Headers => Names::new(Case::Folded),
            Multitude::Queries => Names::new(Case::Exact),
        };
        match names {
            Multitude::Headers => {
                // SECURITY: `a_credential_header_is_not_visible`.
                let hidden = &self.program.credential_headers;
                for (name, value) in request.headers.iter().filter(|(name, _)| !hidden.contains(name)) {
                    let text = std::str::from_utf8(value.as_bytes()).ok().map(CelString::from);
                    all.add(CelString::from(name.as_str()), text);
                    if all.len() > *room {
                        return Ok(None);
                    }
                }
            }
            Multitude::Queries => {
                let unreadable = || EvaluationError::Unreadable("request.query".into());
                // SECURITY: some programs would split at `;` too: `a_semicolon_does_not_hide_a_name_from_a_condition`.
                if request.query.as_str().is_some_and(|raw| raw.contains(';')) {
                    return Err(unreadable());
                }
                for pair in request.query.pairs() {
                    // Some programs would repair a pair that is not text into the wanted one.
                    let (name, value) = pair.ok_or_else(unreadable)?;
                    all.add(CelString::from(name), Some(CelString::from(value)));
                    if all.len() > *room {
                        return Ok(None);
                    }
                }
            }
        }
        *room -= all.len();
        Ok(Some(Box::new(all)))
    }

    /// Counts one step of a comprehension. Larger data makes a step dearer.
    fn step(&self) -> bool {
        let cost = self.parts.load(Ordering::Relaxed).max(STEP_COST);
        self.meter.charge(cost).is_ok()
    }

    /// The interpreter's error without the values in it, which may be personal data.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is about types, and the enum is open")]
    fn explain(&self, error: &ExecutionError) -> EvaluationError {
        match error {
            ExecutionError::UndeclaredReference(name) => {
                let slot = name.strip_prefix('@').and_then(|slot| slot.parse().ok());
                match slot.and_then(|slot| self.cell(slot)).and_then(OnceLock::get) {
                    Some(Err(error)) => error.clone(),
                    Some(Ok(_)) | None => EvaluationError::Internal,
                }
            }
            ExecutionError::NoSuchKey(_) => EvaluationError::NoSuchKey,
            ExecutionError::IndexOutOfBounds(_) => EvaluationError::OutOfBounds,
            ExecutionError::NoSuchOverload(overload) => {
                EvaluationError::Operands(plain_name(overload.function()).into())
            }
            ExecutionError::UnsupportedBinaryOperator(name, ..) => EvaluationError::Operands((*name).into()),
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) | ExecutionError::Overflow(..) => {
                EvaluationError::Arithmetic
            }
            ExecutionError::FunctionError { function, .. } if function == NO_SINGLE_READING => {
                EvaluationError::NoSingleReading
            }
            ExecutionError::FunctionError { function, .. } => EvaluationError::Function(plain_name(function).into()),
            ExecutionError::InternalError(_) => EvaluationError::Internal,
            _ => EvaluationError::Types,
        }
    }
}

/// A function by its name, an operator by its signs.
fn plain_name(name: &str) -> String {
    if is_identifier(name) && !name.starts_with('_') { name.to_owned() } else { name.replace(['_', '@'], "") }
}

impl VariableResolver for Evaluation<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let slot = variable.strip_prefix('@')?;
        match variable {
            STEP => return self.step().then_some(CowVal::Borrowed(&self.yes)),
            METER => return Some(CowVal::Borrowed(&self.meter)),
            _ => {}
        }
        let slot = slot.parse().ok()?;
        let value = self.cell(slot)?.get_or_init(|| self.convert(slot));
        value.as_ref().ok().map(|value| CowVal::Borrowed(&**value))
    }
}
