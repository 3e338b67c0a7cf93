//! The codes of the policy compiler. A code never changes its meaning.

/// Each code of this module, and what it says. Listed in `docs/diagnostics.md`.
pub const CODES: [(&str, &str); 34] = [
    (API_VERSION, "a file is empty, or its `apiVersion` is none that is known"),
    (NO_ROUTE, "no file defines a route"),
    (DUPLICATE, "two things that must differ have one id"),
    (ID, "an id has characters that an id cannot have"),
    (PATTERN, "a path is not a pattern"),
    (HOST, "a host is not a host pattern, or stands in a list twice"),
    (METHOD, "a method never passes, or the route does not take it"),
    (OVERLAP, "two routes take the same requests"),
    (UPSTREAM, "a route names an upstream that the settings do not have, or none where there are several"),
    (PROVIDER, "a route names a provider that the settings do not have"),
    (OWNER_OF_SEVERAL, "a rule compares an owner on a route that accepts tokens of several providers"),
    (ROUTE_SHAPE, "a route has neither `rules` nor `resource` with `actions`, or half of the latter"),
    (RULE_SHAPE, "a rule does not say whom it allows, or allows beside a resource"),
    (CAPTURE, "a rule or a resource names a capture that the path does not have"),
    (SOURCE, "an owner or an attribute has no source, or several, or one that cannot be read"),
    (HEADER, "a header may not be read or changed by a policy"),
    (WORD, "a value is none of the words that the key can hold"),
    (PREFIX, "a prefix is not the beginning of the route's path"),
    (CONDITION, "a condition does not compile"),
    (UNIT, "a time or a size is none"),
    (NO_POLICY, "a route names a resource that no policy is about"),
    (CERBOS, "Cerbos would refuse the policy too"),
    (CORS, "`cors` names what no browser sends, what the route does not take, or everybody together with credentials"),
    (RATE, "two limits have one name, or a claim cannot be counted by"),
    (IMPORT, "no file has what a Cerbos policy imports"),
    (UNKNOWN_ROLE, "a rule names a derived role that none of the policy's imports defines"),
    (AMBIGUOUS_ROLE, "a rule names a derived role that several of the policy's imports define"),
    (REDEFINED, "a variable or a constant of a Cerbos policy is defined twice"),
    (CYCLE, "variables of a Cerbos policy use each other in a circle"),
    (NAME, "a variable or a constant has a name that expressions cannot use"),
    (UNDEFINED, "an expression names a variable or a constant that is not defined"),
    (ANCESTOR, "a policy has a scope, and there is no policy for a scope above it"),
    (
        SCHEMA,
        "a schema is missing, is none, or refers to what is not in the folder `_schemas`; a warning where schemas are not enforced",
    ),
    (CLAIMED_OWNER, "warning: an owner is what the client merely claims, on a method that writes"),
];

pub(crate) const API_VERSION: &str = "P001";
pub(crate) const NO_ROUTE: &str = "P002";
pub(crate) const DUPLICATE: &str = "P003";
pub(crate) const ID: &str = "P004";
pub(crate) const PATTERN: &str = "P005";
pub(crate) const HOST: &str = "P006";
pub(crate) const METHOD: &str = "P007";
pub(crate) const OVERLAP: &str = "P008";
pub(crate) const UPSTREAM: &str = "P009";
pub(crate) const PROVIDER: &str = "P010";
pub(crate) const OWNER_OF_SEVERAL: &str = "P011";
pub(crate) const ROUTE_SHAPE: &str = "P012";
pub(crate) const RULE_SHAPE: &str = "P013";
pub(crate) const CAPTURE: &str = "P014";
pub(crate) const SOURCE: &str = "P015";
pub(crate) const HEADER: &str = "P016";
pub(crate) const WORD: &str = "P017";
pub(crate) const PREFIX: &str = "P018";
pub(crate) const CONDITION: &str = "P019";
pub(crate) const UNIT: &str = "P020";
pub(crate) const NO_POLICY: &str = "P021";
pub(crate) const CERBOS: &str = "P023";
pub(crate) const CORS: &str = "P024";
pub(crate) const RATE: &str = "P025";
pub(crate) const IMPORT: &str = "P026";
pub(crate) const UNKNOWN_ROLE: &str = "P027";
pub(crate) const AMBIGUOUS_ROLE: &str = "P028";
pub(crate) const REDEFINED: &str = "P029";
pub(crate) const CYCLE: &str = "P030";
pub(crate) const NAME: &str = "P031";
pub(crate) const UNDEFINED: &str = "P032";
pub(crate) const ANCESTOR: &str = "P033";
pub(crate) const SCHEMA: &str = "P034";
pub(crate) const CLAIMED_OWNER: &str = "P101";
