//! Which pages of other origins may read the answers of a route (Fetch, section 3.2), as its file says it and as requests are answered by it.
//!
//! Origins are compared byte for byte with what browsers write. Grants nothing but reading: whether the request itself passes is the
//! matter of the rules.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};

use super::{Methods, headers::read_name};
use crate::{
    identity::Origin,
    policy::{
        codes,
        read::{read_method, read_word},
    },
    request::{Headers, Lookup},
    units::Span,
    yaml::Cursor,
};

/// How long a browser may remember the answer to a preflight, where the file says nothing.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Browsers remember no longer than this anyway.
const LONGEST: Span = Span::hours(24);

/// The pages that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    /// Of any origin.
    Any,
    /// Of these, as browsers write them.
    Listed(Vec<HeaderValue>),
}

/// `cors` as a file says it.
#[derive(Clone, Debug)]
pub(crate) struct CorsRule {
    origins: Origins,
    methods: Option<Vec<Method>>,
    headers: Vec<HeaderName>,
    expose: Vec<HeaderName>,
    credentials: bool,
    max_age: Duration,
}

/// Which pages of other origins may read the answers of a route.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    methods: Methods,
    headers: Vec<HeaderName>,
    credentials: bool,
    /// What every answer to a listed origin says beside the origin.
    answer: Vec<(HeaderName, HeaderValue)>,
    /// What the answer to a preflight says beside the origin.
    preflight: Vec<(HeaderName, HeaderValue)>,
}

impl Cors {
    /// The value of `Access-Control-Allow-Origin` for a request; `None` where it is from no listed origin, or from nobody knows where.
    pub fn allows(&self, headers: Headers<'_>) -> Option<HeaderValue> {
        // SECURITY: what stands twice says nothing: `an_origin_that_is_almost_listed_is_not_allowed`.
        let Lookup::One(origin) = headers.single(&header::ORIGIN) else { return None };
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(origins) => origins.iter().find(|listed| *listed == origin).cloned(),
        }
    }

    /// May a page send that method with the fields that a preflight announces?
    pub fn takes(&self, method: &Method, headers: Headers<'_>) -> bool {
        let is_listed = |name: &[u8]| {
            let listed = |listed: &HeaderName| listed.as_str().as_bytes().eq_ignore_ascii_case(name);
            name.is_empty() || self.headers.iter().any(listed)
        };
        let announced = headers.all(&header::ACCESS_CONTROL_REQUEST_HEADERS);
        let mut names = announced.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        self.methods.contains(method) && names.all(|name| is_listed(name.trim_ascii()))
    }

    /// The fields of an answer to a request of that origin.
    pub fn answer(&self, origin: &HeaderValue) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.said_of(origin).chain(self.answer.iter().cloned())
    }

    /// The fields of the answer to a preflight of that origin.
    pub fn preflight(&self, origin: &HeaderValue) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.said_of(origin).chain(self.preflight.iter().cloned())
    }

    fn said_of(&self, origin: &HeaderValue) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let credentials = (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        let origin = (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        std::iter::once(origin).chain(self.credentials.then_some(credentials))
    }
}

impl CorsRule {
    /// Reads `cors`. The outer `None` is a mistake, which is noted; the inner one is `none`.
    pub(crate) fn read(at: &Cursor<'_>) -> Option<Option<Self>> {
        if at.node().as_text().is_some() {
            return read_word(at, &[("none", None::<()>)]).map(|_| None);
        }
        let mut map = at.map()?;
        let origins = map.require("origins").and_then(|at| read_origins(&at));
        let methods = map.take("methods").map(|at| at.each(|each| read_listed_method(each)));
        let mut names = |key| map.take(key).map_or_else(|| Some(Vec::new()), |at| at.each(read_listed_name));
        let (headers, expose) = (names("headers"), names("expose"));
        let credentials = map.take("credentials");
        let max_age = map.take("max_age").map(|at| read_max_age(&at));
        map.finish();

        let is_credentialed = credentials.as_ref().is_some_and(|at| at.bool() == Some(true));
        if let (true, Some(Origins::Any), Some(at)) = (is_credentialed, &origins, &credentials) {
            // SECURITY: `any_origin_with_credentials_does_not_compile`.
            at.error_with_help(
                codes::CORS,
                "any origin would read what the cookie of a user opens",
                "list the origins, or leave `credentials` out",
            );
        }
        Some(Some(Self {
            origins: origins?,
            methods: match methods {
                Some(methods) => Some(methods?),
                None => None,
            },
            headers: headers?,
            expose: expose?,
            credentials: is_credentialed,
            max_age: max_age.unwrap_or(Some(MAX_AGE))?,
        }))
    }

