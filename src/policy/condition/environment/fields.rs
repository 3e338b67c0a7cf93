//! The fields of the groups that conditions name.

use super::super::path::{CertificateField, Path, PrincipalField, RequestField, ResourceField, Source};
use super::{Multitude, Record};

/// What a field leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Record(Record),
    Names(Multitude),
    Principal(PrincipalField),
    Method,
    Path,
    Host,
    ClientIp,
    Certificate(CertificateField),
    Resource(ResourceField),
    DerivedRoles,
}

impl Record {
    /// What `has()` of the group itself asks; `None` where the group is always there.
    pub(in super::super) fn presence(self, written: &str) -> Option<Path> {
        let source = match self {
            Self::Certificate => Source::Request(RequestField::Certificate(CertificateField::Sha256)),
            Self::CerbosAuxiliary => Source::Principal(PrincipalField::Token),
            Self::Principal
            | Self::Request
            | Self::Captures
            | Self::Resource
            | Self::CerbosRequest
            | Self::CerbosPrincipal
            | Self::CerbosResource
            | Self::Variables
            | Self::Constants
            | Self::Globals
            | Self::Runtime => return None,
        };
        Some(Path { written: written.into(), source, steps: vec![] })
    }

    /// A message of the Cerbos protocol, whose fields cannot be reached by an index.
    pub(in super::super) fn is_message(self) -> bool {
        match self {
            Self::Principal | Self::Request | Self::Certificate | Self::Captures | Self::Resource => false,
            Self::CerbosRequest
            | Self::CerbosPrincipal
            | Self::CerbosResource
            | Self::CerbosAuxiliary
            | Self::Variables
            | Self::Constants
            | Self::Globals
            | Self::Runtime => true,
        }
    }

    /// A message that policies may take as a value.
    pub(super) fn is_value(self) -> bool {
        self.is_message() && !matches!(self, Self::Variables | Self::Constants | Self::Globals)
    }

    /// Its fields.
    pub(super) fn fields(self) -> &'static [(&'static str, Target)] {
        match self {
            Self::Principal => &[
                ("id", Target::Principal(PrincipalField::Id)),
                ("kind", Target::Principal(PrincipalField::Kind)),
                ("roles", Target::Principal(PrincipalField::Roles)),
                ("claims", Target::Principal(PrincipalField::Claims)),
                ("provider", Target::Principal(PrincipalField::Provider)),
                ("client_id", Target::Principal(PrincipalField::ClientId)),
            ],
            Self::Request => &[
                ("method", Target::Method),
                ("path", Target::Path),
                ("host", Target::Host),
                ("query", Target::Names(Multitude::Queries)),
                ("headers", Target::Names(Multitude::Headers)),
                ("client_ip", Target::ClientIp),
                ("client_certificate", Target::Record(Self::Certificate)),
            ],
            Self::Certificate => &[
                ("subject", Target::Certificate(CertificateField::Subject)),
                ("common_name", Target::Certificate(CertificateField::CommonName)),
                ("dns_names", Target::Certificate(CertificateField::DnsNames)),
                ("uris", Target::Certificate(CertificateField::Uris)),
                ("emails", Target::Certificate(CertificateField::Emails)),
                ("sha256", Target::Certificate(CertificateField::Sha256)),
            ],
            Self::Captures | Self::Variables | Self::Constants | Self::Globals => &[],
            Self::Runtime => {
                &[("effectiveDerivedRoles", Target::DerivedRoles), ("effective_derived_roles", Target::DerivedRoles)]
            }
            Self::Resource => &[
                ("kind", Target::Resource(ResourceField::Kind)),
                ("id", Target::Resource(ResourceField::Id)),
                ("attr", Target::Resource(ResourceField::Attributes)),
            ],
            Self::CerbosRequest => &[
                ("principal", Target::Record(Self::CerbosPrincipal)),
                ("resource", Target::Record(Self::CerbosResource)),
                ("auxData", Target::Record(Self::CerbosAuxiliary)),
                ("aux_data", Target::Record(Self::CerbosAuxiliary)),
            ],
            Self::CerbosPrincipal => &[
                ("id", Target::Principal(PrincipalField::Id)),
                ("roles", Target::Principal(PrincipalField::ListedRoles)),
                ("attr", Target::Principal(PrincipalField::Claims)),
                ("policyVersion", Target::Principal(PrincipalField::PolicyVersion)),
                ("policy_version", Target::Principal(PrincipalField::PolicyVersion)),
                ("scope", Target::Principal(PrincipalField::Scope)),
            ],
            Self::CerbosResource => &[
                ("kind", Target::Resource(ResourceField::Kind)),
                ("id", Target::Resource(ResourceField::Id)),
                ("attr", Target::Resource(ResourceField::Attributes)),
                ("policyVersion", Target::Resource(ResourceField::PolicyVersion)),
                ("policy_version", Target::Resource(ResourceField::PolicyVersion)),
                ("scope", Target::Resource(ResourceField::Scope)),
            ],
            Self::CerbosAuxiliary => &[("jwt", Target::Principal(PrincipalField::Token))],
        }
    }
}
