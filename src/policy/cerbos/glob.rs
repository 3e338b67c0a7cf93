//! Names of actions with wildcards, as Cerbos writes them: parts are separated by `:`.
//!
//! `*` and `?` stay within a part, `**` does not, a lone `*` is everything. `[abc]`, `[!a-c]`, `{p,q}` and `\` as in shells.

/// The name of a resource in a rule: it has the same wildcards.
pub(crate) type Glob = ActionPattern;

/// The name of an action in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActionPattern {
    /// Every action.
    Any,
    /// This one.
    Literal(Box<str>),
    /// All that fit.
    Glob {
        /// As written.
        text: Box<str>,
        tokens: Vec<Token>,
    },
}

/// One piece of a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Letter(char),
    /// `?`: one letter that is not the separator.
    One,
    /// `*`: any letters but the separator.
    Within,
    /// `**`: any letters.
    Across,
    /// `[..]`: one letter out of these ranges, or, negated, one that is in none of them.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `{..}`: one of these.
    Either(Vec<Vec<Token>>),
}

const SEPARATOR: char = ':';
/// Letters of the longest pattern.
const MAX_LETTERS: usize = 256;

impl ActionPattern {
    /// Reads a pattern; `None` when brackets do not match or it is too long.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if !text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            return Some(Self::Literal(text.into()));
        }
        let letters: Vec<char> = text.chars().collect();
        if letters.len() > MAX_LETTERS {
            return None;
        }
        let mut rest = letters.as_slice();
        let tokens = sequence(&mut rest, false)?;
        rest.is_empty().then(|| Self::Glob { text: text.into(), tokens })
    }

    /// Does that action have such a name?
    pub(crate) fn matches(&self, action: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(name) => **name == *action,
            Self::Glob { tokens, .. } => fits(tokens, &[], action),
        }
    }

    /// Does that action have such a name for Cerbos 0.51? There a pattern without `*` is found only under its own text, and asked for that
    /// text, it takes what fits besides.
    pub(crate) fn matches_as_of_0_51(&self, action: &str, asked: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Glob { text, .. } if self.is_odd() => asked(text) && (**text == *action || self.matches(action)),
            Self::Any | Self::Literal(_) | Self::Glob { .. } => self.matches(action),
        }
    }

    /// Is it a pattern that Cerbos 0.51 does not take for one?
    pub(crate) fn is_odd(&self) -> bool {
        matches!(self, Self::Glob { text, .. } if !text.contains('*'))
    }

    /// The only name that fits.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(name) => Some(name),
            Self::Any | Self::Glob { .. } => None,
        }
    }
}

/// Tokens up to the end, or within braces up to `,` or `}`, which stays.
fn sequence(rest: &mut &[char], braced: bool) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        if braced && matches!(first, ',' | '}') {
            break;
        }
        *rest = after;
        tokens.push(match first {
            '?' => Token::One,
            '*' if rest.first() == Some(&'*') => {
                *rest = rest.get(1..)?;
                Token::Across
            }
            '*' => Token::Within,
            '[' => class(rest)?,
            '{' if !braced => alternatives(rest)?,
            '{' | '}' | ']' => return None,
            '\\' => Token::Letter(take(rest)?),
            letter => Token::Letter(*letter),
        });
    }
    Some(tokens)
}

fn take(rest: &mut &[char]) -> Option<char> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn class(rest: &mut &[char]) -> Option<Token> {
    let negated = rest.first() == Some(&'!');
    if negated {
        take(rest)?;
    }
    let mut ranges = Vec::new();
    loop {
        let low = match take(rest)? {
            ']' if ranges.is_empty() => return None,
            ']' => return Some(Token::Class { negated, ranges }),
            '\\' => take(rest)?,
            letter => letter,
        };
        let is_range = rest.first() == Some(&'-') && rest.get(1).is_some_and(|high| *high != ']');
        let high = if is_range { take(rest).and_then(|_| take(rest))? } else { low };
        ranges.push((low, high));
    }
}

fn alternatives(rest: &mut &[char]) -> Option<Token> {
    let mut all = Vec::new();
    loop {
        all.push(sequence(rest, true)?);
        match take(rest)? {
            ',' => {}
            _ => return Some(Token::Either(all)),
        }
    }
}

/// Does `text` fit `tokens` and then `after`? Patterns are configuration, and short.
fn fits(tokens: &[Token], after: &[Token], text: &str) -> bool {
    let Some((first, rest)) = tokens.split_first() else {
        return if after.is_empty() { text.is_empty() } else { fits(after, &[], text) };
    };
    let mut letters = text.chars();
    let letter = letters.next();
    let next = letters.as_str();
    match first {
        Token::Letter(wanted) => letter == Some(*wanted) && fits(rest, after, next),
        Token::One => letter.is_some_and(|letter| letter != SEPARATOR) && fits(rest, after, next),
        Token::Class { negated, ranges } => {
            let within = |letter| ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
            letter.is_some_and(|letter| within(letter) != *negated) && fits(rest, after, next)
        }
        Token::Within => {
            fits(rest, after, text) || letter.is_some_and(|letter| letter != SEPARATOR) && fits(tokens, after, next)
        }
        Token::Across => fits(rest, after, text) || letter.is_some() && fits(tokens, after, next),
        Token::Either(all) => {
            let then: Vec<Token> = rest.iter().chain(after).cloned().collect();
            all.iter().any(|one| fits(one, &then, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_they_are_documented() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("*", &["a", "a:b", ""], &[]),
            ("read", &["read"], &["Read", "reads", "rea"]),
            ("x*", &["x", "xy"], &["x:1", "yx"]),
            ("ns:*", &["ns:a", "ns:"], &["ns:a:b", "ns"]),
            ("ns:**", &["ns:a", "ns:a:b"], &["other:a"]),
            ("{p,q}*", &["p", "qx"], &["r", "p:x"]),
            ("{m,n}", &["m", "n"], &["mn", ""]),
            ("v?ew2", &["view2"], &["vew2", "v:ew2"]),
            ("[ab]c", &["ac", "bc"], &["cc", "c"]),
            ("[!a-c]x", &["dx"], &["ax", "bx"]),
            ("a\\*b", &["a*b"], &["axb"]),
            ("*:read", &["album:read"], &["a:b:read", "read"]),
        ];
        for (text, matching, others) in table {
            let pattern = ActionPattern::parse(text).unwrap();
            for action in *matching {
                assert!(pattern.matches(action), "{text} should match {action}");
            }
            for action in *others {
                assert!(!pattern.matches(action), "{text} should not match {action}");
            }
        }
    }

    #[test]
    fn a_pattern_without_a_star_is_a_name_for_the_real_cerbos() {
        let brace = ActionPattern::parse("{m,n}").unwrap();
        assert!(brace.is_odd() && brace.matches("m"));
        assert!(!brace.matches_as_of_0_51("m", |text| text == "m"));
        assert!(brace.matches_as_of_0_51("{m,n}", |text| text == "{m,n}"));
        assert!(brace.matches_as_of_0_51("m", |text| ["m", "{m,n}"].contains(&text)), "found by another action");
        let star = ActionPattern::parse("{p,q}*").unwrap();
        assert!(!star.is_odd() && star.matches_as_of_0_51("px", |_| false));
    }

    #[test]
    fn brackets_that_do_not_match_are_refused() {
        for text in ["[a", "a]", "{a", "a}", "[]", "a\\", "{a,{b,c}}"] {
            assert_eq!(ActionPattern::parse(text), None, "{text}");
        }
    }
}
