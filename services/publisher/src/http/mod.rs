//! HTTP plumbing: routes, bodies, parameters, paging, problems and answers.

pub mod answers;
pub mod body;
pub mod cursor;
pub mod links;
pub mod pages;
pub mod parameters;
pub mod path;
pub mod problem;
pub mod readiness;
pub mod router;
