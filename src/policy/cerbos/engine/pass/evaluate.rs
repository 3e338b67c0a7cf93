//! What single rules, role policies and derived roles say to a question.

use std::cell::Cell;

use super::{Asked, Guess, Pass, Row};
use crate::policy::{
    cerbos::{
        ActionPattern, Glob,
        engine::{
            entry::{Clause, Derived, Listing, ResourceEntry, RoleEntry, Rule},
            options::Profile,
            pass::Detail,
            place::{Active, Met, Place, RowAnswer, Standing},
            refusal::Refusal,
        },
        model::ScopePermissions,
        question::Effect,
    },
    condition::{Root, Scope},
};

impl<'q> Pass<'q> {
    /// Does a rule apply, as far as its conditions go?
    pub(super) fn answer<E>(&self, row: &Row<'_, 'q, E>) -> RowAnswer {
        let denies = row.rule.effect == Effect::Deny;
        let mut errs = false;
        if let Some((_, standing)) = row.derived {
            match (standing, self.profile) {
                (Standing::Holds, _) | (Standing::Errs { holds: true }, Profile::Cerbos051) => {}
                (Standing::Fails, _) => return RowAnswer::INACTIVE,
                (Standing::Errs { holds: false }, Profile::Cerbos051) => {
                    return RowAnswer { errs: true, ..RowAnswer::INACTIVE };
                }
                // SECURITY: held by `a_derived_role_that_errs_denies_and_grants_nothing`.
                (Standing::Errs { .. }, Profile::Strict) if denies => errs = true,
                (Standing::Errs { .. }, Profile::Strict) => return RowAnswer { errs: true, ..RowAnswer::INACTIVE },
                (Standing::Waits, _) if self.assumes(denies) => {}
                (Standing::Waits, _) => return RowAnswer::INACTIVE,
            }
        }
        let standing = match &row.rule.condition {
            None => Standing::Holds,
            Some(clause) => self.ask(clause, &row.facts),
        };
        let applies = match (standing, self.profile) {
            (Standing::Holds, _) => !row.rule.inverted,
            (Standing::Fails, _) => row.rule.inverted,
            (Standing::Errs { holds }, Profile::Cerbos051) => {
                errs = true;
                holds != row.rule.inverted
            }
            // SECURITY: held by `a_deny_that_errs_denies_and_an_allow_that_errs_grants_nothing`.
            (Standing::Errs { .. }, Profile::Strict) => {
                errs = true;
                denies
            }
            (Standing::Waits, _) => self.assumes(denies),
        };
        // In the strict reading an error counts where it decided the matter.
        let errs = errs && (self.profile == Profile::Cerbos051 || applies == denies);
        RowAnswer { applies, errs, inactive: false }
    }

    /// Does a role policy bound what its role may do with the resource? In 0.51 one without rules never does, nor any in a scope where no rule
    /// is about the resource.
    pub(super) fn bounds(&self, entry: &RoleEntry, scope: &str) -> bool {
        match self.profile {
            // SECURITY: held by `q16_a_role_policy_bounds_its_role_where_nothing_is_about_the_resource`.
            Profile::Strict => true,
            Profile::Cerbos051 => {
                let (name, version) = (&self.question.name, self.question.resource.version);
                !entry.rules.is_empty() && self.index.is_ruled(name, version, scope)
            }
        }
    }

    /// Does the role policy of a role stand in the way?
    pub(super) fn role_policy_denies(&self, entry: &'q RoleEntry, asked: Asked<'q>, refusal: &mut Refusal<'q>) -> bool {
        let lists = |listing: &&Listing| {
            let name = |text: &str| *text == *asked.name;
            self.takes_resource(&listing.resource)
                && listing.actions.iter().any(|pattern| match self.profile {
                    Profile::Strict => pattern.matches(asked.name),
                    Profile::Cerbos051 => pattern.matches_as_of_0_51(asked.name, name),
                })
        };
        let mut listed = entry.rules.iter().filter(lists).peekable();
        if listed.peek().is_none() {
            return true;
        }
        let mut denied = false;
        for listing in listed {
            let Some(clause) = &listing.condition else { continue };
            let (denies, errs) = match (self.ask(clause, &self.question.facts), self.profile) {
                (Standing::Holds, _) => (false, false),
                (Standing::Fails, _) => (true, false),
                (Standing::Errs { holds }, Profile::Cerbos051) => (!holds, true),
                // SECURITY: held by `a_role_policy_whose_condition_errs_denies`.
                (Standing::Errs { .. }, Profile::Strict) => (true, true),
                (Standing::Waits, _) => (self.assumes(true), false),
            };
            refusal.note_listing(&listing.id, denies, errs, self.profile);
            denied |= denies;
        }
        denied
    }

