use proptest::prelude::*;

use super::*;
use Malformation::*;

const LIMITS: HeadLimits = HeadLimits { headers: 6, target_bytes: 24 };

/// Judges one whole head.
fn check(head: &[u8], expect: Result<(), WireFault>) {
    let expect = expect.map(|()| Some(head.len()));
    assert_eq!(HeadScan::new(LIMITS).feed(head), expect, "{}", head.escape_ascii());
}

fn check_refused(heads: &[&[u8]], malformation: Malformation) {
    for head in heads {
        check(head, Err(malformation.into()));
    }
}

/// Judges request lines, each in an otherwise good head.
fn check_lines(lines: &[&[u8]], expect: Result<(), WireFault>) {
    for line in lines {
        check(&[line, b"\r\nHost: h\r\n\r\n".as_slice()].concat(), expect);
    }
}

/// Judges field lines, each in an otherwise good head.
fn check_fields(fields: &[&[u8]], expect: Result<(), WireFault>) {
    for field in fields {
        check(&[b"POST / HTTP/1.1\r\nHost: h\r\n", *field, b"\r\n\r\n"].concat(), expect);
    }
}

fn malformed(malformation: Malformation) -> Result<(), WireFault> {
    Err(malformation.into())
}

#[test]
fn an_ordinary_head_passes() {
    let heads: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        b"GET /a?b=c HTTP/1.1\r\nhost:h\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHOST: h:80\r\n\r\n",
        b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:5\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: \t 1234567890123456789 \t\r\nHost: \t h \r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding:CHUNKED \r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
    ];
    for head in heads {
        check(head, Ok(()));
    }
    check_lines(&[b"G!T / HTTP/1.1", b"get / HTTP/1.1", b"PROPFIND /a HTTP/1.1", b"M-SEARCH * HTTP/1.1"], Ok(()));
    check_fields(
        &[
            b"x:",
            b"x: ",
            b"x: a\tb",
            b"x: \xff\xc3\xa9",
            b"!#$%&'*+-.^_`|~9: 1",
            b"x: a:b",
            b"Transfer_Encoding: gzip",
            b"X: \"\\",
        ],
        Ok(()),
    );
}

#[test]
fn a_request_line_with_other_than_two_single_spaces_is_refused() {
    check_lines(
        &[
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b" GET / HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"GE T / HTTP/1.1",
            b"GET /",
            b"GET",
            b"GET HTTP/1.1",
            b"GET  HTTP/1.1",
            b" / HTTP/1.1",
            b"G@T / HTTP/1.1",
            b"GET: / HTTP/1.1",
            b"(GET) / HTTP/1.1",
            b"\"GET\" / HTTP/1.1",
        ],
        malformed(RequestLine),
    );
    check_lines(&[b"GET / HTTP/1.1 "], malformed(RequestLine));
    check_lines(&[b"GET /HTTP/1.1 x"], malformed(Version));
    check_lines(&[b""], malformed(RequestLine));
}

