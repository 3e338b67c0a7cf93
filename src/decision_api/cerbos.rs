//! The check API of Cerbos 0.51: HTTP with JSON and gRPC, for its SDKs.
//!
//! Both transports read a question into the same messages (`wire`), put the same rules to it (`validate`) and have it decided by one
//! function (`call`): at one time, on one generation. What comes in is bounded in bytes, depth and values before it is looked at.
//! Told to a caller is what the caller has sent and what was decided, in the words that Cerbos has for it.

mod attributes;
mod aux_data;
mod body;
mod call;
mod fault;
mod grpc;
mod http;
mod protojson;
mod text;
mod ulid;
mod validate;
mod value;
mod wire;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream},
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use prost::Message;
use serde::Serialize;

pub use self::body::Budget;
use self::{
    aux_data::AuxKeys,
    body::Body,
    call::{Question, Terms, Trail},
    fault::{Code, Fault},
    protojson::FromJson,
    wire::{CheckResourceBatchRequest, CheckResourceSetRequest, CheckResourcesRequest, ServerInfoResponse},
};
use crate::{
    config::{CerbosApi, Settings},
    edge::{EdgeEvent, EdgeRefusal, Exchange, Refusals, closing_answer},
    gate::Live,
    policy::{PolicySet, cerbos::Clock},
    reload::{ApiParts, Parts},
    telemetry::{CheckRecord, Telemetry, since_epoch},
    time::UnixTime,
};

/// The version of Cerbos whose API this is; clients ask for it.
const VERSION: &str = "0.51.0";

/// The name by which `ServerInfo` tells who answers.
const COMMIT: &str = concat!("cogward-", env!("CARGO_PKG_VERSION"));

/// Seconds that an idle connection is kept; the limits of the edge hold as well.
const KEEPALIVE: u64 = 60;

/// What answers at the moment. Never changed, only replaced as a whole.
#[derive(Debug)]
pub struct Snapshot {
    number: u64,
    policies: Arc<PolicySet>,
    settings: Arc<Settings>,
    parts: Arc<ApiParts>,
}

impl Snapshot {
    /// What answers from now on.
    pub fn of(parts: &Parts<PolicySet>) -> Self {
        Self {
            number: parts.number,
            policies: Arc::clone(&parts.policies),
            settings: Arc::clone(&parts.settings),
            parts: Arc::clone(&parts.api),
        }
    }

    fn settings(&self) -> Option<&CerbosApi> {
        self.settings.cerbos_api.as_ref()
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// JSON over HTTP. gRPC that comes here is answered all the same.
    Http,
    /// gRPC alone.
    Grpc,
}

/// The API on one listener.
pub struct Api {
    /// What the listener is for.
    pub transport: Transport,
    /// What answers.
    pub live: Arc<Live<Snapshot>>,
    /// Where accounts go.
    pub telemetry: Arc<Telemetry>,
    /// The memory for questions, over all listeners.
    pub budget: Arc<Budget>,
    /// Who hears what the edge does by itself.
    pub events: Arc<dyn Refusals>,
}

/// A method of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    CheckResources,
    CheckResourceSet,
    CheckResourceBatch,
    PlanResources,
    ServerInfo,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CheckResources => "CheckResources",
            Self::CheckResourceSet => "CheckResourceSet",
            Self::CheckResourceBatch => "CheckResourceBatch",
            Self::PlanResources => "PlanResources",
            Self::ServerInfo => "ServerInfo",
        }
    }

    /// Does a call of it leave an audit line?
    const fn decides(self) -> bool {
        !matches!(self, Self::ServerInfo)
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json { pretty: bool },
    Protobuf,
}

impl Encoding {
    const fn transport(self) -> &'static str {
        match self {
            Self::Json { .. } => "http",
            Self::Protobuf => "grpc",
        }
    }

    fn read<M: FromJson + Message>(self, message: &[u8]) -> Result<M, Fault> {
        match self {
            Self::Json { .. } => protojson::read(message),
            Self::Protobuf => M::decode(message).map_err(|_| Fault::invalid("the message cannot be read")),
        }
    }

    fn write<M: Serialize + Message>(self, message: &M) -> Result<Vec<u8>, Fault> {
        let json = match self {
            Self::Protobuf => return Ok(message.encode_to_vec()),
            Self::Json { pretty: true } => serde_json::to_vec_pretty(message),
            Self::Json { pretty: false } => serde_json::to_vec(message),
        };
        json.map_err(|_| Fault::new(Code::Internal, "the answer cannot be written"))
    }
}

/// A call whose method is known.
struct Call {
    method: Method,
    encoding: Encoding,
    caller: Option<IpAddr>,
}

