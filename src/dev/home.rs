//! The folder that the demo keeps its key in, so that `cogward token` can sign with the same one, and the files of a running demo.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{DemoKey, DemoKeyError};

/// The demo has no place to keep its files.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Neither variable is set.
    #[error("neither `XDG_STATE_HOME` nor `HOME` is set")]
    Nowhere,
    /// A file or folder cannot be used.
    #[error("cannot use {path}: {cause}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The key itself.
    #[error("{path}: {cause}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: DemoKeyError,
    },
}

/// The folder: `$XDG_STATE_HOME/cogward/demo`, or `~/.local/state/cogward/demo`.
#[derive(Clone, Debug)]
pub struct DemoHome(PathBuf);

impl DemoHome {
    /// Finds the folder and makes it, readable by its owner only.
    ///
    /// # Errors
    /// When there is no such place, or it cannot be made.
    pub fn open(env: impl Fn(&str) -> Option<String>) -> Result<Self, HomeError> {
        let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let home = state.ok_or(HomeError::Nowhere)?.join("cogward/demo");
        make_folder(&home)?;
        Ok(Self(home))
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The demo's key; made when it is asked for the first time. Two processes that ask at once get the same one.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub fn key(&self) -> Result<DemoKey, HomeError> {
        let path = self.path("key.pk8");
        if !path.exists() {
            let new = DemoKey::generate().and_then(|key| key.to_pkcs8());
            let new = new.map_err(|cause| HomeError::Key { path: path.clone(), cause })?;
            // Written aside and linked into place: whoever links first wins, and nobody sees half a key.
            let aside = self.path(&format!("key.{}.tmp", std::process::id()));
            write_private(&aside, &new)?;
            let linked = fs::hard_link(&aside, &path);
            fs::remove_file(&aside).map_err(|cause| HomeError::Io { path: aside, cause })?;
            match linked {
                Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(HomeError::Io { path, cause });
                }
                Ok(()) | Err(_) => {}
            }
        }
        let der = fs::read(&path).map_err(|cause| HomeError::Io { path: path.clone(), cause })?;
        DemoKey::from_pkcs8(&der).map_err(|cause| HomeError::Key { path, cause })
    }

    /// A folder for one running demo.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn run_folder(&self) -> Result<PathBuf, HomeError> {
        let folder = self.path(&format!("run-{}", std::process::id()));
        make_folder(&folder)?;
        Ok(folder)
    }
}

fn make_folder(path: &Path) -> Result<(), HomeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| HomeError::Io { path: path.to_owned(), cause })
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), HomeError> {
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(content)).map_err(|cause| HomeError::Io { path: path.to_owned(), cause })
}
