//! The files of this repository, for tests that read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder that end in `.ending`.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Each Rust file below a folder that is not a test, with its path and its code: no comments, and nothing of its tests.
pub(crate) fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| path.iter().any(|part| part == "tests.rs" || part == "tests" || part == "testing.rs");
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let files = files(folder, "rs")
        .into_iter()
        .filter(|path| !is_test(path.strip_prefix(root()).unwrap().strip_prefix(folder).unwrap()));
    files
        .map(|path| {
            let code = code(&path);
            (path, code)
        })
        .collect()
}
