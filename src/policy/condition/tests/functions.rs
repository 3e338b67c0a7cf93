//! What every function of Cerbos 0.51 answers. The answers are those of the program itself, asked for the same request.

use super::*;

/// Whom and what the expressions below are about.
fn sample() -> Sample {
    Sample {
        claims: object(json!({
            "tags": ["a", "b", 1], "level": 3, "half": 1.5, "ones": [1], "words": ["x", "y"], "ip": "10.1.2.3",
            "when": "2021-04-20T10:05:20.021-05:00", "spiffe": "spiffe://example.org/a/b", "big": 9_007_199_254_740_993_u64,
            "pattern": "^a+$", "nothing": null, "text": "Hello, Wörld", "neg": -2.5, "address": {"city": "Bern"}
        })),
        attributes: object(json!({
            "owner": "u-1", "size": 12, "shared": ["u-2", "u-3"], "public": false, "nothing": null, "scope": "a.b"
        })),
        ..Sample::default()
    }
}

/// The value as JSON, or `error`.
fn answer(text: &str) -> String {
    let environment = Environment::cerbos().as_of_0_51();
    let expression = match Expression::compile(text, &environment) {
        Ok(expression) => expression,
        Err(error) => return format!("does not compile: {error}"),
    };
    match sample().with_scope(|scope| expression.evaluate(scope)) {
        Ok(value) => value.to_json().map_or("error".to_owned(), |value| value.to_string()),
        Err(_) => "error".to_owned(),
    }
}

