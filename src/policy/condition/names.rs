//! The header fields or query parameters of a request as one CEL map.
//!
//! Built only for expressions that go through all of them or compute the name. A name that stands more than once is in the map, and
//! reading it is an error; so is a header that is not text. Credential headers are not in it.

use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer};
use cel::common::types::{CelInt, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};

/// The function that is named in the error for a name without a single reading. It cannot be written in an expression.
pub(super) const NO_SINGLE_READING: &str = "@single";

/// Are the names compared in any case?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As query names are.
    Exact,
    /// As header names are: a looked up name is put into lower case.
    Folded,
}

/// Names and values. `None`: the name is there, and has no single reading.
#[derive(Clone, Debug)]
pub(super) struct Names<'a> {
    case: Case,
    entries: Vec<(CelString<'a>, Option<CelString<'a>>)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(case: Case) -> Self {
        Self { case, entries: Vec::new() }
    }

    /// Adds a value; the second one under a name leaves the name without a reading.
    pub(super) fn add(&mut self, name: CelString<'a>, value: Option<CelString<'a>>) {
        match self.entries.iter_mut().find(|(known, _)| known.inner() == name.inner()) {
            Some((_, reading)) => *reading = None,
            None => self.entries.push((name, value)),
        }
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, key: &dyn Val) -> Result<Option<&Option<CelString<'a>>>, ExecutionError> {
        let Some(name) = key.downcast_ref::<CelString<'_>>() else {
            return Err(ExecutionError::UnexpectedType {
                got: key.get_type().name().to_owned(),
                want: "string".into(),
            });
        };
        let same = |known: &CelString<'_>| match self.case {
            Case::Exact => known.inner() == name.inner(),
            Case::Folded => known.inner().eq_ignore_ascii_case(name.inner()),
        };
        Ok(self.entries.iter().find(|(known, _)| same(known)).map(|(_, value)| value))
    }

    fn value(&self, key: &dyn Val) -> Result<CelString<'a>, ExecutionError> {
        match self.find(key)? {
            None => Err(ExecutionError::NoSuchKey(Arc::default())),
            Some(None) => Err(ExecutionError::function_error(NO_SINGLE_READING, "")),
            Some(Some(value)) => Ok(value.clone()),
        }
    }
}

impl Val for Names<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
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
}

impl Container for Names<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        self.find(key).map(|found| found.is_some())
    }
}

impl Indexer for Names<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.value(key).map(CowVal::owned)
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(Box::new(self.value(key)?))
    }
}

/// Goes through the names.
struct Walk<'b, 'a>(std::slice::Iter<'b, (CelString<'a>, Option<CelString<'a>>)>);

impl<'b, 'v, 'a: 'v> CelIterator<'b, 'v> for Walk<'b, 'a> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|(name, _)| name as &'b (dyn Val + 'v))
    }
}

impl Iterable for Names<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Walk(self.entries.iter()))
    }
}

impl Sizer for Names<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
    }
}
