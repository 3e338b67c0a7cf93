//! Every problem of every file, told with its place and the way out: one golden for each code.

use expect_test::{Expect, expect};

use super::*;
use crate::policy::testing::{cerbos_file, compile, compile_for, file, policies, report, routes_file, shipped};

const ANYONE: &str = "rules: [ { id: x, roles: [anyone] } ]";

fn check(routes: &str, expected: &Expect) {
    let found = report(routes);
    expected.assert_eq(&found);
}

/// Checks whole files.
fn check_files(files: &[(&str, &str)], expected: &Expect) {
    let files: Vec<_> = files.iter().map(|(name, text)| file(name, text)).collect();
    let (set, report) = compile(&files);
    assert_eq!(set.is_none(), report.has_errors());
    expected.assert_eq(&report.to_string());
}

#[test]
fn p001_a_file_without_a_known_api_version_is_an_error_and_an_empty_one_too() {
    let good = routes_file(&format!("- {{ id: a, path: /a, {ANYONE} }}"));
    check_files(
        &[
            ("empty.yaml", ""),
            ("comment.yaml", "# nothing\n"),
            ("other.yaml", "apiVersion: cogward/v2\nroutes: []\n"),
            ("none.json", r#"{"routes": []}"#),
            ("list.yaml", "- a\n"),
            ("good.yaml", &good),
        ],
        &expect![[r#"
            error[Y002]: the file is empty
              --> empty.yaml:1:1
              help: a file is one YAML document: keys that are strings and differ, and plain values

            error[Y002]: the file is empty
              --> comment.yaml:2:1
              help: a file is one YAML document: keys that are strings and differ, and plain values

            error[P001]: the file has no `apiVersion` that is known here
              --> other.yaml:1:13  (apiVersion)
              help: write `apiVersion: cogward/v1` for routes, `apiVersion: api.cerbos.dev/v1` for Cerbos policies

            error[P001]: the file has no `apiVersion` that is known here
              --> none.json:1:1
              help: write `apiVersion: cogward/v1` for routes, `apiVersion: api.cerbos.dev/v1` for Cerbos policies

            error[Y003]: expected a map, found a list
              --> list.yaml:1:1
              help: write a map here, or leave the key out where it has a default"#]],
    );
}

#[test]
fn p002_no_route_at_all_is_an_error_unless_allowed() {
    check_files(
        &[],
        &expect![[r#"
        error[P002]: no file defines a route
          --> policies
          help: `policies.allow_empty: true` accepts that, and every request is then 404"#]],
    );
    let world = World {
        providers: &[],
        upstreams: &[],
        identity_headers: &[],
        credential_headers: &[],
        cerbos: &crate::policy::cerbos::Options::default(),
        schemas: &[],
        allow_empty: true,
    };
    let (set, report) = super::compile(&[], &world);
    assert!(set.is_some() && report.is_empty());
}

#[test]
fn p003_route_ids_are_unique_over_all_files_and_rule_ids_in_their_route() {
    let routes = |path: &str| {
        routes_file(&format!("- id: a\n  path: {path}\n  rules: [ {{ id: x, roles: [a] }}, {{ id: x, roles: [b] }} ]"))
    };
    let policy = |kind: &str| {
        format!(
            "apiVersion: api.cerbos.dev/v1\nresourcePolicy: {{ version: default, resource: '{kind}', rules: [] }}\n"
        )
    };
    check_files(
        &[
            ("one.yaml", &routes("/a")),
            ("two.yaml", &routes("/b")),
            ("album.yaml", &policy("album:object")),
            ("album2.yaml", &policy("album-object")),
        ],
        &expect![[r#"
            error[P003]: the route `a` has two rules `x`
              --> one.yaml:5:41  (routes[0].rules[1].id)
              help: give each rule of a route an id of its own

            error[P003]: the route `a` has two rules `x`
              --> two.yaml:5:41  (routes[0].rules[1].id)
              help: give each rule of a route an id of its own

            error[P003]: there is a route `a` already
              --> two.yaml:3:7  (routes[0].id)
              help: the other one is in one.yaml

            error[P003]: there is a policy `resource.album_object.vdefault` already
              --> album2.yaml:2:47  (resourcePolicy.resource)
              help: the other one is in album.yaml; names that differ only in `-`, `:`, `@` and `/` are one name"#]],
    );
}

#[test]
fn a_route_with_a_bad_host_is_not_taken_for_one_of_every_host() {
    let found = report(&format!("- {{ id: a, path: /a, hosts: ['*'], {ANYONE} }}\n- {{ id: b, path: /a, {ANYONE} }}"));
    assert!(found.contains("P006") && !found.contains("P008"), "{found}");
}

#[test]
fn p004_p005_p006_ids_paths_and_hosts_have_a_shape() {
    check(
        &format!(
            "- {{ id: none, path: /none, {ANYONE} }}\n- {{ id: a/b, path: users, {ANYONE} }}\n- {{ id: b, path: '/a{{b}}', {ANYONE} }}\n- {{ id: c, path: /caf%c3%a9, {ANYONE} }}\n- {{ id: d, path: '/{{a..}}/b', {ANYONE} }}\n- {{ id: e, path: '/{{a}}/{{a}}', {ANYONE} }}\n- {{ id: f, path: /a/../b, {ANYONE} }}\n- {{ id: g, path: /g, hosts: ['a:80', '*', b.example, B.example], {ANYONE} }}"
        ),
        &expect![[r#"
            error[P004]: `none` is what metrics call a request without a route
              --> routes.yaml:3:9  (routes[0].id)
              help: choose another id

            error[P004]: `a/b` is not an id
              --> routes.yaml:4:9  (routes[1].id)
              help: ids have at most 128 letters, digits, `-`, `_` and `.`

            error[P005]: the path `users` does not start with `/`
              --> routes.yaml:4:20  (routes[1].path)
              help: write `/users`

            error[P005]: `a{b}` is not a capture
              --> routes.yaml:5:18  (routes[2].path)
              help: a capture is a whole segment: `{name}`, or `{name..}` for the rest; names are letters, digits and `_`

            error[P005]: no request path can hold the segment `caf%c3%a9`
              --> routes.yaml:6:18  (routes[3].path)
              help: write `caf%C3%A9`

            error[P005]: `{a..}` takes the rest of the path and is not last
              --> routes.yaml:7:18  (routes[4].path)
              help: end the path there, or write `{a}` for one segment

            error[P005]: the path captures `a` twice
              --> routes.yaml:8:18  (routes[5].path)
              help: give each capture its own name

            error[P005]: no request path can hold the segment `..`
              --> routes.yaml:9:18  (routes[6].path)
              help: empty and dot segments, and characters that must be escaped, are refused in requests

            error[P006]: `a:80` is not a host such as `api.example.com` or `*.example.com`
              --> routes.yaml:10:30  (routes[7].hosts[0])
              help: write a host name without a scheme or a port, or `*.` and a suffix

            error[P006]: `*` is not a host such as `api.example.com` or `*.example.com`
              --> routes.yaml:10:38  (routes[7].hosts[1])
              help: write a host name without a scheme or a port, or `*.` and a suffix

            error[P006]: the host is named twice
              --> routes.yaml:10:54  (routes[7].hosts[3])
              help: keep one of them"#]],
    );
}

#[test]
fn p007_methods_are_upper_case_and_taken_by_the_route() {
    check(
        &format!(
            "- {{ id: a, path: /a, methods: [get, TRACE, CONNECT], {ANYONE} }}\n- {{ id: b, path: /b, methods: [GET], rules: [ {{ id: x, methods: [PUT], roles: [a] }} ] }}"
        ),
        &expect![[r#"
            error[P007]: `get` is not in upper case, and methods are case-sensitive
              --> routes.yaml:3:32  (routes[0].methods[0])
              help: write `GET`

            error[P007]: `TRACE` never passes the gateway
              --> routes.yaml:3:37  (routes[0].methods[1])
              help: leave it out: such requests are refused on every route

            error[P007]: `CONNECT` never passes the gateway
              --> routes.yaml:3:44  (routes[0].methods[2])
              help: leave it out: such requests are refused on every route

            error[P007]: rule `x` names PUT, which the route does not take
              --> routes.yaml:4:65  (routes[1].rules[0].methods)
              help: the route takes GET, HEAD"#]],
    );
    let routes =
        "- { id: a, path: /a, methods: [GET], resource: { kind: contact }, actions: { GET: read, put: update } }";
    check_files(
        &[
            ("r.yaml", &routes_file(routes)),
            ("c.yaml", &cerbos_file("- { actions: [read], effect: EFFECT_ALLOW, roles: [a] }").text),
        ],
        &expect![[r#"
            error[P007]: the keys of `actions` are the route's methods
              --> r.yaml:3:31  (routes[0].methods)
              help: leave `methods` out, or give each method an action

            error[P007]: `put` is not in upper case, and methods are case-sensitive
              --> r.yaml:3:94  (routes[0].actions.put)
              help: write `PUT`"#]],
    );
}

#[test]
fn p008_overlapping_routes_are_an_error() {
    check(
        &format!(
            "- {{ id: a, path: '/a/{{x}}', methods: [GET], {ANYONE} }}\n- {{ id: b, path: '/a/{{y}}', methods: [HEAD], {ANYONE} }}\n- {{ id: c, path: '/a/{{y}}', hosts: [c.example], {ANYONE} }}"
        ),
        &expect![[r#"
            error[P008]: the routes `b` and `a` both take HEAD `/a/{y}`
              --> routes.yaml:4:3  (routes[1])
              help: give them different methods, hosts or paths, or make them one route"#]],
    );
}

#[test]
fn p009_p010_p011_with_several_upstreams_and_providers_a_route_says_which() {
    let routes = format!(
        "apiVersion: cogward/v1\nroutes:\n- {{ id: a, path: /a, {ANYONE} }}\n- {{ id: b, path: /b, upstream: nope, {ANYONE} }}\n- {{ id: c, path: /c, upstream: two, providers: [nope, main, main], {ANYONE} }}\n- {{ id: d, path: '/d/{{o}}', upstream: two, rules: [ {{ id: x, owner: {{ path: o }} }} ] }}\n- {{ id: e, path: '/e/{{o}}', upstream: two, providers: [main, partner], rules: [ {{ id: x, effect: deny, owner: {{ path: o, equals: t }} }} ] }}\n- {{ id: f, path: '/f/{{o}}', upstream: two, providers: [main], rules: [ {{ id: x, owner: {{ path: o }} }} ] }}\n"
    );
    let (_, found) = compile_for(&[file("routes.yaml", &routes)], &["main", "partner"], &["one", "two"]);
    let expected = expect![[r#"
        error[P009]: the route names no upstream, and there are several
          --> routes.yaml:3:3  (routes[0])
          help: write `upstream`, or `defaults.upstream` for the file: one, two

        error[P009]: there is no upstream `nope`
          --> routes.yaml:4:32  (routes[1].upstream)
          help: upstreams of the settings are: one, two

        error[P010]: there is no provider `nope`
          --> routes.yaml:5:49  (routes[2].providers[0])
          help: providers of the settings are: main, partner

        error[P010]: `main` is named twice
          --> routes.yaml:5:61  (routes[2].providers[2])
          help: keep one of them

        error[P011]: rule `x` compares an owner, and the route accepts tokens of several providers
          --> routes.yaml:6:68  (routes[3].rules[0].owner)
          help: equal ids of two providers are two principals: name one in the route's `providers`

        error[P011]: rule `x` compares an owner, and the route accepts tokens of several providers
          --> routes.yaml:7:110  (routes[4].rules[0].owner)
          help: equal ids of two providers are two principals: name one in the route's `providers`"#]];
    expected.assert_eq(&found.to_string());
}

#[test]
fn an_owner_rule_needs_one_provider() {
    let of = |providers: &str, known: &[&str]| {
        let route = format!("- {{ id: a, path: '/{{o}}', {providers} rules: [ {{ id: x, owner: {{ path: o }} }} ] }}");
        compile_for(&[file("r.yaml", &routes_file(&route))], known, &["app"]).0.is_some()
    };
    assert!(of("", &["main"]));
    assert!(!of("", &["main", "partner"]));
    assert!(!of("providers: [main, partner],", &["main", "partner"]));
    assert!(of("providers: [main],", &["main", "partner"]));
}

#[test]
fn defaults_name_the_upstream_of_their_own_file_only() {
    let with = |id: &str, defaults: &str| {
        file(
            "f.yaml",
            &format!("apiVersion: cogward/v1\n{defaults}routes: [ {{ id: {id}, path: /{id}, {ANYONE} }} ]\n"),
        )
    };
    let files = [with("a", "defaults: { upstream: two }\n"), with("b", "defaults: { upstream: one }\n")];
    let (set, report) = compile_for(&files, &["main"], &["one", "two"]);
    assert!(report.is_empty(), "{report}");
    assert_eq!(set.unwrap().routes().iter().map(|route| route.upstream).collect::<Vec<_>>(), [1, 0]);
    let (_, report) =
        compile_for(&[with("a", "defaults: { upstream: two }\n"), with("b", "")], &["main"], &["one", "two"]);
    assert!(report.to_string().contains("names no upstream"), "{report}");
}

#[test]
fn p012_a_route_has_rules_or_a_resource_and_actions() {
    check(
        "- { id: a, path: /a }\n- { id: b, path: /b, resource: { kind: contact } }\n- { id: c, path: /c, actions: { GET: read } }\n- { id: d, path: /d, resource: { kind: contact }, rules: [ { id: x, effect: deny } ] }",
        &expect![[r#"
            error[P012]: the route does not say who may use it
              --> routes.yaml:3:3  (routes[0])
              help: a route has `rules`, or `resource` and `actions`

            error[P012]: the route names a resource and no actions
              --> routes.yaml:4:3  (routes[1])
              help: a route has `rules`, or `resource` and `actions`

            error[P012]: the route names actions and no resource
              --> routes.yaml:5:3  (routes[2])
              help: a route has `rules`, or `resource` and `actions`

            error[P012]: the route names a resource and no actions
              --> routes.yaml:6:3  (routes[3])
              help: a route has `rules`, or `resource` and `actions`

            error[P021]: no policy is about the resource `contact`, so every request would be denied
              --> routes.yaml:4:40  (routes[1].resource.kind)
              help: add a file with `resourcePolicy`, or correct the name

            error[P021]: no policy is about the resource `contact`, so every request would be denied
              --> routes.yaml:6:40  (routes[3].resource.kind)
              help: add a file with `resourcePolicy`, or correct the name"#]],
    );
}

#[test]
fn p013_an_allow_rule_says_whom_it_allows_and_none_stands_beside_a_resource() {
    check(
        "- { id: a, path: /a, rules: [ { id: x, methods: [GET], principals: [user] } ] }\n- { id: b, path: /b, resource: { kind: contact }, actions: { GET: read }, rules: [ { id: x, roles: [a] } ] }",
        &expect![[r#"
            error[P013]: rule `x` does not say whom it allows
              --> routes.yaml:3:31  (routes[0].rules[0])
              help: state `roles`, `scopes`, `owner` or `when`; `roles: [anyone]` opens the route to everybody

            error[P013]: rule `x` allows, beside a resource whose policies allow
              --> routes.yaml:4:84  (routes[1].rules[0])
              help: rules beside `resource` may only deny: write `effect: deny`, or move the rule into the resource's policy

            error[P021]: no policy is about the resource `contact`, so every request would be denied
              --> routes.yaml:4:40  (routes[1].resource.kind)
              help: add a file with `resourcePolicy`, or correct the name"#]],
    );
}

#[test]
fn p014_p015_owners_and_attributes_name_one_source_that_is_there() {
    check(
        "- { id: a, path: '/a/{user_id}', rules: [ { id: x, owner: { path: user } }, { id: y, owner: { path: user_id, query: q } }, { id: z, owner: { equals: sub } }, { id: v, owner: { body: owner } }, { id: w, owner: { claim: sub } }, { id: u, owner: { host: -1 } } ] }\n- { id: b, path: /b, rules: [ { id: x, owner: { path: user } } ] }",
        &expect![[r#"
            error[P014]: rule `x` compares `path.user`, but the route has no capture `user`
              --> routes.yaml:3:67  (routes[0].rules[0].owner.path)
              help: captures of `/a/{user_id}` are: user_id

            error[P015]: one source is needed, and this names `path` and `query`
              --> routes.yaml:3:93  (routes[0].rules[1].owner)
              help: write one of `path`, `query`, `header`, `host` or `body`

            error[P015]: one source is needed, and this names none
              --> routes.yaml:3:140  (routes[0].rules[2].owner)
              help: write one of `path`, `query`, `header`, `host` or `body`

            error[P015]: `owner` is not a JSON pointer such as `/owner` or `/items/0/id`
              --> routes.yaml:3:183  (routes[0].rules[3].owner.body)
              help: write a pointer such as `/owner` (RFC 6901)

            error[P015]: one source is needed, and this names none
              --> routes.yaml:3:210  (routes[0].rules[4].owner)
              help: write one of `path`, `query`, `header`, `host` or `body`

            error[Y007]: unknown key `claim`
              --> routes.yaml:3:219  (routes[0].rules[4].owner.claim)
              help: known keys are: path, query, header, host, body, equals

            error[Y006]: `-1` is not between 0 and 126
              --> routes.yaml:3:252  (routes[0].rules[5].owner.host)
              help: write a number from 0 to 126

            error[P014]: rule `x` compares `path.user`, but the route has no capture `user`
              --> routes.yaml:4:55  (routes[1].rules[0].owner.path)
              help: `/b` has no captures"#]],
    );
}

#[test]
fn an_owner_from_an_identity_or_credential_header_does_not_compile() {
    let rule = |name: &str| {
        format!("{{ id: {}, methods: [GET], owner: {{ header: '{name}' }} }}", name.replace([' ', '@'], "-"))
    };
    let names = [
        "X-User",
        "X_User",
        "X-Auth-Request-Email",
        "Authorization",
        "Cookie",
        "X-Token",
        "Transfer-Encoding",
        "X-Original-URL",
        "not a name",
    ];
    let rules: Vec<_> = names.iter().map(|name| rule(name)).collect();
    check(
        &format!("- {{ id: a, path: /a, rules: [ {} ] }}", rules.join(", ")),
        &expect![[r#"
            error[P016]: no attribute comes from `x-user`: it is an identity header, which is removed from every request
              --> routes.yaml:3:78  (routes[0].rules[0].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `x_user`: it is an identity header, which is removed from every request
              --> routes.yaml:3:139  (routes[0].rules[1].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `x-auth-request-email`: it is an identity header, which is removed from every request
              --> routes.yaml:3:214  (routes[0].rules[2].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `authorization`: it carries a credential
              --> routes.yaml:3:296  (routes[0].rules[3].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `cookie`: it carries a credential
              --> routes.yaml:3:364  (routes[0].rules[4].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `x-token`: it carries a credential
              --> routes.yaml:3:426  (routes[0].rules[5].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `transfer-encoding`: it concerns one connection only
              --> routes.yaml:3:499  (routes[0].rules[6].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: no attribute comes from `x-original-url`: it is removed from every request
              --> routes.yaml:3:579  (routes[0].rules[7].owner.header)
              help: who asks is told by `principal`; take the attribute from elsewhere

            error[P016]: `not a name` is not a header name
              --> routes.yaml:3:652  (routes[0].rules[8].owner.header)
              help: a header name is letters, digits and `-`, such as `X-Tenant`"#]],
    );
}

#[test]
fn p016_a_route_changes_no_identity_framing_or_forwarding_header() {
    check(
        &format!(
            "- id: a\n  path: /a\n  request_headers:\n    set: {{ X-User: me, X.User: me, X-Auth-Request-Groups: admin, Content-Length: '0', content_length: '0', Connection: close, Host: b, X-Forwarded-For: a, X-HTTP-Method-Override: PUT, X-Good: \"a\\nb\", X-Fine: ok }}\n    remove: [X-Request-Id, 'bad name']\n  response_headers: {{ set: {{ Transfer-Encoding: chunked }}, strip: [a] }}\n  {ANYONE}"
        ),
        &expect![[r#"
            error[P016]: a route cannot change `x-user`: it is an identity header
              --> routes.yaml:6:20  (routes[0].request_headers.set.X-User)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `x.user`: it is an identity header
              --> routes.yaml:6:32  (routes[0].request_headers.set.X.User)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `x-auth-request-groups`: it is an identity header
              --> routes.yaml:6:59  (routes[0].request_headers.set.X-Auth-Request-Groups)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `content-length`: it frames the message
              --> routes.yaml:6:82  (routes[0].request_headers.set.Content-Length)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `content_length`: it frames the message
              --> routes.yaml:6:103  (routes[0].request_headers.set.content_length)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `connection`: it frames the message
              --> routes.yaml:6:120  (routes[0].request_headers.set.Connection)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `host`: it frames the message
              --> routes.yaml:6:133  (routes[0].request_headers.set.Host)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `x-forwarded-for`: it is set by the gateway
              --> routes.yaml:6:153  (routes[0].request_headers.set.X-Forwarded-For)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: a route cannot change `x-http-method-override`: it could name another request than the one that was decided on
              --> routes.yaml:6:180  (routes[0].request_headers.set.X-HTTP-Method-Override)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: the value cannot stand in a header
              --> routes.yaml:6:193  (routes[0].request_headers.set.X-Good)
              help: a value is one line without control characters

            error[P016]: a route cannot change `x-request-id`: it is set by the gateway
              --> routes.yaml:7:14  (routes[0].request_headers.remove[0])
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[P016]: `bad name` is not a header name
              --> routes.yaml:7:28  (routes[0].request_headers.remove[1])
              help: a header name is letters, digits and `-`, such as `X-Tenant`

            error[P016]: a route cannot change `transfer-encoding`: it frames the message
              --> routes.yaml:8:49  (routes[0].response_headers.set.Transfer-Encoding)
              help: identity headers are configured under `identity_headers`; framing and forwarding are the gateway's own

            error[Y007]: unknown key `strip`
              --> routes.yaml:8:67  (routes[0].response_headers.strip)
              help: known keys are: set, remove"#]],
    );
}

#[test]
fn p017_p018_p020_words_prefixes_and_units_are_checked() {
    check(
        &format!(
            "- {{ id: a, path: '/api/v1/{{x}}', authentication: maybe, on_deny: teapot, token_use: [refresh], strip_prefix: /ap, timeouts: {{ read: 5, write: 0s, reed: 1s }}, body_bytes: 1MB, {ANYONE} }}\n- {{ id: b, path: /b/c, strip_prefix: /b/, rules: [ {{ id: x, effect: maybe, roles: [a] }}, {{ id: y, principals: [robot], roles: ['*'] }} ] }}\n- {{ id: c, path: '/{{x}}/c', strip_prefix: '/{{x}}', {ANYONE} }}"
        ),
        &expect![[r#"
            error[P017]: `maybe` is not known here
              --> routes.yaml:3:49  (routes[0].authentication)
              help: write `required` or `optional` or `none`

            error[P017]: `refresh` is not known here
              --> routes.yaml:3:85  (routes[0].token_use[0])
              help: write `access` or `id`

            error[P017]: `teapot` is not known here
              --> routes.yaml:3:65  (routes[0].on_deny)
              help: write `not_found`

            error[P018]: `/ap` is not a prefix of `/api/v1/{x}`
              --> routes.yaml:3:109  (routes[0].strip_prefix)
              help: a prefix is whole segments without captures, such as `/api`

            error[Y003]: expected a string, found a number
              --> routes.yaml:3:132  (routes[0].timeouts.read)
              help: write a string here, or leave the key out where it has a default

            error[P020]: a time of zero never ends well
              --> routes.yaml:3:142  (routes[0].timeouts.write)
              help: leave the key out to keep the time of the upstream

            error[Y007]: unknown key `reed`
              --> routes.yaml:3:152  (routes[0].timeouts.reed)
              help: did you mean `read`?

            error[P020]: `1MB` is not a size such as `512B`, `64KiB`, `10MiB` or `1GiB`
              --> routes.yaml:3:170  (routes[0].body_bytes)
              help: leave the key out to keep the limit of the settings

            error[P018]: `/b/` is not a prefix of `/b/c`
              --> routes.yaml:4:38  (routes[1].strip_prefix)
              help: a prefix is whole segments without captures, such as `/api`

            error[P017]: `maybe` is not known here
              --> routes.yaml:4:69  (routes[1].rules[0].effect)
              help: write `allow` or `deny`

            error[P017]: `*` is the name of no role
              --> routes.yaml:4:128  (routes[1].rules[1].roles[0])
              help: write `anyone` for everybody, `authenticated` for everybody with a token

            error[P017]: `robot` is not known here
              --> routes.yaml:4:112  (routes[1].rules[1].principals[0])
              help: write `user` or `machine`

            error[P018]: `/{x}` is not a prefix of `/{x}/c`
              --> routes.yaml:5:42  (routes[2].strip_prefix)
              help: a prefix is whole segments without captures, such as `/api`"#]],
    );
}

#[test]
fn p019_unknown_names_in_conditions_are_compile_errors() {
    check(
        "- { id: a, path: '/a/{user_id}', rules: [ { id: x, when: path.user == principal.id }, { id: y, when: principal.idd == 'a' }, { id: z, when: 'resource.kind == \"a\"' }, { id: w, when: '1 +' }, { id: v, when: 'request.headers[\"x-token\"] == \"a\"' } ] }",
        &expect![[r#"
            error[P019]: the route has no capture `user`, at column 6 of the condition
              --> routes.yaml:3:58  (routes[0].rules[0].when)
              help: captures of its pattern are: user_id

            error[P019]: `principal` has no field `idd`, at column 11 of the condition
              --> routes.yaml:3:102  (routes[0].rules[1].when)
              help: did you mean `principal.id`?

            error[P019]: the route names no resource, at column 1 of the condition
              --> routes.yaml:3:141  (routes[0].rules[2].when)
              help: give the route a `resource`

            error[P019]: the condition is not an expression: unexpected end, at column 4 of the condition
              --> routes.yaml:3:182  (routes[0].rules[3].when)
              help: a condition is CEL, as in `principal.id == path.user`

            error[P019]: the header field `x-token` carries a credential, at column 17 of the condition
              --> routes.yaml:3:206  (routes[0].rules[4].when)
              help: conditions see the verified claims: `principal.claims`"#]],
    );
}

#[test]
fn p021_a_resource_that_no_policy_is_about_is_an_error() {
    check(
        "- { id: a, path: /a, resource: { kind: contct }, actions: { GET: read } }",
        &expect![[r#"
        error[P021]: no policy is about the resource `contct`, so every request would be denied
          --> routes.yaml:3:40  (routes[0].resource.kind)
          help: add a file with `resourcePolicy`, or correct the name"#]],
    );
}

#[test]
fn unknown_keys_and_empty_or_null_entries_are_refused() {
    check(
        "- { id: a, path: /a, rule: [], hosts: [], methods: null, rules: [ { id: x, roles: [], scope: [a] }, { id: y, roles: [''] } ] }\n- { id: b, path: /b, rules: [] }",
        &expect![[r#"
            error[Y004]: the list is empty
              --> routes.yaml:3:39  (routes[0].hosts)
              help: fill it or leave the key out

            error[Y004]: `methods` is empty
              --> routes.yaml:3:52  (routes[0].methods)
              help: fill it or leave the key out

            error[Y007]: unknown key `rule`
              --> routes.yaml:3:28  (routes[0].rule)
              help: did you mean `rules`?

            error[Y004]: the list is empty
              --> routes.yaml:3:83  (routes[0].rules[0].roles)
              help: fill it or leave the key out

            error[Y007]: unknown key `scope`
              --> routes.yaml:3:94  (routes[0].rules[0].scope)
              help: did you mean `scopes`?

            error[Y004]: the string is empty
              --> routes.yaml:3:118  (routes[0].rules[1].roles[0])
              help: fill it or leave the key out

            error[Y004]: the list is empty
              --> routes.yaml:4:29  (routes[1].rules)
              help: fill it or leave the key out"#]],
    );
}

#[test]
fn p024_origins_that_no_browser_sends_and_everybody_with_credentials() {
    check(
        "- id: a\n  path: /a\n  methods: [GET]\n  cors: { origins: [https://app.example/, 'null', 'https://*.example'], methods: [PUT], credentials: true }\n  rules: [ { id: x, roles: [anyone] } ]\n- id: b\n  path: /b\n  cors: { origins: ['*'], methods: [PROPFIND], headers: ['*'], credentials: true }\n  response_headers: { remove: [Access-Control-Max-Age] }\n  rules: [ { id: x, roles: [anyone] } ]\n- { id: c, path: /c, methods: [GET], cors: { origins: ['*'], methods: [PUT] }, response_headers: { remove: [Access-Control-Max-Age] }, rules: [ { id: x, roles: [anyone] } ] }",
        &expect![[r#"
            error[P024]: `https://app.example/` is not an origin
              --> routes.yaml:6:21  (routes[0].cors.origins[0])
              help: write scheme, host and port as browsers do: `https://app.example`, `http://localhost:8080`

            error[P024]: `null` is the origin of everybody's sandboxed pages and local files
              --> routes.yaml:6:43  (routes[0].cors.origins[1])
              help: write scheme, host and port as browsers do: `https://app.example`, `http://localhost:8080`

            error[P024]: `https://*.example` has a wildcard
              --> routes.yaml:6:51  (routes[0].cors.origins[2])
              help: list each origin, or write `*` alone for any

            error[P024]: `*` is no header name
              --> routes.yaml:10:58  (routes[1].cors.headers[0])
              help: list the names: beside credentials browsers take `*` for a name, and never for `Authorization`

            error[P024]: any origin would read what the cookie of a user opens
              --> routes.yaml:10:77  (routes[1].cors.credentials)
              help: list the origins, or leave `credentials` out

            error[P024]: `cors` names PUT, which the route does not take
              --> routes.yaml:13:44  (routes[2].cors)
              help: leave `cors.methods` out for all methods of the route: GET, HEAD

            error[P024]: `access-control-max-age` is changed beside `cors`, which alone writes such fields
              --> routes.yaml:13:98  (routes[2].response_headers)
              help: leave one of them out; `cors: none` takes the route out of the file's defaults"#]],
    );
}

#[test]
fn p025_two_limits_of_one_name_and_a_claim_that_cannot_be_counted_by() {
    check(
        "- id: a\n  path: /a\n  rate_limit:\n    - { requests: 1, per: 1m, key: address }\n    - { requests: 2, per: 60s, key: address }\n  rules: [ { id: x, roles: [anyone] } ]\n- { id: b, path: /b, rate_limit: { requests: 1, per: 1m, key: { claim: 'a b' } }, rules: [ { id: x, roles: [anyone] } ] }",
        &expect![[r#"
            error[P025]: there are two limits `address-1m`
              --> routes.yaml:6:5  (routes[0].rate_limit)
              help: keep the stricter one, or give them different times

            error[P025]: requests cannot be counted by the claim `a b`
              --> routes.yaml:9:72  (routes[1].rate_limit.key.claim)
              help: name a claim of at most 128 visible ASCII characters without quotes"#]],
    );
}

#[test]
fn p101_an_owner_that_the_client_merely_claims_on_a_writing_method_is_a_warning() {
    let routes = "- id: a\n  path: /a\n  rules:\n  - { id: reads, methods: [GET, OPTIONS], owner: { query: o } }\n  - { id: writes, methods: [PUT], owner: { query: o } }\n  - { id: all, owner: { header: X-Owner } }\n  - { id: denies, effect: deny, owner: { body: /owner } }\n  - { id: host, owner: { host: 0 } }\n- id: b\n  path: /b\n  resource: { kind: contact, attributes: { owner: { body: /owner }, note: { body: /note } } }\n  actions: { PUT: update }\n- id: c\n  path: /c\n  resource: { kind: contact, attributes: { owner: { query: owner } } }\n  actions: { GET: update, POST: read }\n";
    let policy = cerbos_file(
        "- { actions: [update], effect: EFFECT_ALLOW, roles: ['*'], condition: { match: { expr: R.attr.owner == P.id } } }\n- { actions: [read], effect: EFFECT_ALLOW, roles: ['*'] }",
    );
    check_files(
        &[("r.yaml", &routes_file(routes)), ("c.yaml", &policy.text)],
        &expect![[r#"
        warning[P101]: the owner comes from the query, which the client merely claims, on a method that writes
          --> r.yaml:7:42  (routes[0].rules[1].owner)
          help: take the owner from the path or the host, which also choose what is written to

        warning[P101]: the owner comes from the header, which the client merely claims, on a method that writes
          --> r.yaml:8:23  (routes[0].rules[2].owner)
          help: take the owner from the path or the host, which also choose what is written to

        warning[P101]: the owner comes from the body, which the client merely claims, on a method that writes
          --> r.yaml:13:51  (routes[1].resource.attributes.owner)
          help: take the owner from the path or the host, which also choose what is written to"#]],
    );
}

#[test]
fn every_code_has_a_golden_and_is_listed_once() {
    let goldens = concat!(
        include_str!("tests.rs"),
        include_str!("../cerbos/tests.rs"),
        include_str!("../cerbos/link/tests/texts.rs")
    );
    let mut listed: Vec<_> = codes::CODES.iter().map(|(code, _)| *code).collect();
    for code in &listed {
        assert!(goldens.contains(&format!("[{code}]: ")), "{code} has no golden");
    }
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), codes::CODES.len());
}

#[test]
fn warnings_do_not_stop_the_files_from_being_used() {
    let (set, found) =
        compile(&[file("r.yaml", &routes_file("- { id: a, path: /a, rules: [ { id: x, owner: { query: o } } ] }"))]);
    assert!(set.is_some() && !found.is_empty() && !found.has_errors());
}

#[test]
fn a_flood_of_warnings_hides_no_error() {
    let warned = "    - { id: ID, owner: { query: o } }\n";
    let rules: String = (0..250).map(|number| warned.replace("ID", &format!("r{number}"))).collect();
    let broken = "    - { id: no, effect: deny, roles: [] }\n";
    let (set, found) =
        compile(&[file("r.yaml", &routes_file(&format!("- id: a\n  path: /a\n  rules:\n{rules}{broken}")))]);
    assert!(set.is_none() && found.has_errors(), "the deny rule would be missing");
}

#[test]
fn one_bad_file_stops_all_of_them() {
    let mut files = shipped();
    files.push(file("bad.yaml", "apiVersion: cogward/v1\nroutes: [\n"));
    let (set, found) = compile(&files);
    assert!(set.is_none());
    assert_eq!(found.findings().len(), 1, "{found}");
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let bad = routes_file("- { id: a, path: a, rules: [ { id: x } ] }\n- { id: b, path: b, rules: [ { id: x } ] }");
    let (_, found) = compile(&[file("one.yaml", &bad), file("two.yaml", &bad)]);
    let files: Vec<_> = found.findings().iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(files, ["one.yaml"; 4].into_iter().chain(["two.yaml"; 4]).collect::<Vec<_>>(), "{found}");
}

#[test]
fn json_files_are_read_as_yaml_ones() {
    let json = r#"{"apiVersion": "cogward/v1", "routes": [{"id": "a", "path": "/a", "rules": [{"id": "x", "roles": ["a"]}]}]}"#;
    let (set, report) = compile(&[file("a.json", json)]);
    assert!(report.is_empty() && set.is_some());
}

#[test]
fn a_key_of_a_route_may_be_left_out() {
    let set = policies(&format!("- {{ id: a, path: /a, {ANYONE} }}"));
    let route = &set.routes()[0];
    assert!(route.hosts.is_empty() && route.request_headers.is_empty() && route.response_headers.is_empty());
    assert!(route.strip_prefix.is_none() && route.providers.is_none() && route.body_bytes.is_none());
}

/// How many rules each route of these files has, by the text alone.
fn written(files: &[SourceFile]) -> Vec<usize> {
    let mut counts = Vec::new();
    for file in files {
        let node = yaml::parse(&file.name, &file.text).unwrap();
        let Some(Node::List(routes)) = node.get("routes") else { continue };
        counts.extend(routes.iter().map(|route| match route.get("rules") {
            Some(Node::List(rules)) => rules.len(),
            _ => 0,
        }));
    }
    counts
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_file_makes_the_compiler_panic_and_a_report_with_errors_gives_no_policies(
        which in 0_usize..3,
        place in 0.0..1.0_f64,
        length in 0_usize..12,
        text in "[ -~\n]{0,6}",
    ) {
        let mut files = shipped();
        let broken = &mut files[which].text;
        let letters: Vec<char> = broken.chars().collect();
        let start = (place * letters.len() as f64) as usize;
        let end = (start + length).min(letters.len());
        *broken = letters[..start].iter().collect::<String>() + &text + &letters[end..].iter().collect::<String>();
        let (set, report) = compile(&files);
        proptest::prop_assert_eq!(set.is_none(), report.has_errors());
        if let Some(set) = set {
            let held: Vec<_> = set.routes().iter().map(|route| route.rules.rows.len()).collect();
            proptest::prop_assert_eq!(held, written(&files), "a route or a rule was dropped without a word");
        }
    }
}

#[test]
fn p020_the_end_of_streams_is_checked() {
    check(
        &format!(
            "- {{ id: a, path: /a, streams: {{ end_at_expiry: false, expiry_grace: 5s }}, {ANYONE} }}\n- {{ id: b, path: /b, streams: {{ end_at_expiry: never, expiry_grace: 25h, end: 1 }}, {ANYONE} }}"
        ),
        &expect![[r#"
            error[P020]: streams that do not end with their token need no time after it
              --> routes.yaml:3:69  (routes[0].streams.expiry_grace)
              help: leave the key out to keep the time of the settings

            error[Y003]: expected `true` or `false`, found a string
              --> routes.yaml:4:48  (routes[1].streams.end_at_expiry)
              help: write `true` or `false` here, or leave the key out where it has a default

            error[P020]: a stream may outlive its token by 24h at most
              --> routes.yaml:4:69  (routes[1].streams.expiry_grace)
              help: leave the key out to keep the time of the settings

            error[Y007]: unknown key `end`
              --> routes.yaml:4:79  (routes[1].streams.end)
              help: known keys are: end_at_expiry, expiry_grace"#]],
    );
}
