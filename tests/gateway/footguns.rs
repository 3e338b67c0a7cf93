//! The 24 foot-guns of pingora 0.9.1, one test each: that the gateway does not fire them. `docs/pingora.md` has the table.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::json;

use crate::support::{
    Client, Frames, Gate, Gateway, H2, H2Request, House, PATIENCE, Upstream, block, eventually, frame, ok, token,
};

const ROUTES: &str = "
- { id: open, path: '/open/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }
- { id: users, path: '/users/{rest..}', rules: [ { id: known, roles: [authenticated] } ] }";

fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).start();
    (upstream, gateway)
}

/// A server that accepts and is silent, or that nobody listens at.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The code of the gateway, without its tests and comments.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.is_file() && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.split("#[cfg(test)]\nmod ").next().unwrap().lines();
                let code: Vec<_> = lines.filter(|line| !line.trim_start().starts_with("//")).collect();
                found.push((path, code.join("\n")));
            }
        }
    }
    assert!(found.len() > 50);
    found
}

/// Which files hold this.
fn naming(text: &str) -> Vec<PathBuf> {
    sources().into_iter().filter(|(_, code)| code.contains(text)).map(|(path, _)| path).collect()
}

#[test]
fn footgun_01_a_target_that_pingora_takes_for_the_root_is_refused() {
    let (upstream, gateway) = start();
    for target in
        ["admin", "\\open\\a", "@evil/open/a", "h:80", "?x", "foo://app/open/a", "http://evil/open/a", " /open/a"]
    {
        let refused = gateway.ask(format!("GET {target} HTTP/1.1\r\nHost: app\r\n\r\n"));
        assert_eq!(refused.status, 400, "{target}: {refused:?}");
    }
    assert_eq!(upstream.take().len(), 0);
    assert_eq!(gateway.ask("GET http://app/open/%61 HTTP/1.1\r\nHost: app\r\n\r\n").status, 200);
    assert_eq!(upstream.one().line(), "GET /open/a HTTP/1.1");
}

/// A TLS server whose certificate nobody vouches for; it counts the requests that it is sent.
fn self_signed() -> (SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    pingora_rustls::install_default_crypto_provider();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = pingora_rustls::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = pingora_rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = pingora_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                if stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        });
    });
    (address, asked)
}

#[test]
fn footgun_02_an_upstream_is_verified_by_name_or_by_address() {
    let (address, asked) = self_signed();
    for host in ["localhost", "127.0.0.1"] {
        let endpoint = format!("https://{host}:{}", address.port());
        let gateway = House::before(&[address], ROUTES).set("/upstreams/0/endpoints", json!([endpoint])).start();
        gateway.get_anonymously("/open/a").is(502, "upstream_unreachable");
        assert_eq!(gateway.metric("cogward_upstream_errors_total", &["kind=\"tls\""]), 1.0, "{host}");
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0, "nothing was sent");
    let (code, said) = House::before(&[address], ROUTES).set("/upstreams/0/endpoints", json!(["https://:443"])).fails();
    assert_eq!(code, Some(3), "an endpoint without a name: {said}");
}

#[test]
fn footgun_03_a_second_head_that_drips_on_a_kept_connection_is_answered_408() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits/header_timeout", json!("500ms")).start();
    let mut client = gateway.connect();
    client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let began = Instant::now();
    client.send("GET /open/a HTTP/1.1\r\nHost: app\r\nX-Drip: ");
    while began.elapsed() < Duration::from_millis(400) {
        client.try_send("a");
        thread::sleep(Duration::from_millis(50));
    }
    client.answer().is(408, "request_timeout");
}

