//! The functions that conditions may call.
//!
//! Only listed functions compile, each in the call style it is listed under. Left out of native conditions on purpose: functions whose result
//! can be far larger than their arguments when a request chooses these (`format`, `lists.range`); Cerbos conditions pay for them.

mod builders;
mod format;
mod hierarchy;
mod macros;
mod meter;
mod network;
mod pattern;
mod sets;
mod spiffe;
mod text;
mod time;

use cel::common::ast::{CallExpr, Expr, LiteralValue};
use cel::common::types::{CelString, DYN_TYPE, LIST_TYPE, STRING_TYPE};
use cel::{DeclarationError, Env, ExecutionError, extensions};

pub(super) use format::may_have_decimals;
pub(super) use hierarchy::Hierarchy;
pub(super) use macros::{INSERT, RESULT};
pub(super) use meter::Meter;
pub(super) use pattern::Pattern;
pub(super) use spiffe::{Matcher, SpiffeId, TrustDomain};
pub(in crate::policy) use text::double;
pub(super) use text::{rfc3339, seconds};

use super::environment::{Profile, Sets, Unknown};
use super::suggest::closest;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
    /// `math.f(x)`
    Namespaced,
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

const CERBOS_GLOBAL: &[&str] = &[
    "except",
    "hasIntersection",
    "has_intersection",
    "hierarchy",
    "id",
    "intersect",
    "isSubset",
    "is_subset",
    "matches",
    "spiffeID",
    "spiffeMatchAny",
    "spiffeMatchExact",
    "spiffeMatchOneOf",
    "spiffeMatchTrustDomain",
    "spiffeTrustDomain",
    "timeSince",
];

const CERBOS_MEMBER: &[&str] = &[
    "ancestorOf",
    "commonAncestors",
    "descendentOf",
    "distinct",
    "except",
    "flatten",
    "format",
    "hasIntersection",
    "has_intersection",
    "id",
    "immediateChildOf",
    "immediateParentOf",
    "inIPAddrRange",
    "intersect",
    "isMemberOf",
    "isSubset",
    "is_subset",
    "matchesID",
    "name",
    "overlaps",
    "path",
    "siblingOf",
    "slice",
    "sort",
    "timeSince",
    "trustDomain",
];

const CERBOS_NAMESPACED: &[&str] = &[
    "base64.decode",
    "base64.encode",
    "lists.range",
    "math.abs",
    "math.bitAnd",
    "math.bitNot",
    "math.bitOr",
    "math.bitShiftLeft",
    "math.bitShiftRight",
    "math.bitXor",
    "math.ceil",
    "math.floor",
    "math.isFinite",
    "math.isInf",
    "math.isNaN",
    "math.round",
    "math.sign",
    "math.sqrt",
    "math.trunc",
    "strings.quote",
];

/// Where the language's extensions keep their functions, those of later versions of Cerbos too.
pub(super) const NAMESPACES: &[&str] =
    &["base64", "cel", "ip", "json", "lists", "math", "optional", "regex", "sets", "strings"];

/// What versions of Cerbos after 0.51 let policies call.
const CERBOS_LATER: &[&str] = &[
    "basePath",
    "cidr",
    "containsCIDR",
    "containsIP",
    "dirPath",
    "extPath",
    "family",
    "first",
    "hasValue",
    "ip",
    "isCIDR",
    "isCanonical",
    "isIP",
    "joinPath",
    "last",
    "masked",
    "optFlatMap",
    "optMap",
    "or",
    "orValue",
    "pathHasPrefix",
    "pathMatch",
    "pathMatchAnyOf",
    "prefixLength",
    "relPath",
    "volumeName",
];

/// The macros, for advice only: the parser knows them.
const MACROS: &[&str] = &["all", "exists", "exists_one", "existsOne", "filter", "has", "map"];

const CERBOS_MACROS: &[&str] =
    &["cel.bind", "math.greatest", "math.least", "sortBy", "transformList", "transformMap", "transformMapEntry"];

