//! What conditions answer.

use super::*;

#[test]
fn native_conditions_read_every_part_of_a_request() {
    check(
        &Sample::default(),
        &native(),
        &[
            (r#"principal.id == "u-1""#, "true"),
            ("principal.id == path.user", "true"),
            ("path['id'] == '7'", "true"),
            (r#"principal.kind == "user" && principal.provider == "main""#, "true"),
            (r#""admin" in principal.roles"#, "true"),
            (r#""authenticated" in principal.roles && "anyone" in principal.roles"#, "true"),
            (r#""anonymous" in principal.roles"#, "false"),
            (r#"!("auditor" in principal.roles)"#, "true"),
            ("size(principal.roles) == 4", "true"),
            (r#"principal.claims["custom:status"] == "active""#, "true"),
            (r#""custom:status" in principal.claims && principal.claims["custom:status"] == "suspended""#, "false"),
            ("principal.claims.address.city == 'Bern'", "true"),
            ("principal.claims.tags[1] == 'b'", "true"),
            ("'a' in principal.claims.tags && 1 in principal.claims.tags", "true"),
            ("principal.claims.tags == ['a', 'b', 1.0]", "true"),
            ("principal.claims.nothing == null", "true"),
            ("principal.claims.admin", "true"),
            ("!principal.claims.admin", "false"),
            ("request.method == 'GET' && request.host == 'api.example.com'", "true"),
            ("request.path.startsWith('/users/')", "true"),
            ("request.client_ip == '10.1.2.3'", "true"),
            ("request.query.page == '2' && request.query['q'] == 'a b'", "true"),
            (r#"request.headers["X-A"] == "one""#, "true"),
            (r#""x-b" in request.headers || "X-A" in request.headers"#, "true"),
            ("has(request.headers.host)", "false"),
            ("request.method in ['GET', 'HEAD']", "true"),
            ("resource.kind == 'contact' && resource.id == path.id && resource.attr.owner == principal.id", "true"),
            ("principal.id in resource.attr.shared", "false"),
            ("resource.attr.shared.exists(u, u == 'u-3')", "true"),
            ("resource.attr.shared.all(u, u.startsWith('u-'))", "true"),
            ("resource.attr.shared.map(u, u + '!').filter(u, u == 'u-2!').size() == 1", "true"),
            ("principal.claims.exists(name, name.startsWith('custom:'))", "true"),
            ("now() < timestamp('2024-01-01T00:00:00Z')", "true"),
            ("now() == timestamp(1700000000)", "true"),
            ("timestamp(int(principal.claims.exp)) - now() == duration('100s')", "true"),
            ("request.path.matches('^/users/[^/]+/contacts/[0-9]+$')", "true"),
            ("type(principal.id) == string", "true"),
        ],
    );
}

#[test]
fn json_numbers_are_doubles() {
    check(
        &Sample::default(),
        &native(),
        &[
            (r#"principal.claims["custom:level"] == 3"#, "true"),
            (r#"principal.claims["custom:level"] == 3u"#, "true"),
            (r#"principal.claims["custom:level"] > 2"#, "true"),
            (r#"principal.claims["custom:level"] in [1, 3]"#, "true"),
            (r#"principal.claims["custom:level"] + 1.0 == 4.0"#, "true"),
            (r#"principal.claims["custom:level"] + 1 == 4"#, "error: `add` does not take values of these types"),
            (r#"principal.claims["custom:level"] == "3""#, "false"),
        ],
    );
}

#[test]
fn what_is_absent_is_an_error_and_never_null() {
    check(
        &Sample::default(),
        &native(),
        &[
            ("principal.client_id == 'x'", "error: `principal.client_id` is absent"),
            ("principal.client_id != 'x'", "error: `principal.client_id` is absent"),
            ("principal.client_id == null", "error: `principal.client_id` is absent"),
            ("has(principal.client_id)", "false"),
            ("has(principal.id)", "true"),
            ("principal.claims.missing == 'x'", "error: `principal.claims.missing` is absent"),
            ("!(principal.claims.missing == 'x')", "error: `principal.claims.missing` is absent"),
            ("has(principal.claims.missing)", "false"),
            ("has(principal.claims.missing.deeper)", "error: `principal.claims.missing.deeper` is absent"),
            (
                "principal.claims.sub.deeper == 'x'",
                "error: `principal.claims.sub.deeper` leads into a value that has no such entries",
            ),
            ("principal.claims.tags[7] == 'x'", "error: `principal.claims.tags[7]` is absent"),
            ("'x' in resource.attr.missing", "error: `resource.attr.missing` is absent"),
            ("resource.attr.missing.startsWith('x')", "error: `resource.attr.missing` is absent"),
            (r#"request.headers["x-b"] == "x""#, r#"error: `request.headers["x-b"]` is absent"#),
            ("request.query.none == 'x'", r#"error: `request.query["none"]` is absent"#),
            ("'x' in principal.id", "error: `in` does not take values of these types"),
            ("principal.claims[path.user] == 'x'", "error: a map lacks the key that is asked for"),
        ],
    );
}

#[test]
fn a_decided_side_outvotes_an_error_in_either_order() {
    let absent = "principal.claims.missing == 'x'";
    let rows = [
        (format!("false && {absent}"), "false"),
        (format!("{absent} && principal.id == 'u-2'"), "false"),
        (format!("{absent} || principal.id == 'u-1'"), "true"),
        (format!("principal.id == 'u-1' && {absent}"), "error: `principal.claims.missing` is absent"),
        (format!("{absent} || principal.id == 'u-2'"), "error: `principal.claims.missing` is absent"),
        (format!("{absent} && request.path.startsWith('/x')"), "false"),
        (format!("request.path.startsWith('/u') || {absent}"), "true"),
        ("principal.id || true".to_owned(), "true"),
        ("principal.id && true".to_owned(), "error: `&&` does not take values of these types"),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
    check(&Sample::default(), &native(), &rows);
}

#[test]
fn a_repeated_header_or_parameter_cannot_be_read() {
    check(
        &Sample::default(),
        &native(),
        &[
            (r#"request.headers["x-twice"] == "1""#, r#"error: `request.headers["x-twice"]` stands more than once"#),
            (r#""x-twice" in request.headers"#, "true"),
            (r#"request.headers["x-bytes"] == "1""#, r#"error: `request.headers["x-bytes"]` is not readable as text"#),
            (r#""x-bytes" in request.headers"#, "true"),
            ("request.query.twice == '1'", r#"error: `request.query["twice"]` stands more than once"#),
            ("has(request.query.twice)", "true"),
            ("request.query.exists(n, n == 'page')", "true"),
            (
                "request.query.all(n, request.query[n] != '')",
                "error: a header field or query parameter has no single reading",
            ),
            ("request.headers[path.user] == 'x'", "error: a map lacks the key that is asked for"),
        ],
    );
}

#[test]
fn a_semicolon_does_not_hide_a_name_from_a_condition() {
    for query in ["page=1;debug=1", "page=1&x;debug=1"] {
        check(
            &Sample { query, captures: vec![("user", "debug"), ("id", "7")], ..Sample::default() },
            &native(),
            &[
                ("request.query.debug == '1'", r#"error: `request.query["debug"]` is not readable as text"#),
                ("!has(request.query.debug)", r#"error: `request.query["debug"]` is not readable as text"#),
                ("!('debug' in request.query)", r#"error: `request.query["debug"]` is not readable as text"#),
                ("!(path.user in request.query)", "error: `request.query` is not readable as text"),
                ("request.query.all(n, n != 'debug')", "error: `request.query` is not readable as text"),
            ],
        );
    }
}

#[test]
fn a_credential_header_is_not_visible() {
    let environment = native().with_credential_headers(&[HeaderName::from_static("x-a")]);
    let hidden = |name: &str| format!("does not compile: the header field `{name}` carries a credential");
    for name in ["authorization", "cookie", "proxy-authorization", "x-a"] {
        for text in [
            format!("request.headers[{name:?}] == 'x'"),
            format!("request.headers[{:?}] == 'x'", name.to_uppercase()),
            format!("{name:?} in request.headers"),
        ] {
            assert_eq!(Sample::default().answer(&text, &environment), hidden(name), "{text}");
        }
    }
    check(
        &Sample { captures: vec![("user", "authorization"), ("id", "Authorization")], ..Sample::default() },
        &environment,
        &[
            ("has(request.headers.authorization)", &hidden("authorization")),
            ("request.headers.exists(n, n == 'authorization' || n == 'x-a')", "false"),
            ("path.user in request.headers || path.id in request.headers", "false"),
            ("request.headers[path.user] == 'Bearer secret'", "error: a map lacks the key that is asked for"),
        ],
    );
}

#[test]
fn an_unverified_email_is_not_seen_by_a_condition() {
    let unverified = [
        json!({"email": "ann@example.com"}),
        json!({"email": "ann@example.com", "email_verified": false}),
        json!({"email": "ann@example.com", "email_verified": "yes"}),
        json!({"email": "ann@example.com", "email_verified": 1}),
    ];
    for claims in unverified {
        check(
            &Sample::with_claims(claims),
            &native(),
            &[
                ("principal.claims.email == 'ann@example.com'", "error: `principal.claims.email` is absent"),
                ("has(principal.claims.email)", "false"),
                ("'email' in principal.claims", "false"),
                ("principal.claims.exists(k, k == 'email')", "false"),
                (
                    "principal.claims[request.method] == '' || 'email' in dyn(principal.claims)",
                    "error: a map lacks the key that is asked for",
                ),
            ],
        );
    }
    for verified in [json!(true), json!("true")] {
        let sample = Sample::with_claims(json!({"email": "ann@example.com", "email_verified": verified}));
        check(&sample, &native(), &[("principal.claims.email.endsWith('@example.com')", "true")]);
    }
}

#[test]
fn a_claim_that_is_null_is_not_in_the_token_that_cerbos_conditions_read() {
    let sample = Sample::with_claims(json!({"x": null, "y": {"z": null}}));
    let rows = [
        ("has(request.auxData.jwt.x)", "false"),
        ("'x' in request.auxData.jwt", "false"),
        ("request.auxData.jwt == {'y': {'z': null}} && size(request.auxData.jwt) == 1", "true"),
        ("has(request.auxData.jwt.y.z) && 'x' in P.attr", "true"),
        ("request.auxData.jwt.x == null", "error: `request.auxData.jwt.x` is absent"),
    ];
    check(&sample, &Environment::cerbos(), &rows);
    check(&sample, &native(), &[("has(principal.claims.x) && principal.claims.x == null", "true")]);
}

#[test]
fn nobody_has_no_id_and_no_claims() {
    check(
        &Sample::anonymous(),
        &native(),
        &[
            ("has(principal.id)", "false"),
            ("principal.id == path.user", "error: `principal.id` is absent"),
            ("has(principal.provider)", "false"),
            ("'custom:status' in principal.claims", "false"),
            ("size(principal.claims) == 0", "true"),
            (
                "principal.kind == 'anonymous' && 'anonymous' in principal.roles && !('authenticated' in principal.roles)",
                "true",
            ),
        ],
    );
}

#[test]
fn cerbos_conditions_have_message_semantics() {
    check(
        &Sample::default(),
        &Environment::cerbos(),
        &[
            ("request.resource.attr.owner == request.principal.id", "true"),
            ("R.attr.owner == P.id && R.kind == 'contact' && R.id == '7'", "true"),
            ("P.policyVersion == '' && P.policy_version == ''", "true"),
            ("has(P.scope)", "false"),
            ("R.scope == 'acme.hr' && has(R.scope)", "true"),
            ("request.auxData.jwt.sub == P.id && request.aux_data.jwt['sub'] == P.id", "true"),
            ("P.roles == ['admin', 'user']", "true"),
            ("'authenticated' in P.roles", "false"),
            ("P.attr.email == 'ann@example.com'", "error: `P.attr.email` is absent"),
            ("has(R.attr) && has(request.principal)", "true"),
            ("R.attr.size + 1 == 13", "error: `add` does not take values of these types"),
            ("R.attr.owner", "false"),
            ("1 + 1", "false"),
            ("!R.attr.owner", "error: `!` does not take values of these types"),
            ("hasIntersection(R.attr.shared, ['u-3', 'u-9'])", "true"),
            ("R.attr.shared.has_intersection(['u-9'])", "false"),
            ("isSubset(['u-2'], R.attr.shared) && ['u-2', 'u-3'].is_subset(R.attr.shared)", "true"),
            ("intersect(R.attr.shared, ['u-3', 'u-4', 'u-5']) == ['u-3']", "true"),
            ("R.attr.shared.except(['u-3']) == ['u-2']", "true"),
            ("hasIntersection([12, 1, 2, 3], [R.attr.size])", "true"),
            ("'10.1.2.3'.inIPAddrRange('10.0.0.0/8')", "true"),
            ("'10.1.2.3'.inIPAddrRange('10.0.0.0')", "error: `inIPAddrRange` refuses its arguments"),
            ("timestamp(1699999990).timeSince() == duration('10s')", "true"),
            ("timeSince(timestamp(1699999990)) > duration('1m')", "false"),
            ("now() == timestamp(1700000000)", "true"),
            ("id(R.attr.owner) == 'u-1'", "true"),
        ],
    );
}

#[test]
fn times_are_told_in_utc_and_patterns_are_about_ascii() {
    let rows = [
        ("timestamp('2023-11-14T23:13:20-05:00').getHours() == 4", "true"),
        ("timestamp('2023-11-14T23:13:20-05:00').getDate() == 15", "true"),
        ("timestamp('2023-11-14T23:13:20-05:00').getHours('America/New_York') == 23", "true"),
        ("duration('90m').getHours() == 1", "true"),
        (r"'7'.matches('^\\d$') && !'٧'.matches('^\\d$')", "true"),
        (r"'a'.matches('^\\w$') && !'é'.matches('^\\w$')", "true"),
    ];
    check(&Sample::default(), &native(), &rows);
    check(&Sample::default(), &Environment::cerbos(), &rows);
}

#[test]
fn a_value_without_entries_lacks_them_all_in_cerbos_conditions() {
    let sample = Sample::with_claims(json!({"text": "x", "nothing": null, "tags": ["a"], "map": {"text": "x"}}));
    check(
        &sample,
        &Environment::cerbos(),
        &[
            ("has(P.attr.text.x) || has(P.attr.nothing.x) || has(P.attr.map.text.x)", "false"),
            ("has(P.attr.map.text)", "true"),
            ("has(P.attr.text.x.y)", "error: `P.attr.text.x.y` leads into a value that has no such entries"),
            ("has(P.attr.tags.x)", "error: `P.attr.tags.x` leads into a value that has no such entries"),
            ("has(P.attr.zzz.x)", "error: `P.attr.zzz.x` is absent"),
            ("P.attr.tags.exists(t, has(t.x))", "false"),
            ("[P.attr.map].exists(t, has(t.text) && !has(t.text.x) && !has(t.zzz))", "true"),
            ("[P.attr.map].exists(t, has(t.zzz.x))", "error: a map lacks the key that is asked for"),
            ("[P.attr.tags].exists(t, has(t.x))", "error: `has` refuses its arguments"),
            ("[dyn(hierarchy('a'))].exists(t, has(t.x))", "error: `has` refuses its arguments"),
        ],
    );
}

#[test]
fn longer_lists_compare_by_type_as_of_0_51_only() {
    let sample = Sample::with_claims(json!({"ones": [1], "words": ["a"]}));
    for (text, by_equality, as_of_0_51) in [
        ("hasIntersection(P.attr.ones, [1, 2, 3])", "true", "true"),
        ("hasIntersection(P.attr.ones, [1, 2, 3, 4])", "true", "false"),
        ("hasIntersection([1, 2, 3, 4], P.attr.ones)", "true", "false"),
        ("isSubset(P.attr.ones, [1, 2, 3, 4])", "true", "false"),
        ("intersect(P.attr.ones, [1, 2, 3, 4]) == [1]", "true", "false"),
        ("except(P.attr.ones, [1, 2, 3, 4]) == []", "true", "false"),
        ("hasIntersection(P.attr.ones, [1, 2, 3, true])", "true", "true"),
        ("hasIntersection(P.attr.words, ['a', 'b', 'c', 'd'])", "true", "true"),
        ("isSubset(P.attr.words, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'])", "true", "true"),
    ] {
        assert_eq!(sample.answer(text, &Environment::cerbos()), by_equality, "{text}");
        assert_eq!(sample.answer(text, &Environment::cerbos().as_of_0_51()), as_of_0_51, "{text}");
    }
}

#[test]
fn what_0_51_forgets_is_forgotten_as_of_0_51_only() {
    let domain = "spiffeID('spiffe://a/b').trustDomain().id()";
    for (text, expected, as_of_0_51) in [
        ("G.missing == null", "error: `G.missing` is absent", "true"),
        (&format!("{domain} == 'spiffe://a'"), "true", "true"),
        (&format!("{domain} == 'a'"), "false", "true"),
        (&format!("{domain}.startsWith('spiffe')"), "true", "error: `startsWith` does not take values of these types"),
    ] {
        assert_eq!(Sample::default().answer(text, &Environment::cerbos()), expected, "{text}");
        assert_eq!(Sample::default().answer(text, &Environment::cerbos().as_of_0_51()), as_of_0_51, "{text}");
    }
    let environment = Environment::cerbos().with_variables(["h", "s"]);
    let definition = |name: &str, text: &str| Definition {
        name: name.into(),
        expression: Expression::compile(text, &environment).unwrap(),
    };
    let definitions = [definition("h", "hierarchy('a.b')"), definition("s", "spiffeID('spiffe://a/b')")];
    for (text, on_error, expected) in [
        ("V.h == hierarchy('a.b') && hierarchy('a').ancestorOf(V.h)", OnError::Error, true),
        ("V.s.path() == '/b'", OnError::Error, true),
        ("V.h == ['a', 'b'] && V.h[0] == 'a' && V.h.size() == 2", OnError::Null, true),
        ("V.h == hierarchy('a.b')", OnError::Null, false),
        ("V.s == null", OnError::Null, true),
    ] {
        let condition = Condition::compile(text, &environment).unwrap();
        let variables = Variables::new(&definitions, on_error);
        let answer =
            Sample::default().with_scope(|scope| condition.test(&Scope { variables: Some(&variables), ..*scope }));
        assert_eq!(answer, Ok(expected), "{text}");
    }
}

#[test]
fn messages_are_values() {
    let sample = Sample { claims: Map::new(), attributes: object(json!({"owner": "u-1"})), ..Sample::default() };
    let rows = [
        ("R", json!({"kind": "contact", "id": "7", "attr": {"owner": "u-1"}, "scope": "acme.hr"})),
        ("P", json!({"id": "u-1", "roles": ["admin", "user"]})),
        (
            "request",
            json!({
                "principal": {"id": "u-1", "roles": ["admin", "user"]},
                "resource": {"kind": "contact", "id": "7", "attr": {"owner": "u-1"}, "scope": "acme.hr"},
            }),
        ),
        ("[R == R, dyn(R) == dyn(P), has(request.auxData)]", json!([true, false, false])),
        ("runtime", json!({})),
    ];
    for (text, expected) in rows {
        let expression = Expression::compile(text, &Environment::cerbos()).unwrap();
        let value = sample.with_scope(|scope| expression.evaluate(scope)).unwrap();
        assert_eq!(value.to_json(), Some(expected), "{text}");
    }
    let reads = Expression::compile("R", &Environment::cerbos()).unwrap().references().clone();
    assert_eq!(*reads.resource_attributes(), Reads::Everything);
    assert!(!reads.reads(Root::Principal));
}

#[test]
fn a_tree_ends_at_the_first_branch_that_decides() {
    let branch = |text: &str| ConditionTree::Expression(Condition::compile(text, &Environment::cerbos()).unwrap());
    let branches = |letters: &str| -> Vec<ConditionTree> {
        letters
            .chars()
            .map(|letter| match letter {
                't' => branch("P.id == 'u-1'"),
                'f' => branch("P.id == 'u-2'"),
                _ => branch("R.attr.missing == 1"),
            })
            .collect()
    };
    let rows = [
        ("tt", "true", "true", "false"),
        ("tf", "false", "true", "false"),
        ("ff", "false", "false", "true"),
        ("fe", "false", "error", "error"),
        ("te", "error", "true", "false"),
        ("ef", "error", "error", "error"),
        ("et", "error", "error", "error"),
    ];
    let word = |tree: &ConditionTree| test_tree(tree).map_or("error".to_owned(), |answer| answer.to_string());
    for (letters, all, any, none) in rows {
        assert_eq!(word(&ConditionTree::All(branches(letters))), all, "all {letters}");
        assert_eq!(word(&ConditionTree::Any(branches(letters))), any, "any {letters}");
        assert_eq!(word(&ConditionTree::None(branches(letters))), none, "none {letters}");
    }
    let nested = ConditionTree::All(vec![ConditionTree::None(branches("f")), ConditionTree::Any(branches("ft"))]);
    assert_eq!(word(&nested), "true");
    assert!(nested.references().reads(Root::Principal) && !nested.references().reads(Root::Resource));
}

fn test_tree(tree: &ConditionTree) -> Result<bool, EvaluationError> {
    let claims = Map::new();
    let resource = ResourceView { kind: "c", id: "", attributes: &claims, policy_version: "", scope: "" };
    tree.test(&Scope {
        principal: PrincipalView { id: Some("u-1"), ..PrincipalView::ANONYMOUS },
        request: None,
        captures: &[],
        resource: Some(resource),
        now: UnixTime::from_seconds(0),
        nanos: 0,
        variables: None,
        derived_roles: &[],
    })
}

#[test]
fn what_a_condition_reads_is_known_before_any_request() {
    let references = |text: &str| Condition::compile(text, &native()).unwrap().references().clone();
    let owner = references("resource.attr.owner == principal.id && has(resource.attr.a.b) && 'c' in resource.attr");
    assert_eq!(*owner.resource_attributes(), Reads::Only(["a", "c", "owner"].map(Into::into).into()));
    assert!(owner.reads(Root::Principal) && owner.reads(Root::Resource) && !owner.reads(Root::Request));
    assert_eq!(*owner.claims(), Reads::Nothing);
    let all = references("resource.attr.exists(k, k == 'x') && resource.attr.owner == 'y'");
    assert_eq!(*all.resource_attributes(), Reads::Everything);
    let computed = references("resource.attr[path.id] == 'x' && now() > timestamp(0)");
    assert!(
        computed.resource_attributes().includes("anything")
            && computed.reads(Root::Now)
            && computed.reads(Root::Captures)
    );
    let claims = references("principal.claims.a == 1 && request.headers['x-a'] == 'b'");
    assert!(claims.claims().includes("a") && !claims.claims().includes("b") && claims.reads(Root::Request));
}

#[test]
fn an_anonymous_principal_is_seen_as_nobody() {
    let view = PrincipalView::from(&crate::identity::Principal::Anonymous);
    assert_eq!((view.id, view.kind, view.provider, view.client_id), (None, Kind::Anonymous, None, None));
    assert!(view.roles.is_empty() && view.claims.is_none() && view.token.is_none());
}

#[test]
fn a_part_that_was_not_given_is_absent() {
    let condition = |text: &str| Condition::compile(text, &native()).unwrap();
    let scope = Scope {
        principal: PrincipalView::ANONYMOUS,
        request: None,
        captures: &[],
        resource: None,
        now: UnixTime::from_seconds(0),
        nanos: 0,
        variables: None,
        derived_roles: &[],
    };
    for (text, place) in [
        ("request.method == 'GET'", "request.method"),
        ("request.headers.exists(n, true)", "request"),
        ("resource.attr.owner == 'x'", "resource.attr.owner"),
        ("path.id == '7'", "path.id"),
    ] {
        assert_eq!(condition(text).test(&scope), Err(EvaluationError::Absent(place.into())), "{text}");
    }
    assert_eq!(condition("principal.claims == {}").test(&scope), Ok(true));
}
