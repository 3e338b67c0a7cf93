//! Which folders must be watched to see that some files changed, links and all.
//!
//! A path is followed link by link: each folder that holds a link on the way matters for that link's name, the last folder for the file's
//! name. A path that ends nowhere matters in the last folder that is there, for the name that is missing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ffi::{OsStr, OsString},
    fs,
    path::{Component, Path, PathBuf},
};

/// Links on the way to one file; the kernel gives up at the same number.
const MOST_LINKS: usize = 40;

/// Folders that are watched for one set of places.
const MOST_FOLDERS: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
enum Names {
    All,
    Some(HashSet<OsString>),
}

/// The real folders that matter, each with the names in it that do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    folders: HashMap<PathBuf, Names>,
}

impl Interest {
    /// What must be watched for these files, and for these folders with all that is in them. Blocks on the file system.
    pub(super) fn of(files: &[PathBuf], folders: &[PathBuf]) -> Self {
        let mut interest = Self::default();
        for file in files {
            interest.follow(file);
        }
        for folder in folders {
            if let Some(real) = interest.follow(folder) {
                interest.tree(&real);
            }
        }
        interest
    }

    /// The folders to watch, none of them below a link.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.keys().map(PathBuf::as_path)
    }

    /// Is something at `path`, or the watched folder `path` itself, of interest?
    pub(super) fn concerns(&self, path: &Path) -> bool {
        if self.folders.contains_key(path) {
            return true;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return true };
        match self.folders.get(folder) {
            Some(Names::All) => true,
            Some(Names::Some(names)) => names.contains(name),
            None => false,
        }
    }

    fn name(&mut self, folder: &Path, name: &OsStr) {
        let names = self.folders.entry(folder.to_owned()).or_insert_with(|| Names::Some(HashSet::new()));
        match names {
            Names::All => {}
            Names::Some(names) => _ = names.insert(name.to_owned()),
        }
    }

    /// Follows `path` and notes each place where a change would lead elsewhere. Gives the real path, or `None` where nothing is there.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).ok()?;
        let mut rest: VecDeque<OsString> = VecDeque::new();
        let mut at = prepend(&mut rest, &path).unwrap_or_default();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            let Ok(kind) = fs::symlink_metadata(&next) else {
                self.name(&at, &part);
                return None;
            };
            if kind.is_symlink() {
                self.name(&at, &part);
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                if let Some(root) = prepend(&mut rest, &fs::read_link(&next).ok()?) {
                    at = root;
                }
                continue;
            }
            if rest.is_empty() {
                self.name(&at, &part);
            }
            at = next;
        }
        Some(at)
    }

    fn tree(&mut self, real: &Path) {
        let mut waiting = vec![real.to_owned()];
        while let Some(folder) = waiting.pop() {
            let known = matches!(self.folders.get(&folder), Some(Names::All));
            if known || self.folders.len() >= MOST_FOLDERS || !folder.is_dir() {
                continue;
            }
            self.folders.insert(folder.clone(), Names::All);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                // Hidden names hold no policies of their own; where a visible link leads through one, following it says so.
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_symlink() => waiting.extend(self.follow(&entry.path())),
                    Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}

/// Puts the parts of `path` before those that are left to go, and gives its root when it is absolute.
fn prepend(rest: &mut VecDeque<OsString>, path: &Path) -> Option<PathBuf> {
    let mut root = None;
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => root.get_or_insert_with(PathBuf::new).push(part),
            Component::CurDir => {}
            Component::ParentDir => parts.push(OsString::from("..")),
            Component::Normal(name) => parts.push(name.to_owned()),
        }
    }
    for part in parts.into_iter().rev() {
        rest.push_front(part);
    }
    root
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn root() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        (folder, real)
    }

    #[test]
    fn a_file_matters_in_its_folder_and_its_neighbours_do_not() {
        let (_guard, root) = root();
        let interest = Interest::of(&[root.join("cogward.yaml")], &[]);
        assert!(interest.concerns(&root.join("cogward.yaml")));
        assert!(!interest.concerns(&root.join("audit.log")));
        assert_eq!(interest.folders().collect::<Vec<_>>(), [root.as_path()]);
    }

    #[test]
    fn every_link_of_a_config_map_matters() {
        let (_guard, root) = root();
        fs::create_dir(root.join("..v1")).unwrap();
        fs::write(root.join("..v1/cogward.yaml"), "").unwrap();
        symlink("..v1", root.join("..data")).unwrap();
        symlink("..data/cogward.yaml", root.join("cogward.yaml")).unwrap();
        let interest = Interest::of(&[root.join("cogward.yaml")], &[]);
        for path in ["cogward.yaml", "..data", "..v1/cogward.yaml"] {
            assert!(interest.concerns(&root.join(path)), "{path}");
        }
        assert!(!interest.concerns(&root.join("..v1/other.yaml")));
    }

    #[test]
    fn a_tree_holds_its_folders_and_those_that_links_lead_to() {
        let (_guard, root) = root();
        let (_other_guard, other) = self::root();
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::create_dir_all(root.join(".git/objects")).unwrap();
        fs::create_dir_all(other.join("inner")).unwrap();
        fs::write(other.join("file.yaml"), "").unwrap();
        symlink(other.join("inner"), root.join("sub/linked")).unwrap();
        symlink(other.join("file.yaml"), root.join("file.yaml")).unwrap();
        symlink(&root, root.join("sub/cycle")).unwrap();
        let interest = Interest::of(&[], std::slice::from_ref(&root));
        for path in [root.join("new.yaml"), root.join("sub/deep/x"), other.join("inner/x"), other.join("file.yaml")] {
            assert!(interest.concerns(&path), "{}", path.display());
        }
        for path in [root.join(".git/objects/x"), other.join("unrelated")] {
            assert!(!interest.concerns(&path), "{}", path.display());
        }
    }

    #[test]
    fn a_missing_folder_is_awaited_where_it_would_appear() {
        let (_guard, root) = root();
        let interest = Interest::of(&[], &[root.join("absent/policies")]);
        assert!(interest.concerns(&root.join("absent")));
        assert_eq!(interest.folders().collect::<Vec<_>>(), [root.as_path()]);
    }

    #[test]
    fn links_that_chase_each_other_end() {
        let (_guard, root) = root();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let interest = Interest::of(&[root.join("a")], &[root.join("b")]);
        assert!(interest.concerns(&root.join("a")) && interest.concerns(&root.join("b")));
    }
}
