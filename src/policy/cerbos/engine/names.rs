//! What policies are called, and how names are compared.

use std::borrow::Cow;

/// The name of a policy that is none: what is told where no policy is about the question.
pub(super) const NO_MATCH: &str = "NO_MATCH";

/// The kinds of policies that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Principal,
    Resource,
    Role,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Resource => "resource",
            Self::Role => "role",
        }
    }
}

/// `resource.contact.vdefault/acme`: what Cerbos calls a policy.
pub(super) fn policy_key(kind: Kind, sanitised: &str, version: &str, scope: &str) -> String {
    let (kind, slash) = (kind.word(), if scope.is_empty() { "" } else { "/" });
    format!("{kind}.{sanitised}.v{version}{slash}{scope}")
}

/// A name as Cerbos compares it: in one that is made of words, each run of other characters than letters, digits, `_` and `.` is one `_`.
/// Any other name stays as it is.
pub(crate) fn sanitise(name: &str) -> Cow<'_, str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
    if name.chars().all(plain) || !is_made_of_words(name) {
        return Cow::Borrowed(name);
    }
    let mut sanitised = String::with_capacity(name.len());
    for letter in name.chars() {
        if plain(letter) {
            sanitised.push(letter);
        } else if !sanitised.ends_with('\0') {
            sanitised.push('\0');
        }
    }
    Cow::Owned(sanitised.replace('\0', "_"))
}

/// `^[[:alpha:]][[:word:]@.\-/]*(:[[:alpha:]][[:word:]@.\-/]*)*$`
fn is_made_of_words(name: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "_@.-/".contains(letter);
    name.split(':').all(|word| word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.chars().all(inner))
}

/// The scope itself and those above it, up to the root, the most specific first.
pub(super) fn scope_and_parents(scope: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(scope), |scope| match scope.rfind('.') {
        _ if scope.is_empty() => None,
        Some(dot) => scope.get(..dot),
        None => Some(""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_real_cerbos_compares_them() {
        for (name, expected) in [
            ("contact", "contact"),
            ("album:object", "album_object"),
            ("album-object", "album_object"),
            ("album/object", "album_object"),
            ("a.b_c", "a.b_c"),
            ("a--b", "a_b"),
            ("a@-b", "a_b"),
            ("a:-b", "a:-b"),
            ("1a-b", "1a-b"),
            ("a b", "a b"),
            ("ä-b", "ä-b"),
            ("", ""),
        ] {
            assert_eq!(sanitise(name), expected, "{name}");
        }
    }

    #[test]
    fn scopes_are_asked_from_the_most_specific_to_the_root() {
        let chain = |scope| scope_and_parents(scope).collect::<Vec<_>>();
        assert_eq!(chain("acme.hr.uk"), ["acme.hr.uk", "acme.hr", "acme", ""]);
        assert_eq!(chain(""), [""]);
    }

    #[test]
    fn a_policy_is_called_by_its_kind_name_version_and_scope() {
        assert_eq!(policy_key(Kind::Resource, "contact", "default", ""), "resource.contact.vdefault");
        assert_eq!(policy_key(Kind::Role, "clerk", "1", "acme.hr"), "role.clerk.v1/acme.hr");
    }
}
