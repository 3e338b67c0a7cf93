//! What must hold of each parser, whatever it is given.

use std::{collections::BTreeSet, sync::OnceLock, time::Duration};

use cogward::{
    config::Settings,
    diagnostic::Report,
    identity::{Credential, CredentialSource},
    policy::{
        PolicySet, World,
        condition::{Condition, Environment, Expression},
    },
    request::{
        CanonicalPath, Headers, Host, Target, decode,
        wire::{HeadLimits, HeadScan},
    },
    time::UnixTime,
    token::{
        Accepts, Algorithm, Clients, Dialect, KeyRing, KeySet, KeySetError, Provider, ProviderId, RawToken, TokenUses,
        UserPoolId, Verifier, verify_signature,
    },
    yaml::SourceFile,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const LIMIT: usize = 8192;

/// A target that parses is written in one way, and read again it is the same.
pub(crate) fn target(input: &[u8]) {
    let host = Host::parse(b"gateway.example").unwrap();
    let Ok(target) = Target::parse(input, &host) else { return };
    let wire = target.wire();
    let again = Target::parse(wire.as_bytes(), &host).unwrap();
    assert_eq!((again.wire(), again.path.as_str()), (wire, target.path.as_str()));
    let path = target.path.as_str();
    assert!(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && !b"\\;?#".contains(&b)), "{path}");
    let segments: Vec<String> = target.path.segments().map(|segment| decode(segment).into_owned()).collect();
    for (place, segment) in segments.iter().enumerate() {
        assert!(!segment.is_empty() || place + 1 == segments.len(), "{path}");
        assert!(segment != "." && segment != ".." && !segment.contains(['/', '\\', '\0', ';', '#', '?']), "{path}");
        assert!(!segment.chars().any(char::is_control), "{path}");
    }
    if let Some(rest) = CanonicalPath::parse(b"/a").ok().and_then(|prefix| target.path.strip_prefix(&prefix)) {
        assert_eq!(format!("/a{}", rest.as_str().trim_end_matches('/')), path.trim_end_matches('/'));
    }
    let _ = target.query().single("o");
    assert!(target.query().pairs().count() <= input.len());
}

/// What is presented stands in the request, and nothing is left of it once it is taken out.
pub(crate) fn credential(input: &[u8]) {
    let mut map = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(50) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    let sources = [
        CredentialSource::Bearer,
        CredentialSource::Cookie("session".to_owned()),
        CredentialSource::Header(HeaderName::from_static("x-token")),
    ];
    let Ok(Credential::Presented { token, source }) = Credential::find(Headers::new(&map), &sources, LIMIT) else {
        return;
    };
    let text = token.as_str().as_bytes();
    assert!(input.windows(text.len()).any(|window| window == text));
    assert_eq!(text.iter().filter(|byte| **byte == b'.').count(), 2);
    let (name, left) = source.take_out(Headers::new(&map)).unwrap();
    let mut less = map.clone();
    less.remove(&name);
    less.extend(left.map(|left| (name, left)));
    let again = Credential::find(Headers::new(&less), std::slice::from_ref(source), LIMIT);
    assert!(matches!(again, Ok(Credential::Absent)));
}

struct Issuer {
    keys: KeySet,
    verifier: Verifier,
    ring: KeyRing,
}

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let (keys, _) = KeySet::parse(include_bytes!("keys.json"), &[Algorithm::RS256]).unwrap();
        let pool: UserPoolId = "eu-west-1_FuzzPool1".parse().unwrap();
        let provider = Provider {
            id: ProviderId::new("main"),
            issuers: pool.issuers().to_vec(),
            dialect: Dialect::Cognito {
                clients: Clients::OneOf(vec!["client-1".to_owned()]),
                token_use: TokenUses::Access,
            },
            algorithms: vec![Algorithm::RS256],
            principal_claim: "sub".to_owned(),
            roles_claim: "cognito:groups".to_owned(),
            role_prefix: String::new(),
            leeway: Duration::from_secs(5),
            max_lifetime: Duration::from_secs(86_400),
        };
        let ring = KeyRing::new(vec![Some(keys.clone().into())]);
        Issuer { keys, verifier: Verifier::new(vec![provider]), ring }
    })
}

/// Nobody here has the private key: nothing verifies but the one token that its holder signed.
pub(crate) fn token(input: &[u8]) {
    const GOOD: &[u8] = include_bytes!("good.jwt");
    let issuer = issuer();
    let signed = verify_signature(input, &issuer.keys, &[Algorithm::RS256]).is_ok();
    assert_eq!(signed, input == GOOD);
    let now = UnixTime::from_seconds(1_800_000_000);
    let accepted = RawToken::parse(input, LIMIT).is_ok_and(|raw| {
        assert_eq!(raw.as_str().as_bytes(), input);
        issuer.verifier.verify(&raw, &issuer.ring, Accepts::default(), now).is_ok()
    });
    assert_eq!(accepted, input == GOOD);
}

