//! SPIFFE: identities of workloads, their trust domains, and matchers for them.
//!
//! What is an id is said by the SPIFFE ID standard: `spiffe://` in small letters, a trust domain of `a-z0-9.-_`, and a path whose segments are
//! not empty, not `.`, not `..`.

use std::any::Any;

use cel::common::functions::Function;
use cel::common::types::{CelBool, CelList, CelString, DYN_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::super::environment::Sets;

const SCHEME: &str = "spiffe://";

static ID: Type = Type::new_unspecified_type("cerbos.lib.spiffeID");
static DOMAIN: Type = Type::new_unspecified_type("cerbos.lib.spiffeTrustDomain");
static MATCHER: Type = Type::new_unspecified_type("cerbos.lib.spiffeMatcher");

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct SpiffeId {
    domain: TrustDomain,
    path: Box<str>,
}

/// A trust domain, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct TrustDomain(Box<str>);

/// Which identities are meant.
#[derive(Clone, Debug)]
pub(in super::super) enum Matcher {
    Any,
    OneOf(Vec<SpiffeId>),
    MemberOf(TrustDomain),
}

impl SpiffeId {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(SCHEME)?;
        let (domain, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let is_segment = |segment: &str| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
            !matches!(segment, "" | "." | "..") && segment.chars().all(letters)
        };
        let is_path = path.is_empty() || path.split('/').skip(1).all(is_segment);
        Some(Self { domain: TrustDomain::parse_name(domain)?, path: is_path.then(|| path.into())? })
    }

    fn is(&self, text: &str) -> bool {
        let rest = text.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(&*self.domain.0));
        rest == Some(&*self.path)
    }
}

impl TrustDomain {
    fn parse_name(name: &str) -> Option<Self> {
        let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-._".contains(letter);
        (!name.is_empty() && name.chars().all(letters)).then(|| Self(name.into()))
    }

    /// A name, or an id of which only the trust domain counts.
    fn parse(text: &str) -> Option<Self> {
        if text.contains(":/") { SpiffeId::parse(text).map(|id| id.domain) } else { Self::parse_name(text) }
    }
}

impl Matcher {
    fn matches(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(ids) => ids.contains(id),
            Self::MemberOf(domain) => id.domain == *domain,
        }
    }
}

/// A type of its own, with an equality of its own.
macro_rules! value {
    ($name:ident, $type:ident, $equals:expr) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$type
            }

            fn cel_type() -> &'static Type {
                &$type
            }

            fn equals(&self, other: &dyn Val) -> bool {
                let equals: fn(&$name, &dyn Val) -> bool = $equals;
                equals(self, other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}

value!(SpiffeId, ID, |this, other| match text(other) {
    Some(other) => this.is(other),
    None => other.downcast_ref::<SpiffeId>() == Some(this),
});
value!(TrustDomain, DOMAIN, |this, other| match text(other) {
    Some(other) => TrustDomain::parse(other).as_ref() == Some(this),
    None => other.downcast_ref::<TrustDomain>() == Some(this),
});
// No matcher equals another.
value!(Matcher, MATCHER, |_, _| false);

fn text(value: &dyn Val) -> Option<&str> {
    value.downcast_ref::<CelString<'_>>().map(CelString::inner)
}

/// Declares the types and what can be asked of them.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    let makers: [(&str, Function); 5] = [
        ("spiffeID", |arguments| make("spiffeID", &arguments, id_of)),
        ("spiffeTrustDomain", |arguments| make("spiffeTrustDomain", &arguments, domain_of)),
        ("spiffeMatchExact", |arguments| {
            make("spiffeMatchExact", &arguments, |value| id_of(value).map(|id| Matcher::OneOf(vec![id])))
        }),
        ("spiffeMatchOneOf", |arguments| {
            make("spiffeMatchOneOf", &arguments, |value| {
                let ids = value.downcast_ref::<CelList<'_>>()?.inner().iter().map(|item| id_of(&**item));
                ids.collect::<Option<_>>().map(Matcher::OneOf)
            })
        }),
        ("spiffeMatchTrustDomain", |arguments| {
            make("spiffeMatchTrustDomain", &arguments, |value| {
                // An id is no trust domain here, only its text is.
                let domain = value.downcast_ref::<TrustDomain>().cloned();
                domain.or_else(|| TrustDomain::parse(text(value)?)).map(Matcher::MemberOf)
            })
        }),
    ];
    for (name, function) in makers {
        env.add_overload(name, &format!("{name}(dyn)"), vec![DYN_TYPE], function)?;
    }
    env.add_overload("spiffeMatchAny", "spiffeMatchAny()", vec![], |_| Ok(CowVal::owned(Matcher::Any)))?;
    members(env)
}

