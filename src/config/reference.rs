//! Every key of the settings file, as data: `docs/configuration.md` is rendered from it.
//!
//! Ranges and defaults of numbers are the ones that the compiler reads with. Tests hold that this table and the compiler know the
//! same keys, and that the defaults written here are what a file without the key compiles to.

use std::fmt::Write;

use super::bounds::{
    BODY_BYTES, BODY_STALL, Bounds, CHECK_INTERVAL, CHECK_TIMEOUT, CONNECT, CONNECTIONS, CONSECUTIVE_FAILURES,
    DECISION_BODY_BYTES, EJECTION_BASE, EJECTION_MOST, EXCHANGE_TIME, EXPIRY_GRACE, HEADER_BYTES, HEADER_TIMEOUT,
    HEADERS, HEALTHY_AFTER, IDLE, KEEPALIVE, KEY_MIN_REFETCH, KEY_REFRESH, KEY_STALE, KEY_TIMEOUT, LEEWAY,
    MAX_LIFETIME, MIN_RATE, POLL, READ, REQUESTS, REQUESTS_PER_CONNECTION, RETRIES, SHUTDOWN_DELAY, SHUTDOWN_GRACE,
    STREAM_IDLE, STREAMS, TARGET_BYTES, TLS_HANDSHAKE, TOKEN_BYTES, TOKEN_CACHE, UNHEALTHY_AFTER, WRITE, WRITE_STALL,
};
use crate::units::{ByteSize, Span};

/// One key of the settings file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The way to it; `[]` stands for any item of a list, `*` for a name of the user's own.
    pub pointer: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// What it does.
    pub effect: &'static str,
    /// A change takes effect only when the gateway is started anew.
    pub restart: bool,
}

/// What a key may hold.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A duration.
    Duration(Bounds<Span>),
    /// A number of bytes.
    Size(Bounds<ByteSize>),
    /// A whole number.
    Count(Bounds<u64>),
    /// `true` or `false`.
    Bool {
        /// Where the key is left out.
        default: bool,
    },
    /// Anything else.
    Other {
        /// What to write, in words.
        kind: &'static str,
        /// What holds where the key is left out, in words.
        default: &'static str,
    },
    /// A map or a list, whose keys follow.
    Section {
        /// Is it an error to leave it out?
        required: bool,
    },
}

const fn key(pointer: &'static str, shape: Shape, effect: &'static str) -> Key {
    Key { pointer, shape, effect, restart: false }
}

const fn fixed(pointer: &'static str, shape: Shape, effect: &'static str) -> Key {
    Key { pointer, shape, effect, restart: true }
}

const fn other(kind: &'static str, default: &'static str) -> Shape {
    Shape::Other { kind, default }
}

const OPTIONAL: Shape = Shape::Section { required: false };
const REQUIRED: Shape = Shape::Section { required: true };
const NO: Shape = Shape::Bool { default: false };