/// At least one key and at most 64, each by a `kid` of its own.
pub(crate) fn jwks(input: &[u8]) {
    let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    match KeySet::parse(input, &algorithms) {
        Ok((set, skipped)) => {
            let kids: BTreeSet<&str> = set.kids().collect();
            assert_eq!(kids.len(), set.len());
            assert!((1..=64).contains(&(set.len() + skipped.len())) && !set.is_empty());
            assert!(kids.iter().all(|kid| (1..=256).contains(&kid.len())));
            assert!(skipped.windows(2).all(|pair| pair[0].place < pair[1].place));
            assert_eq!(KeySet::parse(input, &algorithms).unwrap(), (set, skipped));
        }
        Err(KeySetError::NoUsableKey { skipped }) => assert!(skipped.len() <= 64),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A result exactly when nothing is wrong, the same each time, and a report that can be shown.
fn compiles<T: std::fmt::Debug>(compile: impl Fn() -> (Option<T>, Report)) -> Option<T> {
    let ((result, report), (again, second)) = (compile(), compile());
    assert_eq!(result.is_some(), again.is_some());
    assert_eq!(report.to_string(), second.to_string());
    assert_eq!(result.is_none(), report.has_errors() || report.findings().len() >= Report::MOST, "{report}");
    result
}

pub(crate) fn settings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let file = SourceFile { name: "cogward.yaml".to_owned(), text: text.to_owned() };
    let env = |name: &str| (name == "A").then(|| "x".to_owned());
    if let Some(settings) = compiles(|| Settings::compile(&file, &env)) {
        assert!(!settings.identity.providers.is_empty() && !settings.upstreams.is_empty());
    }
}

pub(crate) fn policy(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let files = [SourceFile { name: "policy.yaml".to_owned(), text: text.to_owned() }];
    let world = World {
        providers: &[ProviderId::new("main")],
        upstreams: &["contacts".to_owned()],
        identity_headers: &[HeaderName::from_static("x-auth-request-user")],
        credential_headers: &[],
        cerbos: &cogward::policy::cerbos::Options::default(),
        schemas: &[],
        allow_empty: true,
    };
    if let Some(set) = compiles(|| PolicySet::compile(&files, &world)) {
        let ids: BTreeSet<&str> = set.routes().iter().map(|route| &*route.id).collect();
        assert_eq!(ids.len(), set.routes().len());
    }
}

/// The verdict on a head is that on its bytes one by one; what follows the head changes nothing.
pub(crate) fn head(input: &[u8]) {
    let limits = HeadLimits { headers: 20, target_bytes: 200 };
    let whole = HeadScan::new(limits).feed(input);
    let mut scan = HeadScan::new(limits);
    let mut last = Ok(None);
    for end in 0..=input.len().min(4096) {
        last = scan.feed(&input[..end]);
        if !matches!(last, Ok(None)) {
            break;
        }
    }
    if input.len() <= 4096 {
        assert_eq!(last, whole);
    }
    if let Ok(Some(end)) = whole {
        let head = &input[..end];
        assert!(head.ends_with(b"\r\n\r\n"));
        assert_eq!(HeadScan::new(limits).feed(head), Ok(Some(end)), "what comes behind a head does not change it");
        assert!(head.windows(2).all(|pair| pair[1] != b'\n' || pair[0] == b'\r'), "a bare line feed");
        let lower = head.to_ascii_lowercase();
        let names = |name: &[u8]| lower.windows(name.len()).filter(|window| *window == name).count();
        assert!(names(b"\r\ncontent-length:") + names(b"\r\ntransfer-encoding:") <= 1);
        assert_eq!(names(b"\r\nhost:"), 1);
    }
}

/// The same answer each time, and where it is no, a place in the text.
pub(crate) fn condition(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let constants = [("c".to_owned(), 1.into())].into_iter().collect();
    let cerbos = Environment::cerbos().with_constants(constants).with_variables(["v"]);
    for environment in [cerbos, Environment::native(&["user"])] {
        let condition = Condition::compile(text, &environment).map(drop);
        assert_eq!(Condition::compile(text, &environment).map(drop), condition);
        if condition.is_ok() {
            Expression::compile(text, &environment).unwrap();
        }
        let Err(error) = condition else { continue };
        assert!(!error.message.is_empty());
        if let Some((line, column)) = error.offset {
            let lines: Vec<&str> = text.split('\n').collect();
            assert!((1..=lines.len()).contains(&line), "{line}:{column}");
            assert!((1..=lines[line - 1].chars().count() + 1).contains(&column), "{line}:{column}");
        }
    }
}
