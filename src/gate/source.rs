//! The only reader of settings, policy and key files.
//!
//! Gives text or diagnostics (`F0xx`), never both for one file: a file that cannot be read whole is an error, so that rules in it are not
//! silently missing. Every walk is bounded in files, bytes and depth. Does not parse and does not judge what is written.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

pub use crate::policy::suite::TestFolder;
use crate::{
    diagnostic::{Diagnostic, Report},
    policy::{SchemaFile, suite::is_fixture_file},
    yaml::{MAX_BYTES, SourceFile},
};

/// The most policy files of one folder.
pub const MOST_FILES: usize = 10_000;

/// The most bytes of all policy files together.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How deep folders nest, links included.
pub const DEEPEST: usize = 32;

/// Each code of this module, and what it says. Listed in `docs/diagnostics.md`.
pub const CODES: [(&str, &str); 10] = [
    ("F001", "a file cannot be read, or a link leads nowhere"),
    ("F002", "a file is not UTF-8 text"),
    ("F003", "a file starts with a byte order mark"),
    ("F004", "a file is too large"),
    ("F005", "the policy folder, or a folder in it, is missing or cannot be listed"),
    ("F006", "there are too many policy files"),
    ("F007", "the policy files have too many bytes in all"),
    ("F008", "policy folders nest too deep"),
    ("F009", "a link leads back to a folder that it is in"),
    ("F010", "a policy, settings or key file is a folder, a pipe or a device"),
];

/// Directory entries that are looked at, policies or not.
const MOST_ENTRIES: usize = 100_000;

/// Reads one file whole.
///
/// # Errors
/// One diagnostic: `F001` unreadable, `F002` not UTF-8, `F003` byte order mark, `F004` larger than [`MAX_BYTES`], `F010` a folder, pipe or
/// device.
pub fn read_file(path: &Path) -> Result<SourceFile, Diagnostic> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| unread(&name, &error);
    // Asked before opening: opening a pipe without a writer would wait for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Diagnostic::of_file("F010", &name, "is not a regular file").with_help("name a file"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(Diagnostic::of_file("F004", &name, format!("is larger than {MAX_BYTES} bytes"))
            .with_help("split it into several files"));
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(Diagnostic::of_file("F003", &name, "starts with a byte order mark")
            .with_help("save the file as UTF-8 without BOM"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile { name, text }),
        Err(error) => {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let mut finding =
                Diagnostic::of_file("F002", &name, "is not UTF-8 text").with_help("save the file as UTF-8");
            finding.line = Some(1 + valid.iter().filter(|byte| **byte == b'\n').count());
            Err(finding)
        }
    }
}

fn unread(name: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::of_file("F001", name, format!("cannot be read: {}", error.kind()))
        .with_help("check the name, what a link leads to, and who may read it")
}

/// Reads the policy files under `folder`, sorted by name.
///
/// Links are followed. Left out: names that start with `.` (the versions that a ConfigMap mount keeps beside its links), `*_test.yaml`,
/// `*_test.yml` and `*_test.json`, folders named `testdata`, and whatever is no `.yaml`, `.yml` or `.json`. What ends in `.json` below the folder
/// `_schemas` at the root comes after them, see [`schemas_apart`].
///
/// The report has the errors of [`read_file`], and `F005` the folder is missing or cannot be listed, `F006` too many files, `F007` too many
/// bytes, `F008` too deep, `F009` a link that leads back to a folder above it. With any of them the files must not be used.
pub fn read_policies(folder: &Path) -> (Vec<SourceFile>, Report) {
    let mut walk = Walk::of(folder, Wanted::Policies);
    let schemas = folder.join(SCHEMAS);
    if fs::metadata(&schemas).is_ok_and(|schemas| schemas.is_dir()) {
        let found = Walk::of(&schemas, Wanted::Schemas);
        walk.files.extend(found.files);
        walk.report.append(found.report);
    }
    (walk.files, walk.report)
}

