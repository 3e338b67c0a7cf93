use proptest::prelude::*;

use super::*;
use TargetError::*;

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

fn check(rows: &[(&[u8], Result<&str, TargetError>)]) {
    for (raw, expect) in rows {
        let seen = Target::parse(raw, &host("h")).map(|target| target.wire());
        assert_eq!(seen.as_deref(), expect.as_ref().copied(), "{}", raw.escape_ascii());
    }
}

/// Rows that are accepted as they are.
fn check_kept(rows: &[&str]) {
    for raw in rows {
        check(&[(raw.as_bytes(), Ok(raw))]);
    }
}

fn check_refused(rows: &[&[u8]], error: TargetError) {
    for raw in rows {
        check(&[(raw, Err(error))]);
    }
}

#[test]
fn a_path_with_one_reading_is_kept_as_it_is() {
    check_kept(&[
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/",
        "/users/u-1/profile",
        "/A/b",
        "/admin.",
        "/.a",
        "/a.",
        "/...",
        "/.../a",
        "/..a",
        "/a..",
        "/.well-known/x",
        "/a.b.c",
        "/~me",
        "/a_b-c.d~e",
        "/!$&'()*+,=:@",
        "/pkg.Svc/Method",
        "/a:b",
        "/a@b",
        "/a=b,c",
        "/*",
        "/a*",
        "/users/*",
        "/admin%20",
        "/%20",
        "/a%22b",
        "/%3C%3E",
        "/a%2Bb",
        "/a%40b",
        "/%24%26",
        "/100%25",
        "/%25",
        "/%25/",
        "/%25a",
        "/%25a/a",
        "/%25/25",
        "/%25g0",
        "/%252",
        "/%25%20",
        "/caf%C3%A9",
        "/%E2%82%AC",
        "/%F0%9F%A6%80",
        "/%EF%BC%8F",
        "/%E2%80%A8",
        "/%C2%A0",
    ]);
}

#[test]
fn encoded_unreserved_characters_and_hex_case_are_normalised() {
    check(&[
        (b"/%61dmin", Ok("/admin")),
        (b"/%41dmin", Ok("/Admin")),
        (b"/%7Eme", Ok("/~me")),
        (b"/%7eme", Ok("/~me")),
        (b"/%2Da%5Fb%2D", Ok("/-a_b-")),
        (b"/a%2Eb", Ok("/a.b")),
        (b"/%2Ea", Ok("/.a")),
        (b"/a%2e", Ok("/a.")),
        (b"/%2e%2e%2e", Ok("/...")),
        (b"/%30%39", Ok("/09")),
        (b"/%5a%7A", Ok("/Zz")),
        (b"/caf%c3%a9", Ok("/caf%C3%A9")),
        (b"/%f0%9F%a6%80/", Ok("/%F0%9F%A6%80/")),
        (b"/a%2bb", Ok("/a%2Bb")),
        (b"/%61%2b/%62", Ok("/a%2B/b")),
        (b"/%25%67%30", Ok("/%25g0")),
        (b"/a?%61=%7e", Ok("/a?%61=%7e")),
    ]);
}

#[test]
fn the_query_goes_as_it_came() {
    check_kept(&[
        "/?",
        "/a?",
        "/a?x=1",
        "/a?x=1&x=2",
        "/a?/../admin",
        "/a?//",
        "/a??b",
        "/public?x=/admin",
        "/admin?/public",
        "/a?%",
        "/a?%zz",
        "/a?%2F%00%C0%AF",
        "/a?a;b",
        "/a?a\\b",
        "/a?{x}|^`[]",
        "/a?x=%3c",
        "/a?http://evil/",
    ]);
    check(&[(b"/a?x=\"<1>\"", Ok("/a?x=%22%3C1%3E%22"))]);
}

#[test]
fn dot_segments_are_refused() {
    check_refused(
        &[
            b"/.",
            b"/..",
            b"/./",
            b"/../",
            b"/a/.",
            b"/a/..",
            b"/a/./b",
            b"/a/../b",
            b"/public/../admin",
            b"/../../etc/passwd",
            b"/%2e",
            b"/%2E",
            b"/%2e%2e",
            b"/%2E%2e/",
            b"/.%2e",
            b"/%2e.",
            b"/.%2E/admin",
            b"/a/%2e/b",
            b"/public/%2e%2e/admin",
            b"/public/.%2e/admin",
            b"/users/%2e",
            b"/admin/.",
            b"/a/..?x",
            b"/a%20/..",
        ],
        DotSegment,
    );
}

#[test]
fn an_empty_inner_segment_is_refused() {
    check_refused(
        &[b"//", b"//admin", b"//evil/admin", b"/a//b", b"/a//", b"///", b"/api//v1///users", b"/%61//b"],
        EmptySegment,
    );
}

