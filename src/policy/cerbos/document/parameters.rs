//! `variables` and `constants`.

use serde_json::Value;

use super::{Message, Text, message, names};
use crate::{policy::codes, yaml::Cursor};

/// What a policy names for its expressions.
#[derive(Debug, Default)]
pub(crate) struct ParametersDoc<'a> {
    pub(crate) variables: Vec<VariableDoc<'a>>,
    pub(crate) variable_imports: ImportsDoc<'a>,
    pub(crate) constants: Vec<ConstantDoc<'a>>,
    pub(crate) constant_imports: ImportsDoc<'a>,
}

/// Names of other files.
pub(crate) type ImportsDoc<'a> = Vec<Text<'a>>;

/// A name for an expression.
#[derive(Debug)]
pub(crate) struct VariableDoc<'a> {
    pub(crate) name: &'a str,
    pub(crate) expression: Text<'a>,
}

/// A name for a value.
#[derive(Debug)]
pub(crate) struct ConstantDoc<'a> {
    pub(crate) name: &'a str,
    pub(crate) at: Cursor<'a>,
    pub(crate) value: Value,
}

/// Both blocks of a policy.
pub(super) fn read<'a>(message: &mut Message<'a>) -> ParametersDoc<'a> {
    let mut parameters = ParametersDoc::default();
    if let Some(mut map) = message.take("variables", "variables").and_then(|at| at.map_or_empty()).map(Message::new) {
        parameters.variable_imports = read_imports(&mut map, "import");
        if let Some(at) = map.take("local", "local") {
            parameters.variables = read_variables(&at);
        }
        map.finish();
    }
    if let Some(mut map) = message.take("constants", "constants").and_then(|at| at.map_or_empty()).map(Message::new) {
        parameters.constant_imports = read_imports(&mut map, "import");
        if let Some(at) = map.take("local", "local") {
            parameters.constants = read_constants(&at);
        }
        map.finish();
    }
    parameters
}

/// A list of names of files.
pub(super) fn read_imports<'a>(message: &mut Message<'a>, key: &'static str) -> ImportsDoc<'a> {
    message::texts(message.list(key, key)).into_iter().filter(names::check_dashed).collect()
}

/// Names and expressions.
pub(super) fn read_variables<'a>(at: &Cursor<'a>) -> Vec<VariableDoc<'a>> {
    let Some(map) = at.map_or_empty() else { return Vec::new() };
    let read = |(name, at): (&'a str, Cursor<'a>)| Some(VariableDoc { name, expression: Text::read(at)? });
    map.entries().filter_map(read).collect()
}

/// Names and values.
pub(super) fn read_constants<'a>(at: &Cursor<'a>) -> Vec<ConstantDoc<'a>> {
    let Some(map) = at.map_or_empty() else { return Vec::new() };
    let read = |(name, at): (&'a str, Cursor<'a>)| {
        let Some(value) = at.node().to_json() else {
            let told = "the value holds a number that JSON does not have";
            at.error_with_help(codes::CERBOS, told, "write a finite number, or a string");
            return None;
        };
        Some(ConstantDoc { name, at, value })
    };
    map.entries().filter_map(read).collect()
}
