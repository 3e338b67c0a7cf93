//! A place that a condition reads: where it starts, and the fixed steps from there.
//!
//! Reading is lazy and borrows. What is absent is an error that names the place, never a default, but for the fields of Cerbos messages.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use serde_json::Value;

use super::EvaluationError;
use super::scope::{PrincipalView, RequestParts, ResourceView, Scope};
use super::value::{Object, Reading, Roles};
use crate::request::{ClientCertificate, Lookup};

/// A place with a fixed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The expression's own words for the start, `principal.claims` or `R.attr`.
    pub(super) written: Box<str>,
    pub(super) source: Source,
    pub(super) steps: Vec<Step>,
}

/// Where a path starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Principal(PrincipalField),
    Request(RequestField),
    Capture(Box<str>),
    Resource(ResourceField),
    /// `runtime.effectiveDerivedRoles`
    DerivedRoles,
    /// A value that no request changes: a constant or the globals.
    Fixed(Arc<Value>),
}

/// A field of the principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrincipalField {
    Id,
    Kind,
    /// The listed roles, and those that the gateway gives.
    Roles,
    /// The listed roles only.
    ListedRoles,
    Claims,
    Provider,
    ClientId,
    PolicyVersion,
    Scope,
    Token,
}

/// A field of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestField {
    Method,
    Path,
    Host,
    ClientIp,
    Certificate(CertificateField),
    Header(HeaderName),
    Query(Box<str>),
}

/// A field of the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateField {
    Subject,
    CommonName,
    DnsNames,
    Uris,
    Emails,
    /// Every certificate has one: its presence is that of the certificate.
    Sha256,
}

impl CertificateField {
    fn is_list(self) -> bool {
        match self {
            Self::Subject | Self::CommonName | Self::Sha256 => false,
            Self::DnsNames | Self::Uris | Self::Emails => true,
        }
    }
}

/// A field of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceField {
    Kind,
    Id,
    Attributes,
    PolicyVersion,
    Scope,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(Box<str>),
    Index(i64),
}