#[test]
fn an_encoded_separator_is_refused() {
    check_refused(&[b"/a%2fb", b"/a%2Fb", b"/%2F", b"/..%2f", b"/%2f%2fevil", b"/a%2f..%2fadmin"], EncodedSlash);
    check_refused(&[b"/a%5cb", b"/a%5Cb", b"/..%5c..%5cadmin"], EncodedBackslash);
    check_refused(&[b"/a%3bb", b"/a%3Bx=1", b"/..%3b/admin", b"/a%23b", b"/a%3fb", b"/a%3Fb=1"], EncodedDelimiter);
}

#[test]
fn a_backslash_is_refused() {
    check_refused(&[b"/\\admin", b"/public\\..\\admin", b"/a\\", b"/public/..\\admin"], Backslash);
}

#[test]
fn a_path_parameter_is_refused() {
    check_refused(
        &[b"/admin;x=1", b"/;/admin", b"/public/..;/admin", b"/user/..;foo=bar/admin", b"/a;", b"/a;jsessionid=1/b"],
        Semicolon,
    );
}

#[test]
fn a_fragment_is_refused() {
    check_refused(&[b"/public#/../admin", b"/#", b"/a?x#y", b"/a?#", b"/#/../admin", b"http://h/#a"], Fragment);
}

#[test]
fn a_control_character_is_refused() {
    check_refused(&[b"/a\0", b"/\x01", b"/a\tb", b"/a\r\nX: y", b"/a\x7f", b"/a\x1b[31m"], Control);
    check_refused(
        &[b"/a%00", b"/a%0d%0ax", b"/a%0A", b"/%09", b"/a%7f", b"/a%7F", b"/%1b", b"/%1F", b"/a%C2%85b", b"/%c2%80"],
        EncodedControl,
    );
}

#[test]
fn a_raw_byte_that_a_path_may_not_have_is_refused() {
    check_refused(
        &[
            b"/a b",
            b"/ ",
            b"/a\"b",
            b"/<a>",
            b"/a[0]",
            b"/a^b",
            b"/a`b",
            b"/{id}",
            b"/a|b",
            "/café".as_bytes(),
            b"/\xff",
            b"/\xc0\xae",
            b"/a%20b c",
        ],
        ForbiddenByte,
    );
    check_refused(&[b"/a?x y", b"/a?\t", b"/a?\r\n", b"/a?\0", b"/a?\x7f", b"/a?\xc3\xa9", b"/a?x=\xff"], QueryByte);
}

#[test]
fn a_doubly_encoded_path_is_refused() {
    check_refused(
        &[
            b"/%252e%252e",
            b"/%252f",
            b"/%252Fadmin",
            b"/%2500",
            b"/%25zz%2541",
            b"/%25aB",
            b"/%2525",
            b"/a%25%252f",
            b"/%25%32%65",
            b"/%252%65",
            b"/%25%325",
            b"/%25%41%42",
            b"/%2566%20",
        ],
        DoubleEncoded,
    );
}

#[test]
fn a_broken_escape_is_refused() {
    check_refused(
        &[b"/%", b"/a%", b"/%2", b"/%zz", b"/%2z", b"/%%32%65", b"/%u002e", b"/% 1", b"/%+1", b"/%C3%", b"/%C3%A"],
        BrokenEscape,
    );
}

#[test]
fn overlong_utf8_is_refused() {
    check_refused(
        &[
            b"/%c0%ae",
            b"/%c0%af",
            b"/%C1%9C",
            b"/%e0%80%ae",
            b"/%E0%80%AF",
            b"/%f0%80%80%ae",
            b"/%ff",
            b"/%80",
            b"/%C3",
            b"/%C3a",
            b"/%C3/%A9",
            b"/%E2%82",
            b"/%E2%82x",
            b"/%C3%28",
            b"/%ED%A0%80",
            b"/%F4%90%80%80",
            b"/%F5%80%80%80",
        ],
        NotUtf8,
    );
}

#[test]
fn a_target_that_is_not_in_origin_form_is_refused() {
    check_refused(
        &[
            b"",
            b"*",
            b"admin",
            b"\\admin",
            b"@evil/admin",
            b"h:80",
            b"h",
            b"?x",
            b"#x",
            b"%2Fadmin",
            b" /admin",
            b"../admin",
            b"foo://h/admin",
            b"ftp://h/admin",
            b"file:///etc/passwd",
            b"http:/h/admin",
            b"http:h",
            b"http:",
            b"httpx://h/",
            b"ws://h/",
            b"foo:bar://h/admin",
            b"http://h#a",
        ],
        NotOriginForm,
    );
    assert_eq!(CanonicalPath::parse(b""), Err(NotOriginForm));
    assert_eq!(CanonicalPath::parse(b"a"), Err(NotOriginForm));
    assert_eq!(CanonicalPath::parse(b"/a?b"), Err(ForbiddenByte));
}

