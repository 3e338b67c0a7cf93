//! Why a call is not answered, in the words and numbers of gRPC.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

/// A status code of gRPC; those that this API gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// The question is wrong.
    InvalidArgument,
    /// The question did not arrive in time.
    DeadlineExceeded,
    /// There is nothing by that name.
    NotFound,
    /// The question is larger than may be asked.
    ResourceExhausted,
    /// There is no such method.
    Unimplemented,
    /// A defect.
    Internal,
    /// The gateway has too much to do.
    Unavailable,
    /// The caller did not show the secret.
    Unauthenticated,
}

impl Code {
    /// Its number.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::ResourceExhausted => 8,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }

    /// The status over HTTP.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::DeadlineExceeded => 504,
            Self::NotFound => 404,
            Self::ResourceExhausted => 429,
            Self::Unimplemented => 501,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
        }
    }

    /// The word for it in audit lines and metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

/// Why a call is not answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
    /// Told over HTTP only.
    pub(super) details: Option<Value>,
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None }
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// The body of the answer over HTTP.
    pub(super) fn json(&self) -> Vec<u8> {
        let details = self.details.as_ref().map(|details| [details]);
        let body = Told { code: self.code.number(), message: &self.message, details };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Told<'a> {
    code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[&'a Value; 1]>,
}