#[test]
fn an_empty_line_before_the_request_is_refused() {
    check_refused(&[b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\n\r\n", b"\r\n"], RequestLine);
    check_refused(&[b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"], BareLf);
}

#[test]
fn a_control_or_a_byte_beyond_ascii_in_the_request_line_is_refused() {
    check_lines(
        &[b"GET\t/ HTTP/1.1", b"GET /a\tb HTTP/1.1", b"GET /a\x01b HTTP/1.1", b"GET /\x7f HTTP/1.1", b"\x16\x03\x01"],
        malformed(Control),
    );
    check_lines(&[b"GET /\0 HTTP/1.1", b"\0GET / HTTP/1.1"], malformed(Nul));
    check_lines(&[b"GET /\xff HTTP/1.1", b"GET /caf\xc3\xa9 HTTP/1.1", b"GET / HTTP/1.1\x80"], malformed(BeyondAscii));
}

#[test]
fn a_version_other_than_1_0_or_1_1_is_refused() {
    check_lines(
        &[
            b"GET / HTTP/0.9",
            b"GET / HTTP/1.2",
            b"GET / HTTP/2.0",
            b"GET / HTTP/2",
            b"GET / HTTP/1.1x",
            b"GET / HTTP/1.10",
            b"GET / HTTP/11",
            b"GET / http/1.1",
            b"GET / HTTP/1,1",
            b"GET / HTTPS/1.1",
            b"GET / ICY/1.1",
            b"PRI * HTTP/2.0",
            b"GET / ",
        ],
        malformed(Version),
    );
}

#[test]
fn a_bare_line_feed_is_refused() {
    check_refused(
        &[
            b"GET / HTTP/1.1\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\nHost: h\n\n",
            b"GET / HTTP/1.1\r\nHost: h\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 5\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX: a\n\r\n",
            b"\n",
        ],
        BareLf,
    );
}

#[test]
fn a_bare_carriage_return_is_refused() {
    check_refused(
        &[
            b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\rHost: h\r\n\r\n",
            b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\rX: a\r\n\r\n",
        ],
        BareCr,
    );
}

#[test]
fn a_control_in_a_field_is_refused() {
    check_fields(&[b"X: a\0b", b"X\0: a", b"\0: a"], malformed(Nul));
    check_fields(&[b"X: a\x01", b"X: \x7f", b"X: \x1b[31m", b"X\x0b: a", b"X: a\x08", b"X: a\x0c"], malformed(Control));
}

#[test]
fn a_folded_field_is_refused() {
    check_fields(
        &[b"X: a\r\n b", b"X: a\r\n\tb", b" X: a", b"\tX: a", b"X: a\r\n ", b"X: a\r\n Content-Length: 5"],
        malformed(Fold),
    );
    check_refused(&[b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"], Fold);
}

#[test]
fn a_field_name_that_is_not_a_token_before_the_colon_is_refused() {
    check_fields(
        &[
            b"X : a",
            b"X\t: a",
            b"Content-Length : 5",
            b"Transfer-Encoding : chunked",
            b": a",
            b"X",
            b"X a",
            b"X a: b",
            b"X(: a",
            b"\"X\": a",
            b"X,Y: a",
            b"X=Y: a",
            b"X/Y: a",
            b"[X]: a",
            b"{X}: a",
            b"X@: a",
            b"X;Y: a",
            b"X\xc3\xa9: a",
            b"\xff: a",
            b"Host\xa0: h",
            b"GET / HTTP/1.1",
        ],
        malformed(HeaderName),
    );
}

#[test]
fn a_repeated_or_odd_content_length_is_refused() {
    check_fields(
        &[
            b"Content-Length:",
            b"Content-Length: ",
            b"Content-Length: +5",
            b"Content-Length: -1",
            b"Content-Length: 0x5",
            b"Content-Length: \"5\"",
            b"Content-Length: 5;",
            b"Content-Length: 5,",
            b"Content-Length: 5, 5",
            b"Content-Length: 5,6",
            b"Content-Length: 5 5",
            b"Content-Length: 5.0",
            b"Content-Length: 1e3",
            b"Content-Length: 1_0",
            b"Content-Length: five",
            b"Content-Length: 12345678901234567890",
            b"Content-Length: 99999999999999999999999",
            b"Content-Length: \xd9\xa3",
        ],
        malformed(ContentLength),
    );
    check_fields(
        &[
            b"Content-Length: 5\r\nContent-Length: 5",
            b"Content-Length: 5\r\ncontent-length: 6",
            b"Content-Length: 5\r\nX: 1\r\nCONTENT-LENGTH:",
        ],
        malformed(RepeatedContentLength),
    );
}

#[test]
fn cl_te_smuggling_is_refused() {
    check_fields(
        &[
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
            b"Content-Length: 5\r\nX: 1\r\ntransfer-encoding: identity",
            b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        ],
        malformed(LengthAndChunked),
    );
}

#[test]
fn te_te_smuggling_is_refused() {
    check_fields(
        &[
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunkedx",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: ,chunked",
            b"Transfer-Encoding: chunked,",
            b"Transfer-Encoding: chunked;q=1",
            b"Transfer-Encoding: \"chunked\"",
            b"Transfer-Encoding:",
            b"Transfer-Encoding: ch unked",
            b"Transfer-Encoding: chunked\xa0",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\ntransfer-encoding: identity",
        ],
        malformed(TransferEncoding),
    );
    check_refused(&[b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"], ChunkedBefore11);
}

#[test]
fn a_host_that_is_missing_repeated_or_odd_is_refused() {
    check_refused(
        &[b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHosts: h\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"],
        MissingHost,
    );
    check_fields(&[b"Host: h", b"host: other", b"HOST:"], malformed(RepeatedHost));
    let odd: [&[u8]; 14] = [
        b"",
        b" ",
        b"h/admin",
        b"h evil",
        b"h,evil",
        b"h:99999",
        b"h:",
        b"h#x",
        b"h?x",
        b"u@h",
        b"h.",
        b"http://h",
        b"h\\x",
        b"\xff",
    ];
    for value in odd {
        check_refused(&[&[b"GET / HTTP/1.1\r\nHost: ", value, b"\r\n\r\n"].concat()], Host);
    }
}

#[test]
fn a_head_over_the_limits_is_refused() {
    let head = |fields: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: 1\r\n".repeat(fields));
    check(head(5).as_bytes(), Ok(()));
    check(head(6).as_bytes(), Err(WireFault::TooManyHeaders));
    let line = |bytes: usize| format!("GET /{} HTTP/1.1", "a".repeat(bytes - 1));
    check_lines(&[line(24).as_bytes()], Ok(()));
    check_lines(&[line(25).as_bytes()], Err(WireFault::TargetTooLong));
    assert_eq!(WireFault::TooManyHeaders.code(), "headers_too_large");
    assert_eq!(WireFault::TargetTooLong.code(), "headers_too_large");
    assert_eq!(WireFault::from(Fold).code(), "request_malformed");
}

#[test]
fn a_head_ends_with_its_empty_line_and_nowhere_else() {
    let end = |bytes: &[u8]| HeadScan::new(LIMITS).feed(bytes);
    for begun in ["", "G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"] {
        assert_eq!(end(begun.as_bytes()), Ok(None), "{begun:?}");
    }
    for behind in ["", "GET /next HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n", "\0"] {
        assert_eq!(end(format!("GET / HTTP/1.1\r\nHost: h\r\n\r\n{behind}").as_bytes()), Ok(Some(27)), "{behind:?}");
    }
}

#[test]
fn a_connection_field_that_nominates_too_much_or_nonsense_is_refused() {
    check_fields(
        &[
            b"Connection: close",
            b"Connection:",
            b"Connection: keep-alive, X-Mine,,",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Connection: a, b, c, d, e, f, g, h, i",
            b"Connection: a,b,c,d,e\r\nCONNECTION: f,g,h,i",
            b"X-Connection: host",
        ],
        Ok(()),
    );
    check_fields(
        &[
            b"Connection: a, b, c, d, e, f, g, h, i, j",
            b"Connection: a,b,c,d,e\r\nconnection: f,g,h,i,j",
            b"Connection: Host",
            b"Connection: close, CONTENT-LENGTH",
            b"Connection: transfer-encoding",
            b"Connection: x-forwarded-for",
            b"Connection: \"close\"",
            b"Connection: a b",
            b"Connection: :path",
            b"Connection: a;b",
            b"Connection: \xe9",
        ],
        malformed(Connection),
    );
}

#[test]
fn a_slow_client_with_a_bad_line_is_refused_before_the_head_ends() {
    let verdict = |arrived: &[u8]| HeadScan::new(LIMITS).feed(arrived);
    assert_eq!(verdict(b"GET / HTTP/9.9\r\n"), Err(Version.into()));
    assert_eq!(verdict(b"GET / HTTP/1.1\r\nX : a\r\n"), Err(HeaderName.into()));
    // Not even the line has to end where a byte can be in no good one.
    assert_eq!(verdict(b"\x16\x03\x01"), Err(Control.into()));
    assert_eq!(verdict(b"GET /\xff"), Err(BeyondAscii.into()));
    assert_eq!(verdict(b"GET / HTTP/1.1\r\nX: a\rb"), Err(BareCr.into()));
    assert_eq!(verdict(b"GET / HTTP/1.1\r"), Ok(None));
}

#[test]
fn a_verdict_is_final() {
    let mut scan = HeadScan::new(LIMITS);
    assert_eq!(scan.feed(b"GET / HTTP/1.1\r\nHost: h\r\n"), Ok(None));
    assert_eq!(scan.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nbody"), Ok(Some(27)));
    assert_eq!(scan.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nbody\0\n"), Ok(Some(27)));
    let mut scan = HeadScan::new(LIMITS);
    assert_eq!(scan.feed(b"GET /\n"), Err(BareLf.into()));
    assert_eq!(scan.feed(b"GET /\n and more"), Err(BareLf.into()));
}

#[test]
fn only_token_characters_make_a_name() {
    let token = (0..=255).filter(|&byte| is_token(&[byte])).collect::<Vec<u8>>();
    let expect: Vec<u8> = (0..=255u8).filter(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)).collect();
    assert_eq!(token, expect);
}

/// Heads that are good, or nearly.
fn raw_head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: h\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: \u{e9}\t\r\n",
        " folded\r\n",
        "X : 1\r\n",
        "X: 1\n",
        "X: 1\r",
        "\r\n",
    ]);
    let piece = prop_oneof![
        12 => line.prop_map(|line| line.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let start = prop_oneof![9 => Just(b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec()), 1 => Just(Vec::new())];
    (start, prop::collection::vec(piece, 0..8)).prop_map(|(start, pieces)| [start, pieces.concat()].concat())
}

fn fed_in_pieces(head: &[u8], mut cuts: Vec<usize>) -> Result<Option<usize>, WireFault> {
    cuts.sort_unstable();
    let mut scan = HeadScan::new(LIMITS);
    for cut in cuts {
        scan.feed(&head[..cut.min(head.len())])?;
    }
    scan.feed(head)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_were_cut(head in raw_head(), cuts in prop::collection::vec(0usize..160, 0..12)) {
        let whole = HeadScan::new(LIMITS).feed(&head);
        prop_assert_eq!(fed_in_pieces(&head, cuts), whole);
        prop_assert_eq!(fed_in_pieces(&head, (0..head.len()).collect()), whole);
    }

    #[test]
    fn a_head_that_passes_has_whole_lines_and_one_host(head in raw_head()) {
        if let Ok(Some(end)) = HeadScan::new(LIMITS).feed(&head) {
            let text = head[..end].strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
            let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
            prop_assert!(lines.iter().skip(1).all(|line| line.contains(&b':')));
            prop_assert!(!text.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'));
            let hosts = lines.iter().filter(|line| line.to_ascii_lowercase().starts_with(b"host:")).count();
            prop_assert_eq!(hosts, 1);
        }
    }
}
