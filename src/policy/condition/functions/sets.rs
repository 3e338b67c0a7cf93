//! Lists as sets: `hasIntersection`, `isSubset`, `intersect`, `except`.
//!
//! Elements are compared by the language's `==`. As of Cerbos 0.51 a list of more than three numbers, texts, times or durations compares by type and
//! value instead, so that `1.0` out of a request is not the `1` of a policy.

use std::collections::HashSet;

use cel::ExecutionError;
use cel::common::functions::Function;
use cel::common::types::{CelBool, CelDouble, CelDuration, CelInt, CelList, CelString, CelTimestamp, CelUInt};
use cel::common::value::{CowVal, Val};

use super::super::environment::Sets;
use super::meter::{Meter, metered};

/// The functions by name: the deprecated spellings too.
pub(super) fn functions(sets: Sets) -> [(&'static str, Function); 6] {
    match sets {
        Sets::Equality => [
            ("hasIntersection", |arguments| has_intersection(&arguments, Sets::Equality)),
            ("has_intersection", |arguments| has_intersection(&arguments, Sets::Equality)),
            ("isSubset", |arguments| is_subset(&arguments, Sets::Equality)),
            ("is_subset", |arguments| is_subset(&arguments, Sets::Equality)),
            ("intersect", |arguments| intersect(&arguments, Sets::Equality)),
            ("except", |arguments| except(&arguments, Sets::Equality)),
        ],
        Sets::AsOf051 => [
            ("hasIntersection", |arguments| has_intersection(&arguments, Sets::AsOf051)),
            ("has_intersection", |arguments| has_intersection(&arguments, Sets::AsOf051)),
            ("isSubset", |arguments| is_subset(&arguments, Sets::AsOf051)),
            ("is_subset", |arguments| is_subset(&arguments, Sets::AsOf051)),
            ("intersect", |arguments| intersect(&arguments, Sets::AsOf051)),
            ("except", |arguments| except(&arguments, Sets::AsOf051)),
        ],
    }
}

/// The elements of a list.
type List<'v> = [Box<dyn Val + 'v>];

/// From how many elements on 0.51 compares by type and value.
const HASHED_FROM: usize = 4;

/// From how many texts on it is quicker to look them up.
const TEXTS_FROM: usize = 8;

/// A value by its type and its content.
#[derive(PartialEq, Eq, Hash)]
enum Exact<'c> {
    Text(&'c str),
    Int(i64),
    Uint(u64),
    Double(u64),
    Duration(chrono::Duration),
    Timestamp(i64, u32, i32),
}

impl<'c> Exact<'c> {
    fn of(value: &'c dyn Val) -> Option<Self> {
        if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            return Some(Self::Text(text.inner()));
        }
        if let Some(number) = value.downcast_ref::<CelDouble>() {
            // The two zeros are one; what is no number is stored and never found.
            return Some(Self::Double((*number.inner() + 0.0).to_bits()));
        }
        if let Some(time) = value.downcast_ref::<CelTimestamp>().map(CelTimestamp::inner) {
            let zone = time.offset().local_minus_utc();
            return Some(Self::Timestamp(time.timestamp(), time.timestamp_subsec_nanos(), zone));
        }
        let int = value.downcast_ref::<CelInt>().map(|number| Self::Int(*number.inner()));
        let uint = || value.downcast_ref::<CelUInt>().map(|number| Self::Uint(*number.inner()));
        let duration = || value.downcast_ref::<CelDuration>().map(|duration| Self::Duration(*duration.inner()));
        int.or_else(uint).or_else(duration)
    }

    fn can_be_found(&self) -> bool {
        match self {
            Self::Double(bits) => !f64::from_bits(*bits).is_nan(),
            Self::Text(_) | Self::Int(_) | Self::Uint(_) | Self::Duration(_) | Self::Timestamp(..) => true,
        }
    }
}

