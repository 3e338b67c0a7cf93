//! `hierarchy("a.b.c")`: names within names, as a value of its own type.

use std::any::Any;
use std::sync::Arc;

use cel::common::functions::Function;
use cel::common::traits::{Indexer, Sizer};
use cel::common::types::{CelBool, CelInt, CelList, CelString, DYN_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

static HIERARCHY: Type = Type::new_unspecified_type("cerbos.lib.hierarchy");

/// The levels, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Hierarchy(Arc<[Box<str>]>);

impl Hierarchy {
    pub(in super::super) fn levels(&self) -> &[Box<str>] {
        &self.0
    }

    fn split(text: &str, delimiter: &str) -> Self {
        if delimiter.is_empty() {
            return Self(text.chars().map(|letter| letter.to_string().into()).collect());
        }
        Self(text.split(delimiter).map(Into::into).collect())
    }

    /// Is it above the other, any number of levels?
    fn is_above(&self, other: &Self) -> bool {
        self.0.len() < other.0.len() && other.0.starts_with(&self.0)
    }

    fn is_parent(&self, other: &Self) -> bool {
        self.0.len() + 1 == other.0.len() && other.0.starts_with(&self.0)
    }

    fn is_sibling(&self, other: &Self) -> bool {
        let parent = |of: &Self| of.0.split_last().map(|(_, parent)| parent.to_vec());
        self.0.len() == other.0.len() && parent(self) == parent(other)
    }

    /// The levels that both begin with. Of two with the same number of levels the last ones do not count. `None` where both have no level.
    fn common(&self, other: &Self) -> Option<Self> {
        let mut shorter = self.0.len().min(other.0.len());
        if self.0.len() == other.0.len() {
            shorter = shorter.checked_sub(1)?;
        }
        let pairs = self.0.iter().zip(other.0.iter()).take(shorter);
        Some(Self(pairs.take_while(|(a, b)| a == b).map(|(level, _)| level.clone()).collect()))
    }
}

impl Val for Hierarchy {
    fn get_type(&self) -> &Type {
        &HIERARCHY
    }

    fn cel_type() -> &'static Type {
        &HIERARCHY
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
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

impl StaticVal for Hierarchy {}

impl Indexer for Hierarchy {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(index) = key.downcast_ref::<CelInt>() else {
            return Err(ExecutionError::UnexpectedType { got: key.get_type().name().to_owned(), want: "int".into() });
        };
        let level = usize::try_from(*index.inner()).ok().and_then(|at| self.0.get(at));
        let level = level.ok_or_else(|| ExecutionError::IndexOutOfBounds(cel::objects::Value::Null))?;
        Ok(CowVal::owned(CelString::from(level.to_string())))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Sizer for Hierarchy {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

/// Declares the type and what can be asked of it.
pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload("hierarchy", "hierarchy(dyn)", vec![DYN_TYPE], from_one)?;
    env.add_overload("hierarchy", "hierarchy(dyn,dyn)", vec![DYN_TYPE, DYN_TYPE], from_two)?;
    let members: [(&str, Function); 7] = [
        ("ancestorOf", |arguments| ask(&arguments, Hierarchy::is_above)),
        ("descendentOf", |arguments| ask(&arguments, |this, other| other.is_above(this))),
        ("immediateParentOf", |arguments| ask(&arguments, Hierarchy::is_parent)),
        ("immediateChildOf", |arguments| ask(&arguments, |this, other| other.is_parent(this))),
        ("overlaps", |arguments| {
            ask(&arguments, |this, other| this == other || this.is_above(other) || other.is_above(this))
        }),
        ("siblingOf", |arguments| ask(&arguments, Hierarchy::is_sibling)),
        ("commonAncestors", common_ancestors),
    ];
    for (name, function) in members {
        let (this, other) = (HIERARCHY.to_owned(), vec![HIERARCHY.to_owned()]);
        env.add_member_overload(name, &format!("hierarchy.{name}"), this, other, function)?;
    }
    env.add_member_overload("size", "hierarchy.size()", HIERARCHY.to_owned(), vec![], |arguments| {
        let hierarchy = arguments.first().and_then(|this| this.downcast_ref::<Hierarchy>());
        Ok(CowVal::owned(hierarchy.ok_or(ExecutionError::MissingArgumentOrTarget)?.size()))
    })
}

fn from_one<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = arguments.pop().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(CowVal::owned(Hierarchy::split(text.inner(), ".")));
    }
    if value.downcast_ref::<Hierarchy>().is_some() {
        return Ok(value);
    }
    let levels = value.downcast_ref::<CelList<'_>>().map(|list| {
        list.inner().iter().map(|level| level.downcast_ref::<CelString<'_>>().map(|text| text.inner().into())).collect()
    });
    match levels {
        Some(Some(levels)) => Ok(CowVal::owned(Hierarchy(levels))),
        Some(None) | None => Err(ExecutionError::function_error("hierarchy", "not texts")),
    }
}

fn from_two<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let texts: Option<Vec<&str>> =
        arguments.iter().map(|argument| argument.downcast_ref::<CelString<'v>>().map(CelString::inner)).collect();
    match texts.as_deref() {
        Some([text, delimiter]) => Ok(CowVal::owned(Hierarchy::split(text, delimiter))),
        Some(_) | None => Err(ExecutionError::function_error("hierarchy", "not texts")),
    }
}

fn two<'c>(arguments: &'c [CowVal<'_, '_>]) -> Result<(&'c Hierarchy, &'c Hierarchy), ExecutionError> {
    let [this, other] = arguments else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let pair = this.downcast_ref::<Hierarchy>().zip(other.downcast_ref::<Hierarchy>());
    pair.ok_or(ExecutionError::MissingArgumentOrTarget)
}

fn ask<'b, 'v>(
    arguments: &[CowVal<'b, 'v>],
    question: impl Fn(&Hierarchy, &Hierarchy) -> bool,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (this, other) = two(arguments)?;
    Ok(CowVal::owned(CelBool::from(question(this, other))))
}

fn common_ancestors<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (this, other) = two(&arguments)?;
    let common = this.common(other).ok_or_else(|| ExecutionError::function_error("commonAncestors", "no levels"))?;
    Ok(CowVal::owned(common))
}
