use super::*;

fn check(raw: &str, expect: Option<(&str, Option<u16>)>) {
    let host = Host::parse(raw.as_bytes()).ok();
    let seen = host.as_ref().map(|host| (host.name(), host.port()));
    assert_eq!(seen, expect, "{raw:?}");
    assert_eq!(Host::reads(raw.as_bytes()), expect.is_some(), "{raw:?}");
    if let Some(host) = host {
        assert_eq!(Host::parse(host.to_string().as_bytes()), Ok(host), "{raw:?} again");
    }
}

#[test]
fn a_host_is_a_name_or_an_address_with_an_optional_port() {
    check("example.com", Some(("example.com", None)));
    check("Shop.EXAMPLE.com:8443", Some(("shop.example.com", Some(8443))));
    check("localhost:1", Some(("localhost", Some(1))));
    check("my_service", Some(("my_service", None)));
    check("xn--bcher-kva.example", Some(("xn--bcher-kva.example", None)));
    check("7.example", Some(("7.example", None)));
    check("-a-.b", Some(("-a-.b", None)));
    check("127.0.0.1:65535", Some(("127.0.0.1", Some(65535))));
    check("[::1]", Some(("[::1]", None)));
    check("[2001:DB8:0:0::1]:443", Some(("[2001:db8::1]", Some(443))));
    check(&"a".repeat(63), Some((&"a".repeat(63), None)));
}

#[test]
fn a_host_that_is_more_or_less_than_a_host_is_refused() {
    let hosts = [
        "",
        ":80",
        ".",
        "..",
        "h/admin",
        "h evil",
        " h",
        "h ",
        "h,evil",
        "h#x",
        "h?x",
        "h\\x",
        "u@h",
        "u:p@h",
        "h;x",
        "h%2e",
        "h\t",
        "h\r\n",
        "h\0",
        "bücher.example",
        "*.example",
        "h!",
        "h=x",
        "[::1",
        "::1",
        "[::1]]",
        "[::1]x",
        "[::1]:",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "[v1.x]",
        "[]",
        "[::g]",
        "http://h",
    ];
    for host in hosts {
        check(host, None);
    }
    check(&"a".repeat(64), None);
    check(&"a.".repeat(126).trim_end_matches('.').repeat(2), None);
    assert_eq!(Host::parse(b"\xff"), Err(HostError));
}

#[test]
fn an_empty_label_or_a_trailing_dot_is_refused() {
    for host in ["example.com.", "example..com", ".example.com", "example.com.:80", "127.0.0.1."] {
        check(host, None);
    }
}

#[test]
fn a_port_that_is_not_a_plain_number_is_refused() {
    for port in ["", "0", "00", "080", "65536", "99999", "-1", "+80", "8 0", "80x", "0x50", "80:80", "٣"] {
        check(&format!("h:{port}"), None);
        check(&format!("[::1]:{port}"), None);
    }
}

#[test]
fn another_spelling_of_an_ipv4_address_is_refused() {
    for host in ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.0.256", "1.2.3.4.5", "h.0x", "a.1"]
    {
        check(host, None);
    }
}

#[test]
fn the_labels_of_a_name_are_counted_from_the_left_and_an_address_has_none() {
    let labels = |raw: &str| Host::parse(raw.as_bytes()).unwrap().labels().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(labels("Acme.shop.example:80"), ["acme", "shop", "example"]);
    assert_eq!(labels("localhost"), ["localhost"]);
    assert!(labels("10.0.0.1:80").is_empty());
    assert!(labels("[::1]").is_empty());
}