/// The types, which are values in expressions such as `type(x) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Is that a function, called so?
pub(super) fn check(profile: Profile, name: &str, style: Style) -> Result<(), Unknown> {
    let (global, member, namespaced) = match profile {
        Profile::Native => ([GLOBAL, &[]], [MEMBER, &[]], [].as_slice()),
        Profile::Cerbos => ([GLOBAL, CERBOS_GLOBAL], [MEMBER, CERBOS_MEMBER], CERBOS_NAMESPACED),
    };
    let is_global = global.concat().contains(&name);
    let is_member = member.concat().contains(&name);
    match style {
        Style::Global if is_global => return Ok(()),
        Style::Member if is_member => return Ok(()),
        Style::Namespaced if namespaced.contains(&name) => return Ok(()),
        Style::Global if is_member => {
            return Err(
                Unknown::new(format!("`{name}` is called on a value")).with_help(format!("write `x.{name}(...)`"))
            );
        }
        Style::Member if is_global => {
            return Err(
                Unknown::new(format!("`{name}` is not called on a value")).with_help(format!("write `{name}(x)`"))
            );
        }
        Style::Global | Style::Member | Style::Namespaced => {}
    }
    if let Some(help) = macro_help(profile, name) {
        return Err(Unknown::new(format!("`{name}` is not written like that")).with_help(help));
    }
    if let (Profile::Cerbos, Some(help)) = (profile, later_help(name)) {
        return Err(Unknown::new(format!("Cerbos 0.51 has no function `{name}`")).with_help(help));
    }
    if profile == Profile::Native && style == Style::Namespaced {
        return Err(Unknown::new(format!("`{name}` is no function of native conditions")));
    }
    let offered = if profile == Profile::Cerbos { CERBOS_MACROS } else { &[] };
    let known = [global.concat(), member.concat(), namespaced.to_vec(), MACROS.to_vec(), offered.to_vec()].concat();
    let unknown = Unknown::new(format!("unknown function `{name}`"));
    Err(match closest(name, known.into_iter()) {
        Some(known) => unknown.with_help(format!("did you mean `{known}`?")),
        None => unknown,
    })
}

/// How a macro is written.
fn macro_help(profile: Profile, name: &str) -> Option<&'static str> {
    match (profile, name) {
        (_, "has") => Some("write `has(a.b)`"),
        (Profile::Native, name) if MACROS.contains(&name) => {
            Some("with one variable and one expression, as in `list.all(x, x != 0)`")
        }
        (Profile::Cerbos, "cel.bind") => Some("write `cel.bind(name, value, expression)`"),
        (Profile::Cerbos, "math.greatest" | "math.least") => {
            Some("write the numbers, or a list of them, in the brackets")
        }
        (Profile::Cerbos, "sortBy") => Some("write `list.sortBy(x, x.name)`"),
        (Profile::Cerbos, "transformList" | "transformMap" | "transformMapEntry") => {
            Some("with two variables, as in `list.transformList(index, value, value)`")
        }
        (Profile::Cerbos, "existsOne") => Some("with two variables, as in `map.existsOne(key, value, key != value)`"),
        (Profile::Cerbos, name) if MACROS.contains(&name) => {
            Some("with one variable or two, as in `list.all(x, x != 0)` and `map.all(key, value, key != value)`")
        }
        _ => None,
    }
}

/// What to write instead of a function that came after Cerbos 0.51.
fn later_help(name: &str) -> Option<&'static str> {
    match name {
        "sets.intersects" => Some("write `hasIntersection(a, b)`"),
        "sets.contains" => Some("write `isSubset(b, a)`"),
        "sets.equivalent" => Some("write `isSubset(a, b) && isSubset(b, a)`"),
        _ if name.starts_with("optional.") => Some("ask with `has(a.b)` before reading `a.b`"),
        "regex.replace" | "regex.extract" | "regex.extractAll" => Some("ask with `x.matches(pattern)`"),
        "ip" | "cidr" | "containsIP" => Some("ask with `address.inIPAddrRange(range)`"),
        _ if CERBOS_LATER.contains(&name) || name.starts_with("ip.") || name.starts_with("json.") => {
            Some("only later versions have it")
        }
        _ => None,
    }
}

/// When the work of a function is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paid {
    /// The function is handed the meter.
    Before,
    /// It does little.
    Never,
}

/// Under which name Cerbos conditions call a function, when it is not its own.
pub(super) fn internal(name: &str) -> Option<(&'static str, Paid)> {
    Some(match name {
        "distinct" => ("@distinct", Paid::Before),
        "duration" => ("@duration", Paid::Never),
        "indexOf" => ("@indexOf", Paid::Never),
        "lastIndexOf" => ("@lastIndexOf", Paid::Never),
        "timestamp" => ("@timestamp", Paid::Never),
        "except" => ("@except", Paid::Before),
        "hasIntersection" => ("@hasIntersection", Paid::Before),
        "has_intersection" => ("@has_intersection", Paid::Before),
        "intersect" => ("@intersect", Paid::Before),
        "isSubset" => ("@isSubset", Paid::Before),
        "is_subset" => ("@is_subset", Paid::Before),
        "join" => ("@join", Paid::Before),
        "lists.range" => ("@lists.range", Paid::Before),
        "replace" => ("@replace", Paid::Before),
        _ => return None,
    })
}

