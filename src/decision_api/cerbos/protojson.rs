//! Questions from JSON, by the rules of protojson: names in camelCase or snake_case, `null` for what is left out, unknown and repeated
//! names refused, and every fault with its place.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    fault::Fault,
    text::{self, Is, Node, place},
    value::{Attributes, Kind, ListValue, Struct, Value},
    wire::{
        AttributesMap, AuxData, CheckResourceBatchRequest, CheckResourceSetRequest, CheckResourcesRequest, Entry, Jwt,
        Principal, Resource, ResourceSet,
    },
};

/// A message that JSON can say. An empty body is the empty message.
pub(super) trait FromJson: Default {
    /// Its fields: the name in JSON, and the name in Protobuf.
    const FIELDS: &'static [(&'static str, &'static str)];

    /// Fills in the field of that place in [`FromJson::FIELDS`].
    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault>;
}

/// Reads a question.
pub(super) fn read<M: FromJson>(body: &[u8]) -> Result<M, Fault> {
    let (text, node) = text::read(body)?;
    match node {
        None => Ok(M::default()),
        Some(node) => At { text, node: &node, field: "" }.message(),
    }
}

/// A value within a text, and the field that it is for.
pub(super) struct At<'a> {
    text: &'a str,
    node: &'a Node<'a>,
    field: &'static str,
}

impl<'a> At<'a> {
    fn fault(&self, at: usize, what: &str) -> Fault {
        Fault::invalid(format!("proto: {}: {what}", place(self.text, at)))
    }

    /// The value as it is written; of a list or an object its first character.
    fn token(&self) -> &'a str {
        let end = if let Is::List(_) | Is::Map(_) = self.node.is { self.node.at + 1 } else { self.node.end };
        self.text.get(self.node.at..end).unwrap_or_default()
    }

    fn unexpected(&self) -> Fault {
        Fault::invalid(format!(
            "proto: syntax error {}: unexpected token {}",
            place(self.text, self.node.at),
            shortened(self.token())
        ))
    }

    fn invalid(&self, kind: &str) -> Fault {
        let (field, token) = (self.field, shortened(self.token()));
        self.fault(self.node.at, &format!("invalid value for {kind} field {field}: {token}"))
    }

    fn string(&self) -> Result<String, Fault> {
        match &self.node.is {
            Is::Text(text) => Ok(text.clone().into_owned()),
            Is::Null | Is::Bool(_) | Is::Number(_) | Is::List(_) | Is::Map(_) => Err(self.invalid("string")),
        }
    }

    fn bool(&self) -> Result<bool, Fault> {
        if let Is::Bool(is) = self.node.is { Ok(is) } else { Err(self.invalid("bool")) }
    }

    fn list<T>(&self, read: impl Fn(&At<'_>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let Is::List(items) = &self.node.is else { return Err(self.unexpected()) };
        items.iter().map(|node| read(&At { node, ..*self })).collect()
    }

    fn message<M: FromJson>(&self) -> Result<M, Fault> {
        let Is::Map(members) = &self.node.is else { return Err(self.unexpected()) };
        let mut message = M::default();
        let mut seen = 0_u32;
        for member in members {
            let known = M::FIELDS.iter().position(|(json, proto)| *json == member.name || *proto == member.name);
            // SECURITY: what is not understood could have changed the question: `a_name_that_is_not_known_is_refused`.
            let Some(field) = known else {
                return Err(self.fault(member.at, &format!("unknown field {}", quoted(&member.name))));
            };
            if member.value.is == Is::Null {
                continue;
            }
            // SECURITY: which of two is meant cannot be known: `a_name_that_stands_twice_is_refused`.
            if seen & (1 << field) != 0 {
                return Err(self.fault(member.at, &format!("duplicate field {}", quoted(&member.name))));
            }
            seen |= 1 << field;
            let name = M::FIELDS.get(field).map_or("", |(json, _)| json);
            message.set(field, &At { text: self.text, node: &member.value, field: name })?;
        }
        Ok(message)
    }

    fn map<T>(&self, read: impl Fn(&At<'_>) -> Result<T, Fault>) -> Result<BTreeMap<String, T>, Fault> {
        let Is::Map(members) = &self.node.is else { return Err(self.unexpected()) };
        let mut map = BTreeMap::new();
        for member in members {
            if map.contains_key(&*member.name) {
                return Err(self.fault(member.at, &format!("duplicate map key {}", quoted(&member.name))));
            }
            let value = read(&At { node: &member.value, ..*self })?;
            map.insert(member.name.clone().into_owned(), value);
        }
        Ok(map)
    }

    fn attributes(&self) -> Result<Attributes, Fault> {
        self.map(|at| at.value())
    }

    /// Any value. Every number is a double.
    fn value(&self) -> Result<Value, Fault> {
        let kind = match &self.node.is {
            Is::Null => Kind::Null(0),
            Is::Bool(is) => Kind::Bool(*is),
            Is::Number(written) => {
                let number = written.parse().ok().filter(|number: &f64| number.is_finite());
                let wrong = || format!("invalid google.protobuf.Value: {}", shortened(written));
                Kind::Number(number.ok_or_else(|| self.fault(self.node.at, &wrong()))?)
            }
            Is::Text(text) => Kind::Text(text.clone().into_owned()),
            Is::List(_) => Kind::List(ListValue { values: self.list(|at| at.value())? }),
            Is::Map(_) => Kind::Map(Struct { fields: self.attributes()? }),
        };
        Ok(Value { kind: Some(kind) })
    }
}

/// What a caller wrote, for an answer to that caller.
fn quoted(name: &str) -> String {
    format!("{:?}", shortened(name))
}

/// An answer is no mirror for megabytes.
fn shortened(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 128;
    match text.char_indices().nth(LONGEST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

impl FromJson for CheckResourcesRequest {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("requestId", "request_id"),
        ("includeMeta", "include_meta"),
        ("principal", "principal"),
        ("resources", "resources"),
        ("auxData", "aux_data"),
    ];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.request_id = at.string()?,
            1 => self.include_meta = at.bool()?,
            2 => self.principal = Some(at.message()?),
            3 => self.resources = at.list(|at| at.message())?,
            _ => self.aux_data = Some(at.message()?),
        }
        Ok(())
    }
}

