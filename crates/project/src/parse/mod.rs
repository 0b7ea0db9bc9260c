//! Parsers of the files that people write: JSONC, TOML and dotenv. None of them may panic.

pub(crate) mod dotenv;
pub(crate) mod jsonc;
pub(crate) mod toml;