#[test]
fn footgun_04_a_head_of_a_megabyte_and_one_of_many_fields_are_refused_early() {
    let (upstream, gateway) = start();
    let before = gateway.resident();
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut client = gateway.connect();
        client.try_send(format!("GET /open/a HTTP/1.1\r\nHost: app\r\nX-Huge: {}", "a".repeat(900_000)));
        client.head();
        held.push(client);
    }
    let after = gateway.resident();
    assert!(after < before + 30_000, "{before} KiB before, {after} KiB after");
    let many = format!("GET /open/a HTTP/1.1\r\nHost: app\r\n{}\r\n", "A: b\r\n".repeat(150));
    gateway.ask(many).is(431, "headers_too_large");
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn footgun_05_a_stop_takes_no_longer_than_it_needs() {
    let (_upstream, mut gateway) = start();
    let mut idle = gateway.connect();
    idle.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(idle.answer().status, 200);
    gateway.signal("TERM");
    // Within the patience of the tests, far below the 300 s of pingora's own server.
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn footgun_06_the_hand_over_of_pingoras_own_server_is_not_used() {
    for name in ["pingora::server::Server", "new_with_opt_and_conf", "run_forever", "RunArgs"] {
        assert_eq!(naming(name), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn footgun_07_a_kept_connection_is_told_of_a_stop_before_it_is_closed() {
    let upstream = Upstream::start();
    let mut gateway = House::new(&upstream, ROUTES).set("/shutdown_delay", json!("30s")).start();
    let mut kept = gateway.connect();
    kept.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert!(!kept.answer().closes());
    gateway.signal("TERM");
    eventually("draining", || (gateway.admin_get("/readyz").status == 503).then_some(()));
    // Readiness is red a moment before answers say it.
    eventually("an answer that says so", || {
        kept.send("GET /open/b HTTP/1.1\r\nHost: app\r\n\r\n");
        let answer = kept.answer();
        assert_eq!(answer.status, 200);
        answer.closes().then_some(())
    });
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn footgun_08_a_silent_upstream_times_out_and_an_idle_connection_expires() {
    let upstream = Upstream::with(|request, stream| {
        if request.target() == "/open/silent" {
            thread::sleep(PATIENCE);
        }
        ok(request, stream)
    });
    let times = json!({ "read": "300ms", "idle": "200ms" });
    let gateway = House::new(&upstream, ROUTES).set("/upstreams/0/timeouts", times).start();
    gateway.get_anonymously("/open/silent").is(504, "upstream_timeout");
    upstream.take();
    let connection = |path: &str| {
        assert_eq!(gateway.get_anonymously(path).status, 200);
        upstream.one().connection
    };
    let first = connection("/open/a");
    eventually("a new connection to the upstream", || {
        thread::sleep(Duration::from_millis(300));
        (connection("/open/b") != first).then_some(())
    });
}

#[test]
fn footgun_09_an_http2_body_that_stops_and_an_idle_http2_connection_are_ended() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/limits/body_stall", json!("500ms"))
        .set("/limits/keepalive", json!("1s"))
        .start();
    let mut frames = Frames::connect(gateway.listener, &[]);
    assert!(frames.try_send(&frame(1, 4, 1, &block("POST", "/open/a", &[]))));
    let all = frames.until_closed();
    assert!(all.iter().any(|frame| frame.kind == 3 && frame.stream == 1), "{all:?}");
}

#[test]
fn footgun_10_a_probe_shorter_than_a_preface_is_answered_and_half_a_preface_closed() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).set("/limits/header_timeout", json!("500ms")).start();
    gateway.ask("GET / HTTP/1.0\r\n\r\n").is(400, "request_malformed");
    gateway.ask("PRI * HTTP/2.0\r\n\r\nSM").is(408, "request_timeout");
}

#[test]
fn footgun_11_an_identity_can_neither_be_nominated_away_nor_aliased() {
    let (upstream, gateway) = start();
    let spoof = format!(
        "GET /users/a HTTP/1.1\r\nHost: app\r\nConnection: close, X-Auth-Request-User\r\nX_Auth_Request_User: root\r\n\
         X-Auth.Request-User: root\r\nx-auth-request-user: root\r\nAuthorization: Bearer {}\r\n\r\n",
        token("u-1", &["user"])
    );
    assert_eq!(gateway.ask(spoof).status, 200);
    let seen = upstream.one();
    let like: Vec<_> = seen.fields().into_iter().filter(|(_, value)| value == b"root").collect();
    assert_eq!((seen.field("x-auth-request-user").as_str(), like), ("u-1", Vec::new()));
}

#[test]
fn footgun_12_lax_framing_is_refused() {
    let (upstream, gateway) = start();
    for head in [
        "POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST /open/a HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET /open/a HTTP/1.1\nHost: app\n\n",
        "GET /open/a HTTP/1.1\r\n\r\n",
        "GET /open/a HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /open/a\x01 HTTP/1.1\r\nHost: app\r\n\r\n",
    ] {
        assert_eq!(gateway.ask(head).status, 400, "{}", head.escape_debug());
    }
    assert_eq!(gateway.ask("ODD /open/a HTTP/1.1\r\nHost: app\r\n\r\n").status, 405);
    assert_eq!(upstream.take().len(), 0);
}

#[test]
fn footgun_13_a_name_without_address_blocks_nobody_and_a_taken_port_ends_the_start() {
    let upstream = Upstream::start();
    let mut house = House::new(
        &upstream,
        &format!("{ROUTES}\n- {{ id: lost, path: /lost, upstream: lost, rules: [ {{ id: e, roles: [anyone] }} ] }}")
            .replace("id: open, ", "id: open, upstream: app, ")
            .replace("id: users, ", "id: users, upstream: app, "),
    );
    let lost = json!({ "id": "lost", "endpoints": ["http://nowhere.invalid:80"] });
    house.settings["upstreams"].as_array_mut().unwrap().push(lost);
    let gateway = house.start();
    gateway.get_anonymously("/lost").is(502, "upstream_unreachable");
    assert_eq!(gateway.get_anonymously("/open/a").status, 200);
    let (code, said) =
        House::new(&upstream, ROUTES).set("/listeners/0/address", json!(gateway.listener.to_string())).fails();
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(gateway.metric("cogward_panics_total", &[]), 0.0);
}

#[test]
fn footgun_14_a_refusal_keeps_the_connection() {
    let (_upstream, gateway) = start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send("POST /users/a HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nhello");
        let refused = client.answer();
        refused.is(401, "credential_missing");
        assert!(!refused.closes());
    }
    client.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn footgun_15_no_level_of_the_log_holds_a_token_or_a_query() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES).environment("COGWARD_LOG", "trace").start();
    let token = token("u-1", &["user"]);
    assert_eq!(gateway.get("/users/a?secret=hunter2", &token).status, 200);
    gateway.ask(format!("GET /users/a HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\nbroken\x01\r\n\r\n"));
    assert_eq!(H2::connect(gateway.listener).get("/users/a?secret=hunter2", Some(&token)).unwrap().status, 200);
    gateway.audit(3);
    let signature = token.rsplit('.').next().unwrap();
    let log = gateway.log();
    assert!(log.contains("listening"));
    assert!(!log.contains(signature) && !log.contains("hunter2"), "{log}");
}

