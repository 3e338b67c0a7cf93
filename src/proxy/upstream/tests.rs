use pingora::upstreams::peer::Peer;

use super::*;
use crate::{
    gate::{
        Generation, Permit,
        testing::{PUBLIC, generation, permit},
    },
    proxy::reading::Answer,
};

fn settings(upstreams: &str) -> Generation {
    generation(&format!("upstreams: [ {upstreams} ]"), PUBLIC)
}

fn built(generation: &Generation, trust: &[Trust], previous: Option<&Upstreams>) -> Upstreams {
    Upstreams::build(generation.settings(), trust, previous)
}

pub(super) fn upstreams(endpoints: &str) -> (Upstreams, Permit) {
    let generation = settings(&format!("{{ id: app, endpoints: {endpoints} }}"));
    (built(&generation, &[Trust::platform()], None), permit(&generation).unwrap())
}

fn ask(permit: &Permit) -> Ask<'_> {
    Ask { permit, answer: Answer::Message, is_small: true, avoid: None, reach: Reach::Pooled }
}

fn place(upstream: &Upstream, permit: &Permit) -> u16 {
    upstream.peer(ask(permit)).unwrap().0.address.port()
}

fn refusal() -> Box<Error> {
    Error::explain(pingora::ErrorType::ConnectRefused, "no")
}

#[test]
fn a_tls_peer_always_has_a_name() {
    let (upstreams, permit) = upstreams("['https://127.0.0.1:9443']");
    let (_, peer, _) = upstreams.get(0).unwrap().peer(ask(&permit)).unwrap();
    assert!(peer.tls() && !peer.sni().is_empty());
    assert!(peer.verify_cert() && peer.verify_hostname());

    // No settings lead here; a peer without a name would not be verified at all.
    let mut upstream = upstreams.0.into_iter().next().unwrap();
    let endpoint = Endpoint { tls: true, host: String::new(), port: 9443 };
    let nameless = Server::new(endpoint, SocketAddr::from(([127, 0, 0, 1], 9443)));
    upstream.servers.store(Arc::new(vec![Arc::new(nameless)]));
    assert_eq!(upstream.peer(ask(&permit)).unwrap_err(), NoServer::Nameless);
    upstream.tls.server_name = Some("app.internal".to_owned());
    assert_eq!(upstream.peer(ask(&permit)).unwrap().1.sni(), "app.internal");
}

#[test]
fn connections_made_under_other_terms_are_not_used() {
    let terms = [
        "protocol: http1",
        "protocol: http2",
        "tls: { server_name: app.example }",
        "tls: { server_name: other.example }",
        "retries: 2",
    ];
    let mut keys = std::collections::HashMap::new();
    let hash = |upstreams: &Upstreams, place: usize, permit: &Permit, answer| {
        let ask = Ask { answer, ..ask(permit) };
        upstreams.get(place).unwrap().peer(ask).unwrap().1.reuse_hash()
    };
    for (place, term) in terms.iter().enumerate() {
        let two = |id| format!("{{ id: {id}, endpoints: ['https://127.0.0.1:9'], {term} }}");
        let generation = settings(&format!("{}, {}", two("a"), two("b")));
        let permit = permit(&generation).unwrap();
        let trust = [Trust::platform(), Trust::platform()];
        let upstreams = built(&generation, &trust, None);
        for which in 0..2 {
            for answer in [Answer::Message, Answer::WebSocket] {
                let key = hash(&upstreams, which, &permit, answer);
                assert_eq!(keys.insert(key, (place, which)), None, "{term}");
            }
        }
        // A reload that changes nothing about them goes on with the connections; another certificate does not.
        let kept = built(&generation, &trust, Some(&upstreams));
        assert_eq!(hash(&kept, 0, &permit, Answer::Message), hash(&upstreams, 0, &permit, Answer::Message));
        let file = crate::yaml::SourceFile { name: "ca.pem".into(), text: term.to_string() };
        let fingerprint = crate::gate::source::fingerprint([&file], &crate::diagnostic::Report::default());
        let other = [Trust { fingerprint, ..Trust::platform() }, Trust::platform()];
        let renewed = built(&generation, &other, Some(&upstreams));
        assert_ne!(hash(&renewed, 0, &permit, Answer::Message), hash(&upstreams, 0, &permit, Answer::Message));
        assert_eq!(hash(&renewed, 1, &permit, Answer::Message), hash(&upstreams, 1, &permit, Answer::Message));
        assert!(upstreams.say(generation.settings(), &trust) && !upstreams.say(generation.settings(), &other));
    }
    assert_eq!(keys.len(), terms.len() * 4);
}

#[test]
fn a_fresh_connection_is_never_one_of_the_pool() {
    let (upstreams, permit) = upstreams("['http://127.0.0.1:9']");
    let peer = |reach| upstreams.get(0).unwrap().peer(Ask { reach, ..ask(&permit) }).unwrap().1.reuse_hash();
    assert_eq!(peer(Reach::Pooled), peer(Reach::Pooled));
    assert_ne!(peer(Reach::Fresh), peer(Reach::Fresh));
}

