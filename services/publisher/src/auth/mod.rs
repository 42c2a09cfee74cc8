//! Authentication and authorisation: bearer tokens and the tenants and scopes that they grant.

mod caller;
mod token;
mod tokens;

pub(crate) use self::caller::Caller;
pub use self::token::TokenFileError;
pub(crate) use self::token::{Scope, Token};
pub(crate) use self::tokens::Tokens;
