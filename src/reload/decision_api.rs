//! The files of the decision API: the secret, and the key sets of `auxData`. Its TLS files are read with those of the listeners.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use jsonwebtoken::Algorithm;

use super::compile::{F011_HELP, unused_key};
use crate::{
    config::{CerbosApi, Secret},
    diagnostic::{Diagnostic, Report},
    edge::ListenerTls,
    gate::source,
    token::KeySet,
    yaml::SourceFile,
};

/// The signature algorithms that a key of `auxData` may have.
pub const AUX_ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What the listeners of the Cerbos API are served with.
#[derive(Clone, Debug, Default)]
pub struct ApiParts {
    /// What callers must show.
    pub secret: Option<SecretDigest>,
    /// The key sets of `auxData` by their names.
    pub key_sets: BTreeMap<Box<str>, Arc<KeySet>>,
    /// What is shaken hands with.
    pub tls: Option<Arc<ListenerTls>>,
}

/// What is kept of a secret: its digest (SHA-256).
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of a secret.
    pub fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest::digest(&digest::SHA256, secret).as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Is it the same secret? Takes the same time whatever the answer is.
    pub fn is_of(&self, shown: &[u8]) -> bool {
        // SECURITY: how far a guess is right must not be measurable, so digests are compared: `a_caller_without_the_secret_is_refused`.
        verify_slices_are_equal(&self.0, &Self::of(shown).0).is_ok()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

/// The files of the API that were read, each `None` that could not be.
#[derive(Default)]
pub(super) struct ApiFiles {
    secret: Option<SourceFile>,
    key_sets: Vec<Option<SourceFile>>,
}

impl fmt::Debug for ApiFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiFiles").field("key_sets", &self.key_sets.len()).finish_non_exhaustive()
    }
}

impl ApiFiles {
    /// Reads what the settings name, and tells what cannot be read.
    pub(super) fn read(api: Option<&CerbosApi>, unread: &mut Report) -> Self {
        let Some(api) = api else { return Self::default() };
        let mut read = |path: &Path| source::read_file(path).map_err(|finding| unread.push(finding)).ok();
        let secret = match &api.secret {
            Some(Secret::File(path)) => read(path),
            Some(Secret::Text(_)) | None => None,
        };
        Self { secret, key_sets: api.aux_jwt.key_sets.iter().map(|set| read(&set.file)).collect() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.secret.iter().chain(self.key_sets.iter().flatten())
    }

    /// What serves, or what is wrong.
    pub(super) fn compile(&self, api: Option<&CerbosApi>, tls: Option<Arc<ListenerTls>>) -> (Option<ApiParts>, Report) {
        let mut report = Report::default();
        let Some(api) = api else { return (Some(ApiParts::default()), report) };
        let secret = match &api.secret {
            None => Some(None),
            Some(Secret::Text(text)) => Some(Some(SecretDigest::of(text.as_bytes()))),
            Some(Secret::File(_)) => self.secret.as_ref().and_then(|file| secret(file, &mut report)).map(Some),
        };
        let mut key_sets = BTreeMap::new();
        for (set, file) in api.aux_jwt.key_sets.iter().zip(&self.key_sets) {
            let read = file.as_ref().and_then(|file| key_set(&set.id, file, &mut report));
            key_sets.extend(read.map(|keys| (set.id.as_str().into(), keys)));
        }
        let is_whole = key_sets.len() == api.aux_jwt.key_sets.len();
        match secret {
            Some(secret) if is_whole => (Some(ApiParts { secret, key_sets, tls }), report),
            Some(_) | None => (None, report),
        }
    }
}

/// The files that the API names, but for those of TLS.
pub(super) fn paths(api: Option<&CerbosApi>) -> impl Iterator<Item = &Path> {
    let secret = api.and_then(|api| match &api.secret {
        Some(Secret::File(path)) => Some(path.as_path()),
        Some(Secret::Text(_)) | None => None,
    });
    let sets = api.into_iter().flat_map(|api| api.aux_jwt.key_sets.iter().map(|set| set.file.as_path()));
    secret.into_iter().chain(sets)
}

fn secret(file: &SourceFile, report: &mut Report) -> Option<SecretDigest> {
    let text = file.text.trim();
    if !Secret::is_acceptable(text) {
        report.push(Diagnostic::of_file("F032", &file.name, "the file holds no secret").with_help(Secret::HELP));
        return None;
    }
    Some(SecretDigest::of(text.as_bytes()))
}

fn key_set(id: &str, file: &SourceFile, report: &mut Report) -> Option<Arc<KeySet>> {
    let of = format!("key set `{id}` of the decision API");
    match KeySet::parse(whole_set(&file.text).as_bytes(), AUX_ALGORITHMS) {
        Ok((set, skipped)) => {
            for key in &skipped {
                report.push(unused_key(&file.name, &of, key));
            }
            Some(Arc::new(set))
        }
        Err(error) => {
            let finding = Diagnostic::of_file("F011", &file.name, format!("no keys for {of}: {error}"));
            report.push(finding.with_help(F011_HELP));
            None
        }
    }
}

/// A file may hold one key instead of a set.
fn whole_set(text: &str) -> std::borrow::Cow<'_, str> {
    let is_one =
        crate::json::object(text.as_bytes()).is_some_and(|key| key.contains_key("kty") && !key.contains_key("keys"));
    if is_one { format!("{{\"keys\":[{text}]}}").into() } else { text.into() }
}
