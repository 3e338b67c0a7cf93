//! Clients that show certificates.

use super::*;
use crate::edge::tests::certificates::{Authority, clients, expired};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

struct Asking {
    house: TlsHouse,
    server: Issued,
    authority: Authority,
}

/// The listener's settings when it asks clients for certificates.
fn asking(required: bool) -> TlsSettings {
    TlsSettings { clients: clients(required), ..settings("a") }
}

impl Asking {
    async fn new(required: bool) -> Self {
        let (server, authority) = (server(&[NAME]), Authority::new("clients"));
        let files = Files::default().with("a", &server).file("ca.pem", &authority.pem);
        Self { house: TlsHouse::new(&files, asking(required)).await, server, authority }
    }

    fn client(&self, shown: Option<&Issued>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        client(&[&self.server], shown, &[version], &[])
    }

    /// Other authorities vouch from now on.
    fn trust(&self, authorities: &str, required: bool) {
        let files = Files::default().with("a", &self.server).file("ca.pem", authorities);
        assert!(self.house.slot.set(&files.compiled(&asking(required))));
    }
}

#[tokio::test]
async fn a_verified_client_certificate_is_known_to_filters() {
    for required in [true, false] {
        let asking = Asking::new(required).await;
        let ann = asking.authority.client("ann");
        for version in VERSIONS {
            let (told, _) = asking.house.ask(&asking.client(Some(&ann), version), "/client").await.unwrap();
            assert_eq!(told, r#""CN=ann,O=Example" Some("ann") ["ann.example"]"#);
        }
        let over_h2 = client(&[&asking.server], Some(&ann), &[&TLS13], &[b"h2"]);
        let stream = asking.house.connect(&over_h2, NAME).await.unwrap();
        let mut sender = http2::client(stream).await;
        let told = http2::get(&mut sender, "https://gateway.example/client").await;
        assert!(told.contains("CN=ann"), "{told}");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    for version in VERSIONS {
        let strict = Asking::new(true).await;
        assert!(strict.house.ask(&strict.client(None, version), "/client").await.is_err());
        assert_eq!(strict.house.handshakes(), [Handshake::Failed]);
        let lenient = Asking::new(false).await;
        let (told, _) = lenient.house.ask(&lenient.client(None, version), "/client").await.unwrap();
        assert_eq!(told, "nobody");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_refused_although_none_is_required() {
    for required in [true, false] {
        let asking = Asking::new(required).await;
        let bad = [
            ("of another authority", Authority::new("others").client("ann")),
            ("of another authority with the same name", Authority::new("clients").client("ann")),
            ("signed by itself", server(&["ann.example"])),
            ("expired", asking.authority.issue("ann", expired)),
            (
                "for servers only",
                asking.authority.issue("ann", |params| {
                    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
                }),
            ),
        ];
        for (why, shown) in &bad {
            for version in VERSIONS {
                let answer = asking.house.ask(&asking.client(Some(shown), version), "/client").await;
                assert!(answer.is_err(), "{why}: {answer:?}");
            }
        }
        assert_eq!(asking.house.handshakes(), [Handshake::Failed; 10]);
    }
}

#[tokio::test]
async fn a_certificate_without_a_single_reading_is_refused_in_the_handshake() {
    let asking = Asking::new(false).await;
    let twice = asking.authority.issue("ann", |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("ann.example".try_into().unwrap())];
        let name = b"\x30\x0d\x82\x0bbob.example".to_vec();
        params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], name)];
    });
    let hidden = asking.authority.issue("ann", |params| {
        let name = b"\x30\x0d\x82\x0bann\0example".to_vec();
        params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], name)];
    });
    for shown in [twice, hidden] {
        assert!(asking.house.ask(&asking.client(Some(&shown), &TLS13), "/client").await.is_err());
    }
    assert_eq!(asking.house.handshakes(), [Handshake::Failed; 2]);
}

#[tokio::test]
async fn a_resumed_session_keeps_the_verified_certificate() {
    for required in [true, false] {
        let asking = Asking::new(required).await;
        let ann = asking.authority.client("ann");
        for version in VERSIONS {
            let client = asking.client(Some(&ann), version);
            let (first, kind) = asking.house.ask(&client, "/client").await.unwrap();
            assert_eq!(kind, HandshakeKind::Full);
            let (second, kind) = asking.house.ask(&client, "/client").await.unwrap();
            assert_eq!((kind, &second), (HandshakeKind::Resumed, &first));
            assert!(second.contains("CN=ann"));
        }
    }
}

#[tokio::test]
async fn a_session_does_not_outlive_the_authority_that_vouched_for_it() {
    for required in [true, false] {
        let asking = Asking::new(required).await;
        let ann = asking.authority.client("ann");
        for version in VERSIONS {
            let client = asking.client(Some(&ann), version);
            let of_ann = asking.house.ask(&client, "/client").await.unwrap();
            assert!(of_ann.0.contains("CN=ann"));
            asking.trust(&Authority::new("clients").pem, required);
            let answer = asking.house.ask(&client, "/client").await;
            assert!(answer.is_err(), "{answer:?}");
            // With both authorities the client is known again, by a whole handshake.
            let both = format!("{}{}", Authority::new("next").pem, asking.authority.pem);
            asking.trust(&both, required);
            let (told, kind) = asking.house.ask(&client, "/client").await.unwrap();
            assert!(told.contains("CN=ann") && kind == HandshakeKind::Full, "{told} {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_session_without_a_certificate_does_not_serve_where_one_is_required() {
    let asking = Asking::new(false).await;
    for version in VERSIONS {
        let nobody = asking.client(None, version);
        assert_eq!(asking.house.ask(&nobody, "/client").await.unwrap().0, "nobody");
        asking.trust(&asking.authority.pem, true);
        assert!(asking.house.ask(&nobody, "/client").await.is_err());
        asking.trust(&asking.authority.pem, false);
    }
}
