//! The functions that conditions may call.
//!
//! Only listed functions compile, each in the call style it is listed under. Left out on purpose: functions whose result can be far larger
//! than their arguments when a request chooses these (`format`, `lists.range`).

use std::net::IpAddr;

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
        Style::Global | Style::Member if MACROS.contains(&name) => {
            Err(Unknown::new(format!("`{name}` is not written like that")).with_help(match name {
                "has" => "write `has(a.b)`",
                _ => "write `list.all(x, condition)`, and so on",
            }))
        }
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

/// The two lists of a call.
fn two_lists<'c, 'v>(
    arguments: &'c [CowVal<'_, 'v>],
) -> Result<(&'c [Box<dyn Val + 'v>], &'c [Box<dyn Val + 'v>]), ExecutionError> {
    let [first, second] = arguments else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    match (first.downcast_ref::<CelList<'v>>(), second.downcast_ref::<CelList<'v>>()) {
        (Some(first), Some(second)) => Ok((first.inner(), second.inner())),
        _ => Err(ExecutionError::MissingArgumentOrTarget),
    }
}

/// Is the value among these? By CEL's equality.
fn among(value: &dyn Val, list: &[Box<dyn Val + '_>]) -> bool {
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
