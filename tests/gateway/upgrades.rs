//! How a new process takes the place of a running one, and how it does not.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    sync::Arc,
};

use serde_json::json;

use crate::support::{Gate, Gateway, House, PATIENCE, Upstream, eventually, run, slow};

const ROUTES: &str = "- { id: open, path: '/{rest..}', rules: [ { id: everyone, roles: [anyone] } ] }";

/// A gateway that can be upgraded, before a slow upstream.
fn house() -> (Arc<Gate>, Upstream, House) {
    let (gate, upstream) = slow();
    let house = House::new(&upstream, ROUTES).set("/upgrade_socket", json!("run/upgrade.sock"));
    let folder = house.path("run");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    (gate, upstream, house)
}

fn still_serves(gateway: &mut Gateway, reason: &str) {
    eventually(reason, || gateway.log().contains(reason).then_some(()));
    assert!(gateway.is_running());
    assert_eq!(gateway.admin_get("/readyz").status, 200);
    let answer = gateway.get_anonymously("/a");
    assert_eq!((answer.status, answer.closes()), (200, false));
}

#[test]
fn the_new_process_takes_over_and_the_old_one_finishes_what_it_has_begun() {
    let (gate, upstream, house) = house();
    let mut old = house.start();
    let mut kept = old.connect();
    kept.send("GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
    assert!(!kept.answer().closes());
    let mut in_flight = old.connect();
    in_flight.send("GET /slow HTTP/1.1\r\nHost: app\r\n\r\n");
    eventually("the slow request", || upstream.take().iter().any(|seen| seen.target() == "/slow").then_some(()));

    let heir = old.heir(|settings| settings["identity_headers"] = json!({ "X-New": "id" }));
    heir.said("waiting for the sockets");
    assert!(old.is_running());
    old.signal("QUIT");
    let mut new = heir.serves();
    assert_eq!((new.listener, new.admin), (old.listener, old.admin));
    // Nobody who asks the admin listener hears that the old process goes.
    assert_eq!(new.admin_get("/readyz").status, 200);
    assert_eq!(new.get_anonymously("/b").status, 200);
    // An idle connection of the old process is still answered, and sent away.
    kept.send("GET /c HTTP/1.1\r\nHost: app\r\n\r\n");
    let answer = kept.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert!(old.is_running());
    gate.open();
    assert_eq!(in_flight.answer().status, 200);
    assert_eq!(old.ended().code(), Some(0));

    assert!(new.is_running());
    assert_eq!(new.get_anonymously("/d").status, 200);
    assert!(!new.path("run/upgrade.sock").exists());
    // Both have written to one file, line by line.
    let paths: Vec<_> = new.audit(5).iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    for path in ["/a", "/b", "/c", "/d", "/slow"] {
        assert_eq!(paths.iter().filter(|seen| *seen == path).count(), 1, "{paths:?}");
    }
}

#[test]
fn a_process_that_took_over_hands_over_in_its_turn() {
    let (_, _upstream, house) = house();
    let mut serving = house.start();
    let listener = serving.listener;
    for _ in 0..3 {
        let heir = serving.heir(|_| ());
        heir.said("waiting for the sockets");
        serving.signal("QUIT");
        let new = heir.serves();
        assert_eq!(serving.ended().code(), Some(0));
        assert_eq!(new.listener, listener);
        assert_eq!(new.get_anonymously("/a").status, 200);
        serving = new;
    }
}

#[test]
fn systemd_is_told_which_process_serves() {
    let (_, _upstream, house) = house();
    let manager = UnixDatagram::bind(house.path("notify.sock")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 128];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let path = house.path("notify.sock").display().to_string();
    let mut old = house.environment("NOTIFY_SOCKET", path.leak()).start();
    assert_eq!(told(), format!("MAINPID={}\nREADY=1\n", old.id()));
    let heir = old.heir(|_| ());
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    let new = heir.serves();
    assert_eq!(told(), format!("MAINPID={}\nREADY=1\n", new.id()));
    assert_eq!(old.ended().code(), Some(0));
}

#[test]
fn an_idle_connection_without_a_further_request_does_not_hold_the_old_process_for_ever() {
    let (_, _, house) = house();
    let mut old = house.set("/shutdown_grace", json!("200ms")).start();
    let mut idle = old.connect();
    let heir = old.heir(|_| ());
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    let _new = heir.serves();
    assert_eq!(old.ended().code(), Some(0));
    idle.is_closed();
}

#[test]
fn an_upgrade_without_a_socket_or_a_new_process_changes_nothing() {
    let upstream = Upstream::start();
    let mut gateway = House::new(&upstream, ROUTES).start();
    gateway.signal("QUIT");
    still_serves(&mut gateway, "`upgrade_socket` is not set");

    let (_, _upstream, house) = house();
    let mut gateway = house.start();
    gateway.signal("QUIT");
    still_serves(&mut gateway, "nobody waits at the upgrade socket");
    // A later signal can try again.
    let heir = gateway.heir(|_| ());
    heir.said("waiting for the sockets");
    gateway.signal("QUIT");
    let new = heir.serves();
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(new.get_anonymously("/a").status, 200);
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_serving() {
    let (_, _upstream, house) = house();
    let mut old = house.start();
    let (code, said) = old.heir(|settings| settings["upstreams"] = json!([])).ends();
    assert_eq!(code, Some(3), "{said}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let clash = taken.local_addr().unwrap().to_string();
    let heir = old.heir(|settings| {
        settings["listeners"].as_array_mut().unwrap().push(json!({ "address": clash }));
    });
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    let (code, said) = heir.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {clash}")), "{said}");
    // The old process knows the reason as well.
    still_serves(&mut old, &format!("the new process cannot take over: cannot listen on {clash}"));

    let heir = old.heir(|settings| {
        settings["listeners"][0]["tls"] = json!({ "certificate": "none.pem", "private_key": "none.pem" });
    });
    let (code, said) = heir.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("none.pem") && !said.contains("waiting for the sockets"), "{said}");
    assert!(old.is_running());
}

#[test]
fn a_new_process_that_dies_without_keys_leaves_the_old_one_serving() {
    let (_, _upstream, house) = house();
    let mut old = house.start();
    // Accepts, and never answers.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let mut heir = old.heir(|settings| settings["identity"]["providers"][0]["cognito"]["jwks"] = json!({ "url": url }));
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    heir.said("has offered its sockets");
    // Both hold the sockets now, and the old one alone answers.
    for _ in 0..20 {
        assert_eq!(old.get_anonymously("/a").status, 200);
    }
    heir.kill();
    still_serves(&mut old, "the other process has gone away");
}

#[test]
fn addresses_that_match_are_adopted_and_others_bound_or_closed() {
    let (_, _upstream, house) = house();
    let two = json!([{ "address": "127.0.0.1:0" }, { "address": "127.0.0.2:0" }]);
    let mut old = house.set("/listeners", two).start();
    let status = old.status();
    let given_up = status["listeners"][1]["address"].as_str().unwrap().parse().unwrap();
    let heir = old.heir(|settings| {
        settings["listeners"] = json!([{ "address": "127.0.0.3:0" }, { "address": "127.0.0.1:0" }]);
    });
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    let new = heir.serves();
    assert_eq!(old.ended().code(), Some(0));
    let status = new.status();
    let addresses: Vec<_> =
        (0..2).map(|place| status["listeners"][place]["address"].as_str().unwrap().to_owned()).collect();
    assert!(addresses[0].starts_with("127.0.0.3:"), "{addresses:?}");
    assert_eq!(addresses[1], old.listener.to_string());
    for address in addresses {
        let mut client = crate::support::Client::connect(address.parse().unwrap());
        client.send("GET /a HTTP/1.1\r\nHost: app\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert!(TcpStream::connect_timeout(&given_up, PATIENCE).is_err());
}

#[test]
fn a_stop_while_a_new_process_waits_is_a_stop() {
    let (_, _upstream, house) = house();
    let mut old = house.start();
    let heir = old.heir(|_| ());
    heir.said("waiting for the sockets");
    old.signal("TERM");
    assert_eq!(old.ended().code(), Some(0));
    drop(heir);
}

#[test]
fn a_stop_while_a_new_process_gets_ready_ends_both() {
    let (_, _upstream, house) = house();
    let mut old = house.set("/shutdown_delay", json!("5m")).start();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let heir = old.heir(|settings| settings["identity"]["providers"][0]["cognito"]["jwks"] = json!({ "url": url }));
    heir.said("waiting for the sockets");
    old.signal("QUIT");
    heir.said("has offered its sockets");
    old.signal("TERM");
    // Nobody would serve what the new process accepted, so it does not outlive the offer.
    let (code, said) = heir.ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("gone away"), "{said}");
    assert_eq!(old.get_anonymously("/a").status, 200, "the delay is not over");
    old.signal("TERM");
    assert_eq!(old.ended().code(), Some(0));
}

#[test]
fn an_upgrade_that_cannot_come_about_ends_with_1() {
    let start = |house: House, arguments: &[&str]| {
        let config = house.path("cogward.yaml");
        fs::write(&config, house.settings.to_string()).unwrap();
        let told = run(&[&["serve", "--config", config.to_str().unwrap()], arguments].concat());
        (told, house)
    };
    // Nobody comes.
    let ((code, said), house_) = start(house().2, &["--upgrade", "--wait", "100ms"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("send SIGQUIT") && said.contains("run/upgrade.sock"), "{said}");
    assert!(!house_.path("run/upgrade.sock").exists());
    // No place to meet.
    let ((code, said), _) = start(House::new(&Upstream::start(), ROUTES), &["--upgrade"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("needs `upgrade_socket`"), "{said}");
    // Another one waits there already.
    let gateway = house().2.start();
    let heir = gateway.heir(|_| ());
    heir.said("waiting for the sockets");
    let (code, said) = gateway.heir(|_| ()).ends();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process waits"), "{said}");
    // Arguments that make no sense.
    for arguments in [&["--upgrade", "--wait", "soon"][..], &["--wait", "5s"]] {
        assert_eq!(run(&[&["serve"], arguments].concat()).0, Some(64));
    }
}

#[test]
fn a_folder_that_a_stranger_may_write_to_ends_the_start_with_1() {
    let (_, _upstream, house) = house();
    fs::set_permissions(house.path("run"), fs::Permissions::from_mode(0o777)).unwrap();
    let folder = house.path("run").display().to_string();
    let (code, said) = house.fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&folder) && said.contains("chmod 700"), "{said}");
}

#[test]
fn a_quit_that_was_meant_for_the_old_process_does_not_end_the_new_one() {
    let (_, _upstream, house) = house();
    let mut old = house.start();
    let heir = old.heir(|_| ());
    heir.said("waiting for the sockets");
    // As `pkill -QUIT cogward` would.
    heir.signal("QUIT");
    old.signal("QUIT");
    let new = heir.serves();
    assert_eq!(old.ended().code(), Some(0));
    assert_eq!(new.get_anonymously("/a").status, 200);
}
