//! Authentication and authorisation: bearer tokens and the tenants and scopes that they grant.

mod caller;
mod token;
mod token_file;
mod tokens;

pub(crate) use self::caller::Caller;
pub(crate) use self::token::{Scope, Token};
pub use self::token_file::TokenFileError;
pub(crate) use self::tokens::Tokens;
