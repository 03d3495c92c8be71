//! Who may call: roles and what they permit, tokens that are kept as hashes only, names of client
//! certificates, and JSON web tokens verified against a key set that may rotate.
//!
//! Decides on what it is shown; reads no file, no socket and no clock.

mod directory;
mod jwt;
mod principal;
mod rate;
mod role;
mod token;

pub use directory::{Directory, Presented, Refusal};
pub use jwt::{JwtError, JwtRules, KeySet, KeySetError, Verifier};
pub use principal::{Grant, GrantError, NotYours, Principal, UserPattern, UserPatternError};
pub use rate::{CallRate, CallRateError, Meter};
pub use role::{Permission, Role, RoleError};
pub use token::{TokenHash, TokenHashError, WeakToken, check_token};
