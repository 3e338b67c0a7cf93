//! The codes of policy diagnostics, each with what it stands for. A code never changes its meaning.

/// Defines the constants and the list of them.
macro_rules! codes {
    ($(#[doc = $says:literal] $name:ident = $code:literal;)+) => {
        $(#[doc = $says] pub(crate) const $name: &str = $code;)+

        /// Each code of this room, and what it says. Listed in `docs/diagnostics.md`.
        pub const CODES: &[(&str, &str)] = &[$(($code, $says)),+];
    };
}

codes! {
    /// The file is empty, or its `apiVersion` is none that is known.
    API_VERSION = "P001";
    /// There is no route at all.
    NO_ROUTE = "P002";
    /// Two things that must differ have one id.
    DUPLICATE = "P003";
    /// An id holds a character that ids do not have.
    ID = "P004";
    /// The path is not a pattern.
    PATTERN = "P005";
    /// A host is not a host pattern.
    HOST = "P006";
    /// A method is unknown here, or the route does not take it.
    METHOD = "P007";
    /// Two routes take the same requests.
    OVERLAP = "P008";
    /// A route names an upstream that the settings do not have, or none where there are several.
    UPSTREAM = "P009";
    /// A route names a provider that the settings do not have.
    PROVIDER = "P010";
    /// An owner rule on a route that accepts tokens of several providers.
    OWNER_OF_SEVERAL = "P011";
    /// A route says neither or both of `rules` and `resource`, or one half of the latter.
    ROUTE_SHAPE = "P012";
    /// A rule that would allow everybody, or allows where rules may only deny.
    RULE_SHAPE = "P013";
    /// A rule or resource names a capture that the path does not have.
    CAPTURE = "P014";
    /// An attribute has no source, or several, or one that cannot be read.
    SOURCE = "P015";
    /// A header that policies may not read or change.
    HEADER = "P016";
    /// A word that is none of the listed ones.
    WORD = "P017";
    /// A prefix that the path of the route does not start with.
    PREFIX = "P018";
    /// A condition does not compile.
    CONDITION = "P019";
    /// A time or a size that is none.
    UNIT = "P020";
    /// A route names a resource that no policy is about.
    NO_POLICY = "P021";
    /// A part of the Cerbos language that this version does not decide with.
    UNSUPPORTED = "P022";
    /// A Cerbos policy that Cerbos would refuse too.
    CERBOS = "P023";
    /// Warning: an owner that a client merely claims, on a writing method.
    CLAIMED_OWNER = "P101";
}
