//! What Cerbos adds to the language: sets, addresses, time, hierarchies and SPIFFE.

use super::Shape::{self, Bool, Duration, Dyn, List, String, Timestamp};
use super::{Function, LIST_OF_A, Overload, global, member};
use crate::policy::condition::check::types::Message;

const HIERARCHY: Shape = Shape::Message(Message::Hierarchy);
const ID: Shape = Shape::Message(Message::SpiffeId);
const TRUST_DOMAIN: Shape = Shape::Message(Message::SpiffeTrustDomain);
const MATCHER: Shape = Shape::Message(Message::SpiffeMatcher);

/// Two lists into a third.
const OPERATION: &[Overload] =
    &[global(&[LIST_OF_A, LIST_OF_A], LIST_OF_A), member(&[LIST_OF_A, LIST_OF_A], LIST_OF_A)];

/// A question about two lists.
const COMPARISON: &[Overload] = &[global(&[LIST_OF_A, LIST_OF_A], Bool), member(&[LIST_OF_A, LIST_OF_A], Bool)];

/// A question about two hierarchies.
const KINSHIP: &[Overload] = &[member(&[HIERARCHY, HIERARCHY], Bool)];

pub(super) const FUNCTIONS: &[Function] = &[
    ("except", OPERATION),
    ("intersect", OPERATION),
    ("hasIntersection", COMPARISON),
    ("has_intersection", COMPARISON),
    ("isSubset", COMPARISON),
    ("is_subset", COMPARISON),
    ("inIPAddrRange", &[member(&[String, String], Bool)]),
    ("now", &[global(&[], Timestamp)]),
    ("timeSince", &[global(&[Timestamp], Duration), member(&[Timestamp], Duration)]),
    ("id", &[global(&[Dyn], Dyn), member(&[TRUST_DOMAIN], String)]),
    (
        "hierarchy",
        &[global(&[String], HIERARCHY), global(&[String, String], HIERARCHY), global(&[List(&String)], HIERARCHY)],
    ),
    ("ancestorOf", KINSHIP),
    ("descendentOf", KINSHIP),
    ("immediateChildOf", KINSHIP),
    ("immediateParentOf", KINSHIP),
    ("overlaps", KINSHIP),
    ("siblingOf", KINSHIP),
    ("commonAncestors", &[member(&[HIERARCHY, HIERARCHY], HIERARCHY)]),
    ("spiffeID", &[global(&[String], ID)]),
    ("spiffeTrustDomain", &[global(&[String], TRUST_DOMAIN)]),
    ("spiffeMatchAny", &[global(&[], MATCHER)]),
    ("spiffeMatchExact", &[global(&[ID], MATCHER), global(&[String], MATCHER)]),
    ("spiffeMatchOneOf", &[global(&[List(&ID)], MATCHER), global(&[List(&String)], MATCHER)]),
    ("spiffeMatchTrustDomain", &[global(&[TRUST_DOMAIN], MATCHER), global(&[String], MATCHER)]),
    ("isMemberOf", &[member(&[ID, TRUST_DOMAIN], Bool)]),
    ("path", &[member(&[ID], String)]),
    ("trustDomain", &[member(&[ID], TRUST_DOMAIN)]),
    ("name", &[member(&[TRUST_DOMAIN], String)]),
    ("matchesID", &[member(&[MATCHER, ID], Bool), member(&[MATCHER, String], Bool)]),
];
