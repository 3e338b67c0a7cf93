//! The names that a condition may use.
//!
//! Names are resolved while compiling, so that a typing mistake is a compile error with advice, never an absent value at run time.

mod fields;

use std::sync::{Arc, LazyLock};

use cel::Env;
use http::HeaderName;
use serde_json::{Map, Value};

use super::Computed;
use super::functions;
use super::path::{Fields, Path, RequestField, Source};
use super::suggest::closest;
use fields::Target;

/// Which language a condition is written in, and what it may name.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(super) profile: Profile,
    captures: Vec<Box<str>>,
    credential_headers: Arc<[HeaderName]>,
    names_resource: bool,
    /// `C`
    pub(super) constants: Arc<Map<String, Value>>,
    /// `V`
    pub(super) variables: Arc<[Box<str>]>,
    /// `G`
    pub(super) globals: Arc<Map<String, Value>>,
    pub(super) sets: Sets,
}

/// How the set functions compare elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sets {
    /// By the language's `==`.
    Equality,
    /// As Cerbos 0.51 does: in longer lists a double is no integer.
    AsOf051,
}

/// The two languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// `when` of native rules. A result that is not a boolean is an error.
    Native,
    /// `condition.match` of Cerbos policies. A result that is not a boolean is false.
    Cerbos,
}

/// A group of fields: never a value in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Principal,
    Request,
    /// The only group that may be absent.
    Certificate,
    Captures,
    Resource,
    CerbosRequest,
    CerbosPrincipal,
    CerbosResource,
    CerbosAuxiliary,
    /// `V`
    Variables,
    /// `C`
    Constants,
    /// `G`
    Globals,
    Runtime,
}

/// Every header field, or every query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multitude {
    Headers,
    Queries,
}

/// What a name or a chain of names stands for.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Record(Record, String),
    Names(Multitude, String),
    Path(Path),
    Variable(Box<str>),
    Global(Box<str>, Option<Computed>),
}

/// A message of the Cerbos protocol: the fields that may be set in it, by their JSON names.
pub(super) type Message = Vec<(&'static str, Part)>;

/// A field of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Path(Path),
    /// A message within, and what tells whether it is there, unless it always is.
    Message(Message, Option<Path>),
}

/// What is wrong with a name, and what to write instead.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Unknown {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What Cerbos conditions may name, in its short form.
const CERBOS_ROOTS: &[&str] = &["request", "P", "R", "V", "C", "G", "runtime"];

/// Header fields that carry credentials, whatever the settings say.
const CREDENTIAL_HEADERS: [HeaderName; 3] =
    [http::header::AUTHORIZATION, http::header::COOKIE, http::header::PROXY_AUTHORIZATION];

impl Environment {
    /// Conditions of native rules on a route with these captures.
    pub fn native(captures: &[&str]) -> Self {
        Self {
            profile: Profile::Native,
            captures: captures.iter().map(|&name| name.into()).collect(),
            credential_headers: CREDENTIAL_HEADERS.into(),
            names_resource: true,
            constants: Arc::default(),
            variables: Arc::default(),
            globals: Arc::default(),
            sets: Sets::Equality,
        }
    }

    /// Conditions of Cerbos policies.
    pub fn cerbos() -> Self {
        Self { profile: Profile::Cerbos, ..Self::native(&[]) }
    }

    /// The route names no resource: `resource` does not compile.
    #[must_use]
    pub fn without_resource(mut self) -> Self {
        self.names_resource = false;
        self
    }

    /// Header fields that carry credentials besides `Authorization`, `Cookie` and `Proxy-Authorization`. Conditions do not see them.
    #[must_use]
    pub fn with_credential_headers(mut self, names: &[HeaderName]) -> Self {
        self.credential_headers = self.credential_headers.iter().chain(names).cloned().collect();
        self
    }

    /// The constants of a Cerbos policy, `C`. A name that is not among them does not compile.
    #[must_use]
    pub fn with_constants(mut self, constants: Map<String, Value>) -> Self {
        self.constants = Arc::new(constants);
        self
    }

    /// The names of the variables of a Cerbos policy, `V`. A name that is not among them does not compile.
    #[must_use]
    pub fn with_variables(mut self, names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.variables = names.into_iter().map(Into::into).collect();
        self
    }

