//! What the files of `apiVersion: api.cerbos.dev/v1` say, one document a file, with the place of everything.
//!
//! Read as Cerbos reads them: keys in camelCase or snake_case, an unknown key is an error, a null is no value for anything but a text.
//! Texts are not looked into here: expressions and references stay as they are written, and `link` makes sense of them.

mod condition;
mod derived_roles;
mod export;
mod message;
mod names;
mod parameters;
mod principal;
mod resource;
mod role;

use super::question::Effect;
use crate::{
    policy::{cerbos::model::ScopePermissions, codes},
    yaml::{Cursor, MapCursor},
};
use message::{Message, Text};

pub(super) use condition::{MatchDoc, OutputDoc};
pub(super) use derived_roles::DerivedRolesDoc;
pub(super) use export::{ExportConstantsDoc, ExportVariablesDoc};
pub(super) use message::Text as TextDoc;
pub(super) use names::{KEYWORDS, is_identifier, sanitise};
pub(super) use parameters::{ConstantDoc, ParametersDoc, VariableDoc};
pub(super) use principal::PrincipalPolicyDoc;
pub(super) use resource::{ResourcePolicyDoc, SchemaDoc};
pub(super) use role::RolePolicyDoc;

/// The version of a role policy that names none.
const DEFAULT_VERSION: &str = "default";

/// One file.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// The deprecated `variables` beside the policy.
    pub(super) variables: Vec<VariableDoc<'a>>,
    pub(super) body: Body<'a>,
}