fn members(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_member_overload(
        "isMemberOf",
        "spiffeID.isMemberOf",
        ID.to_owned(),
        vec![DOMAIN.to_owned()],
        |arguments| {
            let (id, domain) = this_and::<SpiffeId>(&arguments)?;
            let domain = domain.downcast_ref::<TrustDomain>().ok_or(ExecutionError::MissingArgumentOrTarget)?;
            Ok(CowVal::owned(CelBool::from(id.domain == *domain)))
        },
    )?;
    env.add_member_overload("path", "spiffeID.path()", ID.to_owned(), vec![], |arguments| {
        Ok(CowVal::owned(CelString::from(this::<SpiffeId>(&arguments)?.path.to_string())))
    })?;
    env.add_member_overload("trustDomain", "spiffeID.trustDomain()", ID.to_owned(), vec![], |arguments| {
        Ok(CowVal::owned(this::<SpiffeId>(&arguments)?.domain.clone()))
    })?;
    env.add_member_overload("name", "spiffeTrustDomain.name()", DOMAIN.to_owned(), vec![], |arguments| {
        Ok(CowVal::owned(CelString::from(this::<TrustDomain>(&arguments)?.0.to_string())))
    })?;
    env.add_member_overload("matchesID", "spiffeMatcher.matchesID", MATCHER.to_owned(), vec![DYN_TYPE], |arguments| {
        let (matcher, id) = this_and::<Matcher>(&arguments)?;
        let id = id_of(id).ok_or_else(|| ExecutionError::function_error("matchesID", "not an id"))?;
        Ok(CowVal::owned(CelBool::from(matcher.matches(&id))))
    })
}

/// Declares `id()` of a trust domain: the id in text; as of 0.51 it is the trust domain itself, which equals that text and its name.
pub(super) fn declare_id(env: &mut Env, sets: Sets) -> Result<(), DeclarationError> {
    let id: Function = match sets {
        Sets::Equality => {
            |arguments| Ok(CowVal::owned(CelString::from(format!("{SCHEME}{}", this::<TrustDomain>(&arguments)?.0))))
        }
        Sets::AsOf051 => |mut arguments| arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget),
    };
    env.add_member_overload("id", "spiffeTrustDomain.id()", DOMAIN.to_owned(), vec![], id)
}

fn this<'c, T: StaticVal>(arguments: &'c [CowVal<'_, '_>]) -> Result<&'c T, ExecutionError> {
    let this = arguments.first().and_then(|this| this.downcast_ref::<T>());
    this.ok_or(ExecutionError::MissingArgumentOrTarget)
}

fn this_and<'c, 'v, T: StaticVal>(
    arguments: &'c [CowVal<'_, 'v>],
) -> Result<(&'c T, &'c (dyn Val + 'v)), ExecutionError> {
    let other = arguments.get(1).ok_or(ExecutionError::MissingArgumentOrTarget)?;
    Ok((this(arguments)?, other.as_ref()))
}

/// Makes a value of the one argument.
fn make<'b, 'v, T: Val + 'v>(
    name: &str,
    arguments: &[CowVal<'b, 'v>],
    maker: impl Fn(&dyn Val) -> Option<T>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let made = arguments.first().and_then(|argument| maker(argument.as_ref()));
    made.map(CowVal::owned).ok_or_else(|| ExecutionError::function_error(name, "not one"))
}

fn id_of(value: &dyn Val) -> Option<SpiffeId> {
    value.downcast_ref::<SpiffeId>().cloned().or_else(|| SpiffeId::parse(text(value)?))
}

fn domain_of(value: &dyn Val) -> Option<TrustDomain> {
    let domain = value.downcast_ref::<TrustDomain>().cloned();
    let of_id = || value.downcast_ref::<SpiffeId>().map(|id| id.domain.clone());
    domain.or_else(of_id).or_else(|| TrustDomain::parse(text(value)?))
}
