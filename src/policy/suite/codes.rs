//! The codes of policy tests. A code never changes its meaning.

/// Each code of this module, and what it says. Listed in `docs/diagnostics.md`.
pub const CODES: [(&str, &str); 16] = [
    (TWICE, "a name stands twice in a list"),
    (NUMBER, "a value is no JSON value"),
    (DUPLICATE, "two tests of a suite have one name"),
    (UNKNOWN, "a test names a principal, a resource, a group, auxiliary data or a provider that there is not"),
    (UNASKED, "a test expects something of what it does not ask"),
    (CONTRADICTION, "a test expects two things of one answer"),
    (SIDES, "a test does not say whom or what it is about, or says it in two ways"),
    (MOMENT, "a moment is no RFC 3339 timestamp from 1970 to 9999"),
    (NAME, "a policy version or a scope is none"),
    (FIXTURES, "two fixture files hold the same kind of fixtures"),
    (REQUEST, "a request is not a method and a target, or has a header that no request has"),
    (CREDENTIAL, "a case has claims and a token"),
    (EXPECTATION, "a case expects nothing, several things, or what never is an answer"),
    (TOO_MANY, "the tests are too many"),
    (FAILED, "a policy test failed, and `policies.test_on_reload` is set"),
    (ERRED, "a policy test could not be run, and `policies.test_on_reload` is set"),
];

pub(super) const TWICE: &str = "S001";
pub(super) const NUMBER: &str = "S002";
pub(super) const DUPLICATE: &str = "S003";
pub(super) const UNKNOWN: &str = "S004";
pub(super) const UNASKED: &str = "S005";
pub(super) const CONTRADICTION: &str = "S006";
pub(super) const SIDES: &str = "S007";
pub(super) const MOMENT: &str = "S008";
pub(super) const NAME: &str = "S009";
pub(super) const FIXTURES: &str = "S010";
pub(super) const REQUEST: &str = "S011";
pub(super) const CREDENTIAL: &str = "S012";
pub(super) const EXPECTATION: &str = "S013";
pub(super) const TOO_MANY: &str = "S014";
pub(super) const FAILED: &str = "S015";
pub(super) const ERRED: &str = "S016";
