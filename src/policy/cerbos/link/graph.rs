//! Names that use names: which form circles, and in which order they can be evaluated.

use std::collections::BTreeMap;

/// Names, and for each the names that it uses. Uses of names that are not there are passed over.
pub(super) type Graph<'g> = BTreeMap<&'g str, Vec<&'g str>>;

/// Groups of names, each after those that it uses. A group of several names, or of one that uses itself, is a circle.
///
/// Tarjan's algorithm, with a stack of its own: chains are as long as files allow.
pub(super) fn groups<'g>(graph: &Graph<'g>) -> Vec<Vec<&'g str>> {
    let names: Vec<&str> = graph.keys().copied().collect();
    let place: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let uses: Vec<Vec<usize>> =
        graph.values().map(|used| used.iter().filter_map(|name| place.get(name).copied()).collect()).collect();
    let mut search =
        Search { uses: &uses, marks: vec![Mark::default(); names.len()], open: Vec::new(), met: 0, groups: Vec::new() };
    for start in 0..names.len() {
        search.from(start);
    }
    let named = |group: Vec<usize>| {
        let mut group: Vec<&str> = group.iter().filter_map(|place| names.get(*place).copied()).collect();
        group.sort_unstable();
        group
    };
    search.groups.into_iter().map(named).collect()
}

#[derive(Clone, Default)]
struct Mark {
    /// When it was met, from 1.
    met: usize,
    /// The earliest that can be reached from it.
    low: usize,
    is_open: bool,
}

struct Search<'u> {
    uses: &'u [Vec<usize>],
    marks: Vec<Mark>,
    open: Vec<usize>,
    met: usize,
    groups: Vec<Vec<usize>>,
}

impl Search<'_> {
    fn from(&mut self, start: usize) {
        if self.mark(start).met > 0 {
            return;
        }
        self.meet(start);
        // A node, and which of its uses comes next.
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.pop() {
            match self.uses.get(node).and_then(|uses| uses.get(next)).copied() {
                Some(used) => {
                    path.push((node, next + 1));
                    let mark = self.mark(used);
                    if mark.met == 0 {
                        self.meet(used);
                        path.push((used, 0));
                    } else if mark.is_open {
                        self.lower(node, mark.met);
                    }
                }
                None => {
                    self.leave(node);
                    let low = self.mark(node).low;
                    if let Some((above, _)) = path.last() {
                        self.lower(*above, low);
                    }
                }
            }
        }
    }

    fn mark(&self, node: usize) -> Mark {
        self.marks.get(node).cloned().unwrap_or_default()
    }

    fn meet(&mut self, node: usize) {
        self.met += 1;
        if let Some(mark) = self.marks.get_mut(node) {
            *mark = Mark { met: self.met, low: self.met, is_open: true };
        }
        self.open.push(node);
    }

    fn lower(&mut self, node: usize, low: usize) {
        if let Some(mark) = self.marks.get_mut(node) {
            mark.low = mark.low.min(low);
        }
    }

    /// All that a node uses is seen: if nothing of it leads further up, what is open since then is a group.
    fn leave(&mut self, node: usize) {
        let mark = self.mark(node);
        if mark.low != mark.met {
            return;
        }
        let since = self.open.iter().rposition(|open| *open == node).unwrap_or_default();
        let group = self.open.split_off(since);
        for member in &group {
            if let Some(mark) = self.marks.get_mut(*member) {
                mark.is_open = false;
                // Nothing reaches further through a group that is done.
                mark.low = usize::MAX;
            }
        }
        self.groups.push(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uses: &[(&'static str, &str)], expected: &str) {
        let graph = uses.iter().map(|(name, used)| (*name, used.split_whitespace().collect())).collect();
        let found: Vec<_> = groups(&graph).iter().map(|group| group.join("+")).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn names_stand_after_those_that_they_use() {
        check(&[("a", "b c"), ("b", "c"), ("c", ""), ("d", "nothing a")], "c b a d");
    }

    #[test]
    fn circles_are_groups() {
        check(
            &[("a", "a"), ("b", "c"), ("c", "b"), ("d", "e f"), ("e", "g"), ("f", "g"), ("g", "d"), ("h", "d")],
            "a b+c d+e+f+g h",
        );
        check(&[("a", "b"), ("b", "a c"), ("c", "d"), ("d", "c")], "c+d a+b");
    }

    #[test]
    fn a_long_chain_does_not_recurse() {
        let names: Vec<String> = (0..100_000).map(|number| format!("v{number:06}")).collect();
        let chain = names.iter().zip(names.iter().skip(1)).map(|(one, next)| (one.as_str(), vec![next.as_str()]));
        assert_eq!(groups(&chain.collect()).len(), names.len() - 1);
    }
}
