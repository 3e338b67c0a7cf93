//! Comprehensions: what the macros leave, in forms that the interpreter runs.
//!
//! The interpreter knows loops with one variable. One with two goes through pairs, `@entryN`, and its variables stand for the halves. A map is
//! collected as a list of pairs first, as adding to a map copies it. `cel.bind` outside of loops is a slot, evaluated when it is read.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};

use super::super::LOOPS;
use super::super::environment::{Place, Profile};
use super::super::functions::{INSERT, RESULT};
use super::super::syntax::{count_steps, operator};
use super::calls::{kept, with_meter};
use super::{Bound, Compiler, Problem, Slot, Use};

impl Compiler<'_> {
    pub(super) fn comprehension(&mut self, id: u64, mut comprehension: ComprehensionExpr) -> Result<IdedExpr, Problem> {
        if is_binding(&comprehension) {
            return self.binding(id, comprehension);
        }
        let gatherer = gather_entries(&mut comprehension);
        let iter_range = self.rewrite(comprehension.iter_range, Use::Map)?;
        let accu_init = self.rewrite(comprehension.accu_init, Use::Value)?;
        if self.loops == LOOPS {
            return Err(Problem::new(id, format!("comprehensions nest deeper than {LOOPS}")));
        }
        let outside = self.bound.len();
        let (iter_range, iter_var) = match comprehension.iter_var2.take() {
            None => {
                self.bound.push(Bound { name: comprehension.iter_var.clone(), stands_for: None, place: None });
                (iter_range, comprehension.iter_var)
            }
            Some(second) => {
                let entry = format!("@entry{}", self.loops);
                for (at, name) in [(0, comprehension.iter_var), (1, second)] {
                    let entry = IdedExpr { id: 0, expr: Expr::Ident(entry.clone()) };
                    let at = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(at.into())) };
                    let half = operator(0, operators::INDEX, vec![entry, at]);
                    self.bound.push(Bound { name, stands_for: Some(half), place: None });
                }
                (with_meter(id, "@entries", iter_range), entry)
            }
        };
        self.loops += 1;
        let loop_cond = self.rewrite(comprehension.loop_cond, Use::Value)?;
        let loop_step = self.rewrite(comprehension.loop_step, Use::Value)?;
        let result = self.rewrite(comprehension.result, Use::Value)?;
        self.loops -= 1;
        self.bound.truncate(outside);
        let accu_var = comprehension.accu_var;
        let mut counted = ComprehensionExpr {
            iter_range,
            iter_var,
            iter_var2: None,
            accu_var,
            accu_init,
            loop_cond,
            loop_step,
            result,
        };
        count_steps(&mut counted);
        let whole = IdedExpr { id, expr: Expr::Comprehension(Box::new(counted)) };
        Ok(match gatherer {
            Some(gatherer) => with_meter(id, gatherer, whole),
            None => whole,
        })
    }

    /// A loop that never runs gives a value a name.
    fn binding(&mut self, id: u64, comprehension: ComprehensionExpr) -> Result<IdedExpr, Problem> {
        let name = comprehension.accu_var.clone();
        // A name for a message stands for the message: it is no value in itself.
        if let Some(place @ Place::Record(..)) = self.place(&comprehension.accu_init)? {
            self.bound.push(Bound { name, stands_for: None, place: Some(place) });
            let result = self.rewrite(comprehension.result, Use::Value);
            self.bound.pop();
            return result;
        }
        let value = self.rewrite(comprehension.accu_init, Use::Value)?;
        if self.loops == 0 {
            let is_simple = matches!(&value.expr, Expr::Literal(_) | Expr::Ident(_));
            let stands_for = if is_simple { value } else { self.slot(id, Slot::Bound(Box::new(value))) };
            self.bound.push(Bound { name, stands_for: Some(stands_for), place: None });
            let result = self.rewrite(comprehension.result, Use::Value);
            self.bound.pop();
            return result;
        }
        self.bound.push(Bound { name: name.clone(), stands_for: None, place: None });
        let result = self.rewrite(comprehension.result, Use::Value);
        self.bound.pop();
        let accu_init = if self.environment.profile == Profile::Cerbos { kept(value) } else { value };
        let loop_step = IdedExpr { id: 0, expr: Expr::Ident(name) };
        let bound = ComprehensionExpr { accu_init, loop_step, result: result?, ..comprehension };
        Ok(IdedExpr { id, expr: Expr::Comprehension(Box::new(bound)) })
    }
}

fn is_binding(comprehension: &ComprehensionExpr) -> bool {
    let is_empty = matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty());
    let never =
        matches!(&comprehension.loop_cond.expr, Expr::Literal(LiteralValue::Boolean(goes_on)) if !goes_on.inner());
    is_empty && never
}

/// Makes a step that puts entries into a map collect them in a list; tells what makes a map of that list.
fn gather_entries(comprehension: &mut ComprehensionExpr) -> Option<&'static str> {
    let Expr::Call(step) = &mut comprehension.loop_step.expr else {
        return None;
    };
    let insertion = match step.func_name.as_str() {
        operators::CONDITIONAL => {
            let Expr::Call(insertion) = &mut step.args.get_mut(1)?.expr else { return None };
            (insertion.func_name == INSERT).then_some(insertion)?
        }
        INSERT => step,
        _ => return None,
    };
    let mut args = std::mem::take(&mut insertion.args);
    let entry: Vec<IdedExpr> = args.drain(1..).collect();
    let list = |elements| IdedExpr { id: 0, expr: Expr::List(ListExpr::new(elements)) };
    let (item, gatherer) = match entry.len() {
        1 => (list(entry), "@merge"),
        _ => (list(vec![list(entry)]), "@map"),
    };
    let so_far = IdedExpr { id: 0, expr: Expr::Ident(RESULT.to_owned()) };
    *insertion = CallExpr { func_name: operators::ADD.to_owned(), target: None, args: vec![so_far, item] };
    comprehension.accu_init = list(vec![]);
    Some(gatherer)
}