#[test]
fn an_absolute_target_that_agrees_with_the_host_is_rewritten() {
    check(&[
        (b"http://h/admin", Ok("/admin")),
        (b"HTTP://H/admin", Ok("/admin")),
        (b"https://h/admin?x=1", Ok("/admin?x=1")),
        (b"http://h:80/a", Ok("/a")),
        (b"https://h:443/a", Ok("/a")),
        (b"http://h", Ok("/")),
        (b"http://h?x", Ok("/?x")),
        (b"http://h/", Ok("/")),
        (b"http://h/%61", Ok("/a")),
        (b"http://h/../a", Err(DotSegment)),
        (b"http://h//a", Err(EmptySegment)),
    ]);
    let with_port = |raw: &[u8]| Target::parse(raw, &host("h:8080")).map(|target| target.wire());
    assert_eq!(with_port(b"http://h:8080/a"), Ok("/a".to_owned()));
    assert_eq!(with_port(b"http://h/a"), Err(AuthorityMismatch));
    assert_eq!(Target::parse(b"http://h/a", &host("h:80")).map(|target| target.wire()), Ok("/a".to_owned()));
    assert_eq!(Target::parse(b"https://h/a", &host("h:80")), Err(AuthorityMismatch));
    assert_eq!(Target::parse(b"http://[::1]:80/a", &host("[0::1]")).map(|target| target.wire()), Ok("/a".to_owned()));
}

#[test]
fn an_absolute_target_for_another_host_is_refused() {
    check_refused(
        &[
            b"http://evil/admin",
            b"http://h:8080/",
            b"http://h:443/",
            b"https://h:80/",
            b"http:///admin",
            b"http://",
            b"http://@h/",
            b"http://h@evil/",
            b"http://u:p@h/",
            b"http://h\\@evil/",
            b"http://h./",
            b"http://h:/",
            b"http://h:080/",
            b"http://h%2F/",
            b"http://h,evil/",
            b"http://h evil/",
        ],
        AuthorityMismatch,
    );
}

#[test]
fn segments_are_counted_with_a_last_empty_one_for_a_trailing_slash() {
    let segments = |raw: &str| path(raw).segments().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(segments("/"), [""]);
    assert_eq!(segments("/a"), ["a"]);
    assert_eq!(segments("/a/"), ["a", ""]);
    assert_eq!(segments("/a/b%20c"), ["a", "b%20c"]);
}

#[test]
fn a_segment_is_decoded_once() {
    assert_eq!(decode("u-1"), "u-1");
    assert_eq!(decode("a%20b"), "a b");
    assert_eq!(decode("a+b"), "a+b");
    assert_eq!(decode("caf%C3%A9"), "café");
    assert_eq!(decode("100%25"), "100%");
    assert_eq!(decode("%252"), "%2");
    assert_eq!(decode("%zz"), "%zz");
    assert_eq!(decode("%FF"), "%FF");
}

#[test]
fn a_prefix_is_stripped_by_whole_segments() {
    let strip = |raw: &str, prefix: &str| path(raw).strip_prefix(&path(prefix)).map(|rest| rest.to_string());
    assert_eq!(strip("/api/x", "/api").as_deref(), Some("/x"));
    assert_eq!(strip("/api", "/api").as_deref(), Some("/"));
    assert_eq!(strip("/api/", "/api").as_deref(), Some("/"));
    assert_eq!(strip("/api/x/", "/api").as_deref(), Some("/x/"));
    assert_eq!(strip("/api/x", "/api/").as_deref(), Some("/x"));
    assert_eq!(strip("/api/v1/x", "/api/v1").as_deref(), Some("/x"));
    assert_eq!(strip("/x", "/").as_deref(), Some("/x"));
    assert_eq!(strip("/", "/").as_deref(), Some("/"));
    assert_eq!(strip("/%61pi/x", "/api").as_deref(), Some("/x"));
}

#[test]
fn a_prefix_is_not_stripped_inside_a_segment() {
    let strip = |raw: &str, prefix: &str| path(raw).strip_prefix(&path(prefix)).map(|rest| rest.to_string());
    assert_eq!(strip("/apix", "/api"), None);
    assert_eq!(strip("/api%20/x", "/api"), None);
    assert_eq!(strip("/ap", "/api"), None);
    assert_eq!(strip("/API/x", "/api"), None);
    assert_eq!(strip("/x/api/y", "/api"), None);
    assert_eq!(strip("/api", "/api/"), None);
}

#[test]
fn the_wire_form_of_a_stripped_path_keeps_the_query() {
    let target = Target::parse(b"/api/x?a=1", &host("h")).unwrap();
    let stripped = target.path.strip_prefix(&path("/api")).unwrap();
    assert_eq!(stripped.wire(target.query()), "/x?a=1");
    assert_eq!(stripped.wire(Query::new(Some(""))), "/x?");
    assert_eq!(stripped.wire(Query::default()), "/x");
}

