use http::HeaderMap;

use super::*;

fn trusted() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8", "192.0.2.7", "2001:db8:aa::/48"]).unwrap()
}

fn forwarded(peer: &str, fields: &[(&'static str, &[u8])]) -> Forwarded {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let host = Host::parse(b"shop.example:8443").unwrap();
    trusted().forwarded(peer.parse().unwrap(), false, &host, Headers::new(&map))
}

fn check(peer: &str, chains: &[&str], client: &str, sent: &str) {
    let fields: Vec<_> = chains.iter().map(|chain| ("x-forwarded-for", chain.as_bytes())).collect();
    let seen = forwarded(peer, &fields);
    assert_eq!(seen.client, client.parse::<IpAddr>().unwrap(), "client of {chains:?} from {peer}");
    assert_eq!(seen.chain, sent, "chain of {chains:?} from {peer}");
}

#[test]
fn forwarded_headers_of_an_untrusted_client_are_ignored() {
    let claims: [(&'static str, &[u8]); 3] =
        [("x-forwarded-for", b"10.0.0.1"), ("x-forwarded-proto", b"https"), ("x-forwarded-host", b"evil.example")];
    let seen = forwarded("203.0.113.9", &claims);
    let expect = Forwarded {
        client: "203.0.113.9".parse().unwrap(),
        secure: false,
        chain: "203.0.113.9".to_owned(),
        host: "shop.example:8443".to_owned(),
    };
    assert_eq!(seen, expect);
    assert_eq!(seen.proto(), "http");
}

#[test]
fn by_default_nobody_is_trusted() {
    let mut map = HeaderMap::new();
    map.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.1"));
    let host = Host::parse(b"h").unwrap();
    let seen = TrustedProxies::default().forwarded("127.0.0.1".parse().unwrap(), true, &host, Headers::new(&map));
    assert_eq!((seen.client, seen.chain.as_str(), seen.proto()), ("127.0.0.1".parse().unwrap(), "127.0.0.1", "https"));
}

#[test]
fn a_trusted_proxy_tells_the_client() {
    check("10.0.0.1", &["203.0.113.9"], "203.0.113.9", "203.0.113.9, 10.0.0.1");
    check("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1");
    check("10.0.0.1", &["203.0.113.9,10.0.0.2\t"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1");
    check("192.0.2.7", &["2001:db8::9"], "2001:db8::9", "2001:db8::9, 192.0.2.7");
    check("2001:db8:aa::1", &["203.0.113.9"], "203.0.113.9", "203.0.113.9, 2001:db8:aa::1");
    check("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9", "203.0.113.9:4711, 10.0.0.1");
    check("10.0.0.1", &["[2001:db8::9]:4711"], "2001:db8::9", "[2001:db8::9]:4711, 10.0.0.1");
    check("10.0.0.1", &["[2001:db8::9]"], "2001:db8::9", "[2001:db8::9], 10.0.0.1");
    check("10.0.0.1", &[], "10.0.0.1", "10.0.0.1");
    check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1");
}

#[test]
fn a_client_behind_a_trusted_proxy_cannot_choose_its_address() {
    check("10.0.0.1", &["10.9.9.9, 203.0.113.9"], "203.0.113.9", "10.9.9.9, 203.0.113.9, 10.0.0.1");
    check("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.2"], "203.0.113.9", "1.2.3.4, 203.0.113.9, 10.0.0.2, 10.0.0.1");
    check("192.0.2.8", &["203.0.113.9"], "192.0.2.8", "192.0.2.8");
}

#[test]
fn several_chain_fields_are_one_chain_in_their_order() {
    check(
        "10.0.0.1",
        &["1.2.3.4", "203.0.113.9", "10.0.0.2"],
        "203.0.113.9",
        "1.2.3.4, 203.0.113.9, 10.0.0.2, 10.0.0.1",
    );
    check(
        "10.0.0.1",
        &["203.0.113.9, 10.0.0.3", "10.0.0.2"],
        "203.0.113.9",
        "203.0.113.9, 10.0.0.3, 10.0.0.2, 10.0.0.1",
    );
}

#[test]
fn a_malformed_hop_ends_the_walk_at_the_last_good_one() {
    for bad in ["unknown", "", "_hidden", "1.2.3", "010.0.0.1", "1.2.3.4 5", "::1%eth0", "[1.2.3.4]", "\u{ff}"] {
        let fields: [(&'static str, &[u8]); 2] =
            [("x-forwarded-for", b"203.0.113.9"), ("x-forwarded-for", &[bad.as_bytes(), b", 10.0.0.2"].concat())];
        let seen = forwarded("10.0.0.1", &fields);
        assert_eq!(seen.client, "10.0.0.2".parse::<IpAddr>().unwrap(), "{bad:?}");
        assert_eq!(seen.chain, "10.0.0.2, 10.0.0.1", "{bad:?}");
    }
    check("10.0.0.1", &["nonsense"], "10.0.0.1", "10.0.0.1");
}

#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address() {
    check("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9", "::ffff:203.0.113.9, 10.0.0.1");
    check("::ffff:203.0.113.9", &["1.2.3.4"], "203.0.113.9", "203.0.113.9");
    let mapped = TrustedProxies::parse(["::ffff:10.0.0.0/104"]).unwrap();
    assert_eq!(mapped, TrustedProxies::parse(["10.0.0.0/8"]).unwrap());
}

#[test]
fn a_trusted_proxy_tells_the_scheme_in_one_known_word() {
    let secure = |values: &[&'static [u8]]| {
        let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-proto", *value)).collect();
        forwarded("10.0.0.1", &fields).secure
    };
    assert!(secure(&[b"https"]));
    assert!(secure(&[b"HTTPS"]));
    let unclear: [&[&'static [u8]]; 7] =
        [&[], &[b"http"], &[b"https,http"], &[b"https", b"https"], &[b"wss"], &[b" https x"], &[b"\xff"]];
    for values in unclear {
        assert!(!secure(values), "{values:?}");
    }
}

#[test]
fn a_trusted_proxy_tells_the_host_only_when_it_parses() {
    let host = |value: &'static [u8]| forwarded("10.0.0.1", &[("x-forwarded-host", value)]).host;
    assert_eq!(host(b"WWW.example:444"), "www.example:444");
    for bad in [b"a,b".as_slice(), b"h/admin", b"", b"h evil", b"u@h"] {
        assert_eq!(host(bad), "shop.example:8443", "{bad:?}");
    }
}

#[test]
fn trusting_everyone_is_refused() {
    let lists: [&[&str]; 6] = [
        &["0.0.0.0/0"],
        &["::/0"],
        &["10.0.0.0/8", "1.2.3.4/0"],
        &["::ffff:0:0/96"],
        &["0.0.0.0/1", "128.0.0.0/1"],
        &["::/1", "8000::/1"],
    ];
    for list in lists {
        assert_eq!(TrustedProxies::parse(list.iter().copied()), Err(TrustedProxiesError::Everyone), "{list:?}");
    }
    assert_eq!(TrustedProxies::network("0.0.0.0/0"), Err(TrustedProxiesError::Everyone));
    assert!(TrustedProxies::new(Vec::new()).is_ok());
}

#[test]
fn what_is_not_a_network_is_refused() {
    for entry in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "::/129", "10.0.0.1:80", " 10.0.0.1"] {
        assert_eq!(TrustedProxies::network(entry), Err(TrustedProxiesError::NotANetwork), "{entry:?}");
    }
    assert_eq!(TrustedProxies::network("10.1.2.3/8").map(|network| network.to_string()), Ok("10.0.0.0/8".to_owned()));
}
