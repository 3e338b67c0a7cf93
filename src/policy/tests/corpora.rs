//! Where the test cases of other projects are: `COGWARD_CORPORA`, or `shared/corpora` beside the project. They are not part of it.

use std::{env, fs, path::PathBuf};

use crate::yaml::{self, Node};

/// The folder of a corpus. `None` when it is not on this machine, which is said, and is a failure where `COGWARD_CORPORA` is set.
pub(crate) fn corpus(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let folder = env::var_os("COGWARD_CORPORA").map_or_else(beside, PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(env::var_os("COGWARD_CORPORA").is_none(), "there is no corpus at {}", folder.display());
    eprintln!("SKIPPED: there is no corpus at {}", folder.display());
    None
}

/// The cases of a folder: names without ending, and what the files hold.
pub(crate) fn cases(folder: &PathBuf) -> Vec<(String, Node)> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let names = names.into_iter().map(|name| name.into_string().unwrap());
    let stems = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned));
    let case = |stem: String| {
        let text = fs::read_to_string(folder.join(format!("{stem}.yaml"))).unwrap();
        let node = yaml::parse(&stem, &text).unwrap();
        (stem, node)
    };
    stems.map(case).collect()
}
