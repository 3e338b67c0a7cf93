//! The functions that conditions may call.
//!
//! Only listed functions compile, each in the call style it is listed under. Left out on purpose: functions whose result can be far larger
//! than their arguments when a request chooses these (`format`, `lists.range`).

use std::net::IpAddr;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelList, CelString, DYN_TYPE, LIST_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::environment::{Profile, Unknown};
use super::suggest::closest;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
}

const GLOBAL: &[&str] =
    &["bool", "bytes", "double", "duration", "dyn", "int", "now", "size", "string", "timestamp", "type", "uint"];

const MEMBER: &[&str] = &[
    "charAt",
    "contains",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "indexOf",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "matches",
    "replace",
    "reverse",
    "size",
    "split",
    "startsWith",
    "substring",
    "trim",
    "upperAscii",
];

const CERBOS_GLOBAL: &[&str] =
    &["except", "hasIntersection", "has_intersection", "id", "intersect", "isSubset", "is_subset", "timeSince"];

const CERBOS_MEMBER: &[&str] = &[
    "distinct",
    "except",
    "flatten",
    "hasIntersection",
    "has_intersection",
    "inIPAddrRange",
    "intersect",
    "isSubset",
    "is_subset",
    "slice",
    "sort",
    "timeSince",
];

/// What Cerbos policies may call and this evaluator does not know yet.
const CERBOS_LATER: &[&str] = &[
    "ancestorOf",
    "commonAncestors",
    "descendentOf",
    "format",
    "hierarchy",
    "immediateChildOf",
    "immediateParentOf",
    "isMemberOf",
    "matchesID",
    "overlaps",
    "siblingOf",
    "sortBy",
    "spiffeID",
    "spiffeMatchAny",
    "spiffeMatchExact",
    "spiffeMatchOneOf",
    "spiffeMatchTrustDomain",
    "spiffeTrustDomain",
    "transformList",
    "transformMap",
    "transformMapEntry",
];

/// The macros, for advice only: the parser knows them.
const MACROS: &[&str] = &["all", "exists", "exists_one", "existsOne", "filter", "has", "map"];

/// The types, which are values in expressions such as `type(x) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Is that a function, called so?
pub(super) fn check(profile: Profile, name: &str, style: Style) -> Result<(), Unknown> {
    let (global, member) = match profile {
        Profile::Native => ([GLOBAL, &[]], [MEMBER, &[]]),
        Profile::Cerbos => ([GLOBAL, CERBOS_GLOBAL], [MEMBER, CERBOS_MEMBER]),
    };
    let is_global = global.concat().contains(&name);
    let is_member = member.concat().contains(&name);
    match style {
        Style::Global if is_global => Ok(()),
        Style::Member if is_member => Ok(()),
        Style::Global if is_member => {
            Err(Unknown::new(format!("`{name}` is called on a value")).with_help(format!("write `x.{name}(...)`")))
        }
        Style::Member if is_global => {
            Err(Unknown::new(format!("`{name}` is not called on a value")).with_help(format!("write `{name}(x)`")))
        }
        Style::Global | Style::Member if profile == Profile::Cerbos && CERBOS_LATER.contains(&name) => {
            Err(Unknown::new(format!("`{name}` is not supported yet")))
        }
        Style::Global | Style::Member if MACROS.contains(&name) => Err(Unknown::new(format!(
            "`{name}` is not written like that"
        ))
        .with_help(match name {
            "has" => "write `has(a.b)`",
            _ => {
                "with one variable and one expression, as in `list.all(x, x != 0)`; two variables are not supported yet"
            }
        })),
        Style::Global | Style::Member => {
            let known = [global.concat(), member.concat(), MACROS.to_vec()].concat();
            let unknown = Unknown::new(format!("unknown function `{name}`"));
            Err(match closest(name, known.into_iter()) {
                Some(known) => unknown.with_help(format!("did you mean `{known}`?")),
                None => unknown,
            })
        }
    }
}

