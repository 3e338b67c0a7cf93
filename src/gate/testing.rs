//! A generation out of texts, for the tests of the gate and of what stands behind it.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Method};

use super::{Admission, Denial, Generation, Permit, Seen};
use crate::{
    config::Settings,
    policy::{
        Body,
        testing::{file, policies},
    },
    request::{Headers, Host, RequestView, Target},
    time::{Moment, Now},
    token::{KeyRing, testing::NOW},
};

/// One public route, `/public`, to the first upstream.
pub(crate) const PUBLIC: &str = "- { id: public, path: /public, rules: [ { id: everyone, roles: [anyone] } ] }";

/// The time of the tests.
pub(crate) fn now() -> Now {
    Now { time: NOW, moment: Moment::default() }
}

/// A generation of one provider without keys, with these lines of settings (`upstreams` at least) and these routes.
pub(crate) fn generation(settings: &str, routes: &str) -> Generation {
    let text = format!(
        "identity: {{ providers: [ {{ id: main, cognito: {{ user_pool_id: eu-west-1_A, client_ids: [web] }} }} ] }}\n{settings}\n"
    );
    let (settings, report) = Settings::compile(&file("cogward.yaml", &text), &|_| None);
    let settings = settings.unwrap_or_else(|| panic!("{report}"));
    Generation::new(1, Arc::new(settings), Arc::new(policies(routes)), Arc::new(KeyRing::new(vec![None])))
}

/// What `GET /public` without a credential meets.
pub(crate) fn permit(generation: &Generation) -> Result<Permit, Denial> {
    let host = Host::parse(b"gateway.example").unwrap();
    let target = Target::parse(b"/public", &host).unwrap();
    let fields = HeaderMap::new();
    let view = RequestView {
        method: &Method::GET,
        host: &host,
        path: &target.path,
        query: target.query(),
        headers: Headers::new(&fields),
        client: IpAddr::from([192, 0, 2, 1]),
        secure: true,
        websocket: false,
        client_certificate: None,
    };
    match generation.admit(&view, Body::Unread, now(), &mut Seen::default())? {
        Admission::Permit(permit) => Ok(permit),
        other @ (Admission::NeedsBody { .. } | Admission::Preflight(_)) => panic!("{other:?}"),
    }
}
