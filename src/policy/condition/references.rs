//! Which parts of a request a condition reads.

use std::collections::BTreeSet;

use super::compile::Slot;
use super::environment::{Message, Multitude, Part};
use super::path::{Path, PrincipalField, ResourceField, Source, Step};

/// Which parts of a request a condition reads, known before any request comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    roots: BTreeSet<Root>,
    attributes: Reads,
    claims: Reads,
    variables: BTreeSet<Box<str>>,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Root {
    /// The principal.
    Principal,
    /// The method, host, path, query, header fields or client address.
    Request,
    /// A capture of the route's pattern.
    Captures,
    /// The resource's kind, id or attributes.
    Resource,
    /// The time.
    Now,
    /// The derived roles that are active.
    DerivedRoles,
}

/// The entries of a map that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// None.
    #[default]
    Nothing,
    /// These.
    Only(BTreeSet<Box<str>>),
    /// It cannot be told: all of them.
    Everything,
}

impl References {
    /// Is that part read?
    pub fn reads(&self, root: Root) -> bool {
        self.roots.contains(&root)
    }

    /// The attributes of the resource that are read: those that come out of a body need the body.
    pub fn resource_attributes(&self) -> &Reads {
        &self.attributes
    }

    /// The claims that are read, as claims or as the principal's attributes.
    pub fn claims(&self) -> &Reads {
        &self.claims
    }

    /// The variables that are read. What these read in turn is not in here: add the references of their definitions.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|name| &**name)
    }

    /// What two conditions read together.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.roots.extend(&other.roots);
        self.attributes.merge(&other.attributes);
        self.claims.merge(&other.claims);
        self.variables.extend(other.variables.iter().cloned());
        self
    }

    pub(super) fn of(slots: &[Slot]) -> Self {
        let mut references = Self::default();
        for slot in slots {
            match slot {
                Slot::Value(path) | Slot::Presence(path) => references.add(path),
                Slot::Names(Multitude::Headers | Multitude::Queries) => {
                    references.roots.insert(Root::Request);
                }
                Slot::Now => {
                    references.roots.insert(Root::Now);
                }
                Slot::Variable(name) | Slot::HasVariable(name) => {
                    references.variables.insert(name.clone());
                }
                Slot::Message(message) => references.add_message(message),
                Slot::Global(..) | Slot::Pattern(_) | Slot::Bound(_) => {}
            }
        }
        references
    }

    fn add_message(&mut self, message: &Message) {
        for (_, part) in message {
            match part {
                Part::Path(path) => self.add(path),
                Part::Message(message, _) => self.add_message(message),
            }
        }
    }

    fn add(&mut self, path: &Path) {
        let root = match &path.source {
            Source::Principal(field) => {
                if matches!(field, PrincipalField::Claims | PrincipalField::Token) {
                    self.claims.add(path.steps.first());
                }
                Root::Principal
            }
            Source::Resource(field) => {
                if *field == ResourceField::Attributes {
                    self.attributes.add(path.steps.first());
                }
                Root::Resource
            }
            Source::Request(_) => Root::Request,
            Source::Capture(_) => Root::Captures,
            Source::DerivedRoles => Root::DerivedRoles,
            Source::Fixed(_) => return,
        };
        self.roots.insert(root);
    }
}

impl Reads {
    /// Is that entry read?
    pub fn includes(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Only(names) => names.contains(name),
            Self::Everything => true,
        }
    }

    fn add(&mut self, step: Option<&Step>) {
        let Some(Step::Key(name)) = step else {
            *self = Self::Everything;
            return;
        };
        self.merge(&Self::Only(BTreeSet::from([name.clone()])));
    }

    fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Everything, _) | (_, Self::Nothing) => {}
            (Self::Only(names), Self::Only(more)) => names.extend(more.iter().cloned()),
            (Self::Nothing | Self::Only(_), _) => *self = other.clone(),
        }
    }
}
