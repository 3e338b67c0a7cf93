//! Reading the `rules` of a route.

use std::collections::HashSet;

use super::{Effect, Kinds, Owner, Role, Roles, Row};
use crate::{
    policy::{
        attribute::{Sources, read_source},
        codes,
        condition::{ConditionTree, Environment},
        decision::RuleId,
        lint,
        read::{read_condition, read_id, read_methods, read_word},
        route::Methods,
    },
    yaml::{Cursor, MapCursor},
};

/// What the rules of a route are read against.
#[derive(Debug)]
pub(crate) struct RuleReader<'r> {
    /// The route's id.
    pub(crate) route: &'r str,
    /// The methods that the route takes.
    pub(crate) methods: &'r Methods,
    pub(crate) sources: Sources<'r>,
    pub(crate) environment: &'r Environment,
    pub(crate) ruling: Ruling,
    /// Tokens of more than one provider may reach the route.
    pub(crate) several_providers: bool,
}

/// What rules may do on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Allow and deny.
    Full,
    /// Deny only: resource policies allow.
    GuardRails,
}

impl RuleReader<'_> {
    /// Reads a list of rules, noting what is wrong with each.
    pub(crate) fn read(&self, at: &Cursor<'_>) -> Vec<Row> {
        let mut ids = HashSet::new();
        let rules = at.list().unwrap_or_default();
        let rows = rules.iter().filter_map(|rule| {
            let mut map = rule.map()?;
            let id = map.require("id").and_then(|id| {
                let name = read_id(&id)?;
                if !ids.insert(name) {
                    let message = format!("the route `{}` has two rules `{name}`", self.route);
                    id.error_with_help(codes::DUPLICATE, message, "give each rule of a route an id of its own");
                }
                Some(name)
            });
            let row = self.rule(id.unwrap_or_default(), &mut map);
            map.finish();
            row
        });
        rows.collect()
    }

    fn rule(&self, id: &str, map: &mut MapCursor<'_>) -> Option<Row> {
        let effect = match map.take("effect") {
            None => Some(Effect::Allow),
            Some(effect) => read_word(&effect, &[("allow", Effect::Allow), ("deny", Effect::Deny)]),
        };
        let methods = map.take("methods").map_or_else(|| Some(self.methods.clone()), |at| self.methods(id, &at));
        let roles = map.take("roles").map(|roles| read_roles(&roles));
        let scopes = map.take("scopes").map(|scopes| read_texts(&scopes));
        let kinds = map.take("principals").map_or(Kinds::Unstated, |kinds| read_kinds(&kinds));
        let owner_at = map.take("owner");
        let owner = owner_at.as_ref().map(|owner| self.owner(id, owner));
        let when = map.take("when");
        let condition = when.as_ref().map(|when| read_condition(when, self.environment));
        let effect = effect?;
        self.shape(id, effect, roles.is_some() || scopes.is_some() || owner.is_some() || when.is_some(), map);
        let (methods, owner, condition) = (methods?, owner.map_or(Some(None), |o| o.map(Some))?, transpose(condition)?);
        if let (Some(at), Some(owner), Effect::Allow) = (&owner_at, &owner, effect) {
            lint::claimed_owner(at, &owner.source, &methods);
        }
        Some(Row {
            id: RuleId::new(&format!("{}/{id}", self.route)),
            effect,
            methods,
            roles: match (roles, effect) {
                (Some(roles), _) => Roles::AnyOf(roles),
                (None, Effect::Allow) => Roles::Verified,
                (None, Effect::Deny) => Roles::Unstated,
            },
            kinds,
            scopes: scopes.unwrap_or_default(),
            owner,
            condition: condition.map(|condition| ConditionTree::Expression(condition).into()),
        })
    }

    /// What a rule must and must not be, taken as a whole.
    fn shape(&self, id: &str, effect: Effect, states_something: bool, map: &MapCursor<'_>) {
        let here = map.here();
        match (effect, self.ruling) {
            (Effect::Allow, Ruling::GuardRails) => here.error_with_help(
                codes::RULE_SHAPE,
                format!("rule `{id}` allows, beside a resource whose policies allow"),
                "rules beside `resource` may only deny: write `effect: deny`, or move the rule into the resource's policy",
            ),
            (Effect::Allow, Ruling::Full) if !states_something => here.error_with_help(
                codes::RULE_SHAPE,
                format!("rule `{id}` does not say whom it allows"),
                "state `roles`, `scopes`, `owner` or `when`; `roles: [anyone]` opens the route to everybody",
            ),
            (Effect::Allow | Effect::Deny, Ruling::Full | Ruling::GuardRails) => {}
        }
    }

    fn methods(&self, id: &str, at: &Cursor<'_>) -> Option<Methods> {
        let methods = read_methods(at)?;
        if let Some(method) = methods.iter().find(|method| !self.methods.contains(method)) {
            at.error_with_help(
                codes::METHOD,
                format!("rule `{id}` names {method}, which the route does not take"),
                format!("the route takes {}", self.methods.render()),
            );
            return None;
        }
        Some(methods)
    }

    fn owner(&self, id: &str, at: &Cursor<'_>) -> Option<Owner> {
        let mut map = at.map()?;
        let subject = format!("rule `{id}` compares");
        let source = read_source(&mut map, &subject, self.sources);
        let equals = map.take("equals").map(|claim| claim.text().map(Box::from));
        map.finish();
        // SECURITY: equal ids of two pools are two principals: `an_owner_rule_needs_one_provider`.
        if self.several_providers {
            at.error_with_help(
                codes::OWNER_OF_SEVERAL,
                format!("rule `{id}` compares an owner, and the route accepts tokens of several providers"),
                "equal ids of two providers are two principals: name one in the route's `providers`",
            );
        }
        Some(Owner { source: source?, equals: transpose(equals)? })
    }
}

/// A value that was stated but could not be read spoils the whole; one that was not stated does not.
fn transpose<T>(stated: Option<Option<T>>) -> Option<Option<T>> {
    match stated {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn read_roles(at: &Cursor<'_>) -> Box<[Role]> {
    let roles = at.each(|role| {
        let name = role.text()?;
        if name == "*" {
            let help = "write `anyone` for everybody, `authenticated` for everybody with a token";
            role.error_with_help(codes::WORD, "`*` is the name of no role", help);
            return None;
        }
        Some(Role::native(name))
    });
    roles.unwrap_or_default().into()
}

fn read_texts(at: &Cursor<'_>) -> Box<[Box<str>]> {
    at.each(|text| text.text().map(Box::from)).unwrap_or_default().into()
}

fn read_kinds(at: &Cursor<'_>) -> Kinds {
    let words = [("user", Kinds::Users), ("machine", Kinds::Machines)];
    let kinds = at.each(|kind| read_word(kind, &words)).unwrap_or_default();
    match (kinds.contains(&Kinds::Users), kinds.contains(&Kinds::Machines)) {
        (true, true) => Kinds::Both,
        (true, false) => Kinds::Users,
        (false, true) => Kinds::Machines,
        (false, false) => Kinds::Unstated,
    }
}
