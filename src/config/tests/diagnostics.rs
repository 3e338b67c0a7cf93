//! What people read when a settings file is wrong, by section.

use super::*;

fn check(text: &str, expected: Expect) {
    let (settings, report) = compile(text);
    assert_eq!(settings.is_none(), report.has_errors());
    expected.assert_eq(&report.to_string());
}

#[test]
fn an_empty_file_and_one_without_its_sections() {
    check(
        "{}\n",
        expect![[r#"
        error[Y004]: the map is empty
          --> etc/cogward.yaml:1:1
          help: fill it or leave the key out"#]],
    );
    check(
        "threads: 2\n",
        expect![[r#"
            error[Y005]: `identity` is missing
              --> etc/cogward.yaml:1:1
              help: add `identity` here

            error[Y005]: `upstreams` is missing
              --> etc/cogward.yaml:1:1
              help: add `upstreams` here"#]],
    );
}

#[test]
fn variables() {
    check(
        &with(
            "threads: ${NOWHERE}\nshutdown_grace: ${BROKEN\nshutdown_delay: 3 ${X-y}\nadmin: { address: '${A}:${B:-1}' }",
        ),
        expect![[r#"
            error[C001]: the environment variable `NOWHERE` is not set
              --> etc/cogward.yaml:1:10  (threads)
              help: set it, or give it a default: `${NOWHERE:-default}`

            error[C002]: a `${` has no closing `}`
              --> etc/cogward.yaml:2:17  (shutdown_grace)
              help: write `${NAME}` or `${NAME:-default}`; `$${` is a literal `${`

            error[C002]: `${X-y}` does not name an environment variable
              --> etc/cogward.yaml:3:17  (shutdown_delay)
              help: write `${NAME}` or `${NAME:-default}`; `$${` is a literal `${`

            error[C001]: the environment variable `A` is not set
              --> etc/cogward.yaml:4:19  (admin.address)
              help: set it, or give it a default: `${A:-default}`"#]],
    );
}

#[test]
fn units_ranges_and_words() {
    check(
        &with(
            "threads: many\nshutdown_delay: 5\nshutdown_grace: 2h\nlimits: { header_bytes: 64, body_bytes: 0B, headers: 0, keepalive: forever }",
        ),
        expect![[r#"
            error[C007]: `many` is neither `auto` nor a number from 1 to 1024
              --> etc/cogward.yaml:1:10  (threads)
              help: write `auto` for one thread a core

            error[C003]: `5` is not a duration such as `500ms`, `5s`, `2m` or `24h`
              --> etc/cogward.yaml:2:17  (shutdown_delay)
              help: the default is `5s`

            error[C005]: `2h` is not between `0s` and `1h`
              --> etc/cogward.yaml:3:17  (shutdown_grace)
              help: the default is `20s`

            error[C004]: `64` is not a size such as `512B`, `64KiB`, `10MiB` or `1GiB`
              --> etc/cogward.yaml:4:25  (limits.header_bytes)
              help: the default is `32KiB`

            error[Y006]: `0` is not between 1 and 1000
              --> etc/cogward.yaml:4:54  (limits.headers)
              help: write a number from 1 to 1000

            error[C005]: `0B` is not between `1B` and `64GiB`
              --> etc/cogward.yaml:4:41  (limits.body_bytes)
              help: the default is `10MiB`

            error[C003]: `forever` is not a duration such as `500ms`, `5s`, `2m` or `24h`
              --> etc/cogward.yaml:4:68  (limits.keepalive)
              help: the default is `1m`"#]],
    );
    check(
        &with("streams: { end_at_expiry: never, expiry_grace: 25h, end: 1 }"),
        expect![[r#"
        error[Y003]: expected `true` or `false`, found a string
          --> etc/cogward.yaml:1:27  (streams.end_at_expiry)
          help: write `true` or `false` here, or leave the key out where it has a default

        error[C005]: `25h` is not between `0s` and `24h`
          --> etc/cogward.yaml:1:48  (streams.expiry_grace)
          help: the default is `0s`

        error[Y007]: unknown key `end`
          --> etc/cogward.yaml:1:58  (streams.end)
          help: known keys are: end_at_expiry, expiry_grace"#]],
    );
    check(
        &with("threads: 0"),
        expect![[r#"
            error[C007]: `0` is neither `auto` nor a number from 1 to 1024
              --> etc/cogward.yaml:1:10  (threads)
              help: write `auto` for one thread a core"#]],
    );
    check(
        &with("audit: { destination: syslog }\nforward_credential: 'yes'"),
        expect![[r#"
            error[Y003]: expected `true` or `false`, found a string
              --> etc/cogward.yaml:2:21  (forward_credential)
              help: write `true` or `false` here, or leave the key out where it has a default

            error[C007]: `syslog` is not a destination
              --> etc/cogward.yaml:1:23  (audit.destination)
              help: write `stdout`, `off` or `{ file: PATH }`"#]],
    );
}

#[test]
fn listeners() {
    check(
        &with(
            "listeners:\n  - address: localhost:8080\n  - address: 8080\n  - address: 0.0.0.0:80\n    tls: { certificate: cert.pem }\n  - address: 0.0.0.0:443\n  - address: 127.0.0.1:443\n  - port: 8080\nadmin: { address: '9901' }",
        ),
        expect![[r#"
            error[C010]: `localhost:8080` is not an IP address with a port
              --> etc/cogward.yaml:2:14  (listeners[0].address)
              help: write an address such as `0.0.0.0:8080`, `127.0.0.1:9901` or `[::]:8080`

            error[C010]: `8080` is not an IP address with a port
              --> etc/cogward.yaml:3:14  (listeners[1].address)
              help: write an address such as `0.0.0.0:8080`, `127.0.0.1:9901` or `[::]:8080`

            error[Y005]: `private_key` is missing
              --> etc/cogward.yaml:5:10  (listeners[2].tls)
              help: add `private_key` here

            error[C011]: `0.0.0.0:443` and `127.0.0.1:443` cannot both be listened on
              --> etc/cogward.yaml:7:5  (listeners[4])
              help: give each listener an address or a port of its own

            error[Y005]: `address` is missing
              --> etc/cogward.yaml:8:5  (listeners[5])
              help: add `address` here

            error[Y007]: unknown key `port`
              --> etc/cogward.yaml:8:11  (listeners[5].port)
              help: known keys are: address, tls

            error[C010]: `9901` is not an IP address with a port
              --> etc/cogward.yaml:9:19  (admin.address)
              help: write an address such as `0.0.0.0:8080`, `127.0.0.1:9901` or `[::]:8080`"#]],
    );
    check(
        &with("admin: { address: '127.0.0.1:8080' }"),
        expect![[r#"
        error[C011]: the listener `0.0.0.0:8080` and the admin address `127.0.0.1:8080` cannot both be listened on
          --> etc/cogward.yaml:1:1
          help: give `admin.address` a port of its own"#]],
    );
}

#[test]
fn networks() {
    check(
        &with("trusted_proxies: [10.0.0.1, 10.0.0.1/8, 0.0.0.0/0, lb.internal, 10.0.0.0/8, 10.0.0.0/8]"),
        expect![[r#"
            error[C012]: `10.0.0.1/8` names an address inside a network
              --> etc/cogward.yaml:1:29  (trusted_proxies[1])
              help: write `10.0.0.0/8` for the network, or `10.0.0.1` for the address

            error[C012]: `0.0.0.0/0`: every address would be a trusted proxy, so any client could choose its own address
              --> etc/cogward.yaml:1:41  (trusted_proxies[2])
              help: name a network such as `10.0.0.0/8`, or an address

            error[C012]: `lb.internal`: not an address, nor a network such as `10.0.0.0/8`
              --> etc/cogward.yaml:1:52  (trusted_proxies[3])
              help: name a network such as `10.0.0.0/8`, or an address

            error[C008]: this entry stands in the list already
              --> etc/cogward.yaml:1:77  (trusted_proxies[5])
              help: keep one of them"#]],
    );
}

#[test]
fn kinds_of_providers() {
    check(
        &providers(
            "    - { id: a b, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }\n    - { id: b }\n    - { id: c, cognito: { user_pool_id: eu-west-1_C, client_ids: [web] }, oidc: { audiences: [x] } }\n    - { id: c, cognito: {} }\n    - { id: d, cognito: { user_pool_id: eu-west-1_D, client_ids: [web], jwks: { allow_insecure: true }, role_prefix: 'a,' }, role_prefix: 'd:' }",
        ),
        expect![[r#"
            error[C006]: `a b` cannot be an id
              --> etc/cogward.yaml:3:13  (identity.providers[0].id)
              help: an id is a letter or a digit, then at most 63 letters, digits, `-`, `_` or `.`

            error[C013]: a provider has either `cognito` or `oidc`
              --> etc/cogward.yaml:4:7  (identity.providers[1])
              help: write one of them; list a second issuer as a provider of its own

            error[C013]: a provider has either `cognito` or `oidc`
              --> etc/cogward.yaml:5:7  (identity.providers[2])
              help: write one of them; list a second issuer as a provider of its own

            error[C009]: the id `c` is taken
              --> etc/cogward.yaml:6:13  (identity.providers[3].id)
              help: give each entry an id of its own

            error[Y004]: the map is empty
              --> etc/cogward.yaml:6:25  (identity.providers[3].cognito)
              help: fill it or leave the key out

            error[C013]: `jwks` has either `url` or `file`
              --> etc/cogward.yaml:7:79  (identity.providers[4].cognito.jwks)
              help: write one of them

            error[C014]: `role_prefix` stands beside this block as well
              --> etc/cogward.yaml:7:118  (identity.providers[4].cognito.role_prefix)
              help: keep one of them

            error[C020]: this cannot be a role prefix
              --> etc/cogward.yaml:7:118  (identity.providers[4].cognito.role_prefix)
              help: a role prefix has at most 64 bytes, no comma and no control character"#]],
    );
}

#[test]
fn user_pools() {
    check(
        &providers(
            "    - { id: a, cognito: { user_pool_id: pool, client_ids: any-client, token_use: [access, refresh] } }\n    - { id: b, cognito: { user_pool_id: eu-west-1_B } }\n    - { id: c, cognito: { client_ids: ['a b'] } }\n    - { id: d, cognito: { issuer: 'https://d.example', user_pool_id: nopool, client_ids: [web, web] } }\n    - { id: e, cognito: { issuer: 'http://e.example', client_ids: [web] } }\n    - { id: f, cognito: { user_pool_id: eu-west-1_F, client_ids: [web] } }\n    - { id: g, cognito: { user_pool_id: eu-west-1_F, client_ids: [mobile] } }",
        ),
        expect![[r#"
            error[C018]: `pool` is not a user pool id such as `eu-west-1_a1B2c3D4e`
              --> etc/cogward.yaml:3:41  (identity.providers[0].cognito.user_pool_id)
              help: copy the id of the user pool, such as `eu-west-1_a1B2c3D4e`

            error[C019]: `client_ids` is a list of app client ids, or the word `any`
              --> etc/cogward.yaml:3:59  (identity.providers[0].cognito.client_ids)
              help: `any` accepts the tokens of every app client of the pool, and must be written out in this file

            error[C007]: `refresh` is not known here
              --> etc/cogward.yaml:3:91  (identity.providers[0].cognito.token_use[1])
              help: write `access` or `id`

            error[Y005]: `client_ids` is missing
              --> etc/cogward.yaml:4:25  (identity.providers[1].cognito)
              help: add `client_ids` here

            error[Y005]: `user_pool_id` is missing
              --> etc/cogward.yaml:5:25  (identity.providers[2].cognito)
              help: add `user_pool_id` here

            error[C019]: `a b` is not an app client id
              --> etc/cogward.yaml:5:40  (identity.providers[2].cognito.client_ids[0])
              help: copy the id of the app client from the user pool

            error[C018]: `nopool` is not a user pool id
              --> etc/cogward.yaml:6:70  (identity.providers[3].cognito.user_pool_id)
              help: copy the id of the user pool, such as `eu-west-1_a1B2c3D4e`

            error[C008]: this entry stands in the list already
              --> etc/cogward.yaml:6:96  (identity.providers[3].cognito.client_ids[1])
              help: keep one of them

            error[C016]: `http://e.example` is plain http to another machine: whoever sits between could forge every token
              --> etc/cogward.yaml:7:35  (identity.providers[4].cognito.issuer)
              help: use https, or write `allow_insecure: true` in `jwks` where the network is trusted

            error[C017]: the issuer `https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_F` belongs to the provider `f` already
              --> etc/cogward.yaml:9:7  (identity.providers[6])
              help: one issuer has one provider; list all clients of a user pool in it"#]],
    );
}

#[test]
fn other_issuers() {
    check(
        &providers(
            "    - { id: a, oidc: { audiences: [] } }\n    - { id: b, oidc: { issuer: login.example, jwks: { url: 'https://u:p@login.example/k' }, audiences: [api], algorithms: [none, XS1, HS256] } }\n    - { id: c, oidc: { issuer: 'https://c.example/?x', jwks: { url: 'http://c.example/k' }, audiences: [api] } }",
        ),
        expect![[r#"
            error[Y005]: `jwks` is missing
              --> etc/cogward.yaml:3:22  (identity.providers[0].oidc)
              help: add `jwks` here

            error[Y005]: `issuer` is missing
              --> etc/cogward.yaml:3:22  (identity.providers[0].oidc)
              help: add `issuer` here

            error[Y004]: the list is empty
              --> etc/cogward.yaml:3:35  (identity.providers[0].oidc.audiences)
              help: fill it or leave the key out

            error[C015]: the URL holds a user name
              --> etc/cogward.yaml:4:60  (identity.providers[1].oidc.jwks.url)
              help: write a URL such as `https://id.example.com/keys.json`

            error[C015]: the URL `login.example` does not start with `http://` or `https://`
              --> etc/cogward.yaml:4:32  (identity.providers[1].oidc.issuer)
              help: write a URL such as `https://id.example.com/keys.json`

            error[C031]: `none` is never accepted: anyone could sign with it
              --> etc/cogward.yaml:4:124  (identity.providers[1].oidc.algorithms[0])
              help: accepted are: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA

            error[C031]: `XS1` is not a signature algorithm that is known here
              --> etc/cogward.yaml:4:130  (identity.providers[1].oidc.algorithms[1])
              help: accepted are: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA

            error[C031]: `HS256` is never accepted: anyone could sign with it
              --> etc/cogward.yaml:4:135  (identity.providers[1].oidc.algorithms[2])
              help: accepted are: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA

            error[C016]: `http://c.example/k` is plain http to another machine: whoever sits between could forge every token
              --> etc/cogward.yaml:5:69  (identity.providers[2].oidc.jwks.url)
              help: use https, or write `allow_insecure: true` in `jwks` where the network is trusted

            error[C015]: the URL `https://c.example/?x` has a query or a fragment
              --> etc/cogward.yaml:5:32  (identity.providers[2].oidc.issuer)
              help: write a URL such as `https://id.example.com/keys.json`"#]],
    );
}

#[test]
fn claims() {
    check(
        &identity(
            "  providers: [{ id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] }, principal_claim: email }]\n  roles_claim: 'my roles'",
        ),
        expect![[r#"
            error[C020]: this cannot be the name of a claim
              --> etc/cogward.yaml:3:16  (identity.roles_claim)
              help: a claim is named by at most 256 bytes without spaces, such as `sub`, `email` or `custom:tenant`

            warning[C030]: `email` can change hands: a user who takes over the value takes over what it owns
              --> etc/cogward.yaml:2:100  (identity.providers[0].principal_claim)
              help: prefer `sub`, which is never given to anyone else"#]],
    );
}

#[test]
fn credentials_and_origins() {
    let provider = "  providers: [{ id: a, cognito: { user_pool_id: eu-west-1_A, client_ids: [web] } }]\n";
    check(
        &identity(&format!(
            "{provider}  credentials: [bearer, bearer, basic, {{ cookie: 'a b' }}, {{ header: Authorization }}, {{ header: X-Auth-Request-User }}, {{ query: token }}]\n  cookie_origins: ['https://app.example/', '*', 'https://app.example', 'https://APP.example:443']"
        )),
        expect![[r#"
            error[C008]: this entry stands in the list already
              --> etc/cogward.yaml:3:25  (identity.credentials[1])
              help: keep one of them

            error[C021]: this names no credential
              --> etc/cogward.yaml:3:33  (identity.credentials[2])
              help: write `bearer`, `{ cookie: NAME }` or `{ header: NAME }`

            error[C021]: `a b` is not the name of a cookie
              --> etc/cogward.yaml:3:50  (identity.credentials[3].cookie)
              help: a cookie name has no spaces, quotes, commas, semicolons or `=`

            error[C022]: the header `Authorization` has a meaning of its own
              --> etc/cogward.yaml:3:69  (identity.credentials[4].header)
              help: choose a name that belongs to your application, such as `X-User-Id`

            error[C022]: the header `X-Auth-Request-User` tells upstreams who asks, and is removed from every request
              --> etc/cogward.yaml:3:96  (identity.credentials[5].header)
              help: take the token from another header

            error[Y007]: unknown key `query`
              --> etc/cogward.yaml:3:128  (identity.credentials[6].query)
              help: known keys are: cookie, header

            error[C024]: the origin `https://app.example/` has something behind its host and port
              --> etc/cogward.yaml:4:20  (identity.cookie_origins[0])
              help: an origin is a scheme, a host and perhaps a port, such as `https://app.example` or `http://localhost:3000`

            error[C024]: the origin `*` does not start with `http://` or `https://`
              --> etc/cogward.yaml:4:44  (identity.cookie_origins[1])
              help: an origin is a scheme, a host and perhaps a port, such as `https://app.example` or `http://localhost:3000`

            error[C008]: this entry stands in the list already
              --> etc/cogward.yaml:4:72  (identity.cookie_origins[3])
              help: keep one of them"#]],
    );
    check(
        &identity(&format!("{provider}  cookie_origins: ['https://app.example']")),
        expect![[r#"
        warning[C025]: these origins change nothing: no cookie is a credential
          --> etc/cogward.yaml:3:19  (identity.cookie_origins)
          help: add `{ cookie: NAME }` to `credentials`, or leave `cookie_origins` out"#]],
    );
}

#[test]
fn tls_settings_beside_a_plain_endpoint_are_refused() {
    check(
        &format!("{IDENTITY}upstreams: [{{ id: a, endpoints: ['https://a', 'http://b'], tls: {{ ca: ca.pem }} }}]\n"),
        expect![[r#"
            error[C040]: `tls` is set, and an endpoint is plain `http`
              --> etc/cogward.yaml:2:13  (upstreams[0])
              help: write `https://` for every endpoint, or leave `tls` out"#]],
    );
}

#[test]
fn a_name_that_is_verified_as_another_is_refused() {
    check(
        &format!(
            "{IDENTITY}upstreams:\n  - {{ id: a, endpoints: ['https://my_app.example'] }}\n  - {{ id: b, endpoints: ['https://b'], tls: {{ server_name: 'b_c' }} }}\n  - {{ id: c, endpoints: ['https://c'], tls: {{ server_name: 'c:443' }} }}\n"
        ),
        expect![[r#"
            error[C041]: `my_app.example` is not a name that a certificate bears
              --> etc/cogward.yaml:3:5  (upstreams[0])
              help: set `tls: { server_name: NAME }` to the name in the upstream's certificate

            error[C041]: `b_c` is not a name that a certificate bears
              --> etc/cogward.yaml:4:60  (upstreams[1].tls.server_name)
              help: write a DNS name without underscores, or an IP address (IPv6 in brackets), and no port

            error[C041]: `c:443` is not a name that a certificate bears
              --> etc/cogward.yaml:5:60  (upstreams[2].tls.server_name)
              help: write a DNS name without underscores, or an IP address (IPv6 in brackets), and no port"#]],
    );
    let good = "upstreams: [{ id: a, endpoints: ['https://my_app'], tls: { server_name: my-app.example } }]";
    assert!(compile(&format!("{IDENTITY}{good}\n")).0.is_some());
}

#[test]
fn halves_of_a_client_certificate_and_bad_checks_are_refused() {
    check(
        &format!(
            "{IDENTITY}upstreams:\n  - {{ id: a, endpoints: ['https://a'], tls: {{ certificate: c.pem }} }}\n  - {{ id: b, endpoints: ['https://b'], tls: {{ private_key: k.pem }}, protocol: h3 }}\n  - {{ id: c, endpoints: ['http://c'], health_check: {{ path: healthz }}, retries: 6 }}\n  - {{ id: d, endpoints: ['http://d'], health_check: {{ interval: 5 }} }}\n"
        ),
        expect![[r#"
            error[Y005]: `private_key` is missing
              --> etc/cogward.yaml:3:45  (upstreams[0].tls)
              help: add `private_key` here

            error[C007]: `h3` is not known here
              --> etc/cogward.yaml:4:79  (upstreams[1].protocol)
              help: write `http1` or `http2`

            error[Y005]: `certificate` is missing
              --> etc/cogward.yaml:4:45  (upstreams[1].tls)
              help: add `certificate` here

            error[C043]: `healthz` is not a path that can be asked for
              --> etc/cogward.yaml:5:61  (upstreams[2].health_check.path)
              help: write a path such as `/healthz`

            error[Y006]: `6` is not between 0 and 5
              --> etc/cogward.yaml:5:81  (upstreams[2].retries)
              help: write a number from 0 to 5

            error[Y005]: `path` is missing
              --> etc/cogward.yaml:6:53  (upstreams[3].health_check)
              help: add `path` here

            error[C003]: `5` is not a duration such as `500ms`, `5s`, `2m` or `24h`
              --> etc/cogward.yaml:6:65  (upstreams[3].health_check.interval)
              help: the default is `5s`"#]],
    );
}

#[test]
fn upstreams() {
    check(
        &format!(
            "{IDENTITY}upstreams:\n  - {{ id: a, endpoints: ['http://a/path', 'a:80', 'http://b', 'http://b:80'], host: 'a/b' }}\n  - {{ id: a, endpoints: ['http://a'], timeouts: {{ connect: 0s, raed: 1s }} }}\n  - {{ id: c, endpoints: [] }}\n"
        ),
        expect![[r#"
            error[C026]: the endpoint `http://a/path` has something behind its host and port
              --> etc/cogward.yaml:3:26  (upstreams[0].endpoints[0])
              help: an endpoint is a scheme, a host and perhaps a port, such as `http://127.0.0.1:9000` or `https://api.internal`

            error[C026]: the endpoint `a:80` does not start with `http://` or `https://`
              --> etc/cogward.yaml:3:43  (upstreams[0].endpoints[1])
              help: an endpoint is a scheme, a host and perhaps a port, such as `http://127.0.0.1:9000` or `https://api.internal`

            error[C008]: this entry stands in the list already
              --> etc/cogward.yaml:3:63  (upstreams[0].endpoints[3])
              help: keep one of them

            error[C027]: `a/b` is neither `preserve` nor a host
              --> etc/cogward.yaml:3:85  (upstreams[0].host)
              help: write `preserve`, or a host such as `api.internal` or `api.internal:8080`

            error[C009]: the id `a` is taken
              --> etc/cogward.yaml:4:11  (upstreams[1].id)
              help: give each entry an id of its own

            error[C005]: `0s` is not between `10ms` and `5m`
              --> etc/cogward.yaml:4:60  (upstreams[1].timeouts.connect)
              help: the default is `2s`

            error[Y007]: unknown key `raed`
              --> etc/cogward.yaml:4:70  (upstreams[1].timeouts.raed)
              help: did you mean `read`?

            error[Y004]: the list is empty
              --> etc/cogward.yaml:5:25  (upstreams[2].endpoints)
              help: fill it or leave the key out"#]],
    );
}

#[test]
fn identity_headers() {
    check(
        &with("identity_headers: { X-Forwarded-User: id, 'bad name': id, X-A: id, X_A: email, X-B: 'a b', X-C: 1 }"),
        expect![[r#"
            error[C022]: the header `X-Forwarded-User` has a meaning of its own
              --> etc/cogward.yaml:1:39  (identity_headers.X-Forwarded-User)
              help: choose a name that belongs to your application, such as `X-User-Id`

            error[C022]: `bad name` is not a header name
              --> etc/cogward.yaml:1:55  (identity_headers.bad name)
              help: a header name is letters, digits and `-`, such as `X-User-Id`

            error[C023]: `x_a` and `x-a` are the same header to some upstreams
              --> etc/cogward.yaml:1:73  (identity_headers.X_A)
              help: upper and lower case, `-`, `_` and `.` make no difference there; keep one of them

            error[C020]: this cannot be the name of a claim
              --> etc/cogward.yaml:1:85  (identity_headers.X-B)
              help: a claim is named by at most 256 bytes without spaces, such as `sub`, `email` or `custom:tenant`

            error[Y003]: expected a string, found a number
              --> etc/cogward.yaml:1:97  (identity_headers.X-C)
              help: write a string here, or leave the key out where it has a default"#]],
    );
}

#[test]
fn what_the_section_policies_does_not_take() {
    check(
        &with(
            "policies:\n  test_on_reload: maybe\n  cerbos: { profile: lenient, globals: { 1a: 1 }, schema_enforcement: some, lenient_scope_search: 1, default_policy_version: 'v 1', default_scope: 'a b' }",
        ),
        expect![[r#"
            error[Y003]: expected `true` or `false`, found a string
              --> etc/cogward.yaml:2:19  (policies.test_on_reload)
              help: write `true` or `false` here, or leave the key out where it has a default

            error[C007]: `lenient` is not known here
              --> etc/cogward.yaml:3:22  (policies.cerbos.profile)
              help: write `strict` or `cerbos-0.51`

            error[C029]: `1a` is not the name of a global
              --> etc/cogward.yaml:3:40  (policies.cerbos.globals)
              help: a name is letters, digits and `_`, and starts with no digit

            error[C007]: `some` is not known here
              --> etc/cogward.yaml:3:71  (policies.cerbos.schema_enforcement)
              help: write `none` or `warn` or `reject`

            error[Y003]: expected `true` or `false`, found a number
              --> etc/cogward.yaml:3:99  (policies.cerbos.lenient_scope_search)
              help: write `true` or `false` here, or leave the key out where it has a default

            error[C029]: `v 1` is not a policy version
              --> etc/cogward.yaml:3:126  (policies.cerbos.default_policy_version)
              help: a version is letters, digits and `_`, such as `default`

            error[C029]: `a b` is not a scope
              --> etc/cogward.yaml:3:148  (policies.cerbos.default_scope)
              help: a scope is words of letters, digits, `_` and `-`, joined by dots, such as `acme.hr`"#]],
    );
}