    pub(super) fn ask(&self, clause: &Clause, facts: &Scope<'_>) -> Standing {
        if self.guess.unread().is_some_and(|unread| (unread.concerns)(&clause.references)) {
            self.signs.waited.set(true);
            return Standing::Waits;
        }
        // What is not known of the derived roles is not known of a condition that reads them.
        let blind = self.profile == Profile::Strict
            && clause.references.reads(Root::DerivedRoles)
            && self.resources.iter().filter_map(|place| place.active.get()).any(|active| active.errs);
        let standing = if blind { Standing::Errs { holds: false } } else { Standing::of(clause, facts) };
        if matches!(standing, Standing::Errs { .. }) {
            self.signs.erred.set(true);
        }
        standing
    }

    /// Is a rule that waits for the body taken to apply?
    pub(super) fn assumes(&self, denies: bool) -> bool {
        match self.guess {
            Guess::Best(_) => !denies,
            Guess::None | Guess::Worst(_) => denies,
        }
    }

    pub(super) fn remember(&self, cell: Option<&Cell<Option<Standing>>>, find: impl FnOnce() -> Standing) -> Standing {
        let standing = cell.and_then(Cell::get).unwrap_or_else(find);
        if let Some(cell) = cell {
            cell.set(Some(standing));
        }
        standing
    }

    pub(super) fn standing_of_role(&self, met: &Met<'q, ResourceEntry>, role: &Derived) -> Standing {
        let Some(clause) = &role.condition else { return Standing::Holds };
        let shown = match self.profile {
            Profile::Strict => &[],
            Profile::Cerbos051 => self.shown_roles(None),
        };
        self.ask(clause, &met.scope(&self.question.facts, role.parameters, shown))
    }

    /// Finds the derived roles of a scope before its rules are asked, where anybody wants to know them.
    pub(super) fn come_to(&self, number: usize, place: &Place<'q, ResourceEntry>) {
        if place.active.get().is_some() || self.detail == Detail::Effect && !self.index.reads_derived_roles {
            return;
        }
        let mut active = Active::default();
        if let Some(met) = &place.policy {
            let roles = self.question.roles.iter();
            let roles = roles.flat_map(|role| self.question.with_parents(self.profile, self.index, role));
            let mut names = Vec::new();
            for (derived, cell) in met.entry.derived.iter().zip(&met.derived) {
                if !roles.clone().any(|role| derived.parents.has(role)) {
                    continue;
                }
                let standing = self.remember(Some(cell), || self.standing_of_role(met, derived));
                let is_active = match (standing, self.profile) {
                    (Standing::Holds, _) => true,
                    (Standing::Errs { holds }, Profile::Cerbos051) => holds,
                    (Standing::Fails | Standing::Waits | Standing::Errs { .. }, _) => false,
                };
                active.errs |= matches!(standing, Standing::Errs { .. });
                if is_active {
                    names.push(derived.name.clone());
                }
            }
            names.sort_unstable();
            active.names = names.into();
        }
        drop(place.active.set(active));
        self.shown.set(Some(number));
    }

    /// What expressions see as the derived roles that are active.
    pub(super) fn shown_roles(&self, number: Option<usize>) -> &[Box<str>] {
        let number = match self.profile {
            Profile::Strict => number,
            Profile::Cerbos051 => self.shown.get(),
        };
        let active = number.and_then(|number| self.resources.get(number)).and_then(|place| place.active.get());
        active.map(|active| &*active.names).unwrap_or_default()
    }

    /// Does an ALLOW in that scope end the search?
    pub(super) fn settles(&self, scope: &str, own: ScopePermissions) -> bool {
        let permissions = match self.profile {
            // SECURITY: held by `q9_permissions_belong_to_their_policy`.
            Profile::Strict => own,
            Profile::Cerbos051 => self.index.permissions(scope).unwrap_or(own),
        };
        permissions == ScopePermissions::OverrideParent
    }

    pub(super) fn role(&self, role: &str, scope: &str) -> Option<&'q RoleEntry> {
        self.index.role(role, self.question.resource.version, scope)
    }

    pub(super) fn takes_resource(&self, pattern: &Glob) -> bool {
        let name = &*self.question.name;
        match self.profile {
            Profile::Strict => pattern.matches(name),
            Profile::Cerbos051 => pattern.matches_as_of_0_51(name, |text| text == name),
        }
    }

    /// How many patterns of a rule fit the action.
    pub(super) fn hits(&self, rule: &Rule, asked: Asked<'q>) -> usize {
        let fits = |pattern: &&ActionPattern| match self.profile {
            Profile::Strict => pattern.matches(asked.name),
            Profile::Cerbos051 => pattern
                .matches_as_of_0_51(asked.name, |text| self.question.actions.iter().any(|action| **action == *text)),
        };
        rule.actions.iter().filter(fits).count()
    }
}