#[test]
fn footgun_16_cookie_crumbs_of_http2_arrive_as_one_field() {
    let (upstream, gateway) = start();
    let request = H2Request::new(Method::GET, "/open/a").field("cookie", "a=1").field("cookie", "b=2");
    assert_eq!(H2::connect(gateway.listener).ask(request).unwrap().status, 200);
    assert_eq!(upstream.one().field("cookie"), "a=1; b=2");
}

#[test]
fn footgun_17_a_post_is_sent_once_whatever_the_upstream_does() {
    let (upstream, other) = (Upstream::with(|_, _| false), Upstream::with(|_, _| false));
    let gateway = House::before(&[upstream.address(), other.address()], ROUTES).start();
    let refused = gateway.ask("POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nhello");
    refused.is(502, "upstream_unreachable");
    assert_eq!(upstream.take().len() + other.take().len(), 1);
}

#[test]
fn footgun_18_unknown_settings_are_refused_and_nothing_is_left_in_tmp() {
    let upstream = Upstream::start();
    for pointer in ["/upgrade_sock", "/pid_file", "/max_retries"] {
        let (code, said) = House::new(&upstream, ROUTES).set(pointer, json!("/tmp/x")).fails();
        assert_eq!(code, Some(3), "{said}");
    }
    // pingora's own defaults for these two.
    assert_eq!(naming("/tmp/pingora"), Vec::<PathBuf>::new());
    let _gateway = House::new(&upstream, ROUTES).start();
    assert!(!Path::new("/tmp/pingora_upgrade.sock").exists() && !Path::new("/tmp/pingora.pid").exists());
}