/// Does it tell a part of a time?
pub(super) fn tells_time(name: &str) -> bool {
    name.starts_with("get") && MEMBER.contains(&name)
}

/// Does it build a value that must be paid for?
pub(super) fn grows(name: &str) -> bool {
    name == cel::common::ast::operators::ADD
        || matches!(
            name,
            "base64.decode"
                | "base64.encode"
                | "bytes"
                | "except"
                | "flatten"
                | "format"
                | "hierarchy"
                | "intersect"
                | "lowerAscii"
                | "reverse"
                | "slice"
                | "sort"
                | "@sortByAssociatedKeys"
                | "split"
                | "string"
                | "strings.quote"
                | "substring"
                | "trim"
                | "upperAscii"
        )
}

/// Arguments that a request must not choose.
pub(super) fn check_arguments(profile: Profile, call: &CallExpr) -> Result<(), Unknown> {
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
        "matches" => arity(2, "x.matches(pattern)"),
        // SECURITY: replacing nothing by much multiplies lengths: `a_replacement_out_of_the_request_is_refused`.
        "replace" if profile == Profile::Native && (text(0).is_none_or(str::is_empty) || text(1).is_none()) => {
            Err(Unknown::new("what `replace` looks for and what it puts there are not literals")
                .with_help("write both out"))
        }
        _ => Ok(()),
    }
}

/// The interpreter's functions for native conditions.
pub(super) fn native() -> Env {
    let mut env = Env::stdlib().with_optional_support(false);
    // What cannot be declared is missing, and calling it is an error: nothing is granted by it.
    let declared = env.add_extension(extensions::strings).and_then(|()| {
        env.add_overload("@matches", "@matches(text,pattern)", vec![DYN_TYPE, DYN_TYPE], pattern::matches)?;
        env.add_overload("@since", "@since(any, any)", vec![DYN_TYPE, DYN_TYPE], time::since)?;
        env.add_overload("@utc", "@utc(any)", vec![DYN_TYPE], time::utc)
    });
    if declared.is_ok() { env } else { Env::default() }
}

/// The interpreter's functions for Cerbos conditions.
pub(super) fn cerbos(sets: Sets) -> Env {
    let mut env = native();
    // Of two entries with one key the last one counts.
    env.set_error_on_duplicate_map_keys(false);
    let declared = [extensions::lists, extensions::math, builders::extension, hierarchy::extension, spiffe::extension]
        .into_iter()
        .chain([text::extension, time::extension, format::extension, macros::extension, paid])
        .try_for_each(|extension| env.add_extension(extension))
        .and_then(|()| declare_sets(&mut env, sets))
        .and_then(|()| spiffe::declare_id(&mut env, sets));
    if declared.is_ok() { env } else { Env::default() }
}

/// What remains of the functions of Cerbos, and what the compiler puts in.
fn paid(env: &mut Env) -> Result<(), DeclarationError> {
    let three = vec![DYN_TYPE, STRING_TYPE, STRING_TYPE];
    env.add_overload("@matches", "@matches(meter,text,text)", three, pattern::matches_computed)?;
    env.add_overload("@kept", "@kept(meter,value)", vec![DYN_TYPE, DYN_TYPE], meter::kept)?;
    env.add_overload("@has", "@has(value,text)", vec![DYN_TYPE, STRING_TYPE], builders::has)?;
    env.add_overload("@key", "@key(meter,value)", vec![DYN_TYPE, DYN_TYPE], meter::key)?;
    let texts = vec![STRING_TYPE];
    env.add_member_overload("inIPAddrRange", "string.inIPAddrRange(string)", STRING_TYPE, texts, network::in_range)?;
    env.add_overload("id", "id(dyn)", vec![DYN_TYPE], |mut arguments| {
        arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)
    })
}

fn declare_sets(env: &mut Env, sets: Sets) -> Result<(), DeclarationError> {
    for (name, function) in sets::functions(sets) {
        let name = format!("@{name}");
        env.add_overload(&name, &format!("{name}(meter,list,list)"), vec![DYN_TYPE, LIST_TYPE, LIST_TYPE], function)?;
    }
    Ok(())
}