/// What a file is about.
#[derive(Debug)]
pub(super) enum Body<'a> {
    Resource(ResourcePolicyDoc<'a>),
    Principal(PrincipalPolicyDoc<'a>),
    Role(RolePolicyDoc<'a>),
    DerivedRoles(DerivedRolesDoc<'a>),
    ExportVariables(ExportVariablesDoc<'a>),
    ExportConstants(ExportConstantsDoc<'a>),
}

/// What tells a policy from others.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) name: Text<'a>,
    pub(super) version: Box<str>,
    /// Without a leading dot.
    pub(super) scope: Box<str>,
    /// Where the scope stands, or the name.
    pub(super) scope_at: Cursor<'a>,
    pub(super) permissions: ScopePermissions,
}

/// Reads a file from its top. `None` when it is disabled, or when something is wrong, which is then noted.
pub(crate) fn read_document(map: MapCursor<'_>) -> Option<Document<'_>> {
    let mut top = Message::new(map);
    top.ignore("apiVersion", "api_version");
    top.text("description", "description");
    top.ignore("$schema", "$schema");
    if top.flag("disabled", "disabled") {
        // Cerbos does not look into it either.
        return None;
    }
    if let Some(at) = top.take("metadata", "metadata") {
        read_metadata(&at);
    }
    let variables = top.take("variables", "variables");
    let kinds = [
        ("resourcePolicy", "resource_policy"),
        ("principalPolicy", "principal_policy"),
        ("rolePolicy", "role_policy"),
        ("derivedRoles", "derived_roles"),
        ("exportVariables", "export_variables"),
        ("exportConstants", "export_constants"),
    ];
    let held = kinds.map(|(camel, snake)| top.take(camel, snake).map(|at| (camel, at)));
    let mut held = held.into_iter().flatten();
    let (first, second) = (held.next(), held.next());
    let here = top.here().clone();
    top.finish();
    if let Some((kind, at)) = second {
        at.error_with_help(codes::CERBOS, format!("`{kind}` stands beside another policy"), "a file holds one policy");
    }
    let Some((kind, at)) = first else {
        if kinds.iter().all(|(camel, snake)| here.node().get(camel).or(here.node().get(snake)).is_none()) {
            let help = format!("write one of {}", kinds.map(|(camel, _)| format!("`{camel}`")).join(", "));
            here.error_with_help(codes::CERBOS, "the file holds no policy", help);
        }
        return None;
    };
    let exports = matches!(kind, "exportVariables" | "exportConstants");
    let variables = match variables {
        Some(at) if exports => {
            at.error_with_help(
                codes::CERBOS,
                format!("`variables` cannot stand beside `{kind}`"),
                "define them inside",
            );
            Vec::new()
        }
        Some(at) => parameters::read_variables(&at),
        None => Vec::new(),
    };
    Some(Document { variables, body: read_body(kind, &at)? })
}

fn read_body<'a>(kind: &str, at: &Cursor<'a>) -> Option<Body<'a>> {
    let message = Message::new(at.map_or_empty()?);
    match kind {
        "resourcePolicy" => resource::read(message).map(Body::Resource),
        "principalPolicy" => principal::read(message).map(Body::Principal),
        "rolePolicy" => role::read(message).map(Body::Role),
        "derivedRoles" => derived_roles::read(message).map(Body::DerivedRoles),
        "exportVariables" => export::read_variables(message).map(Body::ExportVariables),
        "exportConstants" => export::read_constants(message).map(Body::ExportConstants),
        _ => None,
    }
}

/// What Cerbos itself does not decide with either.
fn read_metadata(at: &Cursor<'_>) {
    let Some(map) = at.map_or_empty() else { return };
    let mut map = Message::new(map);
    map.text("sourceFile", "source_file");
    if let Some(annotations) = map.take("annotations", "annotations").and_then(|at| at.map_or_empty()) {
        for (_, value) in annotations.entries() {
            Text::read(value);
        }
    }
    map.ignore("hash", "hash");
    map.text("storeIdentifier", "store_identifier");
    map.text("storeIdentifer", "store_identifer");
    map.ignore("sourceAttributes", "source_attributes");
    map.finish();
}

/// The name of a policy, its version and its scope.
struct HeaderReader {
    name: (&'static str, &'static str),
    what: &'static str,
}

impl HeaderReader {
    fn read<'a>(&self, message: &mut Message<'a>) -> Option<Header<'a>> {
        let name = message.require(self.name.0, self.name.1);
        let name = name.filter(|name| names::check_plain(name, self.what));
        let version = match self.what {
            "role" => message.text("version", "version").map_or(Some(None), |text| Some(Some(text))),
            _ => message.require("version", "version").map(Some),
        };
        let version = version.and_then(|version| match version {
            Some(text) => names::check_version(&text).then(|| text.text().into()),
            None => Some(DEFAULT_VERSION.into()),
        });
        let scope = message.text("scope", "scope");
        let scoped = scope.as_ref().map_or(Some(""), names::read_scope);
        let permissions = self.permissions(message);
        let (name, scoped) = (name?, scoped?);
        Some(Header {
            scope_at: scope.as_ref().map_or(&name, |scope| scope).at().clone(),
            scope: scoped.into(),
            version: version?,
            permissions: permissions?,
            name,
        })
    }

    fn permissions(&self, message: &mut Message<'_>) -> Option<ScopePermissions> {
        let is_role = self.what == "role";
        let default =
            if is_role { ScopePermissions::RequireParentalConsentForAllows } else { ScopePermissions::OverrideParent };
        let Some(at) = message.take_or_null("scopePermissions", "scope_permissions") else { return Some(default) };
        let words = [
            ("SCOPE_PERMISSIONS_UNSPECIFIED", default),
            ("SCOPE_PERMISSIONS_OVERRIDE_PARENT", ScopePermissions::OverrideParent),
            (
                "SCOPE_PERMISSIONS_REQUIRE_PARENTAL_CONSENT_FOR_ALLOWS",
                ScopePermissions::RequireParentalConsentForAllows,
            ),
        ];
        let found = message::word(&at, &words, Some(default))?;
        if is_role && found != default {
            let help = "a role policy narrows what its parent roles may do, and never overrides";
            at.error_with_help(codes::CERBOS, "a role policy cannot have these scope permissions", help);
            return None;
        }
        Some(found)
    }
}

/// `EFFECT_ALLOW` or `EFFECT_DENY`.
fn read_effect(message: &mut Message<'_>) -> Option<Effect> {
    let Some(at) = message.take_or_null("effect", "effect") else {
        message.missing("effect");
        return None;
    };
    // The protocol has a word for nothing before these.
    let words =
        [("EFFECT_UNSPECIFIED", None), ("EFFECT_ALLOW", Some(Effect::Allow)), ("EFFECT_DENY", Some(Effect::Deny))];
    let found = message::word(&at, &words, Some(None))?;
    if found.is_none() {
        at.error_with_help(codes::WORD, "the rule has no effect", "write `EFFECT_ALLOW` or `EFFECT_DENY`");
    }
    found
}