/// Every key, in the order of the file.
pub const KEYS: &[Key] = &[
    fixed("listeners", OPTIONAL, "Where requests are taken. Left out: one plain listener on `0.0.0.0:8080`"),
    fixed(
        "listeners[].address",
        other("IP address and port", "required"),
        "Where to listen; `[::]:8080` for IPv6. Port 0 takes a free port",
    ),
    fixed(
        "listeners[].tls",
        OPTIONAL,
        "Left out, the listener speaks plain HTTP/1.1 and HTTP/2 by prior knowledge. Only to begin or to end with TLS needs a restart: \
         what stands in here, and in the files, is taken over",
    ),
    key(
        "listeners[].tls.certificate",
        other("path", "required"),
        "PEM file with the certificate chain, leaf first. Serves clients that name no host, or one that no other certificate is for",
    ),
    key("listeners[].tls.private_key", other("path", "required"), "PEM file with the private key, unencrypted"),
    key(
        "listeners[].tls.certificates",
        OPTIONAL,
        "Further pairs, chosen by the host that the client names (SNI): exact names before `*.` ones, the first pair where two hold a name",
    ),
    key(
        "listeners[].tls.certificates[].certificate",
        other("path", "required"),
        "As above. It serves the DNS names of its `subjectAltName`; a common name does not count",
    ),
    key("listeners[].tls.certificates[].private_key", other("path", "required"), "As above"),
    key(
        "listeners[].tls.client_certificates",
        OPTIONAL,
        "Clients are asked for a certificate; policies read it as `request.client_certificate`",
    ),
    key(
        "listeners[].tls.client_certificates.ca",
        other("path", "required"),
        "PEM file with the certificates of the authorities that clients' certificates must come from",
    ),
    key(
        "listeners[].tls.client_certificates.required",
        NO,
        "Refuses clients without a certificate. A certificate that does not verify is refused either way",
    ),
    fixed("admin", OPTIONAL, "The listener for metrics, health and status"),
    fixed(
        "admin.address",
        other("IP address and port", "`127.0.0.1:9901`"),
        "Must not share a port with a listener. `0.0.0.0:9901` in Kubernetes, where kubelet and Prometheus must reach it",
    ),
    fixed("threads", other("`auto`, or 1 to 1024", "`auto`"), "Worker threads; `auto` is one a core"),
    key(
        "trusted_proxies",
        other("list of addresses and networks", "`[]`"),
        "Peers whose `X-Forwarded-*` is believed, such as `10.0.0.0/8`. `0.0.0.0/0` and `::/0` are refused",
    ),
    key(
        "shutdown_delay",
        Shape::Duration(SHUTDOWN_DELAY),
        "After SIGTERM: readiness is red, connections are still accepted, answers say `Connection: close`",
    ),
    key(
        "shutdown_grace",
        Shape::Duration(SHUTDOWN_GRACE),
        "How long requests in flight may then take before they are cut off",
    ),
    fixed(
        "upgrade_socket",
        other("path", "none"),
        "A Unix socket where `cogward serve --upgrade` waits for the listening sockets of the running gateway, which hands them over on \
         SIGQUIT. Its folder must be writable for its owner alone",
    ),
    key("identity", REQUIRED, "Whose tokens are accepted, and where they stand"),
    key("identity.providers", REQUIRED, "The issuers of tokens, at least one. No two share an issuer"),
    key("identity.providers[].id", other("id", "required"), "Its name in policies, metrics and audit lines"),
    key("identity.providers[].cognito", OPTIONAL, "A Cognito user pool. A provider has either this or `oidc`"),
    key(
        "identity.providers[].cognito.user_pool_id",
        other("user pool id", "required without `issuer`"),
        "Issuers (both forms of AWS) and the place of the keys follow from it",
    ),
    key(
        "identity.providers[].cognito.client_ids",
        other("list of app client ids, or `any`", "required"),
        "Tokens of other app clients are refused. `any` accepts every client of the pool; no environment variable can say so",
    ),
    key(
        "identity.providers[].cognito.token_use",
        other("list of `access`, `id`", "`[access]`"),
        "Which tokens are accepted, where a route does not say otherwise",
    ),
    key("identity.providers[].oidc", OPTIONAL, "Any other OpenID Connect issuer"),
    key(
        "identity.providers[].oidc.audiences",
        other("list of strings", "required"),
        "The token's `aud` must hold one of them",
    ),
    key(
        "identity.providers[].oidc.algorithms",
        other("list of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`", "`[RS256]`"),
        "Accepted signature algorithms. Cognito has RS256 only",
    ),
    key(
        "identity.providers[].issuer",
        other("URL", "follows from `user_pool_id`; required for `oidc`"),
        "The `iss` of the tokens, byte for byte. For Cognito only to override, as emulators need: it replaces what follows from the pool id",
    ),
    key(
        "identity.providers[].jwks",
        OPTIONAL,
        "Where the keys are. For Cognito only to override; required for `oidc`. Has either `url` or `file`",
    ),
    key(
        "identity.providers[].jwks.url",
        other("URL", "`<issuer>/.well-known/jwks.json` for Cognito"),
        "Fetched and refreshed. `http` only on loopback, or with `allow_insecure: true`",
    ),
    key("identity.providers[].jwks.file", other("path", "none"), "A JWKS file instead of a URL"),
    key(
        "identity.providers[].jwks.allow_insecure",
        NO,
        "Accepts plain `http` to another machine for `url` and `issuer`. Whoever sits between can forge every token",
    ),
    key(
        "identity.providers[].role_prefix",
        other("string, at most 64 bytes", "empty"),
        "Put before each group, to keep the groups of two providers apart",
    ),
    key(
        "identity.providers[].principal_claim",
        other("claim", "`identity.principal_claim`"),
        "The claim that names the principal, for this provider",
    ),
    key(
        "identity.providers[].roles_claim",
        other("claim", "`identity.roles_claim`"),
        "The claim that lists the groups, for this provider",
    ),
    key(
        "identity.credentials",
        other("list of `bearer`, `{ cookie: NAME }`, `{ header: NAME }`", "`[bearer]`"),
        "Where a token may stand. All places are looked at; two that differ are 400",
    ),
    key(
        "identity.cookie_origins",
        other("list of origins", "`[]`"),
        "Origins such as `https://app.example` whose pages may send a cookie with an unsafe method or open a WebSocket",
    ),
    key("identity.principal_claim", other("claim", "`sub`"), "The claim that names the principal"),
    key("identity.roles_claim", other("claim", "`cognito:groups`"), "The claim that lists the groups"),
    key("identity.leeway", Shape::Duration(LEEWAY), "Tolerance for `nbf` and `iat`; `exp` is exact"),
    key("identity.max_lifetime", Shape::Duration(MAX_LIFETIME), "Tokens with a longer `exp - iat` are refused"),
    key("identity.keys", OPTIONAL, "The life of signing keys"),
    key("identity.keys.refresh", Shape::Duration(KEY_REFRESH), "How often keys are fetched"),
    key(
        "identity.keys.min_refetch",
        Shape::Duration(KEY_MIN_REFETCH),
        "The least time between two fetches that tokens with unknown keys cause, and between any two that fail while keys are held (but for `refresh`, where that is shorter)",
    ),
    key(
        "identity.keys.stale_if_error",
        Shape::Duration(KEY_STALE),
        "How long the last good keys serve while they cannot be fetched",
    ),
    key("identity.keys.timeout", Shape::Duration(KEY_TIMEOUT), "Total time of one fetch"),
    key("identity.token_cache", OPTIONAL, "Verified tokens that are remembered"),
    key(
        "identity.token_cache.entries",
        Shape::Count(TOKEN_CACHE),
        "How many, at 4 KiB each in all: a token whose text and claims take more memory counts as several",
    ),
    key("upstreams", REQUIRED, "Where allowed requests go, at least one"),
    key("upstreams[].id", other("id", "required"), "Its name in policies, metrics and audit lines"),
    key(
        "upstreams[].endpoints",
        other("list of `http://host[:port]` or `https://host[:port]`", "required"),
        "Its servers, used in turn",
    ),
    key(
        "upstreams[].host",
        other("`preserve`, or a host", "`preserve`"),
        "The `Host` that it is sent: the client's own, or this one",
    ),
    key("upstreams[].timeouts", OPTIONAL, "How long it may take"),
    key("upstreams[].timeouts.connect", Shape::Duration(CONNECT), "To connect, TLS included"),
    key(
        "upstreams[].timeouts.read",
        Shape::Duration(READ),
        "From the end of a request to the head of its answer, however slowly that comes, and between two reads of its body",
    ),
    key("upstreams[].timeouts.write", Shape::Duration(WRITE), "For one write of a request"),
    key(
        "upstreams[].timeouts.idle",
        Shape::Duration(IDLE),
        "How long an idle connection is kept. Shorter than the upstream's own",
    ),
    key(
        "upstreams[].timeouts.stream_idle",
        Shape::Duration(STREAM_IDLE),
        "Between two reads of a WebSocket, an event stream or a gRPC stream. Also until the answer to an upload of more than 64 KiB, or of \
         unknown length, that goes to an upstream with `protocol: http2`",
    ),
    key(
        "upstreams[].protocol",
        other("`http1` or `http2`", "`http1`"),
        "What it speaks. `http2` is agreed on by ALPN with https endpoints, and spoken at once (h2c) with http ones: gRPC needs it. \
         A server that does not speak it is answered for with 502",
    ),
    key("upstreams[].tls", OPTIONAL, "TLS to it. All endpoints must then be `https`"),
    key(
        "upstreams[].tls.ca",
        other("path", "the platform's authorities"),
        "PEM file with the certificate authorities that are believed, and no others. Read again when it changes",
    ),
    key(
        "upstreams[].tls.certificate",
        other("path", "none"),
        "PEM file with the certificate chain that the gateway shows, leaf first. Read again when it changes",
    ),
    key("upstreams[].tls.private_key", other("path", "none"), "PEM file with its private key"),
    key(
        "upstreams[].tls.server_name",
        other("DNS name or IP address", "the endpoint's host"),
        "The name that the upstream's certificate must bear",
    ),
    key("upstreams[].health_check", OPTIONAL, "Asks each server how it is, beside the requests. Left out: no checks"),
    key(
        "upstreams[].health_check.path",
        other("path", "required"),
        "What is asked for, with GET; 200 to 399 is a good answer",
    ),
    key("upstreams[].health_check.interval", Shape::Duration(CHECK_INTERVAL), "From one check to the next"),
    key("upstreams[].health_check.timeout", Shape::Duration(CHECK_TIMEOUT), "How long a check may take"),
    key(
        "upstreams[].health_check.healthy",
        Shape::Count(HEALTHY_AFTER),
        "Good checks in a row that turn a red server green",
    ),
    key(
        "upstreams[].health_check.unhealthy",
        Shape::Count(UNHEALTHY_AFTER),
        "Bad checks in a row that turn a green server red. Where all are red, requests are answered 502 without asking any",
    ),
    key("upstreams[].outlier_ejection", OPTIONAL, "Leaves a server alone that fails requests"),
    key(
        "upstreams[].outlier_ejection.consecutive_failures",
        Shape::Count(CONSECUTIVE_FAILURES),
        "Failures in a row that eject: no connection, a broken or missing answer, a timeout, or 502, 503, 504",
    ),
    key(
        "upstreams[].outlier_ejection.base",
        Shape::Duration(EJECTION_BASE),
        "How long the first time; once more of it with each time that follows, up to 5 minutes",
    ),
    key(
        "upstreams[].outlier_ejection.most",
        Shape::Count(EJECTION_MOST),
        "Percent of the servers that may be ejected at once, rounded down; 0 ejects none",
    ),
    key(
        "upstreams[].retries",
        Shape::Count(RETRIES),
        "How often a request is tried again: where nothing was sent, or where its method is idempotent and no answer came. \
         In all at most a fifth of the requests, and a few a second",
    ),
    key(
        "identity_headers",
        other("map", "the four `X-Auth-Request-*` headers of the example"),
        "Header fields that tell upstreams who asks. `{}` sends none. They are removed from every inbound request",
    ),
    key(
        "identity_headers.*",
        other("claim, or `id`, `roles`, `provider`, `client_id`, `kind`", "none"),
        "What the header holds. An absent claim sends no header; `username` falls back to `cognito:username`; `email` needs `email_verified`",
    ),
    key(
        "forward_credential",
        NO,
        "`true` leaves the Authorization header or cookie that authenticated in the forwarded request",
    ),
    key("policies", OPTIONAL, "Where the policies are"),
    key("policies.path", other("path", "`../policies`"), "The folder with policy files, read with all its folders"),
    key(
        "policies.poll",
        Shape::Duration(POLL),
        "How often the folder is looked at where the file system sends no events",
    ),
    key("policies.allow_empty", NO, "Accepts a folder without any route; every request is then denied"),
    key(
        "policies.test_on_reload",
        NO,
        "Runs the tests beside the policies: what fails one does not start, and is no reload",
    ),
    key("policies.cerbos", OPTIONAL, "How Cerbos policies are read"),
    key(
        "policies.cerbos.profile",
        other("`strict`, `cerbos-0.51`", "`strict`"),
        "Which reading decides: the strict one, or what Cerbos 0.51 answers, its errors included",
    ),
    key("policies.cerbos.globals", other("map of name to value", "`{}`"), "`globals` and `G` of expressions"),
    key(
        "policies.cerbos.schema_enforcement",
        other("`none`, `warn`, `reject`", "`none`"),
        "What follows from attributes that a schema refuses: nothing, a list in the answer of the check API, or a no as well",
    ),
    key(
        "policies.cerbos.lenient_scope_search",
        NO,
        "A scope that no policy has is searched from its nearest parent that one has",
    ),
    key(
        "policies.cerbos.default_policy_version",
        other("letters, digits, `_`", "`default`"),
        "The version of policies that is asked for, where none is named",
    ),
    key("policies.cerbos.default_scope", other("scope", "`\"\"`"), "The scope that is asked for, where none is named"),
    fixed("audit", OPTIONAL, "One JSON line for each decision"),
    fixed("audit.destination", other("`stdout`, `off`, or `{ file: PATH }`", "`stdout`"), "Where audit lines go"),
    fixed("audit.destination.file", other("path", "none"), "The file that audit lines are appended to"),
    key("limits", OPTIONAL, "Sizes and times that no client may exceed"),
    key("limits.header_bytes", Shape::Size(HEADER_BYTES), "A request head: request line and header fields"),
    key("limits.headers", Shape::Count(HEADERS), "Header fields of a request"),
    key(
        "limits.target_bytes",
        Shape::Size(TARGET_BYTES),
        "A request target: path and query. The limit of the whole head holds as well",
    ),
    key("limits.token_bytes", Shape::Size(TOKEN_BYTES), "A token"),
    key("limits.body_bytes", Shape::Size(BODY_BYTES), "A request body, where a route does not say otherwise"),
    key(
        "limits.decision_body_bytes",
        Shape::Size(DECISION_BODY_BYTES),
        "A body that a rule looks into; it is held in memory",
    ),
    key("limits.connections", Shape::Count(CONNECTIONS), "Connections at once, over all listeners"),
    key(
        "limits.connections_per_address",
        other("number, 1 to 1000000", "that of `connections`"),
        "Connections at once from one IPv4 address, or from one IPv6 network of 64 bits. `trusted_proxies` do not count",
    ),
    key("limits.streams", Shape::Count(STREAMS), "Requests at once on one HTTP/2 connection"),
    key(
        "limits.requests_per_connection",
        Shape::Count(REQUESTS_PER_CONNECTION),
        "Requests on one connection before it is closed, after the last answer",
    ),
    key(
        "limits.requests",
        Shape::Count(REQUESTS),
        "Requests at once, over all connections; an open WebSocket, event stream or gRPC stream is one. More are answered 503 `overloaded` \
         before anything is done for them",
    ),
    key("limits.header_timeout", Shape::Duration(HEADER_TIMEOUT), "From the first byte of a request head to its last"),
    key(
        "limits.body_stall",
        Shape::Duration(BODY_STALL),
        "How long a request body may come more slowly than `min_rate`",
    ),
    key("limits.keepalive", Shape::Duration(KEEPALIVE), "Between two requests on one connection"),
    key(
        "limits.write_stall",
        Shape::Duration(WRITE_STALL),
        "How long a client may take an answer more slowly than `min_rate`",
    ),
    key("limits.tls_handshake", Shape::Duration(TLS_HANDSHAKE), "For a TLS handshake"),
    key(
        "limits.exchange_time",
        Shape::Duration(EXCHANGE_TIME),
        "From the head of a request to the last byte of its answer; WebSockets and event streams end by then, too",
    ),
    key(
        "limits.min_rate",
        Shape::Size(MIN_RATE),
        "Bytes a second that a client must bring or take while the gateway waits for it",
    ),
    key("streams", OPTIONAL, "When WebSockets, event streams and gRPC calls end, where a route does not say otherwise"),
    key(
        "streams.end_at_expiry",
        Shape::Bool { default: true },
        "They end when the token expires that opened them. `false` leaves that to the upstream",
    ),
    key("streams.expiry_grace", Shape::Duration(EXPIRY_GRACE), "So long after it"),
];

/// [`KEYS`] as a Markdown table.
pub fn render_keys() -> String {
    let mut table = String::from("| key | value | default | effect | restart |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let (value, default) = render_shape(key.shape);
        let restart = if key.restart { "yes" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{}` | {value} | {default} | {} | {restart} |", key.pointer, key.effect);
    }
    table
}

fn render_shape(shape: Shape) -> (String, String) {
    match shape {
        Shape::Duration(Bounds { least, most, default }) => {
            (format!("duration, `{least}` to `{most}`"), format!("`{default}`"))
        }
        Shape::Size(Bounds { least, most, default }) => {
            (format!("size, `{least}` to `{most}`"), format!("`{default}`"))
        }
        Shape::Count(Bounds { least, most, default }) => (format!("number, {least} to {most}"), default.to_string()),
        Shape::Bool { default } => ("`true` or `false`".to_owned(), format!("`{default}`")),
        Shape::Other { kind, default } => (kind.to_owned(), default.to_owned()),
        Shape::Section { required } => ("section".to_owned(), if required { "required" } else { "" }.to_owned()),
    }
}
