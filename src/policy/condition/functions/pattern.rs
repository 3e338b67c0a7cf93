//! Regular expressions: RE2's syntax and meaning, on the engine of the `regex` crate.
//!
//! The two differ silently in a few places: `\d`, `\w`, `\s` and `\b` are about ASCII in RE2, `[` and `&&` mean themselves within brackets, and
//! `\Q...\E` quotes. A pattern is rewritten before it is compiled; what RE2 does not know stays an error.

use std::any::Any;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use regex::{Regex, RegexBuilder};

use super::meter::metered;

static PATTERN: Type = Type::new_unspecified_type("@pattern");

/// The longest pattern that is compiled while evaluating, in bytes, how large it may become, and what it costs.
const LENGTH: usize = 512;
const SIZE: usize = 256 * 1024;
const COST: usize = 16 * 1024;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(in super::super) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// Compiles a pattern of a policy.
    pub(in super::super) fn compile(pattern: &str) -> Option<Self> {
        Regex::new(&translate(pattern)).ok().map(Self)
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

/// `@matches(text, pattern)`: the pattern was compiled with the expression.
pub(super) fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let pattern = pattern.downcast_ref::<Pattern>().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    let text = text.downcast_ref::<CelString<'v>>().ok_or(ExecutionError::MissingArgumentOrTarget)?;
    Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text.inner()))))
}

/// `@matches(@meter, text, pattern)`: the pattern comes out of the request.
// SECURITY: compiling a pattern costs far more than its length: `a_pattern_out_of_a_request_is_small_and_paid_for`.
pub(super) fn matches_computed<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (meter, rest) = metered(&arguments)?;
    let texts: Vec<Option<&str>> =
        rest.iter().map(|argument| argument.downcast_ref::<CelString<'v>>().map(CelString::inner)).collect();
    let [Some(text), Some(pattern)] = texts.as_slice() else {
        return Err(ExecutionError::MissingArgumentOrTarget);
    };
    let refused = || ExecutionError::function_error("matches", "not a pattern, or a large one");
    if pattern.len() > LENGTH {
        return Err(refused());
    }
    meter.charge(COST)?;
    let pattern = RegexBuilder::new(&translate(pattern)).size_limit(SIZE).dfa_size_limit(SIZE).build();
    Ok(CowVal::owned(CelBool::from(pattern.map_err(|_| refused())?.is_match(text))))
}

/// Says in the crate's syntax what RE2 would read.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut letters = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('Q') if !in_class => quote(&mut letters, &mut out),
                Some(escaped) => {
                    escape(escaped, in_class, &mut out);
                    copy_name(escaped, &mut letters, &mut out);
                }
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // The first bracket in a class is a letter.
                if letters.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            '[' if letters.peek() == Some(&':') => out.push('['),
            ':' if in_class && letters.peek() == Some(&']') && names_class(&out) => {
                letters.next();
                out.push_str(":]");
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '{' if !in_class && !is_repetition(letters.clone()) => out.push_str(r"\{"),
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(letter);
            }
            '-' if in_class && letters.peek() == Some(&'-') => out.push_str(r"\-"),
            _ => out.push(letter),
        }
    }
    out
}

/// Copies the name of a class, or the number of a letter, that stands in brackets behind its escape.
fn copy_name(escaped: char, letters: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    if matches!(escaped, 'p' | 'P' | 'x') && letters.peek() == Some(&'{') {
        out.extend(std::iter::from_fn(|| letters.next_if(|&letter| letter != '}')));
    }
}

/// Do `2}`, `2,}` or `2,3}` follow a bracket? What else follows makes it a letter.
fn is_repetition(mut letters: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let digits = |letters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        std::iter::from_fn(|| letters.next_if(char::is_ascii_digit)).count()
    };
    if digits(&mut letters) == 0 {
        return false;
    }
    if letters.next_if_eq(&',').is_some() {
        digits(&mut letters);
    }
    letters.next() == Some('}')
}

/// Does the text end in the beginning of `[:alpha:]`?
fn names_class(out: &str) -> bool {
    let name = out.rsplit("[:").next().unwrap_or_default();
    out.contains("[:") && !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '^')
}

/// Copies what stands up to `\E`, or to the end, as letters.
fn quote(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(letter) = letters.next() {
        if letter == '\\' && letters.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
    }
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    let class = match escaped {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\x0C\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => r"^\t\n\x0C\r ",
        'b' | 'B' if !in_class => {
            // Where ASCII words begin and end; letters beyond ASCII belong to none.
            return out.push_str(if escaped == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
        }
        _ => {
            out.push('\\');
            return out.push(escaped);
        }
    };
    out.push('[');
    out.push_str(class);
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_in_re2() {
        for (pattern, text, expected) in [
            (r"^\d+$", "123", true),
            (r"^\d+$", "١٢٣", false),
            (r"^\w+$", "a_1", true),
            (r"^\w+$", "é", false),
            (r"^\s$", "\u{a0}", false),
            (r"^\s$", "\u{b}", false),
            (r"^\S\D\W$", "éé-", true),
            (r"\bfoo\b", "éfooé", true),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[^\d]+$", "ab", true),
            (r"^[\D]$", "1", false),
            (r"^[[a]$", "[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "]", false),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[+--]$", "-", true),
            (r"^[[:alpha:]_]+$", "ab_", true),
            (r"^[[:^alpha:]]+$", "12", true),
            (r"^[a:]+$", "a:", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^\Q[(", "[(", true),
            (r"(?i)^ABC$", "abc", true),
            (r"^\x41\.\[$", "A.[", true),
            (r"^\pL\p{Greek}$", "xα", true),
            (r"a$", "a\n", false),
            ("a{", "a{", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{,2}$", "aa", false),
            ("^x{}y}$", "x{}y}", true),
            ("^a{2,}b{1,2}c{2}$", "aaabbcc", true),
            (r"^\p{Greek}{2}$", "αβ", true),
            ("^[{}]$", "{", true),
            (r"a\Bb", "ab", true),
        ] {
            assert_eq!(Pattern::compile(pattern).unwrap().0.is_match(text), expected, "{pattern} {text:?}");
        }
        for pattern in ["(", "[", "a**b(", r"\", r"\Z", r"(?=a)", "a{2,1}"] {
            assert!(Pattern::compile(pattern).is_none(), "{pattern}");
        }
    }
}
