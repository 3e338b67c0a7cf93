//! Files that change under a running gateway: all of them take effect, or none.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::support::{Gateway, House, Upstream, eventually, routes_file, token};

const OPEN: &str = "- { id: page, path: /page, rules: [ { id: everyone, roles: [anyone] } ] }";
const CLOSED: &str = "- { id: page, path: /page, rules: [ { id: admins, roles: [admin] } ] }";

fn house() -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    let gateway = House::new(&upstream, OPEN).start();
    (upstream, gateway)
}

fn becomes(gateway: &Gateway, path: &str, status: u16) {
    eventually("the new decision", || (gateway.get_anonymously(path).status == status).then_some(()));
}

fn generation(gateway: &Gateway) -> u64 {
    gateway.status()["generation"].as_u64().unwrap()
}

#[test]
fn a_changed_policy_takes_effect() {
    let (_, gateway) = house();
    let first = generation(&gateway);
    assert_eq!(gateway.get_anonymously("/page").status, 200);
    gateway.write("policies/routes.yaml", &routes_file(CLOSED));
    becomes(&gateway, "/page", 401);
    let second = generation(&gateway);
    assert!(second > first);
    gateway.write(
        "policies/more.yaml",
        &routes_file("- { id: more, path: /more, rules: [ { id: everyone, roles: [anyone] } ] }"),
    );
    becomes(&gateway, "/more", 200);
    fs::remove_file(gateway.path("policies/more.yaml")).unwrap();
    becomes(&gateway, "/more", 404);

    let lines = gateway.audit(4);
    let of = |outcome: &str| {
        let found = lines.iter().find(|line| line["route"] == "page" && line["outcome"] == outcome).unwrap();
        found["generation"].as_u64().unwrap()
    };
    assert_eq!((of("allow"), of("deny")), (first, second));
    assert!(gateway.metric("cogward_reloads_total", &["applied"]) >= 3.0);
    assert_eq!(gateway.metric("cogward_policy_generation", &[]), generation(&gateway) as f64);
}

#[test]
fn a_broken_change_keeps_what_serves() {
    let (_, gateway) = house();
    let first = generation(&gateway);
    let broken = [
        "routes: [",
        "apiVersion: cogward/v1\nroutes:\n- { id: page, path: /page, rules: [ { id: x, roles: [anyone], effekt: deny } ] }\n",
        "apiVersion: cogward/v2\nroutes: []\n",
        "",
        "apiVersion: cogward/v1\nroutes:\n- { id: page, path: /page, upstream: nowhere, rules: [ { id: x, roles: [anyone] } ] }\n",
        "apiVersion: cogward/v1\nroutes: []\n",
    ];
    for (count, text) in broken.iter().enumerate() {
        gateway.write("policies/routes.yaml", text);
        let rejected = eventually("the rejection", || {
            let done = gateway.metric("cogward_reloads_total", &["rejected"]) as usize > count;
            // An editor's truncated file may have been seen, and rejected, on the way.
            done.then(|| gateway.status()["last_rejected"].clone()).filter(|told| *told != Value::Null)
        });
        assert_eq!(rejected["pending"], true, "{rejected}");
        assert!(rejected["report"].to_string().contains("routes.yaml") || count > 4, "{rejected}");
        assert_eq!(gateway.get_anonymously("/page").status, 200);
        assert_eq!(generation(&gateway), first);
        assert_eq!(gateway.admin_get("/readyz").status, 200);
    }
    gateway.write("policies/routes.yaml", &routes_file(CLOSED));
    becomes(&gateway, "/page", 401);
    eventually("the end of the rejection", || (gateway.status()["last_rejected"]["pending"] == false).then_some(()));
}

#[test]
fn one_broken_file_holds_back_the_others() {
    let (_, gateway) = house();
    gateway.write("policies/broken.yaml", "apiVersion: cogward/v1\nroutes: 7\n");
    eventually("the rejection", || (gateway.status()["last_rejected"]["pending"] == true).then_some(()));
    let rejected = gateway.metric("cogward_reloads_total", &["rejected"]);
    gateway.write("policies/routes.yaml", &routes_file(CLOSED));
    eventually("the next rejection", || {
        (gateway.metric("cogward_reloads_total", &["rejected"]) > rejected).then_some(())
    });
    assert_eq!(gateway.get_anonymously("/page").status, 200);
    fs::remove_file(gateway.path("policies/broken.yaml")).unwrap();
    becomes(&gateway, "/page", 401);
}