fn told(rows: &[(&str, &str)]) {
    let same = |a: &str, b: &str| match (serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b)) {
        (Ok(a), Ok(b)) => a == b,
        (_, _) => a == b,
    };
    let answers = rows.iter().map(|(text, expected)| (text, expected, answer(text)));
    let wrong: Vec<String> = answers
        .filter(|(_, expected, actual)| !same(expected, actual))
        .map(|(text, expected, actual)| format!("{text}\n  expected {expected}\n  got      {actual}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_searched_cut_and_written() {
    told(&[
        ("'abc'.charAt(1)", r#""b""#),
        ("'abc'.charAt(3)", r#""""#),
        ("'abc'.charAt(4)", "error"),
        ("'abc'.charAt(-1)", "error"),
        ("P.attr.text.charAt(8)", r#""ö""#),
        (
            "'%s and %d: %.2f %e %b %x %X %o %%'.format(['x', 1, 2.5, 1234.5, 5, 255, 255, 8])",
            r#""x and 1: 2.50 1.234500e+03 101 ff FF 10 %""#,
        ),
        ("'%s'.format([[1, 'a', {'k': 1.5}]])", r#""[1, a, {k: 1.5}]""#),
        (
            "'%s'.format([P.attr])",
            r#""{address: {city: Bern}, big: 9007199254740992, half: 1.5, ip: 10.1.2.3, level: 3, neg: -2.5, nothing: null, ones: [1], pattern: ^a+$, spiffe: spiffe://example.org/a/b, tags: [a, b, 1], text: Hello, Wörld, when: 2021-04-20T10:05:20.021-05:00, words: [x, y]}""#,
        ),
        ("'%s'.format([R.attr.shared])", r#""[u-2, u-3]""#),
        ("'%f %f'.format([P.attr.level, P.attr.half])", r#""3.000000 1.500000""#),
        ("'%d'.format([P.attr.level])", r#""3""#),
        ("'%x'.format(['hello'])", r#""68656c6c6f""#),
        ("'abcabc'.indexOf('c')", "2"),
        ("'abcabc'.indexOf('c', 3)", "5"),
        ("'abcabc'.indexOf('c', 7)", "-1"),
        ("'abcabc'.indexOf('')", "0"),
        ("'abcabc'.lastIndexOf('a')", "3"),
        ("'abcabc'.lastIndexOf('a', 2)", "0"),
        ("'abcabc'.lastIndexOf('')", "6"),
        ("'abc'.lastIndexOf('a', -1)", "error"),
        ("['a', 'b'].join()", r#""ab""#),
        ("['a', 'b'].join('-')", r#""a-b""#),
        ("[].join('-')", r#""""#),
        ("R.attr.shared.join(',')", r#""u-2,u-3""#),
        ("P.attr.tags.join(',')", "error"),
        ("'ABCé'.lowerAscii()", r#""abcé""#),
        ("'abcÉé'.upperAscii()", r#""ABCÉé""#),
        (r#"strings.quote('a"b\n\\')"#, r#""\"a\\\"b\\n\\\\\"""#),
        ("strings.quote(P.attr.text)", r#""\"Hello, Wörld\"""#),
        ("'aXbXc'.replace('X', '-')", r#""a-b-c""#),
        ("'aXbXc'.replace('X', '-', 1)", r#""a-bXc""#),
        ("'aXbXc'.replace('X', '-', 0)", r#""aXbXc""#),
        ("'abc'.replace('', '-')", r#""-a-b-c-""#),
        ("'abc'.replace('', '-', 2)", r#""-a-bc""#),
        ("P.attr.text.replace(R.attr.owner, P.attr.text)", r#""Hello, Wörld""#),
    ]);
}

#[test]
fn texts_are_split_matched_and_encoded() {
    told(&[
        ("'abc'.reverse()", r#""cba""#),
        ("P.attr.text.reverse()", r#""dlröW ,olleH""#),
        ("'a,b,c'.split(',')", r#"["a", "b", "c"]"#),
        ("'a,b,c'.split(',', 2)", r#"["a", "b,c"]"#),
        ("'a,b,c'.split(',', 0)", "[]"),
        ("'a,b,c'.split(',', -1)", r#"["a", "b", "c"]"#),
        ("'abc'.split('')", r#"["a", "b", "c"]"#),
        ("'abc'.split('', 2)", r#"["a", "bc"]"#),
        ("''.split('')", "[]"),
        ("''.split(',')", r#"[""]"#),
        ("'abcdef'.substring(2)", r#""cdef""#),
        ("'abcdef'.substring(2, 4)", r#""cd""#),
        ("'abcdef'.substring(4, 2)", "error"),
        ("'abcdef'.substring(7)", "error"),
        ("'abcdef'.substring(6)", r#""""#),
        (r#"'  a b \n'.trim()"#, r#""a b""#),
        (r#"'\u00a0a\u2003'.trim()"#, r#""a""#),
        ("size(P.attr.text)", "12"),
        ("base64.encode(b'hello')", r#""aGVsbG8=""#),
        ("base64.encode(bytes(P.attr.text))", r#""SGVsbG8sIFfDtnJsZA==""#),
        ("base64.decode('aGVsbG8')", r#""aGVsbG8=""#),
        ("base64.decode('aGVsbG8=')", r#""aGVsbG8=""#),
        ("base64.decode('!!')", "error"),
        ("string(base64.decode('aGVsbG8='))", r#""hello""#),
        (r#"P.attr.text.matches('W\\wrld')"#, "false"),
        ("P.attr.text.matches('^Hello, W.rld$')", "true"),
        ("matches('abc', '^a')", "true"),
        ("'aaa'.matches(P.attr.pattern)", "true"),
        ("'aaa'.matches('a' + '+')", "true"),
        ("'aaa'.matches(P.attr.text + '(')", "error"),
        (r#"'١٢'.matches('^\\d+$')"#, "false"),
        (r#"'a b'.matches('\\bb')"#, "true"),
        ("'a[b'.matches('^[a[b]+$')", "true"),
        (r#"'a\n'.matches('a$')"#, "false"),
        ("'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", "true"),
        ("P.attr.level.contains('x')", "error"),
        ("R.attr.owner.startsWith(P.attr.level)", "error"),
    ]);
}

#[test]
fn numbers_are_calculated_with() {
    told(&[
        ("math.abs(-1)", "1"),
        ("math.abs(-1.5)", "1.5"),
        ("math.abs(P.attr.neg)", "2.5"),
        ("math.bitAnd(3, 2)", "2"),
        ("math.bitOr(1u, 2u)", "3"),
        ("math.bitXor(3, 5)", "6"),
        ("math.bitNot(1)", "-2"),
        ("math.bitNot(1u)", r#""18446744073709551614""#),
        ("math.bitShiftLeft(1, 3)", "8"),
        ("math.bitShiftLeft(1, 64)", "0"),
        ("math.bitShiftLeft(1, -1)", "error"),
        ("math.bitShiftRight(-8, 1)", r#""9223372036854775804""#),
        ("math.bitShiftRight(8u, 1)", "4"),
        ("math.ceil(1.2)", "2"),
        ("math.floor(-1.2)", "-2"),
        ("math.round(2.5)", "3"),
        ("math.round(-2.5)", "-3"),
        ("math.trunc(-1.7)", "-1"),
        ("math.sign(-3)", "-1"),
        ("math.sign(0.0)", "0"),
        ("math.sqrt(9)", "3"),
        ("math.sqrt(P.attr.level)", "1.7320508075688772"),
        ("math.isNaN(0.0 / 0.0)", "true"),
        ("math.isInf(1.0 / 0.0)", "true"),
        ("math.isFinite(P.attr.level)", "true"),
        ("math.greatest(1, 2.5, 2u)", "2.5"),
        ("math.least([3, 1, 2])", "1"),
        ("math.greatest(P.attr.level, 2)", "3"),
        ("math.greatest(P.attr.ones)", "1"),
        ("math.least(P.attr.tags)", "error"),
    ]);
}

#[test]
fn lists_are_cut_sorted_and_flattened() {
    told(&[
        ("[1, 1.0, 1u, 2].distinct()", "[1, 2]"),
        ("P.attr.tags.distinct()", r#"["a", "b", 1]"#),
        ("[[1, [2]], [3]].flatten()", "[1, [2], 3]"),
        ("[[1, [2, [3]]]].flatten(2)", "[1, 2, [3]]"),
        ("[[1]].flatten(-1)", "error"),
        ("[1, [2, [3, 4]]].flatten(0)", "[1, [2, [3, 4]]]"),
        ("lists.range(4)", "[0, 1, 2, 3]"),
        ("lists.range(0)", "[]"),
        ("lists.range(-1)", "[]"),
        ("[1, 2, 3].reverse()", "[3, 2, 1]"),
        ("[1, 2, 3, 4].slice(1, 3)", "[2, 3]"),
        ("[1, 2, 3, 4].slice(3, 1)", "error"),
        ("[1, 2, 3, 4].slice(0, 9)", "error"),
        ("[3, 1, 2].sort()", "[1, 2, 3]"),
        ("['b', 'a'].sort()", r#"["a", "b"]"#),
        ("P.attr.tags.sort()", "error"),
        ("[true, false].sort()", "[false, true]"),
        ("[2u, 1u].sort()", "[1, 2]"),
        ("[1.5, 0.5].sort()", "[0.5, 1.5]"),
        ("[{'n': 2}, {'n': 1}].sortBy(e, e.n)", r#"[{"n": 1}, {"n": 2}]"#),
        ("['ccc', 'a', 'bb'].sortBy(e, size(e))", r#"["a", "bb", "ccc"]"#),
        ("R.attr.shared.sortBy(e, -size(e))", r#"["u-2", "u-3"]"#),
    ]);
}

#[test]
fn loops_have_one_variable_or_two() {
    told(&[
        ("cel.bind(x, R.attr.owner, x + x)", r#""u-1u-1""#),
        ("cel.bind(x, 1 / 0, true)", "true"),
        ("cel.bind(x, 1 / 0, false && x == 1)", "false"),
        ("cel.bind(x, P.attr.level, cel.bind(y, x + 1.0, x + y))", "7"),
        ("cel.bind(x, P.attr, x.level)", "3"),
        ("cel.bind(x, P.attr, has(x.level) && !has(x.zzz))", "true"),
        ("cel.bind(x, R, x.id)", r#""7""#),
        ("[1, 2].map(n, cel.bind(m, n + 1, m * m))", "[4, 9]"),
        ("[1, 2].map(n, cel.bind(m, n + 1, [3].map(k, k + m)))", "[[5], [6]]"),
        ("[5, 6].all(i, v, v > i)", "true"),
        ("[5, 6].all(i, v, v / i > 0)", "error"),
        ("[0, 1].exists(i, v, v / i > 0)", "true"),
        ("[5, 6].exists(i, v, v == 6 && i == 1)", "true"),
        ("[5, 6].existsOne(i, v, v > 4)", "false"),
        ("[5, 6].exists_one(i, v, v > 5)", "true"),
        ("{'a': 1, 'b': 2}.all(k, v, v > 0 && k != '')", "true"),
        ("{'a': 1, 'b': 2}.exists(k, v, v == 2)", "true"),
        ("[5, 6].transformList(i, v, i * v)", "[0, 6]"),
        ("[5, 6].transformList(i, v, i > 0, i * v)", "[6]"),
        ("{'a': 1}.transformList(k, v, k)", r#"["a"]"#),
        ("[5, 6].transformMap(i, v, v + 1)[1]", "7"),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", r#"{"a": 2, "b": 3}"#),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v + 1)", r#"{"b": 3}"#),
        ("{'a': 'x', 'b': 'y'}.transformMapEntry(k, v, {v: k})", r#"{"x": "a", "y": "b"}"#),
        ("{'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k})", "error"),
        ("{'a': 'x', 'b': 'y'}.transformMapEntry(k, v, k == 'a', {v: k, k: v})", r#"{"a": "x", "x": "a"}"#),
        ("P.attr.address.transformMap(k, v, k + v)", r#"{"city": "cityBern"}"#),
        (
            "P.attr.transformList(k, v, k).sort()",
            r#"["address", "big", "half", "ip", "level", "neg", "nothing", "ones", "pattern", "spiffe", "tags", "text", "when", "words"]"#,
        ),
        ("[[1, 2], [3]].transformList(i, v, v.transformList(j, w, i * 10 + w))", "[[1, 2], [13]]"),
        ("P.attr.exists(k, k == 'level')", "true"),
        (
            "P.attr.map(k, k).sort()",
            r#"["address", "big", "half", "ip", "level", "neg", "nothing", "ones", "pattern", "spiffe", "tags", "text", "when", "words"]"#,
        ),
        ("P.attr.all(k, v, k != '')", "true"),
        ("R.attr.shared.filter(x, x != 'u-2')", r#"["u-3"]"#),
        ("R.attr.shared.map(x, x == 'u-2', x + '!')", r#"["u-2!"]"#),
        ("[1, 2, 3].map(x, x * 2)", "[2, 4, 6]"),
        ("[[1, 2], [3]].map(x, x.map(y, y + 1))", "[[2, 3], [4]]"),
        ("[1, 2, 3].exists_one(x, x > 2)", "true"),
    ]);
}

#[test]
fn lists_are_sets() {
    told(&[
        ("hasIntersection(P.attr.ones, [1, 2])", "true"),
        ("hasIntersection(P.attr.ones, [1, 2, 3])", "true"),
        ("hasIntersection(P.attr.ones, [1, 2, 3, 4])", "false"),
        ("hasIntersection([1, 2, 3, 4], P.attr.ones)", "false"),
        ("hasIntersection(P.attr.ones, [1.0, 2.0, 3.0, 4.0])", "true"),
        ("hasIntersection(P.attr.ones, [1, 2, 3, true])", "true"),
        ("hasIntersection(P.attr.tags, ['z', 'y', 'x', 'a'])", "true"),
        ("has_intersection(['a'], P.attr.tags)", "true"),
        ("isSubset(P.attr.ones, [1, 2, 3, 4])", "false"),
        ("isSubset(P.attr.ones, [1, 2, 3])", "true"),
        ("isSubset([], [1])", "true"),
        ("is_subset(['a'], ['a', 'b'])", "true"),
        ("P.attr.ones.isSubset([1, 2])", "true"),
        ("intersect([1, 2, 3, 4], P.attr.ones)", "[]"),
        ("intersect(['b', 'a', 'b'], ['a', 'b', 'c', 'd'])", r#"["b", "a", "b"]"#),
        ("intersect(P.attr.tags, ['b', 'a'])", r#"["b", "a"]"#),
        ("except(P.attr.tags, ['a'])", r#"["b", 1]"#),
        ("[1, 2, 3].except([2])", "[1, 3]"),
        ("P.attr.ones.except([1, 2, 3, 4])", "[1]"),
        ("intersect([1], P.attr.level)", "error"),
        ("hasIntersection([timestamp('2021-04-20T10:00:00Z')], [timestamp('2021-04-20T12:00:00+02:00')])", "true"),
    ]);
}

#[test]
fn addresses_are_in_ranges() {
    told(&[
        ("P.attr.ip.inIPAddrRange('10.0.0.0/8')", "true"),
        ("P.attr.ip.inIPAddrRange('10.0.0.0')", "error"),
        ("'::ffff:10.1.2.3'.inIPAddrRange('10.0.0.0/8')", "true"),
        ("'10.1.2.3'.inIPAddrRange('::ffff:10.0.0.0/104')", "true"),
        ("'10.1.2.3'.inIPAddrRange('::/0')", "false"),
        ("'::1'.inIPAddrRange('0.0.0.0/0')", "false"),
        ("'010.1.2.3'.inIPAddrRange('10.0.0.0/8')", "error"),
        ("'fe80::1%eth0'.inIPAddrRange('fe80::/10')", "error"),
        ("'10.1.2.3'.inIPAddrRange('10.0.0.1/08')", "true"),
    ]);
}

#[test]
fn hierarchies_know_their_ancestors() {
    told(&[
        ("hierarchy('a.b.c').size()", "3"),
        ("hierarchy(['a', 'b']) == hierarchy('a.b')", "true"),
        ("hierarchy('a.b')[0]", r#""a""#),
        ("hierarchy('a.b')[2]", "error"),
        ("hierarchy('a.b')[-1]", "error"),
        ("hierarchy('a.b').ancestorOf(hierarchy('a.b'))", "false"),
        ("hierarchy('a.b').ancestorOf(hierarchy('a.b.c'))", "true"),
        ("hierarchy('a.b').descendentOf(hierarchy('a'))", "true"),
        ("hierarchy('a.b').immediateChildOf(hierarchy('a'))", "true"),
        ("hierarchy('a').immediateParentOf(hierarchy('a.b'))", "true"),
        ("hierarchy('a.b').overlaps(hierarchy('a'))", "true"),
        ("hierarchy('a.b').overlaps(hierarchy('a.b'))", "true"),
        ("hierarchy('a.b').overlaps(hierarchy('a.c'))", "false"),
        ("hierarchy('a.b').siblingOf(hierarchy('a.c'))", "true"),
        ("hierarchy('a').siblingOf(hierarchy('b'))", "true"),
        ("hierarchy('a.b').siblingOf(hierarchy('a.b'))", "true"),
        ("hierarchy('a.b.c').commonAncestors(hierarchy('a.b.d')) == hierarchy('a.b')", "true"),
        ("hierarchy('a.b').commonAncestors(hierarchy('a.b')) == hierarchy('a')", "true"),
        ("hierarchy('a.b').commonAncestors(hierarchy('a.b.c')) == hierarchy('a.b')", "true"),
        ("hierarchy('a').commonAncestors(hierarchy('b')).size()", "0"),
        ("hierarchy('').size()", "1"),
        ("hierarchy('', '').size()", "0"),
        ("hierarchy('abc', '').size()", "3"),
        ("hierarchy([]).size()", "0"),
        ("hierarchy([]).siblingOf(hierarchy([]))", "true"),
        ("hierarchy(R.attr.scope).ancestorOf(hierarchy('a.b.c'))", "true"),
        ("hierarchy(R.attr.size)", "error"),
        ("hierarchy(P.attr.tags)", "error"),
        ("hierarchy('a') == hierarchy('b')", "false"),
        ("hierarchy('a') != hierarchy('b')", "true"),
        ("type(hierarchy('a')) == type(hierarchy('b'))", "true"),
    ]);
}

#[test]
fn spiffe_ids_are_matched() {
    told(&[
        ("spiffeID(P.attr.spiffe).path()", r#""/a/b""#),
        ("spiffeID(P.attr.spiffe).trustDomain().name()", r#""example.org""#),
        ("spiffeID(P.attr.spiffe).isMemberOf(spiffeTrustDomain('example.org'))", "true"),
        ("spiffeID(P.attr.spiffe).isMemberOf(spiffeTrustDomain('spiffe://example.org/x'))", "true"),
        ("spiffeID(P.attr.spiffe) == spiffeID('spiffe://example.org/a/b')", "true"),
        ("spiffeID(P.attr.spiffe) == spiffeID('spiffe://example.org/a')", "false"),
        ("spiffeID('spiffe://example.org').path()", r#""""#),
        ("spiffeID('spiffe://Example.org/a').path()", "error"),
        ("spiffeID('SPIFFE://example.org/a').path()", "error"),
        ("spiffeID('spiffe://example.org/').path()", "error"),
        ("spiffeID('spiffe://example.org/a//b').path()", "error"),
        ("spiffeID('spiffe://example.org/a/../b').path()", "error"),
        ("spiffeID('spiffe://example.org/a%20').path()", "error"),
        ("spiffeID('spiffe:///a').path()", "error"),
        ("spiffeID('').path()", "error"),
        ("spiffeTrustDomain('').name()", "error"),
        ("spiffeTrustDomain('Example').name()", "error"),
        ("spiffeTrustDomain('spiffe://example.org').name()", r#""example.org""#),
        ("spiffeTrustDomain('a:/b').name()", "error"),
        ("spiffeTrustDomain('example.org') == spiffeTrustDomain('example.org')", "true"),
        ("spiffeMatchAny().matchesID(P.attr.spiffe)", "true"),
        ("spiffeMatchAny().matchesID(spiffeID(P.attr.spiffe))", "true"),
        ("spiffeMatchAny().matchesID('nope')", "error"),
        ("spiffeMatchExact('spiffe://example.org/a/b').matchesID(P.attr.spiffe)", "true"),
        ("spiffeMatchExact(spiffeID('spiffe://example.org/a')).matchesID(P.attr.spiffe)", "false"),
        ("spiffeMatchOneOf(['spiffe://example.org/a/b', 'spiffe://example.org/c']).matchesID(P.attr.spiffe)", "true"),
        ("spiffeMatchOneOf([spiffeID('spiffe://example.org/c')]).matchesID(P.attr.spiffe)", "false"),
        ("spiffeMatchOneOf([spiffeID('spiffe://example.org/a/b')]).matchesID(P.attr.spiffe)", "true"),
        ("spiffeMatchOneOf([]).matchesID(P.attr.spiffe)", "false"),
        ("spiffeMatchOneOf(['nope']).matchesID(P.attr.spiffe)", "error"),
        ("spiffeMatchTrustDomain('example.org').matchesID(P.attr.spiffe)", "true"),
        ("spiffeMatchTrustDomain(spiffeTrustDomain('example.com')).matchesID(P.attr.spiffe)", "false"),
        ("spiffeMatchTrustDomain('spiffe://example.org').matchesID(P.attr.spiffe)", "true"),
        ("spiffeMatchAny() == spiffeMatchAny()", "false"),
    ]);
}

#[test]
fn times_and_durations_are_told() {
    told(&[
        ("timeSince(timestamp('2021-01-01T00:00:00Z')) > duration('1h')", "true"),
        ("timestamp('2021-01-01T00:00:00Z').timeSince() > duration('1h')", "true"),
        ("duration('1h30m')", r#""5400s""#),
        ("duration('1.5h').getMinutes()", "90"),
        ("duration('3750s').getMilliseconds()", "3750000"),
        ("duration('1s500ms').getMilliseconds()", "1500"),
        ("duration('90s').getSeconds()", "90"),
        ("duration(P.attr.text)", "error"),
        ("duration('-1.5s')", r#""-1.5s""#),
        ("duration('1d')", "error"),
        ("duration('1e3s')", "error"),
        ("duration('1s x')", "error"),
        ("duration('')", "error"),
        ("string(duration('1h'))", r#""3600s""#),
        ("string(timestamp('2021-04-20T10:05:20.021-05:00'))", r#""2021-04-20T10:05:20.021-05:00""#),
        ("timestamp(P.attr.when)", r#""2021-04-20T10:05:20.021-05:00""#),
        ("timestamp(P.attr.when).getHours('America/New_York')", "11"),
        ("timestamp(P.attr.when).getHours('+02:00')", "17"),
        ("timestamp(P.attr.when).getHours('02:00')", "17"),
        ("timestamp(P.attr.when).getHours('Nowhere/City')", "error"),
        ("timestamp(P.attr.when).getDayOfYear()", "109"),
        ("timestamp(P.attr.when).getDate()", "20"),
        ("timestamp(P.attr.when).getFullYear('Asia/Tokyo')", "2021"),
        ("timestamp(P.attr.when).getMonth()", "3"),
        ("timestamp(P.attr.when).getDayOfWeek()", "2"),
        ("timestamp(P.attr.when).getMilliseconds()", "21"),
        ("timestamp(1700000000)", r#""2023-11-14T22:13:20Z""#),
        ("timestamp('2021-04-20 10:05:20Z')", "error"),
        ("timestamp('2021-04-20t10:05:20z')", "error"),
        ("timestamp('2021-04-20T10:05:20')", "error"),
        ("int(timestamp('2021-04-20T10:05:20Z'))", "1618913120"),
        ("timestamp('2021-04-20T10:05:20Z') - timestamp('2021-04-19T10:05:20Z')", r#""86400s""#),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "error"),
        (
            "'%s %s %s %s'.format([true, null, duration('90s'), timestamp('2021-04-20T10:05:20Z')])",
            r#""true null 90s 2021-04-20T10:05:20Z""#,
        ),
        ("[duration('2s'), duration('1s')].sort()", r#"["1s", "2s"]"#),
        ("type(now()) == google.protobuf.Timestamp", "true"),
    ]);
}

#[test]
fn values_are_converted() {
    told(&[
        ("string(P.attr.level)", r#""3""#),
        ("string(P.attr.big)", r#""9.007199254740992e+15""#),
        ("string(1.5)", r#""1.5""#),
        ("string(1e100)", r#""1e+100""#),
        ("string(0.1 + 0.2)", r#""0.30000000000000004""#),
        ("string(-0.0)", r#""-0""#),
        ("string(12345678.9)", r#""1.23456789e+07""#),
        ("string(100000000000000000000000.0)", r#""1e+23""#),
        ("int(P.attr.level)", "3"),
        ("int('x')", "error"),
        ("int(1.9)", "1"),
        ("int(1e30)", "error"),
        ("uint(-1)", "error"),
        ("double('1.5')", "1.5"),
        ("bool('true')", "true"),
        ("bool('1')", "true"),
        ("bool('yes')", "error"),
        ("bytes('abc')", r#""YWJj""#),
        (r#"string(b'\xff')"#, "error"),
    ]);
}

#[test]
fn values_are_read_and_compared() {
    told(&[
        ("1+1", "2"),
        ("has(G.missing)", "false"),
        ("1 / 0", "error"),
        ("{P.attr.level: 'a'} == {3: 'a'}", "true"),
        ("{'a': 1, 'a': 2}", r#"{"a": 2}"#),
        ("id(P.attr.level)", "3"),
        ("P.attr.big", "9007199254740992"),
        ("P.attr.big + 0.0", "9007199254740992"),
        ("P.attr.level in [1, 2, 3]", "true"),
        ("P.attr.level == 3", "true"),
        ("P.attr.level == 3u", "true"),
        ("P.attr.level < 9223372036854775807", "true"),
        ("P.attr.tags[1]", r#""b""#),
        ("P.attr.tags[P.attr.level]", "error"),
        ("P.attr.words[P.attr.ones[0]]", r#""y""#),
        ("P.attr.words[1.0]", r#""y""#),
        ("P.attr.words[-1]", "error"),
        ("P.attr['address']['city']", r#""Bern""#),
        ("P.attr.address.city.size()", "4"),
        ("P.attr.level + 1", "error"),
        ("5 % 3", "2"),
        ("-7 / 2", "-3"),
        ("-7 % 2", "-1"),
        ("9223372036854775807 + 1", "error"),
        ("P.attr.nothing == null", "true"),
        ("has(P.attr.nothing)", "true"),
        ("has(P.attr.zzz)", "false"),
        ("P.attr.zzz == null", "error"),
        ("R.attr.public || R.attr.zzz", "error"),
        ("!R.attr.public", "true"),
        ("R.attr.size > 5 ? 'big' : 'small'", r#""big""#),
        ("type(P.attr.tags) == list", "true"),
        ("type(P.attr) == map", "true"),
        ("type(null) == null_type", "true"),
        ("dyn(1) == 1.0", "true"),
        ("b'abc' + b'def'", r#""YWJjZGVm""#),
        ("size(b'abc')", "3"),
        (r#"b'\xff' == bytes('a')"#, "false"),
        ("'a' < 'b'", "true"),
        ("P.roles", r#"["admin", "user"]"#),
        ("request.principal.id", r#""u-1""#),
        ("request.resource.kind", r#""contact""#),
        ("has(P.policyVersion)", "false"),
        ("P.policyVersion", r#""""#),
        ("R.policy_version", r#""""#),
        ("runtime.effectiveDerivedRoles", "[]"),
        ("'abc'.size()", "3"),
        ("1u + 2u", "3"),
        ("1.0 / 3.0", "0.3333333333333333"),
        ("18446744073709551615u", r#""18446744073709551615""#),
        ("9007199254740993", r#""9007199254740993""#),
        ("true", "true"),
        ("null", "null"),
        ("'é'", r#""é""#),
        ("[1, 'a', true, null]", r#"[1, "a", true, null]"#),
        ("[]", "[]"),
        ("{}", "{}"),
    ]);
}
