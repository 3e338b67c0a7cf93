//! The cases of Cerbos's own compiler.

use super::*;

/// How Cerbos calls a kind of error, and how we do.
const KINDS: [(&str, &str); 15] = [
    ("ambiguous derived role", codes::AMBIGUOUS_ROLE),
    ("constant redefined", codes::REDEFINED),
    ("cyclical variable definitions", codes::CYCLE),
    ("import not found", codes::IMPORT),
    ("invalid constant name", codes::NAME),
    ("invalid expression", codes::CONDITION),
    ("invalid resource rule", codes::CERBOS),
    ("invalid schema", codes::SCHEMA),
    ("invalid variable name", codes::NAME),
    ("missing policy definition", codes::ANCESTOR),
    ("scripts in conditions are no longer supported", codes::CERBOS),
    ("undefined constant", codes::UNDEFINED),
    ("undefined variable", codes::UNDEFINED),
    ("unknown derived role", codes::UNKNOWN_ROLE),
    ("variable redefined", codes::REDEFINED),
];

/// Files of a text archive.
fn archive(text: &str) -> Vec<SourceFile> {
    let mut files: Vec<SourceFile> = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.trim_end().strip_prefix("-- ").and_then(|line| line.strip_suffix(" --")) {
            Some(name) => files.push(SourceFile { name: name.to_owned(), text: String::new() }),
            None => files.last_mut().unwrap().text.push_str(line),
        }
    }
    files
}

fn text<'n>(node: &'n Node, key: &str) -> &'n str {
    node.get(key).and_then(Node::as_text).unwrap_or_else(|| panic!("`{key}` in {node:?}"))
}

fn list<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    node.get(key).and_then(Node::as_list).unwrap_or_default()
}

fn words(node: &Node, key: &str) -> BTreeSet<String> {
    list(node, key).iter().map(|word| word.as_text().unwrap().to_owned()).collect()
}

/// Where we tell the line of what is wrong, and Cerbos that of the key above it.
const ELSEWHERE: [(&str, usize, usize); 1] = [("script_condition", 10, 11)];

/// What we tell and the case leaves out, as it compiles files that a store was not asked about: `cerbos compile` tells it too.
const BESIDES: [(&str, &str); 1] = [("scoped_rp_missing_import", codes::ANCESTOR)];

struct Wanted {
    code: &'static str,
    file: String,
    line: Option<usize>,
}

impl Wanted {
    fn of(error: &Node, case: &str) -> Self {
        let kind = text(error, "error").trim();
        let code = KINDS.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("{kind}")).1;
        let line = match error.get("position").and_then(|position| position.get("line")) {
            Some(Node::Integer(line)) => Some(usize::try_from(*line).unwrap()),
            _ => None,
        };
        let moved = |line| ELSEWHERE.iter().find(|(name, theirs, _)| *name == case && *theirs == line);
        let line = line.map(|line| moved(line).map_or(line, |(_, _, ours)| *ours));
        Self { code, file: text(error, "file").to_owned(), line }
    }

    fn is(&self, finding: &Diagnostic) -> bool {
        finding.code == self.code
            && finding.file == self.file
            && self.line.is_none_or(|line| finding.line == Some(line))
    }
}

/// What is wrong with a case, nothing when it comes out as in Cerbos.
fn compare(name: &str, case: &Node, files: &[SourceFile], linking: &Linking<'_>) -> Vec<String> {
    let (policies, report) = linked(files, linking);
    let wanted: Vec<_> = list(case, "wantErrors").iter().map(|error| Wanted::of(error, name)).collect();
    let mut faults = Vec::new();
    for wanted in &wanted {
        if !report.findings().iter().any(|finding| wanted.is(finding)) {
            faults.push(format!("lacks {} at {}:{:?}", wanted.code, wanted.file, wanted.line));
        }
    }
    for finding in report.findings().iter().filter(|finding| !BESIDES.contains(&(name, finding.code))) {
        // Cerbos looks at what the main file needs, we at all files; and it tells one place of several.
        let like = |wanted: &&Wanted| wanted.code == finding.code;
        let in_file = |wanted: &&Wanted| wanted.file == finding.file;
        let about_file = wanted.iter().any(|wanted| in_file(&wanted));
        if !wanted.iter().any(|wanted| like(&wanted) && (in_file(&wanted) || !about_file)) {
            faults.push(format!("has {finding}"));
        }
    }
    for want in list(case, "wantVariables") {
        faults.extend(compare_variables(want, &policies));
    }
    faults
}

fn compare_variables(want: &Node, policies: &Policies) -> Vec<String> {
    let scope = text(want, "scope");
    let at = |envelope: &Envelope| *envelope.scope == *scope;
    let resource = policies.resources.iter().find(|policy| at(&policy.envelope));
    let principal = policies.principals.iter().find(|policy| at(&policy.envelope));
    let envelope = resource.map(|policy| &policy.envelope).or(principal.map(|policy| &policy.envelope)).unwrap();
    let names = |parameters: &super::super::super::model::Parameters| -> BTreeSet<String> {
        parameters.variables.iter().map(|variable| variable.name.to_string()).collect()
    };
    let mut faults = Vec::new();
    if names(&envelope.parameters) != words(want, "variables") {
        faults.push(format!("`{scope}` has the variables {:?}", names(&envelope.parameters)));
    }
    let roles = list(want, "derivedRoles");
    let derived = resource.map(|policy| policy.derived_roles.as_slice()).unwrap_or_default();
    let wanted: Vec<_> = roles.iter().map(|role| text(role, "name")).collect();
    let found: Vec<_> = derived.iter().map(|role| &*role.name).collect();
    if wanted != found {
        faults.push(format!("`{scope}` has the derived roles {found:?}"));
    }
    for (role, want) in derived.iter().zip(roles) {
        // Those of one file share their variables.
        if !names(&role.parameters).is_superset(&words(want, "variables")) {
            faults.push(format!("`{}` has the variables {:?}", role.name, names(&role.parameters)));
        }
    }
    faults
}

#[test]
fn cerbos_and_we_refuse_the_same_policies_at_the_same_places() {
    let Some(root) = corpus("cerbos-0.51.0") else { return };
    let files = read_folder(&root.join("schema/fs/_schemas"));
    let files: Vec<_> = files.iter().map(|(path, text)| SchemaFile { path, text }).collect();
    let schemas = Schemas::new(&files);
    let environment = Environment::cerbos();
    let linking = Linking { environment: &environment, schemas: &schemas, schemas_enforced: true };
    let folder = root.join("compile");
    let cases = cases(&folder);
    assert_eq!(cases.len(), 29);
    let mut faults = Vec::new();
    for (name, case) in cases {
        let input = fs::read_to_string(folder.join(format!("{name}.yaml.input"))).unwrap();
        faults.extend(
            compare(&name, &case, &archive(&input), &linking).into_iter().map(|fault| format!("{name}: {fault}")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