#[test]
fn a_config_map_that_swaps_its_data_takes_effect_at_once() {
    let upstream = Upstream::start();
    let house = House::new(&upstream, OPEN)
        .file("mount/..2026_01/routes.yaml", &routes_file(OPEN))
        .file(
            "mount/..2026_01/more.yaml",
            &routes_file("- { id: more, path: /more, rules: [ { id: everyone, roles: [anyone] } ] }"),
        )
        .set("/policies/path", json!("mount"));
    let mount = house.path("mount");
    symlink("..2026_01", mount.join("..data")).unwrap();
    for name in ["routes.yaml", "more.yaml"] {
        symlink(format!("..data/{name}"), mount.join(name)).unwrap();
    }
    let gateway = house.start();
    assert_eq!((gateway.get_anonymously("/page").status, gateway.get_anonymously("/more").status), (200, 200));

    fs::create_dir(mount.join("..2026_02")).unwrap();
    fs::write(mount.join("..2026_02/routes.yaml"), routes_file(CLOSED)).unwrap();
    fs::write(
        mount.join("..2026_02/more.yaml"),
        routes_file("- { id: more, path: /more, rules: [ { id: admins, roles: [admin] } ] }"),
    )
    .unwrap();
    symlink("..2026_02", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    fs::remove_dir_all(mount.join("..2026_01")).unwrap();
    becomes(&gateway, "/page", 401);
    // Both files of the new version, at the same moment.
    assert_eq!(gateway.get_anonymously("/more").status, 401);
}

#[test]
fn changed_settings_take_effect() {
    let (upstream, gateway) = house();
    let other = Upstream::start();
    let mut settings = gateway.settings();
    settings["identity_headers"] = json!({ "X-Who": "id" });
    settings["limits"] = json!({ "target_bytes": "100B" });
    settings["upstreams"][0]["endpoints"] = json!([format!("http://{}", other.address())]);
    gateway.write(
        "policies/routes.yaml",
        &routes_file("- { id: page, path: '/{rest..}', rules: [ { id: all, roles: [authenticated] } ] }"),
    );
    gateway.write("cogward.yaml", &settings.to_string());
    let token = token("u-1", &[]);
    eventually("the new upstream", || {
        gateway.get("/page", &token);
        other.take().pop().filter(|request| request.field("x-who") == "u-1")
    });
    assert_eq!(gateway.get(&format!("/{}", "a".repeat(100)), &token).status, 431);
    upstream.take();
    assert_eq!(gateway.get("/page", &token).status, 200);
    assert!(upstream.take().is_empty());
    let seen = other.one();
    assert_eq!((seen.field("x-who"), seen.has("x-auth-request-user")), ("u-1".to_owned(), false));

    // Broken settings change nothing.
    gateway.write("cogward.yaml", "listeners: 7\n");
    eventually("the rejection", || (gateway.status()["last_rejected"]["pending"] == true).then_some(()));
    assert_eq!(gateway.get("/page", &token).status, 200);
}

#[test]
fn a_changed_key_file_takes_effect_and_drops_what_was_verified() {
    let (_, gateway) = house();
    gateway.write(
        "policies/routes.yaml",
        &routes_file("- { id: page, path: /page, rules: [ { id: all, roles: [authenticated] } ] }"),
    );
    becomes(&gateway, "/page", 401);
    let (old, claims) = (token("u-1", &[]), crate::support::access("u-1", &[]));
    assert_eq!(gateway.get("/page", &old).status, 200);
    let next = cogward::dev::DemoKey::generate().unwrap();
    gateway.write("jwks.json", &next.jwks());
    let new = next.sign_claims(&claims).unwrap();
    eventually("the new key", || (gateway.get("/page", &new).status == 200).then_some(()));
    gateway.get("/page", &old).is(401, "token_invalid");
}

#[test]
fn a_hang_up_opens_the_audit_file_anew() {
    let (_, gateway) = house();
    gateway.get_anonymously("/page?1");
    gateway.audit(1);
    fs::rename(gateway.path("audit.jsonl"), gateway.path("audit.1")).unwrap();
    gateway.signal("HUP");
    eventually("a line in the new file", || {
        gateway.get_anonymously("/page");
        (!gateway.audit_now().is_empty()).then_some(())
    });
    assert!(!fs::read_to_string(gateway.path("audit.1")).unwrap().is_empty());
}

#[test]
fn a_request_in_flight_keeps_its_generation() {
    let gate = crate::support::Gate::new();
    let held = std::sync::Arc::clone(&gate);
    let upstream = Upstream::with(move |request, stream| {
        if request.target().ends_with("slow") {
            held.wait();
        }
        crate::support::ok(request, stream)
    });
    let gateway = House::new(&upstream, OPEN).start();
    let first = generation(&gateway);
    let mut client = gateway.connect();
    client.send("GET /page?slow HTTP/1.1\r\nHost: app\r\nX-Request-Id: in-flight\r\n\r\n");
    upstream.reached();
    gateway.write("policies/routes.yaml", &routes_file(CLOSED));
    becomes(&gateway, "/page", 401);
    gate.open();
    assert_eq!(client.answer().status, 200);
    let lines = |id: &str| gateway.audit_now().into_iter().find(|line| line["request_id"] == id);
    let line = eventually("its line", || lines("in-flight"));
    assert_eq!(line["generation"], first);
}