    /// Notes the methods that the route does not take.
    pub(crate) fn check(&self, at: &Cursor<'_>, route: &Methods) {
        let strange = self.methods.iter().flatten().find(|method| !route.contains(method));
        if let Some(method) = strange {
            at.error_with_help(
                codes::CORS,
                format!("`cors` names {method}, which the route does not take"),
                format!("leave `cors.methods` out for all methods of the route: {}", route.render()),
            );
        }
    }

    /// For a route of these methods.
    pub(crate) fn compile(self, route: &Methods) -> Cors {
        let methods: Methods = match &self.methods {
            Some(listed) => listed.iter().filter(|method| route.contains(method)).cloned().collect(),
            None => route.clone(),
        };
        let mut preflight = vec![(header::ACCESS_CONTROL_ALLOW_METHODS, methods.allow())];
        preflight.extend(list(header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers));
        preflight.push((header::ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into()));
        Cors {
            origins: self.origins,
            methods,
            credentials: self.credentials,
            answer: list(header::ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose).into_iter().collect(),
            headers: self.headers,
            preflight,
        }
    }
}

fn list(field: HeaderName, names: &[HeaderName]) -> Option<(HeaderName, HeaderValue)> {
    let names = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    // Names are tokens, and tokens with commas between them are always a header value.
    HeaderValue::try_from(names).ok().filter(|value| !value.is_empty()).map(|value| (field, value))
}

fn read_origins(at: &Cursor<'_>) -> Option<Origins> {
    let entries = at.list()?;
    if let [only] = entries.as_slice()
        && only.node().as_text() == Some("*")
    {
        return Some(Origins::Any);
    }
    let origins = at.each(read_origin)?;
    let twice =
        origins.iter().enumerate().find(|(place, origin)| origins.iter().take(*place).any(|other| other == *origin));
    if let Some((place, _)) = twice
        && let Some(entry) = entries.get(place)
    {
        entry.error_with_help(codes::CORS, "the origin is listed twice", "keep one of them");
    }
    Some(Origins::Listed(origins))
}

fn read_origin(at: &Cursor<'_>) -> Option<HeaderValue> {
    let text = at.text()?;
    let plain = "write scheme, host and port as browsers do: `https://app.example`, `http://localhost:8080`";
    let (problem, help) = match text {
        "*" => ("`*` stands beside other origins".to_owned(), "`*` alone means any origin"),
        // SECURITY: sandboxed pages and local files of anybody are `null`: `the_null_origin_cannot_be_listed`.
        "null" => ("`null` is the origin of everybody's sandboxed pages and local files".to_owned(), plain),
        _ if text.contains('*') => (format!("`{text}` has a wildcard"), "list each origin, or write `*` alone for any"),
        _ if has_usual_port(text) => {
            (format!("`{text}` names the scheme's own port"), "leave the port out: browsers do")
        }
        _ => match (text.parse::<Origin>(), HeaderValue::from_str(text)) {
            (Ok(_), Ok(value)) => return Some(value),
            (Ok(_), Err(_)) | (Err(_), _) => (format!("`{text}` is not an origin"), plain),
        },
    };
    at.error_with_help(codes::CORS, problem, help);
    None
}

fn has_usual_port(text: &str) -> bool {
    (text.starts_with("https://") && text.ends_with(":443")) || (text.starts_with("http://") && text.ends_with(":80"))
}

fn read_listed_method(at: &Cursor<'_>) -> Option<Method> {
    let text = at.text()?;
    if text == "*" {
        at.error_with_help(codes::CORS, "`*` is no method", "leave `methods` out for all methods of the route");
        return None;
    }
    read_method(text, at)
}

fn read_listed_name(at: &Cursor<'_>) -> Option<HeaderName> {
    let text = at.text()?;
    if text == "*" {
        at.error_with_help(
            codes::CORS,
            "`*` is no header name",
            "list the names: beside credentials browsers take `*` for a name, and never for `Authorization`",
        );
        return None;
    }
    read_name(text, at)
}

fn read_max_age(at: &Cursor<'_>) -> Option<Duration> {
    let help = format!("write whole seconds up to {LONGEST}, or leave the key out for {}", Span::minutes(10));
    let time = at.parse::<Span>(codes::UNIT, &help)?;
    if time > LONGEST || time.duration().subsec_nanos() > 0 {
        at.error_with_help(codes::UNIT, format!("`{time}` is longer than a day, or no whole seconds"), help);
        return None;
    }
    Some(time.duration())
}

#[cfg(test)]
mod tests;
