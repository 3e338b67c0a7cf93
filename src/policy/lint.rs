//! Warnings about policies that compile and are probably not what their author wants.
//!
//! A finding never changes a decision nor an exit code.

use crate::{
    policy::{attribute::Source, codes, route::Methods},
    yaml::Cursor,
};

/// An owner that the client merely claims, on a method that writes: the upstream will touch what the path names, and the client
/// is free to claim to own something else.
pub(crate) fn claimed_owner(at: &Cursor<'_>, source: &Source, methods: &Methods) {
    if source.is_claimed() && methods.write() {
        at.warning(
            codes::CLAIMED_OWNER,
            format!(
                "the owner comes from the {}, which the client merely claims, on a method that writes",
                source.word()
            ),
            "take the owner from the path or the host, which also choose what is written to",
        );
    }
}