fn path(raw: &str) -> CanonicalPath {
    CanonicalPath::parse(raw.as_bytes()).unwrap()
}

/// Targets from the parts that attacks are made of.
fn raw_target() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[a-zA-Z0-9._~-]{1,3}".prop_map(String::into_bytes),
        4 => Just(b"/".to_vec()),
        2 => prop::sample::select(vec!["%25", "%2e", "%2E", "%41", "%61", "%32", "%20", "%C3%A9", "%e2%82%ac", "%"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::sample::select(vec!["..", ".", "%2f", "%5C", "%00", ";", "\\", "#", "?", "?x=%22\"", "+", "@", ":", "*"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(part, 0..10).prop_map(|parts| [b"/".to_vec(), parts.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_was_parsed_parses_again_to_itself(raw in raw_target()) {
        if let Ok(target) = Target::parse(&raw, &host("h")) {
            let wire = target.wire();
            prop_assert_eq!(Target::parse(wire.as_bytes(), &host("h")), Ok(target.clone()));
            prop_assert_eq!(CanonicalPath::parse(target.path.as_str().as_bytes()), Ok(target.path));
        }
    }

    #[test]
    fn a_canonical_path_holds_nothing_that_is_refused(raw in raw_target()) {
        if let Ok(target) = Target::parse(&raw, &host("h")) {
            let path = target.path.as_str();
            prop_assert!(path.starts_with('/') && path.is_ascii());
            prop_assert!(!path.contains("//"));
            let raw_bytes = path.contains(['\\', ';', '#', '?', ' ', '"', '<', '>', '[', ']', '{', '}', '|', '^', '`']);
            prop_assert!(!raw_bytes);
            prop_assert!(!path.chars().any(char::is_control));
            let escapes = ["%2F", "%5C", "%3B", "%23", "%3F", "%00", "%0A", "%0D", "%7F"];
            prop_assert!(!escapes.iter().any(|bad| path.contains(bad)));
            prop_assert!(!target.path.segments().any(|segment| segment == "." || segment == ".."));
            for segment in target.path.segments() {
                // Decoded once: text in which there is neither a separator, nor a dot segment, nor an escape left.
                let decoded = escape::decode(segment, Plus::Literal);
                prop_assert!(decoded.is_some(), "{} decodes", segment);
                let decoded = decoded.unwrap();
                prop_assert!(!decoded.contains(['/', '\\', ';', '#', '?']) && decoded != "." && decoded != "..");
                prop_assert!(!decoded.chars().any(char::is_control));
                let twice = decoded.split('%').skip(1).any(|tail| octet(tail.as_bytes()).is_some());
                prop_assert!(!twice, "{} is not encoded twice", segment);
            }
        }
    }

    #[test]
    fn the_segments_that_are_matched_are_those_that_are_forwarded(raw in raw_target()) {
        if let Ok(target) = Target::parse(&raw, &host("h")) {
            let wire: http::uri::PathAndQuery = target.wire().parse().expect("a target that can be sent");
            prop_assert_eq!(wire.path(), target.path.as_str());
            prop_assert_eq!(wire.query(), target.query().as_str());
            let forwarded: Vec<&str> = wire.path().split('/').skip(1).collect();
            prop_assert_eq!(forwarded, target.path.segments().collect::<Vec<_>>());
            // And decoded, they are what the client wrote.
            let sent = raw.split(|&byte| byte == b'?').next().unwrap_or_default();
            let sent: Vec<_> = str::from_utf8(sent).unwrap().split('/').skip(1).map(|s| decode(s).into_owned()).collect();
            prop_assert_eq!(sent, target.path.segments().map(|s| decode(s).into_owned()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_left_below_a_prefix_is_canonical_and_its_segments_stay(raw in raw_target(), depth in 0usize..4) {
        if let Ok(target) = Target::parse(&raw, &host("h")) {
            let segments: Vec<&str> = target.path.segments().collect();
            let prefix = format!("/{}", segments.iter().take(depth).copied().collect::<Vec<_>>().join("/"));
            if let Some(left) = CanonicalPath::parse(prefix.as_bytes()).ok().and_then(|prefix| target.path.strip_prefix(&prefix)) {
                prop_assert_eq!(CanonicalPath::parse(left.as_str().as_bytes()), Ok(left.clone()));
                let rest: Vec<&str> = segments.iter().skip(depth).copied().collect();
                let kept: Vec<&str> = left.segments().collect();
                // A path that was stripped to its end is `/`.
                prop_assert!(kept == rest || (rest.is_empty() && left.as_str() == "/"), "{} below {}: {}", target.path, prefix, left);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(raw in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Target::parse(&raw, &host("h"));
    }
}
