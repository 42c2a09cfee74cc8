//! HTTP plumbing: routes, bodies, parameters, paging, problems and answers.

pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod links;
pub(crate) mod pages;
pub(crate) mod parameters;
pub(crate) mod path;
pub(crate) mod problem;
pub(crate) mod readiness;
pub(crate) mod router;
