//! Which route takes a request: host, then path, then method, none of them falling through to the next candidate.
//!
//! A tree of path segments rather than `matchit`: that crate allows one kind of wildcard at a place, and so refuses
//! `/a/{x}` beside `/a/{rest..}`, which are two legal routes here, and its catch-all does not take the empty rest of `/a/`.
//! A walk visits each node of the tree at most once, so a path cannot be made expensive.

use std::collections::HashMap;

use http::{HeaderValue, Method};

use super::{
    host::HostPattern,
    methods::Methods,
    pattern::{PathPattern, Segment, split},
};

/// All routes, by place in the policy set.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact: HashMap<Box<str>, Tree>,
    /// By suffix with its leading dot.
    suffixes: HashMap<Box<str>, Tree>,
    any: Tree,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    capture: Option<Box<Node>>,
    tail: Option<Taken>,
    end: Option<Taken>,
}

/// The routes of one host and path: their methods are disjoint.
#[derive(Debug)]
pub(crate) struct Taken {
    routes: Vec<(Methods, usize)>,
    allow: HeaderValue,
}

impl Taken {
    /// The route for that method.
    pub(crate) fn by(&self, method: &Method) -> Option<usize> {
        self.routes.iter().find(|(methods, _)| methods.contains(method)).map(|(_, route)| *route)
    }

    /// All of them, in the order of the files.
    pub(crate) fn routes(&self) -> impl Iterator<Item = usize> {
        self.routes.iter().map(|(_, route)| *route)
    }

    /// The value of `Allow` where no route takes the method.
    pub(crate) fn allow(&self) -> &HeaderValue {
        &self.allow
    }
}

/// Another route takes a method of this one at the same host and path.
#[derive(Debug)]
pub(crate) struct Overlap {
    /// The place of the other route.
    pub(crate) with: usize,
    /// A method that both take.
    pub(crate) method: Method,
}

impl RouteTable {
    /// Adds a route, for any host when `hosts` is empty.
    pub(crate) fn insert(
        &mut self,
        hosts: &[HostPattern],
        pattern: &PathPattern,
        methods: &Methods,
        route: usize,
    ) -> Result<(), Overlap> {
        if hosts.is_empty() {
            return self.any.insert(pattern, methods, route);
        }
        for host in hosts {
            let tree = match host {
                HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
                HostPattern::Suffix(suffix) => self.suffixes.entry(suffix.clone()).or_default(),
            };
            tree.insert(pattern, methods, route)?;
        }
        Ok(())
    }

    /// The routes at that host and path.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Taken> {
        // SECURITY: a host of its own never falls back to the routes of every host:
        // `a_host_with_routes_of_its_own_never_falls_through`.
        let tree = self.exact.get(host).or_else(|| self.longest_suffix(host)).unwrap_or(&self.any);
        tree.root.find(path.strip_prefix('/')?)
    }

    fn longest_suffix(&self, host: &str) -> Option<&Tree> {
        if self.suffixes.is_empty() {
            return None;
        }
        let dots = host.match_indices('.').map(|(place, _)| place).filter(|place| *place > 0);
        dots.filter_map(|place| host.get(place..)).find_map(|suffix| self.suffixes.get(suffix))
    }
}

impl Tree {
    fn insert(&mut self, pattern: &PathPattern, methods: &Methods, route: usize) -> Result<(), Overlap> {
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Capture(_) => node.capture.get_or_insert_default(),
                Segment::Tail(_) => return add(&mut node.tail, methods, route),
            };
        }
        add(&mut node.end, methods, route)
    }
}

fn add(taken: &mut Option<Taken>, methods: &Methods, route: usize) -> Result<(), Overlap> {
    let taken = taken.get_or_insert_with(|| Taken { routes: Vec::new(), allow: HeaderValue::from_static("") });
    for (others, with) in &taken.routes {
        if let Some(method) = methods.shared(others) {
            return Err(Overlap { with: *with, method: method.clone() });
        }
    }
    taken.routes.push((methods.clone(), route));
    let mut all = Methods::default();
    taken.routes.iter().for_each(|(methods, _)| all.extend(methods));
    taken.allow = all.allow();
    Ok(())
}

impl Node {
    /// The most specific pattern below this node that takes all of `text`: a literal before a capture before a tail.
    fn find(&self, text: &str) -> Option<&Taken> {
        let (segment, rest) = split(text);
        let literal = self.literals.get(segment).and_then(|node| node.follow(rest));
        let capture = || self.capture.as_ref().filter(|_| !segment.is_empty()).and_then(|node| node.follow(rest));
        literal.or_else(capture).or(self.tail.as_ref())
    }

    fn follow(&self, rest: Option<&str>) -> Option<&Taken> {
        match rest {
            Some(text) => self.find(text),
            None => self.end.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;