/// What elements are looked for in.
enum Members<'c, 'v> {
    /// One after the other.
    Listed(&'c List<'v>),
    Hashed(HashSet<Exact<'c>>),
}

impl<'c, 'v> Members<'c, 'v> {
    /// Pays for looking up so many values, too.
    fn new(list: &'c List<'v>, sets: Sets, meter: &Meter, lookups: usize) -> Result<Self, ExecutionError> {
        let hashed = || list.iter().map(|item| Exact::of(&**item)).collect::<Option<HashSet<_>>>();
        let texts = |set: &HashSet<Exact<'_>>| set.iter().all(|item| matches!(item, Exact::Text(_)));
        let set = match sets {
            Sets::AsOf051 if list.len() >= HASHED_FROM => hashed(),
            Sets::Equality | Sets::AsOf051 if list.len() >= TEXTS_FROM => hashed().filter(texts),
            Sets::Equality | Sets::AsOf051 => None,
        };
        // SECURITY: `comparing_long_lists_stops_at_the_budget`.
        meter.charge(match set {
            Some(_) => list.len() + lookups,
            None => list.len().saturating_mul(lookups),
        })?;
        Ok(set.map_or(Self::Listed(list), Self::Hashed))
    }

    fn contain(&self, value: &dyn Val) -> bool {
        match self {
            Self::Listed(list) => list.iter().any(|other| value.equals(&**other)),
            Self::Hashed(set) => Exact::of(value).is_some_and(|value| value.can_be_found() && set.contains(&value)),
        }
    }
}

/// The meter and the two lists of a call.
fn two_lists<'c, 'v>(
    arguments: &'c [CowVal<'_, 'v>],
) -> Result<(&'c Meter, &'c List<'v>, &'c List<'v>), ExecutionError> {
    let (meter, [first, second]) = metered(arguments)? else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    match (first.downcast_ref::<CelList<'v>>(), second.downcast_ref::<CelList<'v>>()) {
        (Some(first), Some(second)) => Ok((meter, first.inner(), second.inner())),
        _ => Err(ExecutionError::MissingArgumentOrTarget),
    }
}

/// The shorter list first.
fn by_length<'c, 'v>(first: &'c List<'v>, second: &'c List<'v>) -> (&'c List<'v>, &'c List<'v>) {
    if second.len() < first.len() { (second, first) } else { (first, second) }
}

fn has_intersection<'b, 'v>(arguments: &[CowVal<'b, 'v>], sets: Sets) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, first, second) = two_lists(arguments)?;
    let (shorter, longer) = by_length(first, second);
    let members = Members::new(longer, sets, meter, shorter.len())?;
    Ok(CowVal::owned(CelBool::from(shorter.iter().any(|value| members.contain(&**value)))))
}

fn is_subset<'b, 'v>(arguments: &[CowVal<'b, 'v>], sets: Sets) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, first, second) = two_lists(arguments)?;
    let members = Members::new(second, sets, meter, first.len())?;
    Ok(CowVal::owned(CelBool::from(first.iter().all(|value| members.contain(&**value)))))
}

/// In the order, and with the repetitions, of the shorter list.
fn intersect<'b, 'v>(arguments: &[CowVal<'b, 'v>], sets: Sets) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, first, second) = two_lists(arguments)?;
    let (shorter, longer) = by_length(first, second);
    let members = Members::new(longer, sets, meter, shorter.len())?;
    let both: Vec<_> = shorter.iter().filter(|value| members.contain(&***value)).cloned().collect();
    Ok(CowVal::owned(CelList::from(both)))
}

fn except<'b, 'v>(arguments: &[CowVal<'b, 'v>], sets: Sets) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, first, second) = two_lists(arguments)?;
    let members = Members::new(second, sets, meter, first.len())?;
    let rest: Vec<_> = first.iter().filter(|value| !members.contain(&***value)).cloned().collect();
    Ok(CowVal::owned(CelList::from(rest)))
}
