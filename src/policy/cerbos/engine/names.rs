//! What policies are called, and how names are compared.

/// The name of a policy that is none: what is told where no policy is about the question.
pub(super) const NO_MATCH: &str = "NO_MATCH";

/// Levels of the deepest scope that a policy may have.
const DEEPEST_SCOPE: usize = 64;

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

/// Is that the name of a scope? The root's is empty.
pub fn is_scope(text: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let starts = |word: &str| word.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    text.is_empty() || !text.starts_with('_') && text.split('.').all(|word| starts(word) && word.chars().all(inner))
}

/// The scope itself and those above it, up to the root, the most specific first. Of those above, scopes that are deeper than any policy's are
/// left out.
pub(super) fn scope_and_parents(scope: &str) -> impl Iterator<Item = &str> {
    let parent = |scope: &str| scope.rfind('.').unwrap_or(0);
    // SECURITY: a scope of a million dots has a million parents: `a_scope_of_a_million_dots_is_looked_up_at_once`.
    let deepest = scope.match_indices('.').nth(DEEPEST_SCOPE - 1).map(|(dot, _)| dot);
    let above = std::iter::successors(scope.get(..deepest.unwrap_or_else(|| parent(scope))), move |scope| {
        if scope.is_empty() { None } else { scope.get(..parent(scope)) }
    });
    std::iter::once(scope).chain(above.filter(|_| !scope.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_words_joined_by_dots() {
        for (text, expected) in [
            ("", true),
            ("acme", true),
            ("a-b._c.1", true),
            ("_a", false),
            ("a..b", false),
            (".a", false),
            ("a b", false),
        ] {
            assert_eq!(is_scope(text), expected, "{text}");
        }
    }

    #[test]
    fn scopes_are_asked_from_the_most_specific_to_the_root() {
        let chain = |scope| scope_and_parents(scope).collect::<Vec<_>>();
        assert_eq!(chain("acme.hr.uk"), ["acme.hr.uk", "acme.hr", "acme", ""]);
        assert_eq!(chain(""), [""]);
        let deep = vec!["a"; 70].join(".");
        let chain = chain(&deep);
        assert_eq!((chain.len(), chain[0].len(), chain[1].len()), (1 + DEEPEST_SCOPE + 1, 139, 127));
    }

    #[test]
    fn a_policy_is_called_by_its_kind_name_version_and_scope() {
        assert_eq!(policy_key(Kind::Resource, "contact", "default", ""), "resource.contact.vdefault");
        assert_eq!(policy_key(Kind::Role, "clerk", "1", "acme.hr"), "role.clerk.v1/acme.hr");
    }
}
