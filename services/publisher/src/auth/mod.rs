//! Authentication and authorisation: bearer tokens and the tenants and scopes that they grant.

pub(crate) mod caller;
pub(crate) mod token;
pub(crate) mod token_file;
pub(crate) mod tokens;
