//! A query with everything that rules look at: the resource, its attributes, the roles.
//!
//! Found once, before any rule is asked, so that what has no single reading is refused whatever the rules say.

use std::{borrow::Cow, cell::OnceCell, sync::LazyLock};

use serde_json::{Map, Value};

use crate::{
    identity::Principal,
    policy::{
        attribute::{Found, Inputs, Source},
        cerbos::{Engine, Judgement, Unread as Waiting, is_scope},
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
    binding: &'a ResourceBinding,
    id: Cow<'a, str>,
    attributes: Map<String, Value>,
    /// The scope of the policies that are asked; `None` where it should stand somewhere and does not.
    scope: Option<Cow<'a, str>>,
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
    /// Is anything?
    fn is_some(&self) -> bool {
        self.id || !self.attributes.is_empty()
    }

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

    /// Does the route leave the decision to the policies about a resource?
    pub(crate) fn has_resource(&self) -> bool {
        self.resource.is_some()
    }

    /// Where the resource's owner comes from.
    pub(crate) fn owner_source(&self) -> Option<&'static str> {
        self.resource.as_ref().and_then(|resource| resource.binding.owner_source())
    }

    /// Asks the policies about the resource. `None` where it cannot be told which policies these are.
    pub(crate) fn judge(&self, engine: &Engine) -> Option<Judgement> {
        let resource = self.resource.as_ref()?;
        let view = ResourceView {
            policy_version: &resource.binding.policy_version,
            scope: resource.scope.as_deref()?,
            ..resource.view()
        };
        let principal = PrincipalView { roles: self.roles(), ..PrincipalView::from(self.principal()) };
        let facts = Scope { principal, resource: Some(view), request: None, captures: &[], ..self.scope() };
        let concerns = |references: &References| resource.unread.concerns(references);
        let waiting = Waiting { concerns: &concerns, attributes: !resource.unread.attributes.is_empty() };
        Some(engine.judge(facts, self.action, resource.unread.is_some().then_some(waiting)))
    }

    /// Must a condition that reads this wait for the body?
    pub(super) fn waits_for_body(&self, references: &References) -> bool {
        self.resource.as_ref().is_some_and(|resource| resource.unread.concerns(references))
    }

    pub(super) fn principal(&self) -> &'a Principal {
        self.query.principal
    }

    /// The roles that Cerbos policies are asked with.
    fn roles(&self) -> &'a [Box<str>] {
        match self.principal().verified() {
            None => &*ANONYMOUS,
            Some(verified) if verified.roles().is_empty() => &*AUTHENTICATED,
            Some(verified) => verified.roles(),
        }
    }

    /// What the conditions of the route's own rules look at.
    pub(super) fn scope(&self) -> Scope<'_> {
        let principal = PrincipalView::from(self.principal());
        let captures = self.captures.get_or_init(|| self.query.matched.captures().collect());
        let resource = self.resource.as_ref().map(Resource::view);
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
    let owners = route.rules.rows.iter().filter(|row| row.takes(inputs)).filter_map(|row| row.owner.as_ref());
    for owner in owners {
        // SECURITY: held by `an_owner_that_stands_twice_is_refused_and_not_picked`.
        if owner.source.is_claimed() && owner.source.find(inputs) == Found::Malformed {
            return Err(Malformed);
        }
    }
    Ok(())
}

impl<'a> Resource<'a> {
    /// The resource as the conditions of the route's own rules see it.
    fn view(&self) -> ResourceView<'_> {
        let (kind, id, attributes) = (&*self.binding.kind, &*self.id, &self.attributes);
        ResourceView { kind, id, attributes, policy_version: "", scope: "" }
    }

    fn find(binding: &'a ResourceBinding, inputs: &Inputs<'a>) -> Result<Self, Malformed> {
        let mut resource = Self {
            binding,
            id: Cow::Borrowed(""),
            attributes: Map::new(),
            scope: binding.scope.as_ref().map_or(Ok(Some(Cow::Borrowed(""))), |source| read_scope(source, inputs))?,
            unread: Unread::default(),
        };
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

/// The scope that a source holds, if it holds one.
fn read_scope<'a>(source: &'a Source, inputs: &Inputs<'a>) -> Result<Option<Cow<'a, str>>, Malformed> {
    let text = match source.find(inputs) {
        Found::Absent | Found::Unread => return Ok(None),
        Found::Text(text) => text,
        Found::Json(value) => Cow::Borrowed(value.as_str().ok_or(Malformed)?),
        Found::Malformed => return Err(Malformed),
    };
    if text.is_empty() {
        return Ok(None);
    }
    if is_scope(&text) { Ok(Some(text)) } else { Err(Malformed) }
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