/// Reads the policy tests under `folder`, by folder: files named `*_test.yaml`, `*_test.yml` and `*_test.json`, and the fixtures in the folder
/// `testdata` beside them. The same is left out as by [`read_policies`], and the same is told.
pub fn read_tests(folder: &Path) -> (Vec<TestFolder>, Report) {
    let walk = Walk::of(folder, Wanted::Tests);
    let mut folders: BTreeMap<PathBuf, TestFolder> = BTreeMap::new();
    for file in walk.files {
        let path = Path::new(&file.name);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let above = path.parent().unwrap_or(Path::new(""));
        if Wanted::Tests.takes(&name, false) {
            folders.entry(above.to_owned()).or_default().suites.push(file);
        } else {
            let beside = above.parent().unwrap_or(Path::new("")).to_owned();
            folders.entry(beside).or_default().fixtures.push(file);
        }
    }
    (folders.into_values().collect(), walk.report)
}

/// What [`read_policies`] read, as policies and as schemas.
pub fn schemas_apart<'f>(folder: &Path, files: &'f [SourceFile]) -> (&'f [SourceFile], Vec<SchemaFile<'f>>) {
    let root = folder.join(SCHEMAS);
    let path = |file: &'f SourceFile| Path::new(&file.name).strip_prefix(&root).ok().and_then(Path::to_str);
    let first = files.iter().position(|file| path(file).is_some()).unwrap_or(files.len());
    let (policies, schemas) = files.split_at_checked(first).unwrap_or((files, &[]));
    let schema = |file| Some(SchemaFile { path: path(file)?, text: &file.text });
    (policies, schemas.iter().filter_map(schema).collect())
}

/// Does the finding say that a folder cannot be listed? What it holds is then not known.
pub fn is_unlisted_folder(finding: &Diagnostic) -> bool {
    finding.code == "F005"
}

/// A digest of names and contents. Equal exactly when the files and the findings about them are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// The digest (SHA-256) of what was read and of what could not be read.
pub fn fingerprint<'a>(files: impl IntoIterator<Item = &'a SourceFile>, unread: &Report) -> Fingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |text: &str| {
        // The length goes first, so that moving text between a name and a body changes the digest.
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    };
    part(&unread.to_string());
    for file in files {
        part(&file.name);
        part(&file.text);
    }
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Fingerprint(bytes)
}

/// The walk met a bound and goes no further.
struct Full;

/// Which files a walk reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Policies,
    Schemas,
    Tests,
}

impl Wanted {
    /// Is that the name of such a file, in a folder that is or is not one of fixtures?
    fn takes(self, name: &str, in_fixtures: bool) -> bool {
        match self {
            Self::Policies => stem(name).is_some_and(|stem| !stem.ends_with(MARK)),
            Self::Schemas => name.ends_with(".json"),
            Self::Tests if in_fixtures => is_fixture_file(name),
            Self::Tests => stem(name).is_some_and(|stem| stem.ends_with(MARK)),
        }
    }
}

/// The mark of a test file, before its ending.
const MARK: &str = "_test";

/// The folder of fixtures for tests.
const FIXTURES: &str = "testdata";

/// The folder of JSON Schemas, at the root of the policies.
const SCHEMAS: &str = "_schemas";

struct Walk {
    wanted: Wanted,
    files: Vec<SourceFile>,
    report: Report,
    bytes: usize,
    entries: usize,
}

impl Walk {
    /// Reads everything below `folder`, sorted by name.
    fn of(folder: &Path, wanted: Wanted) -> Self {
        let mut walk = Self { wanted, files: Vec::new(), report: Report::default(), bytes: 0, entries: 0 };
        let _ = walk.folder(folder, &mut Vec::new());
        walk.files.sort_by(|one, other| one.name.cmp(&other.name));
        walk
    }

