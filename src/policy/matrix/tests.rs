use super::*;
use crate::{
    policy::testing::{compile, machine, shipped, user},
    token::testing::NOW,
};

#[test]
fn the_access_matrix_of_the_shipped_policies_is_the_one_that_was_agreed() {
    let (set, _) = compile(&shipped());
    let sample = |name: &str, principal| Sample { name: name.to_owned(), principal };
    let samples = [
        sample("admin", user("u-1", &["admin"])),
        sample("user", user("u-1", &["user"])),
        sample("stranger", user("u-1", &[])),
        sample("machine", machine()),
        sample("anonymous", Principal::Anonymous),
    ];
    let text = render(&set.unwrap(), &samples, NOW);
    expect_test::expect_file!["../../../tests/data/matrix.txt"].assert_eq(&text);
}

#[test]
fn every_policy_file_that_ships_is_in_the_matrix() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).unwrap();
    let names = folder.map(|entry| format!("policies/{}", entry.unwrap().file_name().to_str().unwrap()));
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml") && !name.ends_with("_test.yaml")).collect();
    names.sort();
    assert_eq!(names, shipped().into_iter().map(|file| file.name).collect::<Vec<_>>());
}
