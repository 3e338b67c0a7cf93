//! Which policies there are, and what can be imported.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use super::{
    Linker,
    derived_roles::RoleSet,
    parameters::{Variable, check_names},
};
use crate::policy::{
    cerbos::document::{Body, ConstantDoc, Document, Header, TextDoc, sanitise},
    codes,
};

/// The documents of a folder by name.
pub(super) struct Index<'d, 'a> {
    variables: HashMap<String, Vec<Rc<Variable<'d, 'a>>>>,
    constants: HashMap<String, &'d [ConstantDoc<'a>]>,
    roles: HashMap<String, RoleSet<'d>>,
    policies: HashSet<String>,
}

impl<'d, 'a> Index<'d, 'a> {
    /// Looks through all documents, and links what can be imported.
    pub(super) fn new(documents: &'d [Document<'a>], linker: &Linker<'_>) -> Self {
        let mut index = Self {
            variables: HashMap::new(),
            constants: HashMap::new(),
            roles: HashMap::new(),
            policies: HashSet::new(),
        };
        let mut files = HashMap::new();
        for document in documents {
            let (key, name) = document.body.identity();
            let file = name.at().source().file();
            if let Some(other) = files.insert(key.clone(), file) {
                let told = format!("there is a policy `{key}` already");
                let help = format!(
                    "the other one is in {other}; names that differ only in `-`, `:`, `@` and `/` are one name"
                );
                name.at().error_with_help(codes::DUPLICATE, told, help);
            }
            index.policies.insert(key);
        }
        for document in documents {
            match &document.body {
                Body::ExportVariables(export) => {
                    let variables = linker.export(&export.definitions);
                    index.variables.insert(sanitise(export.name.text()), variables);
                }
                Body::ExportConstants(export) => {
                    check_names(export.definitions.iter().map(|constant| (constant.name, &constant.at)), "constant");
                    index.constants.insert(sanitise(export.name.text()), &export.definitions);
                }
                Body::Resource(_) | Body::Principal(_) | Body::Role(_) | Body::DerivedRoles(_) => {}
            }
        }
        for document in documents {
            if let Body::DerivedRoles(roles) = &document.body {
                let set = linker.role_set(document, roles, &index);
                index.roles.insert(sanitise(roles.name.text()), set);
            }
        }
        index
    }

    pub(super) fn variables(&self, import: &TextDoc<'_>) -> Option<&[Rc<Variable<'d, 'a>>]> {
        let found = self.variables.get(&sanitise(import.text()));
        found.map(Vec::as_slice).or_else(|| missing("variables", import))
    }

    pub(super) fn constants(&self, import: &TextDoc<'_>) -> Option<&'d [ConstantDoc<'a>]> {
        let found = self.constants.get(&sanitise(import.text()));
        found.copied().or_else(|| missing("constants", import))
    }

    pub(super) fn roles(&self, import: &TextDoc<'_>) -> Option<&RoleSet<'d>> {
        self.roles.get(&sanitise(import.text())).or_else(|| missing("derived roles", import))
    }

    /// Notes each scope above that of a policy which has no policy.
    pub(super) fn check_ancestors(&self, kind: &str, header: &Header<'_>) {
        let mut scope: &str = &header.scope;
        while !scope.is_empty() {
            scope = scope.rsplit_once('.').map_or("", |(above, _)| above);
            let key = header.key_at(kind, scope);
            if !self.policies.contains(&key) {
                let told = format!("the scope `{}` needs the policy `{key}`, and there is none", header.scope);
                let help = "each level of a scope has a policy of its own, up to the one without a scope; a disabled one does not count";
                header.scope_at.error_with_help(codes::ANCESTOR, told, help);
            }
        }
    }
}

fn missing<T>(what: &str, import: &TextDoc<'_>) -> Option<T> {
    let told = format!("there are no {what} `{}` to import", import.text());
    import.at().error_with_help(codes::IMPORT, told, "correct the name, or add the file that defines them");
    None
}

impl<'a> Body<'a> {
    /// The name of a document among all, and where it stands.
    fn identity(&self) -> (String, &TextDoc<'a>) {
        let named = |kind: &str, name: &TextDoc<'_>| format!("{kind}.{}", sanitise(name.text()));
        match self {
            Self::Resource(policy) => (policy.header.key("resource"), &policy.header.name),
            Self::Principal(policy) => (policy.header.key("principal"), &policy.header.name),
            Self::Role(policy) => (policy.header.key("role"), &policy.header.name),
            Self::DerivedRoles(roles) => (named("derived_roles", &roles.name), &roles.name),
            Self::ExportVariables(export) => (named("export_variables", &export.name), &export.name),
            Self::ExportConstants(export) => (named("export_constants", &export.name), &export.name),
        }
    }
}

impl Header<'_> {
    fn key(&self, kind: &str) -> String {
        self.key_at(kind, &self.scope)
    }

    fn key_at(&self, kind: &str, scope: &str) -> String {
        let (name, version) = (sanitise(self.name.text()), &self.version);
        let slash = if scope.is_empty() { "" } else { "/" };
        format!("{kind}.{name}.v{version}{slash}{scope}")
    }
}
