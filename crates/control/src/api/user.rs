//! Who is asking: what `wrangler whoami` shows.

use http::Response;
use serde_json::{Value, json};

use crate::envelope::{Body, page, success};
use crate::records::Token;
use crate::route::UserRoute;

pub(super) fn answer(route: UserRoute, account: &str, token: &Token) -> Response<Body> {
    match route {
        // Name and scopes are ours: `berth whoami` shows them.
        UserRoute::VerifyToken => success(&json!({"id": token.id, "status": "active",
            "expires_on": token.expires_on, "name": token.name, "scopes": token.scopes})),
        UserRoute::User => success(&json!({"id": token.id, "email": email(&token.name)})),
        UserRoute::Accounts => page(&[described(account)]),
        UserRoute::Memberships => page(&[json!({"id": account, "status": "accepted",
            "account": described(account), "roles": ["Administrator"]})]),
    }
}

fn described(account: &str) -> Value {
    json!({"id": account, "name": account, "type": "standard"})
}

/// Clients want an address to call the user by; here tokens have names.
pub(super) fn email(token: &str) -> String {
    format!("{token}@berth.local")
}