impl fmt::Display for Path {
    /// The place as one would write it in an expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)?;
        for step in &self.steps {
            match step {
                Step::Key(key) if is_identifier(key) => write!(f, ".{key}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Can the key stand after a dot?
pub(super) fn is_identifier(key: &str) -> bool {
    !key.starts_with(|first: char| first.is_ascii_digit())
        && !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The principal, the request and the resource of Cerbos conditions have every field, if only a default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// `has()` is false, and reading fails, where there is no value.
    Optional,
    /// `has()` is false where the value is the default of its type.
    Defaulted,
}

impl Path {
    /// A value that no request changes.
    pub(super) fn fixed(written: String, value: &Arc<Value>) -> Self {
        Self { written: written.into(), source: Source::Fixed(value.clone()), steps: vec![] }
    }

    /// The text that stands there, when no request changes it.
    pub(super) fn fixed_text(&self) -> Option<&str> {
        let Source::Fixed(value) = &self.source else {
            return None;
        };
        let entered = self.steps.iter().try_fold(&**value, |value, step| match step {
            Step::Key(key) => value.get(&**key),
            Step::Index(index) => value.get(usize::try_from(*index).ok()?),
        });
        entered?.as_str()
    }

    /// Is it known to be a text?
    pub(super) fn is_text(&self) -> bool {
        let text = match &self.source {
            Source::Principal(field) => !matches!(
                field,
                PrincipalField::Roles | PrincipalField::ListedRoles | PrincipalField::Claims | PrincipalField::Token
            ),
            Source::Request(RequestField::Certificate(field)) => !field.is_list(),
            Source::Request(_) | Source::Capture(_) => true,
            Source::Resource(field) => *field != ResourceField::Attributes,
            Source::DerivedRoles | Source::Fixed(_) => false,
        };
        text && self.steps.is_empty()
    }

    /// Is it known to be a list?
    pub(super) fn is_list(&self) -> bool {
        let list = match &self.source {
            Source::Principal(field) => matches!(field, PrincipalField::Roles | PrincipalField::ListedRoles),
            Source::Request(RequestField::Certificate(field)) => field.is_list(),
            Source::DerivedRoles => true,
            Source::Request(_) | Source::Capture(_) | Source::Resource(_) | Source::Fixed(_) => false,
        };
        list && self.steps.is_empty()
    }

    /// Is it known to be a map?
    pub(super) fn is_map(&self) -> bool {
        let map = match &self.source {
            Source::Principal(field) => matches!(field, PrincipalField::Claims | PrincipalField::Token),
            Source::Resource(field) => *field == ResourceField::Attributes,
            Source::Fixed(value) => value.is_object(),
            Source::Request(_) | Source::Capture(_) | Source::DerivedRoles => false,
        };
        map && self.steps.is_empty()
    }

    /// Reads the value.
    pub(super) fn read<'s>(&'s self, scope: &'s Scope<'_>) -> Result<Reading<'s>, EvaluationError> {
        let mut reading = self.start(scope)?;
        for step in &self.steps {
            reading = self.enter(&reading, step)?;
        }
        Ok(reading)
    }

    /// `has()`: is the last step there? What comes before it must be.
    pub(super) fn is_present(&self, scope: &Scope<'_>, fields: Fields) -> Result<bool, EvaluationError> {
        let Some((last, before)) = self.steps.split_last() else {
            return match self.start(scope) {
                Ok(reading) => Ok(fields == Fields::Optional || !reading.is_default()),
                Err(EvaluationError::Absent(_)) => Ok(false),
                Err(EvaluationError::Repeated(_)) => Ok(true),
                // A header field that is not text is there; a query that is not text may hold the name or not.
                Err(EvaluationError::Unreadable(_))
                    if matches!(self.source, Source::Request(RequestField::Header(_))) =>
                {
                    Ok(true)
                }
                Err(error) => Err(error),
            };
        };
        let mut reading = self.start(scope)?;
        for step in before {
            reading = self.enter(&reading, step)?;
        }
        match (&reading, last) {
            (Reading::Object(object), Step::Key(key)) => Ok(object.get(key).is_some()),
            // In Cerbos conditions a value without entries lacks them all; a list has none to lack.
            (reading, Step::Key(_)) if fields == Fields::Defaulted && !reading.is_list() => Ok(false),
            _ => Err(self.not_a_map()),
        }
    }

    fn enter<'s>(&self, reading: &Reading<'s>, step: &Step) -> Result<Reading<'s>, EvaluationError> {
        let json: Option<&'s Value> = match (reading, step) {
            (Reading::Object(object), Step::Key(key)) => object.get(key),
            (Reading::Object(_), Step::Index(_)) => None,
            (Reading::List(items), Step::Index(index)) => usize::try_from(*index).ok().and_then(|at| items.get(at)),
            (Reading::Roles(roles), Step::Index(index)) => {
                let role = usize::try_from(*index).ok().and_then(|at| roles.iter().nth(at));
                return role.map(|role| Reading::Text(Cow::Borrowed(role))).ok_or_else(|| self.absent());
            }
            _ => return Err(self.not_a_map()),
        };
        json.map(Reading::of_json).ok_or_else(|| self.absent())
    }

    fn absent(&self) -> EvaluationError {
        EvaluationError::Absent(self.to_string().into())
    }

    fn not_a_map(&self) -> EvaluationError {
        EvaluationError::NotAMap(self.to_string().into())
    }

    fn start<'s>(&'s self, scope: &'s Scope<'_>) -> Result<Reading<'s>, EvaluationError> {
        match &self.source {
            Source::Principal(field) => self.principal(*field, &scope.principal),
            Source::Request(field) => self.request(field, scope.request.as_ref().ok_or_else(|| self.absent())?),
            Source::Resource(field) => self.resource(*field, scope.resource.as_ref().ok_or_else(|| self.absent())?),
            Source::Capture(name) => {
                let found = scope.captures.iter().find(|(known, _)| *known == &**name);
                self.text(found.map(|(_, value)| *value))
            }
            Source::DerivedRoles => Ok(Reading::Roles(Roles::listed(scope.derived_roles))),
            Source::Fixed(value) => Ok(Reading::of_json(value)),
        }
    }

    fn principal<'s>(
        &self,
        field: PrincipalField,
        principal: &'s PrincipalView<'_>,
    ) -> Result<Reading<'s>, EvaluationError> {
        match field {
            PrincipalField::Id => self.text(principal.id),
            PrincipalField::Kind => self.text(Some(principal.kind.as_str())),
            PrincipalField::Roles => Ok(Reading::Roles(Roles::native(principal.roles, principal.kind))),
            PrincipalField::ListedRoles => Ok(Reading::Roles(Roles::listed(principal.roles))),
            PrincipalField::Claims => Ok(Reading::Object(Object::claims(principal.claims, principal.origin))),
            PrincipalField::Token => Ok(Reading::Object(Object::token(principal.token, principal.origin))),
            PrincipalField::Provider => self.text(principal.provider),
            PrincipalField::ClientId => self.text(principal.client_id),
            PrincipalField::PolicyVersion => self.text(Some(principal.policy_version)),
            PrincipalField::Scope => self.text(Some(principal.scope)),
        }
    }

    fn request<'s>(&self, field: &RequestField, request: &'s RequestParts<'_>) -> Result<Reading<'s>, EvaluationError> {
        match field {
            RequestField::Method => self.text(Some(request.method)),
            RequestField::Path => self.text(Some(request.path)),
            RequestField::Host => self.text(Some(request.host)),
            RequestField::ClientIp => Ok(Reading::Text(Cow::Owned(request.client.to_string()))),
            RequestField::Certificate(field) => {
                self.certificate(*field, request.certificate.ok_or_else(|| self.absent())?)
            }
            RequestField::Query(name) => self.single(request.query.single(name)),
            RequestField::Header(name) => self.single(match request.headers.single(name) {
                Lookup::Absent => Lookup::Absent,
                Lookup::One(value) => match std::str::from_utf8(value.as_bytes()) {
                    Ok(text) => Lookup::One(Cow::Borrowed(text)),
                    Err(_) => Lookup::Malformed,
                },
                Lookup::Repeated => Lookup::Repeated,
                Lookup::Malformed => Lookup::Malformed,
            }),
        }
    }

    fn certificate<'s>(
        &self,
        field: CertificateField,
        certificate: &'s ClientCertificate,
    ) -> Result<Reading<'s>, EvaluationError> {
        let list = |texts| Ok(Reading::Roles(Roles::listed(texts)));
        match field {
            CertificateField::Subject => self.text(Some(&certificate.subject)),
            CertificateField::CommonName => self.text(certificate.common_name.as_deref()),
            CertificateField::DnsNames => list(&certificate.dns_names),
            CertificateField::Uris => list(&certificate.uris),
            CertificateField::Emails => list(&certificate.emails),
            CertificateField::Sha256 => self.text(Some(&certificate.sha256)),
        }
    }

    fn resource<'s>(
        &self,
        field: ResourceField,
        resource: &'s ResourceView<'_>,
    ) -> Result<Reading<'s>, EvaluationError> {
        match field {
            ResourceField::Kind => self.text(Some(resource.kind)),
            ResourceField::Id => self.text(Some(resource.id)),
            ResourceField::Attributes => Ok(Reading::Object(Object::plain(resource.attributes))),
            ResourceField::PolicyVersion => self.text(Some(resource.policy_version)),
            ResourceField::Scope => self.text(Some(resource.scope)),
        }
    }

    fn text<'s>(&self, text: Option<&'s str>) -> Result<Reading<'s>, EvaluationError> {
        text.map(|text| Reading::Text(Cow::Borrowed(text))).ok_or_else(|| self.absent())
    }

    fn single<'s>(&self, found: Lookup<Cow<'s, str>>) -> Result<Reading<'s>, EvaluationError> {
        match found {
            Lookup::Absent => Err(self.absent()),
            Lookup::One(text) => Ok(Reading::Text(text)),
            Lookup::Repeated => Err(EvaluationError::Repeated(self.to_string().into())),
            Lookup::Malformed => Err(EvaluationError::Unreadable(self.to_string().into())),
        }
    }
}
