//! A look at an expression before it is parsed: is it small enough to parse?
//!
//! The parser and the evaluator recurse, and a stack that overflows takes the process with it. So what can nest is counted first, on the
//! text, with strings and comments skipped. Says nothing about whether the text is an expression.

use super::NESTING;

/// The expression nests deeper than [`NESTING`]. The offset is that of the byte where it does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep(pub(super) usize);

/// Counts, at every place, the open brackets and, in each of them, the operators since the last `,`, `&&` or `||`.
pub(super) fn check_nesting(text: &str) -> Result<(), TooDeep> {
    let mut open: Vec<usize> = vec![0];
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = token(rest);
        let (taken, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        match first {
            '(' | '[' | '{' => {
                open.push(0);
                depth += 1;
            }
            ')' | ']' | '}' if open.len() > 1 => {
                depth -= 1 + open.pop().unwrap_or_default();
                link(&mut open, &mut depth);
            }
            ',' => unlink(&mut open, &mut depth),
            '&' | '|' if taken.len() == 2 => unlink(&mut open, &mut depth),
            '.' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!' | '?' | ':' if !taken.starts_with("//") => {
                link(&mut open, &mut depth);
            }
            'i' if taken == "in" => link(&mut open, &mut depth),
            _ => {}
        }
        if depth > NESTING {
            return Err(TooDeep(text.len() - rest.len()));
        }
        rest = after;
    }
    Ok(())
}

fn link(open: &mut [usize], depth: &mut usize) {
    if let Some(links) = open.last_mut() {
        *links += 1;
        *depth += 1;
    }
}

fn unlink(open: &mut [usize], depth: &mut usize) {
    if let Some(links) = open.last_mut() {
        *depth -= *links;
        *links = 0;
    }
}

/// Where, in bytes, a method of that name is first called with so many arguments.
pub(super) fn called_on(text: &str, method: &str, arguments: usize) -> Option<usize> {
    // For each open bracket: where its method is named, and the arguments so far.
    let mut open: Vec<(Option<usize>, usize)> = Vec::new();
    let (mut before, mut last) = ("", "");
    let mut named = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (taken, after) = rest.split_at_checked(token(rest)).unwrap_or((rest, ""));
        match taken {
            "(" => open.push(((before == "." && last == method).then_some(named), 1)),
            "[" | "{" => open.push((None, 1)),
            "," => {
                if let Some((_, count)) = open.last_mut() {
                    *count += 1;
                }
            }
            ")" | "]" | "}" => {
                if let Some((Some(at), count)) = open.pop()
                    && count == arguments
                {
                    return Some(at);
                }
            }
            _ => {}
        }
        if !taken.trim().is_empty() && !taken.starts_with("//") {
            (before, last, named) = (last, taken, text.len() - rest.len());
        }
        rest = after;
    }
    None
}

/// How many bytes the token at the start of the text has.
fn token(text: &str) -> usize {
    let raw = text.trim_start_matches(['r', 'R', 'b', 'B']);
    let prefix = text.len() - raw.len();
    if prefix <= 2 && raw.starts_with(['"', '\'']) {
        let is_raw = text.chars().take(prefix).any(|c| c.eq_ignore_ascii_case(&'r'));
        return prefix + string(raw, is_raw);
    }
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    let word = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if word > 0 {
        return word;
    }
    if ["&&", "||", "==", "!=", "<=", ">="].iter().any(|operator| text.starts_with(operator)) {
        return 2;
    }
    text.chars().next().map_or(1, char::len_utf8)
}

/// How many bytes the string literal at the start of the text has; all of them when it does not end.
fn string(text: &str, is_raw: bool) -> usize {
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text.starts_with(quote)).unwrap_or("\"");
    let mut at = quote.len();
    while let Some(rest) = text.get(at..) {
        if rest.starts_with(quote) {
            return at + quote.len();
        }
        let mut letters = rest.chars();
        let Some(letter) = letters.next() else { break };
        at += letter.len_utf8();
        if letter == '\\' && !is_raw {
            at += letters.next().map_or(0, char::len_utf8);
        }
    }
    text.len()
}

/// Line and column, both from 1, of the character at an offset counted in characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.chars().take(offset);
    before.fold((1, 1), |(line, column), letter| if letter == '\n' { (line + 1, 1) } else { (line, column + 1) })
}

/// Line and column of what a node of the parser is about: the field behind a dot, the name before a bracket.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let letters: Vec<char> = text.chars().take(offset + 1).collect();
    let named = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let offset = match letters.split_last() {
        Some(('.' | '[', _)) => offset + 1,
        Some(('(', before)) => offset - before.iter().rev().take_while(|letter| named(letter)).count(),
        Some(_) | None => offset,
    };
    position(text, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_expressions_pass_and_deep_ones_do_not() {
        let wide = vec!["a.b == 'x'"; 300].join(" || ");
        let list = format!("a in [{}]", vec!["-1"; 500].join(", "));
        for text in [&wide, &list, "", "'((((((((' == \"\"\"[[[\"[[\"\"\"", "a // ((((((\n + b", "r'\\' + '('"] {
            assert_eq!(check_nesting(text), Ok(()), "{text}");
        }
        for unit in ["(", "[", "{", "-", "!", "a.", "a+", "f(x).", "a[0]", "a ? b : ", "'a' in "] {
            assert!(check_nesting(&unit.repeat(NESTING + 1)).is_err(), "{unit}");
        }
    }

    #[test]
    fn a_string_that_hides_brackets_is_skipped_and_an_open_one_is_harmless() {
        for text in ["'\\'((('", "\"\\", "'''", "'''a'", "r", "b'", "rb\"x", "é\"é", "\u{10FFFF}"] {
            assert_eq!(check_nesting(text), Ok(()), "{text}");
        }
        for (text, expected) in [
            ("a.one(x, x)", Some(2)),
            ("a . one // (\n (x, f(x, y, [1, 2], {1: 2}))", Some(4)),
            ("a.one(x, y, b.one(z, z))", Some(14)),
            ("é.one(x, ')')", Some(3)),
            ("one(x, x) || a.ones(x, x) || a.one(x, y, z) || a.one || '.one(x, x)'", None),
            ("a.one(x, x", None),
        ] {
            assert_eq!(called_on(text, "one", 2), expected, "{text}");
        }
        assert_eq!(position("ab\ncd", 4), (2, 2));
        assert_eq!(position("é=", 1), (1, 2));
    }
}
