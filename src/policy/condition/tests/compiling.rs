//! What does not compile, and what the author of the policy is told.

use expect_test::{Expect, expect};

use super::*;

fn diagnose(environment: &Environment, texts: &[&str]) -> String {
    let mut told = String::new();
    for text in texts {
        let outcome = match Condition::compile(text, environment) {
            Ok(_) => "compiles".to_owned(),
            Err(error) => {
                let place = error.offset.map_or("?".to_owned(), |(line, column)| format!("{line}:{column}"));
                let help = error.help.map(|help| format!("\n    help: {help}")).unwrap_or_default();
                format!("{place} {}{help}", error.message)
            }
        };
        told.push_str(&format!("{text}\n    {outcome}\n"));
    }
    told
}

fn told(environment: &Environment, texts: &[&str], expected: Expect) {
    expected.assert_eq(&diagnose(environment, texts));
}

#[test]
fn unknown_names_do_not_compile_and_the_nearest_known_one_is_offered() {
    told(
        &native(),
        &[
            "principle.id == 'x'",
            "user == 'x'",
            "principal.clientid == 'x'",
            "principal.name == 'x'",
            "request.header['x'] == 'y'",
            "path.owner == principal.id",
            "path['owner'] == principal.id",
            "'owner' in path",
            "has(principal.nam)",
            "resource.attributes.owner == 'x'",
            "request.query.exists(n, m == 'x')",
            "'é' == principal.id &&\n  principal.idd == 'x'",
        ],
        expect![[r#"
            principle.id == 'x'
                1:1 unknown name `principle`
                help: did you mean `principal`?
            user == 'x'
                1:1 unknown name `user`
                help: a condition may name: principal, request, path, resource
            principal.clientid == 'x'
                1:11 `principal` has no field `clientid`
                help: did you mean `principal.client_id`?
            principal.name == 'x'
                1:11 `principal` has no field `name`
                help: fields of `principal` are: id, kind, roles, claims, provider, client_id
            request.header['x'] == 'y'
                1:9 `request` has no field `header`
                help: did you mean `request.headers`?
            path.owner == principal.id
                1:6 the route has no capture `owner`
                help: captures of its pattern are: user, id
            path['owner'] == principal.id
                1:6 the route has no capture `owner`
                help: captures of its pattern are: user, id
            'owner' in path
                1:9 the route has no capture `owner`
                help: captures of its pattern are: user, id
            has(principal.nam)
                1:1 `principal` has no field `nam`
                help: fields of `principal` are: id, kind, roles, claims, provider, client_id
            resource.attributes.owner == 'x'
                1:10 `resource` has no field `attributes`
                help: fields of `resource` are: kind, id, attr
            request.query.exists(n, m == 'x')
                1:25 unknown name `m`
                help: a condition may name: principal, request, path, resource
            'é' == principal.id &&
              principal.idd == 'x'
                2:13 `principal` has no field `idd`
                help: did you mean `principal.id`?
        "#]],
    );
}

#[test]
fn unknown_functions_and_impossible_fields_do_not_compile() {
    told(
        &native(),
        &[
            "request.path.startWith('/a')",
            "startsWith(request.path, '/a')",
            "principal.id.size == 1",
            "principal.roles.admin",
            "principal.id.string() == 'x'",
            "frobnicate(principal.id)",
            "_f(principal.id)",
            "Person{name: 'x'}.name == 'x'",
            "request.headers['a b'] == 'x'",
            "now(1) > now()",
        ],
        expect![[r#"
            request.path.startWith('/a')
                1:14 unknown function `startWith`
                help: did you mean `startsWith`?
            startsWith(request.path, '/a')
                1:1 `startsWith` is called on a value
                help: write `x.startsWith(...)`
            principal.id.size == 1
                1:14 `principal.id` is a text, it has no fields
            principal.roles.admin
                1:17 `principal.roles` is a list, it has no fields
            principal.id.string() == 'x'
                1:14 `string` is not called on a value
                help: write `string(x)`
            frobnicate(principal.id)
                1:1 unknown function `frobnicate`
            _f(principal.id)
                1:1 unknown function `_f`
            Person{name: 'x'}.name == 'x'
                1:7 unknown message type `Person`
            request.headers['a b'] == 'x'
                1:17 `a b` is not the name of a header field
            now(1) > now()
                1:1 `now` is written `now()`
        "#]],
    );
}

#[test]
fn groups_of_fields_and_results_that_are_no_booleans_do_not_compile() {
    told(
        &native(),
        &[
            "principal == null",
            "request.headers == {}",
            "[principal]",
            "size(request.headers) > 3",
            "'just a text'",
            "1 + 1",
            "size(principal.roles)",
            "principal.id",
            "principal.claims",
            "string",
            "principal[0] == 'x'",
            "has(principal)",
            "principal.claims.exists(k, principal.claims.exists(l, principal.claims.exists(m, true)))",
        ],
        expect![[r#"
            principal == null
                1:1 `principal` is not a value in itself
                help: name one of its fields
            request.headers == {}
                1:9 `request.headers` is not a value in itself
                help: read one of its names, or go through them with `exists` or `all`
            [principal]
                1:2 `principal` is not a value in itself
                help: name one of its fields
            size(request.headers) > 3
                compiles
            'just a text'
                1:1 the condition is never true or false
                help: a condition compares, as in `principal.id == path.user`
            1 + 1
                1:3 the condition is never true or false
                help: a condition compares, as in `principal.id == path.user`
            size(principal.roles)
                1:1 the condition is never true or false
                help: a condition compares, as in `principal.id == path.user`
            principal.id
                1:11 the condition is never true or false
                help: a condition compares, as in `principal.id == path.user`
            principal.claims
                1:11 the condition is never true or false
                help: a condition compares, as in `principal.id == path.user`
            string
                1:1 the condition is never true or false
                help: a condition compares, as in `principal.id == path.user`
            principal[0] == 'x'
                1:11 `principal` has no field `0`
            has(principal)
                1:5 the condition is not an expression: invalid argument to has() macro
            principal.claims.exists(k, principal.claims.exists(l, principal.claims.exists(m, true)))
                1:72 comprehensions nest deeper than 2
        "#]],
    );
}

#[test]
fn what_is_no_expression_is_told_with_its_place() {
    told(
        &native(),
        &[
            "principal.id ==",
            "a b",
            "principal.id == 'x",
            "(principal.id == 'x'",
            "1 ? 2",
            "principal.`id` == 'x'",
            "@0",
            "a.?b",
            "\"\\",
        ],
        expect![[r#"
            principal.id ==
                1:16 the condition is not an expression: unexpected end
            a b
                1:3 the condition is not an expression: unexpected `b`
            principal.id == 'x
                1:17 the condition is not an expression: unreadable `x`
            (principal.id == 'x'
                1:21 the condition is not an expression: missing `)` before the end
            1 ? 2
                1:1 the condition is not an expression: an operand is missing
            principal.`id` == 'x'
                1:10 the condition is not an expression: unsupported syntax: '`'
            @0
                1:1 the condition is not an expression: unreadable `@`
            a.?b
                1:2 the condition is not an expression: unsupported syntax '.?'
                help: ask with `has(a.b)` before reading `a.b`
            "\
                1:1 the condition is not an expression: unreadable `"\`
        "#]],
    );
    for blank in ["", "  \n"] {
        assert_eq!(Condition::compile(blank, &native()).unwrap_err().message, "the condition is empty");
    }
}

#[test]
fn names_of_cerbos_conditions_are_checked() {
    told(
        &Environment::cerbos(),
        &[
            "request.principal.idx == 'x'",
            "P.claims.a == 1",
            "V.x == 1",
            "constants.x == 1",
            "runtime.effectiveDerivedRoles == []",
            "principal.id == 'x'",
            "P['id'] == 'x'",
            "hasIntersections(P.roles, ['a'])",
            "math.abs(1.0) == 1.0",
            "hierarchy('a.b') == hierarchy('a.b')",
            "R.attr.exists(k, v, k == v)",
            "R == R",
        ],
        expect![[r#"
            request.principal.idx == 'x'
                1:19 `request.principal` has no field `idx`
                help: did you mean `request.principal.id`?
            P.claims.a == 1
                1:3 `P` has no field `claims`
                help: fields of `P` are: id, roles, attr, policyVersion, scope
            V.x == 1
                1:3 undefined variable `x`
                help: the policy defines or imports no such variable
            constants.x == 1
                1:11 undefined constant `x`
                help: the policy defines or imports no such constant
            runtime.effectiveDerivedRoles == []
                compiles
            principal.id == 'x'
                1:1 unknown name `principal`
                help: a condition may name: request, P, R, V, C, G, runtime
            P['id'] == 'x'
                1:3 `P` is not a map
                help: its fields stand after a dot
            hasIntersections(P.roles, ['a'])
                1:1 unknown function `hasIntersections`
                help: did you mean `hasIntersection`?
            math.abs(1.0) == 1.0
                compiles
            hierarchy('a.b') == hierarchy('a.b')
                compiles
            R.attr.exists(k, v, k == v)
                compiles
            R == R
                compiles
        "#]],
    );
}

#[test]
fn what_cerbos_has_since_then_does_not_compile() {
    told(
        &Environment::cerbos().with_variables(["owner"]).with_constants(object(json!({"limit": 1}))),
        &[
            "sets.contains([1], [1])",
            "optional.of(1).hasValue()",
            "P.?id == 'x'",
            "ip('10.0.0.1') == ip('10.0.0.1')",
            "isIP(P.id)",
            "regex.replace(P.id, 'a', 'b') == 'x'",
            "json.encode(P.id) == 'x'",
            "basePath(P.id) == 'x'",
            "P.id.orValue('x') == 'x'",
            "math.absolute(1) == 1",
        ],
        expect![[r#"
            sets.contains([1], [1])
                1:6 Cerbos 0.51 has no function `sets.contains`
                help: write `isSubset(b, a)`
            optional.of(1).hasValue()
                1:16 Cerbos 0.51 has no function `hasValue`
                help: only later versions have it
            P.?id == 'x'
                1:2 the condition is not an expression: unsupported syntax '.?'
                help: ask with `has(a.b)` before reading `a.b`
            ip('10.0.0.1') == ip('10.0.0.1')
                1:1 Cerbos 0.51 has no function `ip`
                help: ask with `address.inIPAddrRange(range)`
            isIP(P.id)
                1:1 Cerbos 0.51 has no function `isIP`
                help: only later versions have it
            regex.replace(P.id, 'a', 'b') == 'x'
                1:7 Cerbos 0.51 has no function `regex.replace`
                help: ask with `x.matches(pattern)`
            json.encode(P.id) == 'x'
                1:6 Cerbos 0.51 has no function `json.encode`
                help: only later versions have it
            basePath(P.id) == 'x'
                1:1 Cerbos 0.51 has no function `basePath`
                help: only later versions have it
            P.id.orValue('x') == 'x'
                1:6 Cerbos 0.51 has no function `orValue`
                help: only later versions have it
            math.absolute(1) == 1
                1:6 unknown function `math.absolute`
                help: did you mean `math.abs`?
        "#]],
    );
}

#[test]
fn what_cerbos_refuses_does_not_compile() {
    told(
        &Environment::cerbos().with_variables(["owner"]).with_constants(object(json!({"limit": 1}))),
        &[
            "cel.bind(x, 1)",
            "P.roles.transformList(r, r)",
            "[1].all(i, i, true)",
            "[1].all(1, v, true)",
            "V.ovner == 'x'",
            "V['owner'] == 'x'",
            "C.limits == 1",
            "C['limit'] == 1",
            "G['x'] == 1",
            "V == C",
            "runtime.roles == []",
            "P.roles.existsOne(r, r == 'a')",
        ],
        expect![[r#"
            cel.bind(x, 1)
                1:5 `cel.bind` is not written like that
                help: write `cel.bind(name, value, expression)`
            P.roles.transformList(r, r)
                1:9 `transformList` is not written like that
                help: with two variables, as in `list.transformList(index, value, value)`
            [1].all(i, i, true)
                1:9 the condition is not an expression: both variables have the same name
            [1].all(1, v, true)
                1:9 the condition is not an expression: argument must be a simple name
            V.ovner == 'x'
                1:3 undefined variable `ovner`
                help: did you mean `owner`?
            V['owner'] == 'x'
                1:3 `V` is not a map
                help: its fields stand after a dot
            C.limits == 1
                1:3 undefined constant `limits`
                help: did you mean `limit`?
            C['limit'] == 1
                1:3 `C` is not a map
                help: its fields stand after a dot
            G['x'] == 1
                1:3 `G` is not a map
                help: its fields stand after a dot
            V == C
                1:1 `V` is not a value in itself
                help: name one of its fields
            runtime.roles == []
                1:9 `runtime` has no field `roles`
                help: fields of `runtime` are: effectiveDerivedRoles
            P.roles.existsOne(r, r == 'a')
                1:9 Cerbos has no `existsOne` with one variable
                help: write `exists_one`
        "#]],
    );
}

#[test]
fn a_route_without_a_resource_has_no_resource_to_name() {
    told(
        &Environment::native(&[]).without_resource(),
        &["resource.id == 'x'", "path.id == 'x'", "has(resource.attr.x)"],
        expect![[r#"
            resource.id == 'x'
                1:1 the route names no resource
                help: give the route a `resource`
            path.id == 'x'
                1:6 the route has no capture `id`
                help: its pattern has no captures
            has(resource.attr.x)
                1:5 the route names no resource
                help: give the route a `resource`
        "#]],
    );
}

#[test]
fn conditions_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Condition>();
    shared::<ConditionTree>();
}
