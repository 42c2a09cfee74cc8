//! HTTP plumbing that knows no endpoint: request bodies, parameters, paths, paging, response formats and problems.

pub(crate) mod body;
pub(crate) mod paging;
pub(crate) mod parameters;
pub(crate) mod path;
pub(crate) mod problem;
pub(crate) mod responses;