impl FromJson for CheckResourceBatchRequest {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("requestId", "request_id"), ("principal", "principal"), ("resources", "resources"), ("auxData", "aux_data")];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.request_id = at.string()?,
            1 => self.principal = Some(at.message()?),
            2 => self.resources = at.list(|at| at.message())?,
            _ => self.aux_data = Some(at.message()?),
        }
        Ok(())
    }
}

impl FromJson for CheckResourceSetRequest {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("requestId", "request_id"),
        ("actions", "actions"),
        ("principal", "principal"),
        ("resource", "resource"),
        ("includeMeta", "include_meta"),
        ("auxData", "aux_data"),
    ];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.request_id = at.string()?,
            1 => self.actions = at.list(|at| at.string())?,
            2 => self.principal = Some(at.message()?),
            3 => self.resource = Some(at.message()?),
            4 => self.include_meta = at.bool()?,
            _ => self.aux_data = Some(at.message()?),
        }
        Ok(())
    }
}

impl FromJson for Principal {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("id", "id"), ("policyVersion", "policy_version"), ("roles", "roles"), ("attr", "attr"), ("scope", "scope")];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.id = at.string()?,
            1 => self.policy_version = at.string()?,
            2 => self.roles = at.list(|at| at.string())?,
            3 => self.attr = at.attributes()?,
            _ => self.scope = at.string()?,
        }
        Ok(())
    }
}

impl FromJson for Entry {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("actions", "actions"), ("resource", "resource")];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.actions = at.list(|at| at.string())?,
            _ => self.resource = Some(at.message()?),
        }
        Ok(())
    }
}

impl FromJson for Resource {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("kind", "kind"), ("policyVersion", "policy_version"), ("id", "id"), ("attr", "attr"), ("scope", "scope")];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.kind = at.string()?,
            1 => self.policy_version = at.string()?,
            2 => self.id = at.string()?,
            3 => self.attr = at.attributes()?,
            _ => self.scope = at.string()?,
        }
        Ok(())
    }
}

impl FromJson for ResourceSet {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("kind", "kind"), ("policyVersion", "policy_version"), ("instances", "instances"), ("scope", "scope")];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.kind = at.string()?,
            1 => self.policy_version = at.string()?,
            2 => self.instances = at.map(|at| at.message())?,
            _ => self.scope = at.string()?,
        }
        Ok(())
    }
}

impl FromJson for AttributesMap {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("attr", "attr")];

    fn set(&mut self, _: usize, at: &At<'_>) -> Result<(), Fault> {
        self.attr = at.attributes()?;
        Ok(())
    }
}

impl FromJson for AuxData {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("jwt", "jwt")];

    fn set(&mut self, _: usize, at: &At<'_>) -> Result<(), Fault> {
        self.jwt = Some(at.message()?);
        Ok(())
    }
}

impl FromJson for Jwt {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("token", "token"), ("keySetId", "key_set_id")];

    fn set(&mut self, field: usize, at: &At<'_>) -> Result<(), Fault> {
        match field {
            0 => self.token = at.string()?,
            _ => self.key_set_id = at.string()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
