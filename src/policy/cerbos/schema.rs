//! JSON Schemas for attributes: what the folder `_schemas` holds, compiled when a policy refers to it.
//!
//! Nothing is ever fetched: a reference that leads out of the folder is an error. Formats are checked, and patterns take time that is linear in
//! the text. Draft 2020-12 unless the schema names another.

mod content;
mod reach;
mod words;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::{Map, Value};

/// Where schemas stand, and the scheme of references to them.
const ROOT: &str = "cerbos:///";

/// Letters of the longest text that is told about a schema.
const LONGEST: usize = 500;

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
}

impl Schema {
    /// What is wrong with attributes, in the words of Cerbos: where, as a JSON pointer, and what.
    pub(crate) fn validate(&self, attributes: &Map<String, Value>) -> Vec<(Box<str>, Box<str>)> {
        let attributes = Value::Object(attributes.clone());
        words::tell(self.validator.iter_errors(&attributes))
    }
}

/// A file below the folder `_schemas` at the root of the policies.
#[derive(Clone, Copy, Debug)]
pub struct SchemaFile<'a> {
    /// Its path from there, with `/` between the parts.
    pub path: &'a str,
    /// Its whole text.
    pub text: &'a str,
}

/// The schemas of a policy folder.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    /// By the path below `_schemas`.
    files: Arc<BTreeMap<String, String>>,
    compiled: RefCell<HashMap<String, Result<Arc<Schema>, String>>>,
}

impl Schemas {
    /// Of those files.
    pub(crate) fn new(files: &[SchemaFile<'_>]) -> Self {
        let files = files.iter().map(|file| (file.path.to_owned(), file.text.to_owned())).collect();
        Self { files: Arc::new(files), compiled: RefCell::default() }
    }

    /// The schema that a policy refers to; once for each reference.
    ///
    /// # Errors
    /// Why there is none, for the author of the policy.
    pub(crate) fn find(&self, reference: &str) -> Result<Arc<Schema>, String> {
        if let Some(known) = self.compiled.borrow().get(reference) {
            return known.clone();
        }
        let found = self.compile(reference).map(Arc::new).map_err(|message| shorten(&message));
        self.compiled.borrow_mut().insert(reference.to_owned(), found.clone());
        found
    }

    fn compile(&self, reference: &str) -> Result<Schema, String> {
        let files = Folder(Arc::clone(&self.files));
        let address = reference.split(['#', '?']).next().unwrap_or(reference);
        // Read here, so that a missing file is not told as a reference that does not resolve.
        let (base, schema) = match files.read(address)? {
            schema if address == reference => (address, schema),
            _ => (ROOT, serde_json::json!({ "$ref": reference })),
        };
        // SECURITY: a circle or a long chain would overflow the stack: `schemas_that_lead_in_circles_or_far_are_refused`.
        reach::check(address, &files).map_err(|why| format!("schema {reference} cannot be used: {why}"))?;
        let build = || build(reference, base, &schema, files);
        let validator = on_a_large_stack(build).ok_or_else(|| format!("schema {reference} cannot be compiled"))??;
        Ok(Schema { validator })
    }
}

/// The only place that references lead to.
struct Folder(Arc<BTreeMap<String, String>>);

impl Folder {
    fn read(&self, address: &str) -> Result<Value, String> {
        let path = address.strip_prefix(ROOT).ok_or_else(|| format!("schema {address} doesn't exist"))?;
        let text = self.0.get(path).ok_or_else(|| format!("schema _schemas/{path} doesn't exist"))?;
        serde_json::from_str(text).map_err(|error| format!("invalid json {address}: {error}"))
    }
}

impl Retrieve for Folder {
    // SECURITY: nothing is fetched: `a_reference_out_of_the_folder_is_refused`.
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.read(uri.as_str())?)
    }
}

fn build(reference: &str, base: &str, schema: &Value, files: Folder) -> Result<Validator, String> {
    jsonschema::options()
        .with_retriever(files)
        .with_base_uri(base)
        .should_validate_formats(true)
        .with_keyword(content::ENCODING, content::encoding)
        .with_keyword(content::MEDIA_TYPE, content::media_type)
        // SECURITY: a pattern that backtracks would let one attribute take minutes: `a_pattern_takes_linear_time`.
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| format!("jsonschema {reference} compilation failed: {error}"))
}

/// Runs the compiler of schemas on a thread of its own: it recurses through references. `None` when it panics, which must not take a reload
/// with it.
fn on_a_large_stack<T: Send>(compiler: impl FnOnce() -> T + Send) -> Option<T> {
    const STACK: usize = 64 * 1024 * 1024;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("schema".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, compiler).ok()?.join().ok()
    })
}

fn shorten(message: &str) -> String {
    message.chars().take(LONGEST).collect()
}

#[cfg(test)]
pub(crate) mod tests;
