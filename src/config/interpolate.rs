//! `${VAR}` and `${VAR:-default}` inside string values, replaced before anything is typed.
//!
//! Only values: a key never changes with the environment. What a variable holds is text and is not looked through again, so it
//! can neither name another variable nor bring YAML with it. `$${` is a literal `${`; any other `$` stands for itself.

use thiserror::Error;

use crate::yaml::{Node, Pointer};

/// Why a string cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Flaw {
    /// There is no such variable, and no default.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    /// A `${` without its `}`.
    #[error("a `${{` has no closing `}}`")]
    Open,
    /// What stands between the braces is no variable.
    #[error("`${{{0}}}` does not name an environment variable")]
    Name(String),
}

impl Flaw {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unset(_) => "C001",
            Self::Open | Self::Name(_) => "C002",
        }
    }

    pub(super) fn help(&self) -> String {
        match self {
            Self::Unset(name) => format!("set it, or give it a default: `${{{name}:-default}}`"),
            Self::Open | Self::Name(_) => "write `${NAME}` or `${NAME:-default}`; `$${` is a literal `${`".to_owned(),
        }
    }
}

/// The environment, as a function.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The same tree with every string filled in, and what could not be.
pub(super) fn interpolate(node: Node, env: Environment<'_>) -> (Node, Vec<(Pointer, Flaw)>) {
    let mut flaws = Vec::new();
    let node = walk(node, &Pointer::default(), env, &mut flaws);
    (node, flaws)
}

fn walk(node: Node, at: &Pointer, env: Environment<'_>, flaws: &mut Vec<(Pointer, Flaw)>) -> Node {
    match node {
        Node::Text(text) => match expand(&text, env) {
            Ok(Some(text)) => Node::Expanded(text),
            Ok(None) => Node::Text(text.replace("$${", "${")),
            Err(found) => {
                flaws.extend(found.into_iter().map(|flaw| (at.clone(), flaw)));
                Node::Text(text)
            }
        },
        Node::List(items) => {
            let items = items.into_iter().enumerate();
            Node::List(items.map(|(index, item)| walk(item, &at.index(index), env, flaws)).collect())
        }
        Node::Map(entries) => {
            let entries = entries.into_iter();
            Node::Map(
                entries
                    .map(|(key, value)| {
                        let value = walk(value, &at.key(&key), env, flaws);
                        (key, value)
                    })
                    .collect(),
            )
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Expanded(_) => node,
    }
}

/// The text with its variables replaced; `None` when it names none.
fn expand(text: &str, env: Environment<'_>) -> Result<Option<String>, Vec<Flaw>> {
    let (mut out, mut flaws, mut replaced) = (String::new(), Vec::new(), false);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let Some((inside, after)) = after.split_once('}') else {
                flaws.push(Flaw::Open);
                rest = "";
                break;
            };
            match variable(inside, env) {
                Ok(value) => out.push_str(&value),
                Err(flaw) => flaws.push(flaw),
            }
            replaced = true;
            rest = after;
        } else {
            out.push('$');
            rest = from.strip_prefix('$').unwrap_or_default();
        }
    }
    out.push_str(rest);
    if !flaws.is_empty() {
        return Err(flaws);
    }
    Ok(replaced.then_some(out))
}

/// The value of `NAME` or `NAME:-default`. As in a shell, the default also stands in for a variable that is set and empty.
fn variable(inside: &str, env: Environment<'_>) -> Result<String, Flaw> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name || default.is_some_and(|default| default.contains("${")) {
        return Err(Flaw::Name(inside.to_owned()));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Flaw::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "POOL" => Some("eu-west-1_abc".into()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${POOL}".into()),
            "YAML" => Some("a: [1, 2]".into()),
            _ => None,
        }
    }

    fn text(text: &str) -> Result<Node, Vec<Flaw>> {
        let (node, flaws) = interpolate(Node::Text(text.into()), &environment);
        if flaws.is_empty() { Ok(node) } else { Err(flaws.into_iter().map(|(_, flaw)| flaw).collect()) }
    }

    #[test]
    fn variables_are_replaced_wherever_they_stand_in_a_string() {
        for (input, output) in [
            ("${POOL}", "eu-west-1_abc"),
            ("a-${POOL}-${POOL}", "a-eu-west-1_abc-eu-west-1_abc"),
            ("${NOWHERE:-x y}", "x y"),
            ("${NOWHERE:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("$5 and ${POOL} $", "$5 and eu-west-1_abc $"),
            ("$${POOL} is ${POOL}", "${POOL} is eu-west-1_abc"),
        ] {
            assert_eq!(text(input), Ok(Node::Expanded(output.into())), "{input}");
        }
    }

    #[test]
    fn a_string_without_variables_stays_what_it_is() {
        for (input, output) in
            [("plain", "plain"), ("$", "$"), ("$$", "$$"), ("$HOME", "$HOME"), ("$${X}", "${X}"), ("}", "}")]
        {
            assert_eq!(text(input), Ok(Node::Text(output.into())), "{input}");
        }
    }

    #[test]
    fn what_a_variable_holds_is_not_looked_through_again() {
        assert_eq!(text("${NESTED}"), Ok(Node::Expanded("${POOL}".into())));
        assert_eq!(text("${YAML}"), Ok(Node::Expanded("a: [1, 2]".into())));
    }

    #[test]
    fn every_flaw_of_a_string_is_told() {
        assert_eq!(
            text("${A} ${1B} ${C:-${D}} ${E"),
            Err(vec![Flaw::Unset("A".into()), Flaw::Name("1B".into()), Flaw::Name("C:-${D".into()), Flaw::Open])
        );
        assert_eq!(text("${}"), Err(vec![Flaw::Name(String::new())]));
    }

    #[test]
    fn keys_are_never_replaced() {
        let node = Node::Map(vec![("${POOL}".into(), Node::List(vec![Node::Text("${POOL}".into())]))]);
        let expected = Node::Map(vec![("${POOL}".into(), Node::List(vec![Node::Expanded("eu-west-1_abc".into())]))]);
        assert_eq!(interpolate(node, &environment), (expected, vec![]));
    }
}
