//! Which texts are names of what.

use super::message::Text;

/// Words of the expression language that cannot name a variable or a constant.
pub(crate) const KEYWORDS: [&str; 4] = ["false", "in", "null", "true"];

/// Levels of the deepest scope: each needs a policy of its own.
const DEEPEST_SCOPE: usize = 64;

/// Can the expression language name it after a dot?
pub(crate) fn is_identifier(name: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && name.chars().all(inner)
}

/// The name of a policy as Cerbos compares it: where it is made of words, each run of characters other than letters, digits, `_` and `.`
/// becomes `_`.
pub(crate) fn sanitise(name: &str) -> String {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "_@.-/".contains(letter);
    let is_word = |word: &str| word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.chars().all(inner);
    if !name.split(':').all(is_word) {
        return name.to_owned();
    }
    let mut sanitised = String::with_capacity(name.len());
    let mut run = false;
    for letter in name.chars() {
        let plain = letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        if plain {
            sanitised.push(letter);
        } else if !run {
            sanitised.push('_');
        }
        run = !plain;
    }
    sanitised
}

/// `^[^!*?\[\]{}]+$`
pub(super) fn check_plain(name: &Text<'_>, what: &str) -> bool {
    let plain = !name.text().contains(['!', '*', '?', '[', ']', '{', '}']);
    if !plain {
        let help = format!("a name has no wildcards and no brackets; each {what} has a policy of its own");
        name.error(format!("`{}` is not the name of a {what}", name.text()), help);
    }
    plain
}

/// `^\w+$`
pub(super) fn check_version(version: &Text<'_>) -> bool {
    let fits = version.text().chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !fits {
        let message = format!("`{}` is not a version of policies", version.text());
        version.error(message, "a version has letters, digits and `_`");
    }
    fits
}

/// `^[\w\-.]+$`: names of derived roles, and of sets of derived roles, variables and constants.
pub(super) fn check_dashed(name: &Text<'_>) -> bool {
    let fits = name.text().chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    if !fits {
        name.error(format!("`{}` is not a name", name.text()), "a name here has letters, digits, `_`, `-` and `.`");
    }
    fits
}

/// `^([a-zA-Z][\w@.\-]*)*$`
pub(super) fn check_rule(name: &Text<'_>) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "_@.-".contains(letter);
    let text = name.text();
    let fits = text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.chars().all(inner);
    if !fits {
        let help = "a name starts with a letter and goes on with letters, digits, `_`, `@`, `.` and `-`";
        name.error(format!("`{text}` is not the name of a rule"), help);
    }
    fits
}

/// `^(^$|[0-9a-zA-Z][\w\-]*(\.\w[\w\-]*)*)$`. To Cerbos `.` is a scope of its own, which no question leads to.
pub(super) fn read_scope<'t>(scope: &'t Text<'_>) -> Option<&'t str> {
    let text = scope.text();
    let inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let fits = |(place, level): (usize, &str)| {
        level.starts_with(|first: char| first.is_ascii_alphanumeric() || (place > 0 && first == '_'))
            && level.chars().all(inner)
    };
    if !text.split('.').enumerate().all(fits) {
        let help = "a scope is levels with a dot between them, as in `acme.hr.uk`";
        scope.error(format!("`{text}` is not a scope"), help);
        return None;
    }
    if text.split('.').count() > DEEPEST_SCOPE {
        let help = "each level needs a policy of its own";
        scope.error(format!("the scope has more than {DEEPEST_SCOPE} levels"), help);
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_cerbos_compares_them() {
        for name in ["album:object", "album-object", "album/object", "album@object", "album-/object"] {
            assert_eq!(sanitise(name), "album_object", "{name}");
        }
        assert_eq!(sanitise("a.b_c"), "a.b_c");
        for odd in ["a :b", "a /b", "1-b", "a:-b", "ä-b"] {
            assert_eq!(sanitise(odd), odd);
        }
    }

    #[test]
    fn identifiers_are_those_of_the_expression_language() {
        assert!(["a", "_", "a1", "A_b"].into_iter().all(is_identifier));
        assert!(["", "1a", "a.b", "why?", "ä", "a-b"].into_iter().all(|name| !is_identifier(name)));
    }
}