#[test]
fn footgun_19_connections_bodies_and_requests_have_limits() {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, ROUTES)
        .set("/limits/connections", json!(1))
        .set("/limits/body_bytes", json!("1KiB"))
        .start();
    let mut only = gateway.connect();
    only.send("GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(only.answer().status, 200);
    gateway.get_anonymously("/open/a").is(503, "overloaded");
    only.send("POST /open/a HTTP/1.1\r\nHost: app\r\nContent-Length: 1025\r\n\r\n");
    only.answer().is(413, "body_too_large");
}

#[test]
fn footgun_20_a_client_that_half_closes_counts_as_gone_and_frees_the_upstream() {
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let upstream = Upstream::with(move |_, stream| {
        let mut stream = stream.try_clone().unwrap();
        // Ends when the gateway lets go.
        let gone = stream.read(&mut [0; 16]).is_ok_and(|read| read == 0);
        if gone {
            held.open();
        }
        false
    });
    let gateway = House::new(&upstream, ROUTES).start();
    let mut client = TcpStream::connect(gateway.listener).unwrap();
    client.write_all(b"GET /open/a HTTP/1.1\r\nHost: app\r\n\r\n").unwrap();
    upstream.reached();
    client.shutdown(Shutdown::Write).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = String::new();
    let _ = client.read_to_string(&mut told);
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    gate.wait();
}

#[test]
fn footgun_21_certificates_are_resolved_anew_for_each_handshake() {
    let resolving: Vec<_> =
        sources().into_iter().filter(|(_, code)| code.contains("ResolvesServerCert")).map(|(path, _)| path).collect();
    assert!(!resolving.is_empty());
    for fixed in ["with_single_cert", "TlsSettings::intermediate"] {
        assert_eq!(naming(fixed), Vec::<PathBuf>::new(), "{fixed}");
    }
}

#[test]
fn footgun_22_the_unchecked_parser_and_other_tls_stacks_are_not_built_in() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "features,no-dev", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("pingora-core feature \"rustls\""), "the tree holds the features of pingora");
    for unwanted in ["patched_http1", "openssl-sys", "boring-sys", "s2n-tls", "rust_crypto"] {
        assert!(!tree.contains(unwanted), "{unwanted}");
    }
    let deny = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    assert!(deny.contains("\"patched_http1\"") && deny.contains("\"rust_crypto\""));
}

#[test]
fn footgun_23_many_connections_and_streams_leave_no_memory_behind() {
    let (_upstream, gateway) = start();
    let round = || {
        for _ in 0..200 {
            assert_eq!(gateway.get_anonymously("/open/a").status, 200);
        }
        let mut h2 = H2::connect(gateway.listener);
        for _ in 0..200 {
            assert_eq!(h2.get("/open/a", None).unwrap().status, 200);
        }
    };
    (0..2).for_each(|_| round());
    let before = gateway.resident();
    (0..4).for_each(|_| round());
    let after = gateway.resident();
    assert!(after < before + 6 * 1024, "{before} KiB before, {after} KiB after 1,600 more requests");
}

#[test]
fn footgun_24_answers_of_the_gateway_are_its_own_and_no_module_edits_them() {
    let gateway = House::before(&[nobody()], ROUTES).start();
    let mut client = Client::connect(gateway.listener);
    client.send("GET /open/a HTTP/1.1\r\nHost: app\r\nAccept-Encoding: gzip\r\n\r\n");
    let answer = client.answer();
    answer.is(502, "upstream_unreachable");
    assert_eq!((answer.field("server"), answer.field("content-encoding")), (None, None));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let (_, proxy) = sources().into_iter().find(|(path, _)| path.ends_with("src/proxy.rs")).unwrap();
    assert!(
        proxy.contains("fn init_downstream_modules(&self, _: &mut HttpModules) {}"),
        "the list of modules is empty"
    );
}
