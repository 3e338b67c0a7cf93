//! The codes of policy diagnostics, each with what it stands for.

/// The file is empty, or its `apiVersion` is none that is known.
pub(crate) const API_VERSION: &str = "P001";
/// There is no route at all.
pub(crate) const NO_ROUTE: &str = "P002";
/// Two things that must differ have one id.
pub(crate) const DUPLICATE: &str = "P003";
/// An id holds a character that ids do not have.
pub(crate) const ID: &str = "P004";
/// The path is not a pattern.
pub(crate) const PATTERN: &str = "P005";
/// A host is not a host pattern.
pub(crate) const HOST: &str = "P006";
/// A method is unknown here, or the route does not take it.
pub(crate) const METHOD: &str = "P007";
/// Two routes take the same requests.
pub(crate) const OVERLAP: &str = "P008";
/// A route names an upstream that the settings do not have, or none where there are several.
pub(crate) const UPSTREAM: &str = "P009";
/// A route names a provider that the settings do not have.
pub(crate) const PROVIDER: &str = "P010";
/// An owner rule on a route that accepts tokens of several providers.
pub(crate) const OWNER_OF_SEVERAL: &str = "P011";
/// A route says neither or both of `rules` and `resource`, or one half of the latter.
pub(crate) const ROUTE_SHAPE: &str = "P012";
/// A rule that would allow everybody, or allows where rules may only deny.
pub(crate) const RULE_SHAPE: &str = "P013";
/// A rule or resource names a capture that the path does not have.
pub(crate) const CAPTURE: &str = "P014";
/// An attribute has no source, or several, or one that cannot be read.
pub(crate) const SOURCE: &str = "P015";
/// A header that policies may not read or change.
pub(crate) const HEADER: &str = "P016";
/// A word that is none of the listed ones.
pub(crate) const WORD: &str = "P017";
/// A prefix that the path of the route does not start with.
pub(crate) const PREFIX: &str = "P018";
/// A condition does not compile.
pub(crate) const CONDITION: &str = "P019";
/// A time or a size that is none.
pub(crate) const UNIT: &str = "P020";
/// A route names a resource that no policy is about.
pub(crate) const NO_POLICY: &str = "P021";
/// A part of the Cerbos language that this version does not decide with.
pub(crate) const UNSUPPORTED: &str = "P022";
/// A Cerbos policy that Cerbos would refuse too.
pub(crate) const CERBOS: &str = "P023";
/// Warning: an owner that a client merely claims, on a writing method.
pub(crate) const CLAIMED_OWNER: &str = "P101";