#[test]
fn servers_are_used_in_turn_and_one_that_refuses_rests() {
    let (upstreams, permit) = upstreams("['http://127.0.0.1:1', 'http://127.0.0.1:2']");
    let upstream = upstreams.get(0).unwrap();
    let next = || upstream.peer(ask(&permit)).unwrap().0;
    let (first, second) = (next(), next());
    assert_ne!(first.address, second.address);
    upstream.refused(&first, &refusal());
    assert!((0..4).all(|_| Arc::ptr_eq(&next(), &second)));
    upstream.refused(&second, &refusal());
    assert_ne!(next().address, next().address, "where all rest, none does");
    upstream.accepted(&first);
    assert!((0..4).all(|_| Arc::ptr_eq(&next(), &first)));
}

#[test]
fn the_server_that_failed_is_the_last_to_be_asked_again() {
    let (upstreams, permit) = upstreams("['http://127.0.0.1:1', 'http://127.0.0.1:2', 'http://127.0.0.1:3']");
    let upstream = upstreams.get(0).unwrap();
    let first = upstream.peer(ask(&permit)).unwrap().0;
    for other in upstream.servers.load().iter().filter(|server| !Arc::ptr_eq(server, &first)) {
        upstream.refused(other, &refusal());
        other.eject(server::now(), upstream.ejection.base);
    }
    let again = Ask { avoid: Some(&first), ..ask(&permit) };
    assert!((0..6).all(|_| !Arc::ptr_eq(&upstream.peer(again).unwrap().0, &first)));
    let (alone, permit) = self::upstreams("['http://127.0.0.1:1']");
    let only = alone.get(0).unwrap().peer(ask(&permit)).unwrap().0;
    let again = Ask { avoid: Some(&only), ..ask(&permit) };
    assert!(Arc::ptr_eq(&alone.get(0).unwrap().peer(again).unwrap().0, &only), "better than none");
}

/// Fails requests until nothing more is ejected; tells how many servers are.
fn fail_all(upstream: &Upstream) -> usize {
    for server in upstream.servers.load().iter() {
        (0..20).for_each(|_| _ = upstream.failed(server));
    }
    upstream.servers.load().iter().filter(|server| server.is_ejected()).count()
}

#[test]
fn no_more_servers_are_ejected_than_the_settings_allow() {
    for (servers, most, ejected) in
        [(1, 50, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (4, 100, 4), (4, 0, 0), (1, 100, 1)]
    {
        let endpoints: Vec<_> = (1..=servers).map(|port| format!("'http://127.0.0.1:{port}'")).collect();
        let generation = settings(&format!(
            "{{ id: app, endpoints: [{}], outlier_ejection: {{ most: {most} }} }}",
            endpoints.join(", ")
        ));
        let (upstreams, permit) = (built(&generation, &[Trust::platform()], None), permit(&generation).unwrap());
        let upstream = upstreams.get(0).unwrap();
        assert_eq!(fail_all(upstream), ejected, "{servers} {most}");
        let asked: std::collections::BTreeSet<_> = (0..20).map(|_| place(upstream, &permit)).collect();
        let expected = if ejected == servers { servers } else { servers - ejected };
        assert_eq!(asked.len(), expected, "where all are ejected, all are asked");
    }
}

#[test]
fn what_is_known_of_a_server_outlives_a_reload() {
    let text = "{ id: app, endpoints: ['http://127.0.0.1:1', 'http://127.0.0.1:2'], health_check: { path: / } }";
    let generation = settings(text);
    let trust = [Trust::platform()];
    let upstreams = built(&generation, &trust, None);
    let check = generation.settings().upstreams[0].health_check.clone().unwrap();
    let red = Arc::clone(&upstreams.get(0).unwrap().servers.load()[0]);
    (0..3).for_each(|_| _ = red.checked(false, &check));
    let changed = settings(&text.replace("path: /", "path: /, interval: 9s").replace(":2'", ":3'"));
    let next = built(&changed, &trust, Some(&upstreams));
    let permit = permit(&changed).unwrap();
    assert!((0..4).all(|_| place(next.get(0).unwrap(), &permit) == 3));
    // Where nobody checks any more, nobody would ever turn it green.
    let unchecked = settings("{ id: app, endpoints: ['http://127.0.0.1:1'] }");
    let last = built(&unchecked, &trust, Some(&next));
    assert_eq!(place(last.get(0).unwrap(), &permit), 1);
}

#[test]
fn where_all_checks_fail_no_server_is_asked() {
    let generation = settings("{ id: app, endpoints: ['http://127.0.0.1:1'], health_check: { path: / } }");
    let upstreams = built(&generation, &[Trust::platform()], None);
    let (upstream, permit) = (upstreams.get(0).unwrap(), permit(&generation).unwrap());
    let check = upstream.health_check.clone().unwrap();
    assert_eq!(place(upstream, &permit), 1, "before the first check");
    (0..3).for_each(|_| _ = upstream.servers.load()[0].checked(false, &check));
    assert_eq!(upstream.peer(ask(&permit)).unwrap_err(), NoServer::AllRed);
    let only = Arc::clone(&upstream.servers.load()[0]);
    assert_eq!(upstream.peer(Ask { avoid: Some(&only), ..ask(&permit) }).unwrap_err(), NoServer::AllRed);
    assert_eq!(upstreams.status()[0].servers[0].state, ServerState::Unhealthy);
}
