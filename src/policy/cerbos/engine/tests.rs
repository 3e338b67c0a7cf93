//! The engine against policies that are built by hand.

mod building;
mod corpus;
mod deciding;
mod quirks;
mod waiting;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    policy::cerbos::{model::*, question::*},
    time::UnixTime,
};
use building::*;

const NOON: Clock = Clock { time: UnixTime::from_seconds(1_700_000_000), nanos: 0 };

/// A question.
#[derive(Clone)]
struct Ask {
    id: &'static str,
    roles: Vec<Box<str>>,
    attributes: Map<String, Value>,
    versions: [&'static str; 2],
    scopes: [&'static str; 2],
    kind: &'static str,
    resource: Map<String, Value>,
    actions: Vec<Box<str>>,
}

/// The principal `u` with these roles asks for `r`.
fn ask(roles: &[&str], actions: &[&str]) -> Ask {
    Ask {
        id: "u",
        roles: texts(roles).into(),
        attributes: Map::new(),
        versions: ["", ""],
        scopes: ["", ""],
        kind: "r",
        resource: Map::new(),
        actions: texts(actions).into(),
    }
}

impl Ask {
    /// With these attributes of the resource.
    fn about(mut self, attributes: Value) -> Self {
        self.resource = attributes.as_object().unwrap().clone();
        self
    }

    /// In that scope of the resource.
    fn at(mut self, scope: &'static str) -> Self {
        self.scopes[1] = scope;
        self
    }

    fn with<T>(&self, asked: impl FnOnce(&CheckInput<'_>) -> T) -> T {
        asked(&CheckInput {
            principal: Subject {
                id: self.id,
                roles: &self.roles,
                attributes: &self.attributes,
                policy_version: self.versions[0],
                scope: self.scopes[0],
            },
            resource: Object {
                kind: self.kind,
                id: "1",
                attributes: &self.resource,
                policy_version: self.versions[1],
                scope: self.scopes[1],
            },
            actions: &self.actions,
            claims: None,
        })
    }

    fn of(&self, engine: &Engine) -> CheckOutput {
        self.with(|input| engine.check(input, NOON))
    }

    /// The effect of the first action: `allow` or `deny`, with `!` where the other profile says the opposite.
    fn word(&self, engine: &Engine) -> String {
        let output = self.of(engine);
        let result = &output.actions[0].1;
        let word = match result.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        };
        format!("{word}{}", if result.disputed { "!" } else { "" })
    }
}

/// The first action's policy and scope.
fn told(output: &CheckOutput) -> (&str, &str) {
    let result = &output.actions[0].1;
    (&result.policy, &result.scope)
}

/// What both profiles answer: strict, then 0.51.
fn both(policies: impl Fn() -> Policies, ask: &Ask) -> [String; 2] {
    [Profile::Strict, Profile::Cerbos051].map(|profile| ask.word(&engine(policies(), profile)))
}

fn engine(policies: Policies, profile: Profile) -> Engine {
    Engine::new(policies, Options { profile, ..Options::default() })
}