/// Arguments that a request must not choose.
pub(super) fn check_arguments(call: &CallExpr) -> Result<(), Unknown> {
    let text = |position: usize| match call.args.get(position).map(|argument| &argument.expr) {
        Some(Expr::Literal(LiteralValue::String(text))) => Some(CelString::inner(text)),
        _ => None,
    };
    let arity = |wanted: usize, written: &str| {
        if call.args.len() + usize::from(call.target.is_some()) == wanted {
            return Ok(());
        }
        Err(Unknown::new(format!("`{}` is written `{written}`", call.func_name)))
    };
    match call.func_name.as_str() {
        "now" => arity(0, "now()"),
        "timeSince" => arity(1, "timeSince(t)"),
        "matches" => {
            arity(2, "x.matches(pattern)")?;
            // SECURITY: compiling a pattern costs far more than its length: `a_pattern_out_of_the_request_is_refused`.
            let Some(pattern) = text(0) else {
                return Err(
                    Unknown::new("the pattern of `matches` is not a literal").with_help("write the pattern out")
                );
            };
            match cel::Context::default().resolve(&IdedExpr { id: 0, expr: Expr::Call(probe(pattern)) }) {
                Ok(_) => Ok(()),
                Err(_) => Err(Unknown::new(format!("`{pattern}` is not a regular expression"))),
            }
        }
        // SECURITY: replacing nothing by much multiplies lengths: `a_replacement_out_of_the_request_is_refused`.
        "replace" if text(0).is_none_or(str::is_empty) || text(1).is_none() => {
            Err(Unknown::new("what `replace` looks for and what it puts there are not literals")
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

/// The interpreter's functions for native conditions.
pub(super) fn native() -> Env {
    let mut env = Env::stdlib().with_optional_support(false);
    // What cannot be declared is missing, and calling it is an error: nothing is granted by it.
    let declared = env.add_extension(extensions::strings);
    if declared.is_ok() { env } else { Env::default() }
}

/// The interpreter's functions for Cerbos conditions.
pub(super) fn cerbos() -> Env {
    let mut env = native();
    let declared = env.add_extension(extensions::lists).and_then(|()| env.add_extension(helpers));
    if declared.is_ok() { env } else { Env::default() }
}

/// The functions that Cerbos adds to the language.
fn helpers(env: &mut Env) -> Result<(), DeclarationError> {
    let lists: [(&str, cel::common::functions::Function); 6] = [
        ("hasIntersection", has_intersection),
        ("has_intersection", has_intersection),
        ("isSubset", is_subset),
        ("is_subset", is_subset),
        ("intersect", intersect),
        ("except", except),
    ];
    for (name, function) in lists {
        env.add_overload(name, &format!("{name}(list,list)"), vec![LIST_TYPE, LIST_TYPE], function)?;
        env.add_member_overload(name, &format!("list.{name}(list)"), LIST_TYPE, vec![LIST_TYPE], function)?;
    }
    env.add_member_overload("inIPAddrRange", "string.inIPAddrRange(string)", STRING_TYPE, vec![STRING_TYPE], in_range)?;
    env.add_overload("id", "id(dyn)", vec![DYN_TYPE], |mut arguments| {
        arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)
    })
}

/// The elements of a list.
type List<'v> = [Box<dyn Val + 'v>];

/// The two lists of a call.
fn two_lists<'c, 'v>(arguments: &'c [CowVal<'_, 'v>]) -> Result<(&'c List<'v>, &'c List<'v>), ExecutionError> {
    let [first, second] = arguments else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    match (first.downcast_ref::<CelList<'v>>(), second.downcast_ref::<CelList<'v>>()) {
        (Some(first), Some(second)) => Ok((first.inner(), second.inner())),
        _ => Err(ExecutionError::MissingArgumentOrTarget),
    }
}

/// Is the value among these? By CEL's equality.
fn among(value: &dyn Val, list: &List<'_>) -> bool {
    list.iter().any(|other| other.equals(value))
}

fn has_intersection<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (first, second) = two_lists(&arguments)?;
    Ok(CowVal::owned(CelBool::from(first.iter().any(|value| among(&**value, second)))))
}

fn is_subset<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (first, second) = two_lists(&arguments)?;
    Ok(CowVal::owned(CelBool::from(first.iter().all(|value| among(&**value, second)))))
}

/// In the order, and with the repetitions, of the shorter list.
fn intersect<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (first, second) = two_lists(&arguments)?;
    let (shorter, longer) = if second.len() < first.len() { (second, first) } else { (first, second) };
    let both: Vec<_> = shorter.iter().filter(|value| among(&***value, longer)).cloned().collect();
    Ok(CowVal::owned(CelList::from(both)))
}

fn except<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (first, second) = two_lists(&arguments)?;
    let rest: Vec<_> = first.iter().filter(|value| !among(&***value, second)).cloned().collect();
    Ok(CowVal::owned(CelList::from(rest)))
}

fn in_range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut texts = arguments.iter().map(|argument| argument.downcast_ref::<CelString<'v>>().map(CelString::inner));
    let (Some(Some(address)), Some(Some(range))) = (texts.next(), texts.next()) else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let invalid = |_| ExecutionError::function_error("inIPAddrRange", "not an address or not a range");
    let address = address.parse::<IpAddr>().map_err(|_| invalid(()))?.to_canonical();
    let range = range.parse::<ipnet::IpNet>().map_err(|_| invalid(()))?;
    Ok(CowVal::owned(CelBool::from(range.contains(&address))))
}
