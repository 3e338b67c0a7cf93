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

/// Does `text` fit `tokens` and then `after`? In time that grows with the product of both, and without recursion through the text: names come
/// from clients.
// SECURITY: `a_long_name_neither_overflows_the_stack_nor_takes_long`.
fn fits(tokens: &[Token], after: &[Token], text: &str) -> bool {
    let mut program = Vec::new();
    translate(tokens.iter().chain(after), &mut program);
    let (mut states, mut next) = (States::none(&program), States::none(&program));
    states.add(0, &program);
    for letter in text.chars() {
        states.pass(letter, &program, &mut next);
        std::mem::swap(&mut states, &mut next);
        if states.all.is_empty() {
            return false;
        }
    }
    states.seen.get(program.len()).copied().unwrap_or_default()
}

/// A step of a pattern.
enum Step<'t> {
    /// One letter that fits the token.
    Take(&'t Token),
    /// Any number of them.
    Repeat(&'t Token),
    /// Go on at any of these.
    Fork(Vec<usize>),
}

fn translate<'t>(tokens: impl Iterator<Item = &'t Token>, program: &mut Vec<Step<'t>>) {
    for token in tokens {
        match token {
            Token::Letter(_) | Token::One | Token::Class { .. } => program.push(Step::Take(token)),
            Token::Within | Token::Across => program.push(Step::Repeat(token)),
            Token::Either(all) => {
                let fork = program.len();
                program.push(Step::Fork(Vec::new()));
                let (mut starts, mut ends) = (Vec::new(), Vec::new());
                for one in all {
                    starts.push(program.len());
                    translate(one.iter(), program);
                    ends.push(program.len());
                    program.push(Step::Fork(Vec::new()));
                }
                let after = program.len();
                let targets = std::iter::once((fork, starts)).chain(ends.into_iter().map(|end| (end, vec![after])));
                for (place, targets) in targets {
                    if let Some(step) = program.get_mut(place) {
                        *step = Step::Fork(targets);
                    }
                }
            }
        }
    }
}

/// The steps that may come next.
struct States {
    all: Vec<usize>,
    /// By step, and behind them the end.
    seen: Vec<bool>,
}

impl States {
    fn none(program: &[Step<'_>]) -> Self {
        Self { all: Vec::new(), seen: vec![false; program.len() + 1] }
    }

    /// Adds a step, and those that it leads to without a letter.
    fn add(&mut self, step: usize, program: &[Step<'_>]) {
        let mut rest = vec![step];
        while let Some(step) = rest.pop() {
            let Some(seen) = self.seen.get_mut(step) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            self.all.push(step);
            match program.get(step) {
                Some(Step::Repeat(_)) => rest.push(step + 1),
                Some(Step::Fork(targets)) => rest.extend(targets),
                Some(Step::Take(_)) | None => {}
            }
        }
    }

    /// What comes next after a letter.
    fn pass(&self, letter: char, program: &[Step<'_>], next: &mut Self) {
        for step in next.all.drain(..) {
            if let Some(seen) = next.seen.get_mut(step) {
                *seen = false;
            }
        }
        for step in &self.all {
            match program.get(*step) {
                Some(Step::Take(token)) if token.takes(letter) => next.add(step + 1, program),
                Some(Step::Repeat(token)) if token.takes(letter) => next.add(*step, program),
                Some(Step::Take(_) | Step::Repeat(_) | Step::Fork(_)) | None => {}
            }
        }
    }
}

impl Token {
    /// May that letter stand there?
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::Letter(wanted) => letter == *wanted,
            Self::One | Self::Within => letter != SEPARATOR,
            Self::Across => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *negated
            }
            Self::Either(_) => false,
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

    #[test]
    fn a_long_name_neither_overflows_the_stack_nor_takes_long() {
        let start = std::time::Instant::now();
        let name = "a".repeat(100_000);
        assert!(ActionPattern::parse("**a**a**a**a**a**").unwrap().matches(&name));
        assert!(!ActionPattern::parse("**a**a**a**a**a**b").unwrap().matches(&name));
        let braces = ActionPattern::parse(&"{a,aa}".repeat(40)).unwrap();
        let fits = |letters: usize| braces.matches(&"a".repeat(letters));
        assert!(fits(40) && fits(60) && fits(80) && !fits(39) && !fits(81));
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    }
}
