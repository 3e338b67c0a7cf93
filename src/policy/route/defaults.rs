//! What a file says once for those of its routes that say nothing themselves.

use super::{cors::CorsRule, rate_limit::RateRule, read_upstream};
use crate::{policy::compile::World, yaml::Cursor};

/// `defaults` of a file.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) upstream: Option<usize>,
    pub(crate) cors: Option<CorsRule>,
    pub(crate) rate_limit: Vec<RateRule>,
}

impl Defaults {
    /// Reads `defaults`.
    pub(crate) fn read(at: &Cursor<'_>, world: &World<'_>) -> Self {
        let Some(mut map) = at.map() else { return Self::default() };
        let upstream = map.take("upstream").and_then(|at| read_upstream(&at, world));
        let cors = map.take("cors").and_then(|at| CorsRule::read(&at)).flatten();
        let rate_limit = map.take("rate_limit").and_then(|at| RateRule::read(&at)).unwrap_or_default();
        map.finish();
        Self { upstream, cors, rate_limit }
    }
}
