//! `exportVariables` and `exportConstants`: names that policies import.

use super::{ConstantDoc, Message, Text, VariableDoc, names, parameters};

#[derive(Debug)]
pub(crate) struct ExportVariablesDoc<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) definitions: Vec<VariableDoc<'a>>,
}

#[derive(Debug)]
pub(crate) struct ExportConstantsDoc<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) definitions: Vec<ConstantDoc<'a>>,
}

pub(super) fn read_variables(mut message: Message<'_>) -> Option<ExportVariablesDoc<'_>> {
    let name = message.require("name", "name").filter(names::check_dashed);
    let definitions = message.take("definitions", "definitions");
    message.finish();
    let definitions = definitions.map(|at| parameters::read_variables(&at)).unwrap_or_default();
    Some(ExportVariablesDoc { name: name?, definitions })
}

pub(super) fn read_constants(mut message: Message<'_>) -> Option<ExportConstantsDoc<'_>> {
    let name = message.require("name", "name").filter(names::check_dashed);
    let definitions = message.take("definitions", "definitions");
    message.finish();
    let definitions = definitions.map(|at| parameters::read_constants(&at)).unwrap_or_default();
    Some(ExportConstantsDoc { name: name?, definitions })
}
