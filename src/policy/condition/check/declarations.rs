//! The names at the head of a chain, and the fields of messages.

use super::types::{Message, Type};

/// The names of values, with their types.
pub(super) const ROOTS: &[(&str, Message)] = &[
    ("request", Message::Request),
    ("P", Message::Principal),
    ("R", Message::Resource),
    ("V", Message::Variables),
    ("C", Message::Variables),
    ("G", Message::Variables),
    ("runtime", Message::Runtime),
    ("variables", Message::Variables),
    ("constants", Message::Variables),
    ("globals", Message::Variables),
];

/// How many of them are listed in advice: the rest are long names for these.
pub(super) const ADVISED: usize = 7;

/// What a name that no comprehension declares stands for: a value or a type.
pub(super) fn root(name: &str) -> Option<Type> {
    let value = ROOTS.iter().find(|(known, _)| *known == name).map(|(_, message)| Type::Message(*message));
    value.or_else(|| type_named(name))
}

/// The type of that name, which is a value in expressions such as `type(x) == string`.
pub(super) fn type_named(name: &str) -> Option<Type> {
    let named = match name.trim_start_matches('.') {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "string" => Type::String,
        "type" => Type::meta(Type::Dyn),
        "uint" => Type::Uint,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "cerbos.lib.hierarchy" => Type::Message(Message::Hierarchy),
        "cerbos.lib.spiffeID" => Type::Message(Message::SpiffeId),
        "cerbos.lib.spiffeTrustDomain" => Type::Message(Message::SpiffeTrustDomain),
        "cerbos.lib.spiffeMatcher" => Type::Message(Message::SpiffeMatcher),
        _ => return None,
    };
    Some(Type::meta(named))
}

/// The fields of a message in the spelling that is advised.
pub(super) fn fields(message: Message) -> &'static [&'static str] {
    match message {
        Message::Request => &["principal", "resource", "auxData"],
        Message::Principal => &["id", "roles", "attr", "policyVersion", "scope"],
        Message::Resource => &["kind", "id", "attr", "policyVersion", "scope"],
        Message::AuxiliaryData => &["jwt"],
        Message::Runtime => &["effectiveDerivedRoles"],
        Message::Variables
        | Message::Hierarchy
        | Message::SpiffeId
        | Message::SpiffeTrustDomain
        | Message::SpiffeMatcher => &[],
    }
}

/// The type of a field in either spelling.
pub(super) fn field(message: Message, name: &str) -> Option<Type> {
    if message == Message::Variables {
        return Some(Type::Dyn);
    }
    let name = match name {
        "aux_data" => "auxData",
        "policy_version" => "policyVersion",
        "effective_derived_roles" => "effectiveDerivedRoles",
        name => name,
    };
    let known = fields(message).iter().find(|known| **known == name)?;
    Some(match *known {
        "principal" => Type::Message(Message::Principal),
        "resource" => Type::Message(Message::Resource),
        "auxData" => Type::Message(Message::AuxiliaryData),
        "roles" | "effectiveDerivedRoles" => Type::list(Type::String),
        "attr" | "jwt" => Type::map(Type::String, Type::Dyn),
        _ => Type::String,
    })
}
