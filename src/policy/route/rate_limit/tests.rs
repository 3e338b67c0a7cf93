//! How `rate_limit` is read: what compiles, and each mistake with its place and the way out.

use crate::policy::testing::{compile, file, policies, report, routes_file};

const ANYONE: &str = "rules: [ { id: x, roles: [anyone] } ]";

fn route(limit: &str) -> String {
    format!("- {{ id: a, path: /a, rate_limit: {limit}, {ANYONE} }}")
}

/// A route with this `rate_limit` is refused with a finding that says this.
#[track_caller]
fn refused(limit: &str, says: &str) {
    let found = report(&route(limit));
    assert!(found.starts_with("error[") && found.contains(says), "{limit}: {found}");
}

/// The limits of a route: identity, seconds, and what `RateLimit-Policy` says.
fn read(limit: &str) -> (Vec<String>, String) {
    let set = policies(&route(limit));
    let limits = &set.routes()[0].rate_limits;
    let shown = limits.limits.iter().map(|limit| limit.identity.to_string()).collect();
    (shown, limits.policy.as_ref().map_or(String::new(), |policy| policy.to_str().unwrap().to_owned()))
}

#[test]
fn a_limit_is_requests_in_a_time_and_a_burst() {
    for (limit, identity) in [
        ("{ requests: 100, per: 1m, burst: 20, key: principal }", "a/principal-1m/100/20"),
        ("{ requests: 5, per: 1s, key: address }", "a/address-1s/5/5"),
        ("{ requests: 1000000, per: 24h, burst: 1, key: route }", "a/route-24h/1000000/1"),
        ("{ requests: 1, per: 90s, key: { claim: 'custom:tenant' } }", "a/custom:tenant-90s/1/1"),
    ] {
        assert_eq!(read(limit).0, [identity]);
    }
    assert_eq!(read("none"), (vec![], String::new()));
}

#[test]
fn several_limits_are_asked_from_the_narrowest_key_to_the_widest() {
    let (limits, policy) = read(
        "[ { requests: 9, per: 1s, key: route }, { requests: 4, per: 1s, key: { claim: t } }, { requests: 3, per: 1h, key: principal }, \
         { requests: 2, per: 1s, key: address }, { requests: 1, per: 1s, key: principal } ]",
    );
    assert_eq!(
        limits,
        ["a/address-1s/2/2", "a/principal-1h/3/3", "a/principal-1s/1/1", "a/t-1s/4/4", "a/route-1s/9/9"]
    );
    assert_eq!(
        policy,
        "\"address-1s\";q=2;w=1, \"principal-1h\";q=3;w=3600, \"principal-1s\";q=1;w=1, \"t-1s\";q=4;w=1, \"route-1s\";q=9;w=1"
    );
}

#[test]
fn a_limit_that_cannot_be_meant_does_not_compile() {
    refused("{ requests: 0, per: 1m, key: address }", "`0` is not between 1 and 1000000");
    refused("{ requests: 1, per: 1m, burst: 0, key: address }", "`0` is not between 1 and 1000000");
    refused("{ requests: 1000001, per: 1m, key: address }", "is not between");
    refused("{ requests: 1, per: 0s, key: address }", "no whole seconds");
    refused("{ requests: 1, per: 1500ms, key: address }", "no whole seconds");
    refused("{ requests: 1, per: 25h, key: address }", "longer than a day");
    refused("{ requests: 1, per: 60, key: address }", "expected a string");
    refused("{ requests: 1, per: 1m }", "`key` is missing");
    refused("{ requests: 1, key: address }", "`per` is missing");
    refused("{ per: 1m, key: address }", "`requests` is missing");
    refused("{ requests: 1, per: 1m, key: user }", "write `principal` or `address` or `route`");
    refused("{ requests: 1, per: 1m, key: { claims: sub } }", "did you mean `claim`?");
    refused("{ requests: 1, per: 1m, key: { claim: 'a\"b' } }", "cannot be counted by the claim");
    refused("{ requests: 1, per: 1m, key: { claim: 'a b' } }", "cannot be counted by the claim");
    refused("[]", "the list is empty");
    refused("off", "write `none`");
    for twice in ["key: address", "key: { claim: address }"] {
        refused(
            &format!("[ {{ requests: 1, per: 60s, key: address }}, {{ requests: 2, per: 1m, {twice} }} ]"),
            "there are two limits `address-1m`",
        );
    }
}

#[test]
fn a_file_says_it_for_its_routes_each_of_which_counts_for_itself() {
    let text = routes_file(&format!(
        "- {{ id: plain, path: /plain, {ANYONE} }}\n\
         - {{ id: other, path: /other, rate_limit: {{ requests: 1, per: 1s, key: route }}, {ANYONE} }}\n\
         - {{ id: without, path: /without, rate_limit: none, {ANYONE} }}"
    ));
    let defaults = "defaults: { rate_limit: { requests: 2, per: 1s, key: address } }\nroutes:";
    let (set, report) = compile(&[file("routes.yaml", &text.replace("routes:", defaults))]);
    assert!(report.is_empty(), "{report}");
    let identities = |place: usize| -> Vec<String> {
        set.as_ref().unwrap().routes()[place]
            .rate_limits
            .limits
            .iter()
            .map(|limit| limit.identity.to_string())
            .collect()
    };
    assert_eq!(identities(0), ["plain/address-1s/2/2"]);
    assert_eq!(identities(1), ["other/route-1s/1/1"]);
    assert_eq!(identities(2), [""; 0]);
}