    /// The values of the installation, `G`.
    #[must_use]
    pub fn with_globals(mut self, globals: Map<String, Value>) -> Self {
        self.globals = Arc::new(globals);
        self
    }

    /// The set functions do what those of Cerbos 0.51 do: in lists of three and more elements `1.0` is not `1`.
    #[must_use]
    pub fn as_of_0_51(mut self) -> Self {
        self.sets = Sets::AsOf051;
        self
    }

    pub(super) fn credential_headers(&self) -> &Arc<[HeaderName]> {
        &self.credential_headers
    }

    /// How absent fields behave.
    pub(super) fn fields(&self) -> Fields {
        match self.profile {
            Profile::Native => Fields::Optional,
            Profile::Cerbos => Fields::Defaulted,
        }
    }

    /// The interpreter's functions for this language.
    pub(super) fn interpreter(&self) -> &'static Arc<Env> {
        static NATIVE: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(functions::native()));
        static CERBOS: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(functions::cerbos(Sets::Equality)));
        static CERBOS_051: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(functions::cerbos(Sets::AsOf051)));
        match (self.profile, self.sets) {
            (Profile::Native, _) => &NATIVE,
            (Profile::Cerbos, Sets::Equality) => &CERBOS,
            (Profile::Cerbos, Sets::AsOf051) => &CERBOS_051,
        }
    }

    /// What a name at the head of a chain stands for.
    pub(super) fn root(&self, name: &str) -> Result<Place, Unknown> {
        let record = match (self.profile, name) {
            (Profile::Native, "principal") => Record::Principal,
            (Profile::Native, "request") => Record::Request,
            (Profile::Native, "path") => Record::Captures,
            (Profile::Native, "resource") if self.names_resource => Record::Resource,
            (Profile::Native, "resource") => {
                return Err(Unknown::new("the route names no resource").with_help("give the route a `resource`"));
            }
            (Profile::Cerbos, "request") => Record::CerbosRequest,
            (Profile::Cerbos, "P") => Record::CerbosPrincipal,
            (Profile::Cerbos, "R") => Record::CerbosResource,
            (Profile::Cerbos, "V" | "variables") => Record::Variables,
            (Profile::Cerbos, "C" | "constants") => Record::Constants,
            (Profile::Cerbos, "runtime") => Record::Runtime,
            (Profile::Cerbos, "G" | "globals") => Record::Globals,
            (Profile::Native, _) => return Err(unknown_name(name, &["principal", "request", "path", "resource"])),
            (Profile::Cerbos, _) => return Err(unknown_name(name, CERBOS_ROOTS)),
        };
        Ok(Place::Record(record, name.to_owned()))
    }

    /// What a field of a group stands for.
    pub(super) fn field(&self, record: Record, written: &str, name: &str) -> Result<Place, Unknown> {
        let fields = match record {
            Record::Captures => return self.capture(written, name),
            Record::Variables => return self.variable(name),
            Record::Constants => return self.constant(written, name),
            Record::Globals => return Ok(self.global(name)),
            Record::Principal
            | Record::Request
            | Record::Certificate
            | Record::Resource
            | Record::CerbosRequest
            | Record::CerbosPrincipal
            | Record::CerbosResource
            | Record::CerbosAuxiliary
            | Record::Runtime => record.fields(),
        };
        let Some((_, target)) = fields.iter().find(|(field, _)| *field == name) else {
            let known: Vec<&str> =
                fields.iter().map(|(field, _)| *field).filter(|field| !is_snake_twin(field)).collect();
            return Err(unknown_field(written, name, &known));
        };
        let written = format!("{written}.{name}");
        let source = match *target {
            Target::Record(record) => return Ok(Place::Record(record, written)),
            Target::Names(names) => return Ok(Place::Names(names, written)),
            Target::Principal(field) => Source::Principal(field),
            Target::Method => Source::Request(RequestField::Method),
            Target::Path => Source::Request(RequestField::Path),
            Target::Host => Source::Request(RequestField::Host),
            Target::ClientIp => Source::Request(RequestField::ClientIp),
            Target::Certificate(field) => Source::Request(RequestField::Certificate(field)),
            Target::Resource(field) => Source::Resource(field),
            Target::DerivedRoles => Source::DerivedRoles,
        };
        Ok(Place::Path(Path { written: written.into(), source, steps: vec![] }))
    }

    /// A message as a value; `None` where the group is none, or is never one.
    pub(super) fn message(&self, record: Record, written: &str) -> Option<Message> {
        let names = record.fields().iter().map(|(name, _)| *name).filter(|name| !is_snake_twin(name));
        let part = |name: &'static str| match self.field(record, written, name) {
            Ok(Place::Path(path)) => Some((name, Part::Path(path))),
            Ok(Place::Record(inner, written)) => {
                Some((name, Part::Message(self.message(inner, &written)?, inner.presence(&written))))
            }
            Ok(Place::Names(..) | Place::Variable(_) | Place::Global(..)) | Err(_) => None,
        };
        record.is_value().then(|| names.filter_map(part).collect())
    }

    fn variable(&self, name: &str) -> Result<Place, Unknown> {
        if self.variables.iter().any(|known| **known == *name) {
            return Ok(Place::Variable(name.into()));
        }
        Err(undefined("variable", name, self.variables.iter().map(|known| &**known)))
    }

    /// Globals keep their integers. As of 0.51 one that is not there reads as null.
    fn global(&self, name: &str) -> Place {
        let absent = || (self.sets == Sets::AsOf051).then(Computed::null);
        Place::Global(name.into(), self.globals.get(name).map(Computed::from_json).or_else(absent))
    }

    fn constant(&self, written: &str, name: &str) -> Result<Place, Unknown> {
        match self.constants.get(name) {
            Some(value) => Ok(Place::Path(Path::fixed(format!("{written}.{name}"), &Arc::new(value.clone())))),
            None => Err(undefined("constant", name, self.constants.keys().map(String::as_str))),
        }
    }

    fn capture(&self, written: &str, name: &str) -> Result<Place, Unknown> {
        if !self.captures.iter().any(|known| **known == *name) {
            let message = format!("the route has no capture `{name}`");
            return Err(match self.captures.as_slice() {
                [] => Unknown::new(message).with_help("its pattern has no captures"),
                known => Unknown::new(message).with_help(format!("captures of its pattern are: {}", known.join(", "))),
            });
        }
        let written = format!("{written}.{name}").into();
        Ok(Place::Path(Path { written, source: Source::Capture(name.into()), steps: vec![] }))
    }

    /// One header field or query parameter.
    pub(super) fn named(&self, names: Multitude, written: &str, name: &str) -> Result<Place, Unknown> {
        let field = match names {
            Multitude::Queries => RequestField::Query(name.into()),
            Multitude::Headers => {
                let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                    return Err(Unknown::new(format!("`{name}` is not the name of a header field")));
                };
                // SECURITY: a policy that could read a token could leak it: `a_credential_header_is_not_visible`.
                if self.credential_headers.contains(&header) {
                    let message = format!("the header field `{header}` carries a credential");
                    return Err(
                        Unknown::new(message).with_help("conditions see the verified claims: `principal.claims`")
                    );
                }
                RequestField::Header(header)
            }
        };
        let written = format!("{written}[{name:?}]").into();
        Ok(Place::Path(Path { written, source: Source::Request(field), steps: vec![] }))
    }
}

/// The other spelling of a field, left out of advice.
fn is_snake_twin(field: &str) -> bool {
    matches!(field, "aux_data" | "policy_version" | "effective_derived_roles")
}

fn unknown_name(name: &str, known: &[&str]) -> Unknown {
    let unknown = Unknown::new(format!("unknown name `{name}`"));
    match closest(name, known.iter().copied()) {
        Some(known) => unknown.with_help(format!("did you mean `{known}`?")),
        None => unknown.with_help(format!("a condition may name: {}", known.join(", "))),
    }
}

fn undefined<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> Unknown {
    let unknown = Unknown::new(format!("undefined {what} `{name}`"));
    match closest(name, known) {
        Some(known) => unknown.with_help(format!("did you mean `{known}`?")),
        None => unknown.with_help(format!("the policy defines or imports no such {what}")),
    }
}

fn unknown_field(written: &str, name: &str, known: &[&str]) -> Unknown {
    let unknown = Unknown::new(format!("`{written}` has no field `{name}`"));
    match closest(name, known.iter().copied()) {
        Some(known) => unknown.with_help(format!("did you mean `{written}.{known}`?")),
        None => unknown.with_help(format!("fields of `{written}` are: {}", known.join(", "))),
    }
}