impl Api {
    /// Refuses a caller who does not show the secret, where there is one.
    fn authorize(snapshot: &Snapshot, session: &ServerSession) -> Result<(), Fault> {
        let Some(secret) = &snapshot.parts.secret else { return Ok(()) };
        let shown = session.get_header(::http::header::AUTHORIZATION).map(|value| value.as_bytes());
        let token = shown
            .and_then(|shown| shown.split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
        // SECURITY: `a_caller_without_the_secret_is_refused`.
        match token {
            Some((_, token)) if secret.is_of(token) => Ok(()),
            Some(_) | None => {
                Err(Fault::new(Code::Unauthenticated, "the request does not carry the secret of this API"))
            }
        }
    }

    /// Reads the question, has it decided, and keeps account of it.
    async fn answer(&self, session: &mut ServerSession, exchange: &Exchange, call: Call) -> Result<Vec<u8>, Fault> {
        let snapshot = self.live.load();
        let body = match Self::authorize(&snapshot, session) {
            Ok(()) => self.question(session, exchange, &snapshot, call.encoding).await,
            Err(fault) => Err(fault),
        };
        let (start, now) = (Instant::now(), since_epoch());
        let (call_id, mut trail) = (ulid::new(now), Trail::default());
        let answer = body.and_then(|body| {
            let message = match call.encoding {
                Encoding::Json { .. } => body.bytes(),
                Encoding::Protobuf => grpc::message(body.bytes())?,
            };
            snapshot.decide(&call, message, (&call_id, now), &mut trail)
        });
        let code = answer.as_ref().map_or_else(|fault| fault.code.as_str(), |_| "ok");
        self.settle(
            &call,
            &CheckRecord {
                time: now,
                call_id: &call_id,
                request_id: Some(&*trail.request_id).filter(|id| !id.is_empty()),
                generation: snapshot.number,
                transport: call.encoding.transport(),
                method: call.method.as_str(),
                code,
                caller: call.caller,
                principal: Some(&*trail.principal).filter(|id| !id.is_empty()),
                roles: &trail.roles,
                resources: &trail.resources,
                decision_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
            },
        );
        answer
    }

    async fn question(
        &self,
        session: &mut ServerSession,
        exchange: &Exchange,
        snapshot: &Snapshot,
        encoding: Encoding,
    ) -> Result<Body, Fault> {
        let frame = if encoding == Encoding::Protobuf { grpc::PREFIX } else { 0 };
        let most = snapshot.settings().map_or(0, |settings| settings.most_bytes);
        Body::read(session, exchange, most + frame, &self.budget).await
    }

    fn settle(&self, call: &Call, record: &CheckRecord<'_>) {
        let metrics = &self.telemetry.metrics;
        metrics.record_check(record.transport, record.method, record.code);
        let all = record.resources.iter().flat_map(|resource| &resource.decided);
        let (mut allowed, mut denied) = (0, 0);
        for decided in all {
            *(if decided.is_allowed { &mut allowed } else { &mut denied }) += 1;
        }
        metrics.record_check_decisions(allowed, denied);
        if call.method.decides() {
            self.telemetry.audit.record_check(record);
        }
    }
}

impl Snapshot {
    /// The answer to one message.
    fn decide(
        &self,
        call: &Call,
        message: &[u8],
        (call_id, now): (&str, std::time::Duration),
        trail: &mut Trail,
    ) -> Result<Vec<u8>, Fault> {
        let Some(settings) = self.settings() else {
            return Err(Fault::new(Code::Unavailable, "this API is not served any more"));
        };
        let clock = Clock { time: UnixTime::from_seconds(now.as_secs()), nanos: now.subsec_nanos() };
        let aux_keys = AuxKeys { sets: &self.parts.key_sets, unverified: settings.aux_jwt.disable_verification };
        let terms = Terms {
            most_actions: settings.most_actions,
            most_resources: settings.most_resources,
            aux_keys,
            clock,
            call_id,
        };
        match call.method {
            Method::CheckResources => self.ask::<CheckResourcesRequest>(call.encoding, message, &terms, trail),
            Method::CheckResourceSet => self.ask::<CheckResourceSetRequest>(call.encoding, message, &terms, trail),
            Method::CheckResourceBatch => self.ask::<CheckResourceBatchRequest>(call.encoding, message, &terms, trail),
            Method::PlanResources => Err(Fault::new(
                Code::Unimplemented,
                "PlanResources is not implemented: Cogward decides, and plans no queries",
            )),
            Method::ServerInfo => call.encoding.write(&server_info()),
        }
    }

    fn ask<Q>(&self, encoding: Encoding, message: &[u8], terms: &Terms<'_>, trail: &mut Trail) -> Result<Vec<u8>, Fault>
    where
        Q: Question + FromJson + Message,
        Q::Answer: Serialize + Message,
    {
        let question: Q = encoding.read(message)?;
        question.validate()?;
        let engine = self.policies.cerbos();
        let answer = question.answer(terms, &|input, clock| engine.check(input, clock), trail)?;
        encoding.write(&answer)
    }
}

fn server_info() -> ServerInfoResponse {
    ServerInfoResponse { version: VERSION.to_owned(), commit: COMMIT.to_owned(), build_date: String::new() }
}

#[async_trait]
impl HttpServerApp for Api {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !matches!(session.read_request().await, Ok(true)) {
            return None;
        }
        let exchange = Exchange::of(&session)?;
        let is_ending = *shutdown.borrow() || exchange.conn().is_draining();
        session.set_keepalive((!is_ending).then_some(KEEPALIVE));
        let written = if grpc::is_grpc(&session) {
            grpc::serve(self, &mut session, &exchange).await
        } else {
            http::serve(self, &mut session, &exchange).await
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the client is gone before the answer");
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

impl Refusals for Api {
    fn answer(&self, refusal: EdgeRefusal, _: SocketAddr) -> Bytes {
        let status = ::http::StatusCode::from_u16(refusal.status()).unwrap_or(::http::StatusCode::BAD_REQUEST);
        let code = match refusal {
            EdgeRefusal::Malformed | EdgeRefusal::Ambiguous | EdgeRefusal::HeadersTooLarge => Code::InvalidArgument,
            EdgeRefusal::Connect => Code::Unimplemented,
            EdgeRefusal::Timeout => Code::DeadlineExceeded,
            EdgeRefusal::Overloaded => Code::Unavailable,
        };
        self.telemetry.metrics.record_check("http", "other", code.as_str());
        let body = Fault::new(code, refusal.code()).json();
        closing_answer(status, &[("Content-Type", "application/json")], &body)
    }

    fn note(&self, event: EdgeEvent) {
        self.events.note(event);
    }
}
