//! `listeners[].tls`: which files a listener shows itself with, and whose certificates its clients may show.
//!
//! Names files and reads none: what stands in them is checked where they are read.

use std::path::{Path, PathBuf};

use super::read::{each_once, or, path};
use crate::yaml::Cursor;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Serves clients that name no host, or one that no other pair is for.
    pub default: TlsFiles,
    /// Further pairs, each for the names in its certificate.
    pub others: Vec<TlsFiles>,
    /// Whether clients are asked for a certificate; `None` asks nobody.
    pub clients: Option<ClientCertificates>,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub private_key: PathBuf,
}

/// Whose certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM file with the certificates of the authorities, one or more.
    pub ca: PathBuf,
    /// A client without a certificate is refused. A bad certificate is refused either way.
    pub required: bool,
}

impl TlsSettings {
    /// The pairs in the order in which they are asked for a name.
    pub fn pairs(&self) -> impl Iterator<Item = &TlsFiles> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.pairs().flat_map(|pair| [pair.certificate.as_path(), pair.private_key.as_path()]);
        pairs.chain(self.clients.as_ref().map(|clients| clients.ca.as_path()))
    }
}

/// Reads the section.
pub(super) fn tls(at: &Cursor<'_>) -> Option<TlsSettings> {
    let mut map = at.map()?;
    let certificate = map.require("certificate").and_then(|at| path(&at));
    let private_key = map.require("private_key").and_then(|at| path(&at));
    let others = or(&mut map, "certificates", Vec::new, pairs);
    let clients = or(&mut map, "client_certificates", || None, |at| clients(at).map(Some));
    map.finish();
    let default = TlsFiles { certificate: certificate?, private_key: private_key? };
    Some(TlsSettings { default, others: others?, clients: clients? })
}

fn pairs(at: &Cursor<'_>) -> Option<Vec<TlsFiles>> {
    each_once(&at.list()?, pair)
}

fn pair(at: &Cursor<'_>) -> Option<TlsFiles> {
    let mut map = at.map()?;
    let certificate = map.require("certificate").and_then(|at| path(&at));
    let private_key = map.require("private_key").and_then(|at| path(&at));
    map.finish();
    Some(TlsFiles { certificate: certificate?, private_key: private_key? })
}

fn clients(at: &Cursor<'_>) -> Option<ClientCertificates> {
    let mut map = at.map()?;
    let ca = map.require("ca").and_then(|at| path(&at));
    let required = or(&mut map, "required", || false, Cursor::bool);
    map.finish();
    Some(ClientCertificates { ca: ca?, required: required? })
}
