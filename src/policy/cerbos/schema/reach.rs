//! What a schema reaches by references, before it is compiled: how far they lead, and whether they lead in a circle.
//!
//! The compiler and the validator of schemas follow references by recursion, so a long chain or a circle would end the process.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::Folder;

/// References of a schema, with all that it refers to.
const MOST_REFERENCES: usize = 1000;

/// How many steps may follow each other about one value, through references and through keywords such as `allOf`.
const DEEPEST: usize = 32;

/// Keywords with a schema for the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];

/// Keywords with several schemas for the same value.
const SAME_MANY: [&str; 5] = ["allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"];

/// A schema within a file: the file, and the JSON pointer in it.
type Place = (String, String);

/// Refuses a schema that reaches too far.
pub(super) fn check(address: &str, folder: &Folder) -> Result<(), String> {
    let mut reach = Reach { folder, files: BTreeMap::new(), heights: HashMap::new() };
    reach.load(address)?;
    let places: Vec<Place> = reach
        .files
        .iter()
        .flat_map(|(file, found)| found.schemas.iter().map(|place| (file.clone(), place.clone())))
        .collect();
    for place in &places {
        reach.height(place, DEEPEST)?;
    }
    Ok(())
}

struct Reach<'f> {
    folder: &'f Folder,
    files: BTreeMap<String, File>,
    /// How many steps lead on from a place.
    heights: HashMap<Place, usize>,
}

struct File {
    content: Value,
    /// Pointers to all maps that may be schemas.
    schemas: Vec<String>,
    /// Pointers by the names that references may use.
    anchors: HashMap<String, String>,
}

impl Reach<'_> {
    /// Reads a file and all that it refers to.
    fn load(&mut self, address: &str) -> Result<(), String> {
        let mut seen: HashSet<String> = HashSet::from([address.to_owned()]);
        let mut rest = vec![address.to_owned()];
        let mut references = 0;
        while let Some(address) = rest.pop() {
            let content = self.folder.read(&address)?;
            let mut found = Found::default();
            found.look(&content, String::new())?;
            references += found.references.len();
            if references > MOST_REFERENCES {
                return Err(format!("it has more than {MOST_REFERENCES} references"));
            }
            for reference in found.references {
                if let Some((file, _)) =
                    self.target(&address, &content, &reference)?.filter(|(file, _)| !seen.contains(file))
                {
                    seen.insert(file.clone());
                    rest.push(file);
                }
            }
            self.files.insert(address, File { content, schemas: found.schemas, anchors: found.anchors });
        }
        Ok(())
    }

    /// The file that a reference leads to, and the fragment. `None` for the schema of schemas.
    fn target(&self, address: &str, content: &Value, reference: &str) -> Result<Option<(String, String)>, String> {
        if reference.starts_with("https://json-schema.org/") || reference.starts_with("http://json-schema.org/") {
            return Ok(None);
        }
        let base = content.get("$id").and_then(Value::as_str).unwrap_or(address);
        let fail = |_| format!("the reference `{reference}` cannot be read");
        let base = jsonschema::uri::from_str(base).map_err(fail)?;
        let target = jsonschema::uri::resolve_against(&base.borrow(), reference).map_err(fail)?;
        let (file, fragment) = target.as_str().split_once('#').unwrap_or((target.as_str(), ""));
        if fragment.contains('%') {
            return Err(format!("the reference `{reference}` has an escaped part"));
        }
        let own = base.as_str().split('#').next() == Some(file);
        Ok(Some((if own { address.to_owned() } else { file.to_owned() }, fragment.to_owned())))
    }

    /// How many steps lead on from a place, at most `left`.
    fn height(&mut self, place: &Place, left: usize) -> Result<usize, String> {
        if let Some(known) = self.heights.get(place) {
            return if *known <= left { Ok(*known) } else { Err(too_deep(place)) };
        }
        let Some(left) = left.checked_sub(1) else { return Err(too_deep(place)) };
        let mut height = 0;
        for next in self.steps(place)? {
            height = height.max(1 + self.height(&next, left)?);
        }
        self.heights.insert(place.clone(), height);
        Ok(height)
    }

    /// The schemas that are asked about the same value.
    fn steps(&self, (file, at): &Place) -> Result<Vec<Place>, String> {
        let Some(found) = self.files.get(file) else { return Ok(Vec::new()) };
        let Some(schema) = found.content.pointer(at).and_then(Value::as_object) else { return Ok(Vec::new()) };
        let mut steps = Vec::new();
        for (key, value) in schema {
            let below = format!("{at}/{}", escape(key));
            match value {
                Value::String(reference) if is_reference(key) => {
                    let Some((file, fragment)) = self.target(file, &found.content, reference)? else { continue };
                    let anchors = self.files.get(&file).map(|file| &file.anchors);
                    let pointer = match anchors.and_then(|anchors| anchors.get(&fragment)) {
                        Some(anchor) => anchor.clone(),
                        None if fragment.is_empty() || fragment.starts_with('/') => fragment,
                        None => return Err(format!("the reference `{reference}` leads nowhere")),
                    };
                    steps.push((file, pointer));
                }
                Value::Object(_) if SAME.contains(&key.as_str()) => steps.push((file.clone(), below)),
                Value::Array(many) if SAME_MANY.contains(&key.as_str()) => {
                    steps.extend((0..many.len()).map(|place| (file.clone(), format!("{below}/{place}"))));
                }
                Value::Object(many) if SAME_MANY.contains(&key.as_str()) => {
                    steps.extend(many.keys().map(|name| (file.clone(), format!("{below}/{}", escape(name)))));
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => {}
            }
        }
        Ok(steps)
    }
}

#[derive(Default)]
struct Found {
    references: Vec<String>,
    schemas: Vec<String>,
    anchors: HashMap<String, String>,
}

impl Found {
    /// Looks through a file, values that are no schemas too: it is not known here what a name such as `default` stands for. Its depth is bounded by the reader of JSON.
    fn look(&mut self, value: &Value, at: String) -> Result<(), String> {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    if let Some(text) = inner.as_str() {
                        self.look_at(key, text, &at)?;
                    }
                    self.look(inner, format!("{at}/{}", escape(key)))?;
                }
                self.schemas.push(at);
            }
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    self.look(item, format!("{at}/{place}"))?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }
}

impl Found {
    fn look_at(&mut self, key: &str, text: &str, at: &str) -> Result<(), String> {
        if is_reference(key) {
            self.references.push(text.to_owned());
        }
        if key == "$anchor" || key == "$dynamicAnchor" {
            self.anchors.insert(text.to_owned(), at.to_owned());
        }
        if key == "$id" && !at.is_empty() {
            return Err("it has an `$id` below its top".to_owned());
        }
        Ok(())
    }
}

fn is_reference(key: &str) -> bool {
    matches!(key, "$ref" | "$dynamicRef" | "$recursiveRef")
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn too_deep((file, at): &Place) -> String {
    format!("references lead in a circle, or further than {DEEPEST} steps, at {file}#{at}")
}