    /// Reads `folder`; `above` are the real paths of the folders that it is in.
    fn folder(&mut self, folder: &Path, above: &mut Vec<PathBuf>) -> Result<(), Full> {
        let name = folder.display().to_string();
        if above.len() >= DEEPEST {
            let finding = Diagnostic::of_file("F008", name, format!("folders nest deeper than {DEEPEST}"));
            self.report.push(finding.with_help("move the policies nearer to the root"));
            return Ok(());
        }
        let real = match fs::canonicalize(folder) {
            Ok(real) => real,
            Err(error) => return self.unlisted(name, &error),
        };
        if above.contains(&real) {
            let finding = Diagnostic::of_file("F009", name, "is a link to a folder that it is in");
            self.report.push(finding.with_help("remove the link"));
            return Ok(());
        }
        let entries = match self.list(folder)? {
            Ok(entries) => entries,
            Err(error) => return self.unlisted(name, &error),
        };
        let is_root = above.is_empty();
        above.push(real);
        for (name, path) in &entries {
            self.entry(name, path, is_root, above)?;
        }
        above.pop();
        Ok(())
    }

    fn unlisted(&mut self, folder: String, error: &io::Error) -> Result<(), Full> {
        let finding = Diagnostic::of_file("F005", folder, format!("the folder cannot be listed: {}", error.kind()));
        self.report.push(
            finding.with_help("`policies.path` names a folder that the gateway may read, seen from the settings file"),
        );
        Ok(())
    }

    /// The visible entries of a folder by name.
    fn list(&mut self, folder: &Path) -> Result<io::Result<BTreeMap<String, PathBuf>>, Full> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return Ok(Err(error)),
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Ok(Err(error)),
            };
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return self.full("F006", folder, format!("there are more than {MOST_ENTRIES} entries"));
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                found.insert(name, entry.path());
            }
        }
        Ok(Ok(found))
    }

    fn entry(&mut self, name: &str, path: &Path, in_root: bool, above: &mut Vec<PathBuf>) -> Result<(), Full> {
        // Follows links. One that leads nowhere may have been a folder of deny rules: an error, whatever its name is.
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(error) => {
                self.report.push(unread(&path.display().to_string(), &error));
                return Ok(());
            }
        };
        let in_fixtures = !in_root && path.parent().and_then(Path::file_name).is_some_and(|folder| folder == FIXTURES);
        if kind.is_dir() {
            let is_left_out = match self.wanted {
                Wanted::Policies => name == FIXTURES || (in_root && name == SCHEMAS),
                Wanted::Schemas => false,
                Wanted::Tests => in_fixtures || (in_root && name == SCHEMAS),
            };
            return if is_left_out { Ok(()) } else { self.folder(path, above) };
        }
        if !self.wanted.takes(name, in_fixtures) {
            return Ok(());
        }
        if self.files.len() >= MOST_FILES {
            return self.full("F006", path, format!("there are more than {MOST_FILES} policy files"));
        }
        match read_file(path) {
            Ok(file) => {
                self.bytes += file.text.len();
                if self.bytes > MOST_BYTES {
                    return self.full(
                        "F007",
                        path,
                        format!("the policy files have more than {MOST_BYTES} bytes in all"),
                    );
                }
                self.files.push(file);
            }
            Err(finding) => self.report.push(finding),
        }
        Ok(())
    }

    fn full<T>(&mut self, code: &'static str, at: &Path, message: String) -> Result<T, Full> {
        let finding = Diagnostic::of_file(code, at.display().to_string(), message);
        self.report.push(finding.with_help("`policies.path` names a folder of policies only"));
        Err(Full)
    }
}

/// The name of a YAML or JSON file without its ending. Endings count in any case, so that `DENY.YAML` is not silently missing; the mark of a
/// test file counts in lower case only.
fn stem(name: &str) -> Option<&str> {
    let (stem, ending) = name.rsplit_once('.')?;
    ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known)).then_some(stem)
}

#[cfg(test)]
mod tests;
