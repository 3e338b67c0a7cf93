//! "Did you mean": the known name nearest to one that is not known.

/// The known name that is at most a third of the letters away, the nearest first.
pub(super) fn closest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let far = name.chars().count().div_ceil(3);
    let near = known.map(|known| (distance(name, known), known)).filter(|(distance, _)| *distance <= far);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// How many letters must be added, dropped or changed (Levenshtein), capital letters counting as small ones.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, left) in a.chars().take(64).enumerate() {
        let mut here = vec![row + 1];
        for (right, costs) in b.iter().zip(above.windows(2)) {
            let (Some(&diagonal), Some(&up), Some(&before)) = (costs.first(), costs.last(), here.last()) else {
                continue;
            };
            let change = usize::from(!left.eq_ignore_ascii_case(right));
            here.push((diagonal + change).min(up + 1).min(before + 1));
        }
        above = here;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["claims", "client_id", "roles"];
        assert_eq!(closest("role", known.into_iter()), Some("roles"));
        assert_eq!(closest("clientId", known.into_iter()), Some("client_id"));
        assert_eq!(closest("scopes", known.into_iter()), None);
        assert_eq!(closest("", known.into_iter()), None);
    }
}
