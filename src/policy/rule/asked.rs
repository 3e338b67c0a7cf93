//! A query with everything that rules look at: the resource, its attributes, the roles.
//!
//! Found once, before any rule is asked, so that what has no single reading is refused whatever the rules say.

use std::{borrow::Cow, cell::OnceCell, sync::LazyLock};

use serde_json::{Map, Value};

use super::Combine;
use crate::{
    identity::Principal,
    policy::{
        attribute::{Found, Inputs},
        condition::{PrincipalView, References, RequestParts, ResourceView, Root, Scope},
        decision::Query,
        route::{ResourceBinding, Route},
    },
};

/// A query with everything that rules look at, found once.
pub(crate) struct Asked<'a> {
    query: &'a Query<'a>,
    inputs: Inputs<'a>,
    action: &'a str,
    resource: Option<Resource<'a>>,
    captures: OnceCell<Vec<(&'a str, &'a str)>>,
}

/// The resource that a route names.
struct Resource<'a> {
    kind: &'a str,
    id: Cow<'a, str>,
    attributes: Map<String, Value>,
    /// What of it stands in the body, which has not been read.
    unread: Unread<'a>,
}

/// The parts of a resource that wait for the body.
#[derive(Default)]
struct Unread<'a> {
    id: bool,
    attributes: Vec<&'a str>,
}

impl Unread<'_> {
    /// Does a condition that reads this have to wait?
    fn concerns(&self, references: &References) -> bool {
        (self.id && references.reads(Root::Resource))
            || self.attributes.iter().any(|name| references.resource_attributes().includes(name))
    }
}

/// A source has no single reading.
#[derive(Debug)]
pub(crate) struct Malformed;

/// The roles of a principal that has no group.
static AUTHENTICATED: LazyLock<[Box<str>; 1]> = LazyLock::new(|| ["authenticated".into()]);
static ANONYMOUS: LazyLock<[Box<str>; 1]> = LazyLock::new(|| ["anonymous".into()]);

impl<'a> Asked<'a> {
    /// Finds the resource and its attributes.
    pub(crate) fn new(query: &'a Query<'a>) -> Result<Self, Malformed> {
        let route = query.matched.route;
        let captures = query.matched.captured();
        let inputs = Inputs { principal: query.principal, view: query.view, captures, body: query.body };
        let binding = route.resource.as_ref();
        let action = binding.and_then(|binding| binding.action(query.view.method)).unwrap_or_default();
        refuse_malformed_owners(route, &inputs)?;
        let resource = binding.map(|binding| Resource::find(binding, &inputs)).transpose()?;
        Ok(Self { query, inputs, action, resource, captures: OnceCell::new() })
    }

    pub(super) fn inputs(&self) -> &Inputs<'a> {
        &self.inputs
    }

    /// What the request does to the resource; empty where the route names none.
    pub(super) fn action(&self) -> &'a str {
        self.action
    }

    /// Must a condition that reads this wait for the body?
    pub(super) fn waits_for_body(&self, references: &References) -> bool {
        self.resource.as_ref().is_some_and(|resource| resource.unread.concerns(references))
    }

    pub(super) fn principal(&self) -> &'a Principal {
        self.query.principal
    }

    /// The roles that a table which combines role by role asks with.
    pub(super) fn roles(&self) -> &'a [Box<str>] {
        match self.principal().verified() {
            None => &*ANONYMOUS,
            Some(verified) if verified.roles().is_empty() => &*AUTHENTICATED,
            Some(verified) => verified.roles(),
        }
    }

    pub(super) fn scope(&self, combine: Combine) -> Scope<'_> {
        let mut principal = PrincipalView::from(self.principal());
        if combine == Combine::RoleByRole {
            principal.roles = self.roles();
        }
        let captures = self.captures.get_or_init(|| self.query.matched.captures().collect());
        let resource = self.resource.as_ref().map(|resource| ResourceView {
            kind: resource.kind,
            id: &resource.id,
            attributes: &resource.attributes,
            policy_version: "",
            scope: "",
        });
        let request = Some(RequestParts::from(self.query.view));
        Scope {
            principal,
            request,
            captures,
            resource,
            now: self.query.now,
            nanos: 0,
            variables: None,
            derived_roles: &[],
        }
    }
}

/// An owner that stands twice is nobody: no rule of this request may pick one of the two.
fn refuse_malformed_owners(route: &Route, inputs: &Inputs<'_>) -> Result<(), Malformed> {
    let owners = route.rules.rows.iter().filter(|row| row.takes(inputs, "")).filter_map(|row| row.owner.as_ref());
    for owner in owners {
        // SECURITY: held by `an_owner_that_stands_twice_is_refused_and_not_picked`.
        if owner.source.is_claimed() && owner.source.find(inputs) == Found::Malformed {
            return Err(Malformed);
        }
    }
    Ok(())
}

impl<'a> Resource<'a> {
    fn find(binding: &'a ResourceBinding, inputs: &Inputs<'a>) -> Result<Self, Malformed> {
        let mut resource =
            Self { kind: &binding.kind, id: Cow::Borrowed(""), attributes: Map::new(), unread: Unread::default() };
        if let Some(source) = &binding.id {
            match source.find(inputs) {
                Found::Absent => {}
                Found::Text(text) => resource.id = text,
                Found::Json(value) => resource.id = name(value)?,
                Found::Malformed => return Err(Malformed),
                Found::Unread => resource.unread.id = true,
            }
        }
        for (name, source) in &binding.attributes {
            let value = match source.find(inputs) {
                Found::Absent => continue,
                Found::Text(text) => Value::String(text.into_owned()),
                Found::Json(value) => value.clone(),
                Found::Malformed => return Err(Malformed),
                Found::Unread => {
                    resource.unread.attributes.push(name);
                    continue;
                }
            };
            resource.attributes.insert(name.to_string(), value);
        }
        Ok(resource)
    }
}

/// The id that a JSON value is: a text, or a number as it is written.
fn name(value: &Value) -> Result<Cow<'_, str>, Malformed> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) => Ok(Cow::Owned(number.to_string())),
        Value::Null => Ok(Cow::Borrowed("")),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Malformed),
    }
}
