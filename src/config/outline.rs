//! As much of the settings as policies are compiled against.
//!
//! Taken from settings that compile, or guessed from a file that does not: then what is wrong with the policies is told in the same run.
//! A guess is for telling only; nothing that serves is made from it.

use std::path::PathBuf;

use http::HeaderName;

use super::{
    IdentityHeader, Settings, headers,
    interpolate::{self, Environment},
    policies::{self, PATH},
    read::beside,
};
use crate::{
    policy::cerbos::Options,
    token::ProviderId,
    yaml::{self, Cursor, Node, SourceFile},
};

/// What policies need to know of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The folder of the policies.
    pub policies: PathBuf,
    /// Accepts a folder without any route.
    pub allow_empty: bool,
    /// How Cerbos policies are read.
    pub cerbos: Options,
    /// The providers, in the order of the settings.
    pub providers: Vec<ProviderId>,
    /// The upstreams, in the order of the settings.
    pub upstreams: Vec<String>,
    /// The header fields that tell the upstream who asks.
    pub identity_headers: Vec<HeaderName>,
    /// The header fields that carry credentials, besides `Authorization` and `Cookie`.
    pub credential_headers: Vec<HeaderName>,
}

impl Settings {
    /// What policies need to know of these settings.
    pub fn outline(&self) -> Outline {
        Outline {
            policies: self.policies.path.clone(),
            allow_empty: self.policies.allow_empty,
            cerbos: self.policies.cerbos.clone(),
            providers: self.identity.providers.iter().map(|one| one.provider.id.clone()).collect(),
            upstreams: self.upstreams.iter().map(|upstream| upstream.id.clone()).collect(),
            identity_headers: names(&self.identity_headers),
            credential_headers: self
                .identity
                .credentials
                .iter()
                .filter_map(|source| source.header().cloned())
                .collect(),
        }
    }
}

impl Outline {
    /// What a file that does not compile seems to say; `None` when it is no YAML.
    pub fn guess(file: &SourceFile, env: Environment<'_>) -> Option<Self> {
        let node = yaml::parse(&file.name, &file.text).ok()?;
        let (node, _) = interpolate::interpolate(node, env);
        let identity = node.get("identity");
        let policies = node.get("policies");
        let said = |key| policies?.get(key)?.as_text();
        let allow_empty = policies.and_then(|policies| policies.get("allow_empty"));
        Some(Self {
            policies: beside(&file.name, said("path").unwrap_or(PATH)),
            allow_empty: allow_empty.is_some_and(|node| *node == Node::Bool(true)),
            cerbos: cerbos(file, policies),
            providers: ids(identity.and_then(|identity| identity.get("providers"))).map(ProviderId::new).collect(),
            upstreams: ids(node.get("upstreams")).map(str::to_owned).collect(),
            identity_headers: names(&identity_headers(file, &node)),
            credential_headers: items(identity.and_then(|identity| identity.get("credentials")))
                .filter_map(|item| item.get("header")?.as_text()?.parse().ok())
                .collect(),
        })
    }
}

fn names(headers: &[IdentityHeader]) -> Vec<HeaderName> {
    headers.iter().map(|header| header.name.clone()).collect()
}

fn identity_headers(file: &SourceFile, node: &Node) -> Vec<IdentityHeader> {
    // Its findings are told where the settings are compiled.
    let silent = yaml::Source::new(&file.name, &file.text);
    let read = node.get("identity_headers").map(|headers| headers::identity_headers(&Cursor::top(&silent, headers)));
    read.flatten().unwrap_or_else(headers::defaults)
}

fn cerbos(file: &SourceFile, policies: Option<&Node>) -> Options {
    let silent = yaml::Source::new(&file.name, &file.text);
    let read = policies.and_then(|policies| policies.get("cerbos"));
    read.and_then(|node| policies::cerbos(&Cursor::top(&silent, node))).unwrap_or_default()
}

fn items(list: Option<&Node>) -> impl Iterator<Item = &Node> {
    list.and_then(Node::as_list).into_iter().flatten()
}

fn ids(list: Option<&Node>) -> impl Iterator<Item = &str> {
    items(list).filter_map(|item| item.get("id")?.as_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "identity:
  providers: [{ id: main, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }, { id: more, cognito: { user_pool_id: '${POOL}', client_ids: [web] } }]
  credentials: [bearer, { header: X-Token }]
upstreams: [{ id: app, endpoints: ['http://127.0.0.1:9000'] }]
identity_headers: { X-Who: id }
policies: { path: '${FOLDER:-rules}', allow_empty: true, cerbos: { default_policy_version: v2, profile: cerbos-0.51, globals: { env: test } } }
";

    fn file(text: &str) -> SourceFile {
        SourceFile { name: "etc/cogward.yaml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn what_is_guessed_of_good_settings_is_what_they_say() {
        let env = |name: &str| (name == "POOL").then(|| "eu-west-1_B".to_owned());
        let (settings, report) = Settings::compile(&file(TEXT), &env);
        let outline = settings.unwrap_or_else(|| panic!("{report}")).outline();
        assert_eq!(outline.policies, PathBuf::from("etc/rules"));
        assert_eq!(Outline::guess(&file(TEXT), &env), Some(outline));
    }

    #[test]
    fn settings_that_do_not_compile_still_name_what_policies_refer_to() {
        let outline = Outline::guess(&file(&TEXT.replace("X-Who: id", "Host: id")), &|_| None).unwrap();
        assert_eq!(outline.providers, [ProviderId::new("main"), ProviderId::new("more")]);
        assert_eq!(outline.upstreams, ["app"]);
        assert_eq!(outline.credential_headers, [HeaderName::from_static("x-token")]);
        assert_eq!(Outline::guess(&file("a: [1"), &|_| None), None);
        assert!(Outline::guess(&file("- a"), &|_| None).unwrap().providers.is_empty());
    }
}
