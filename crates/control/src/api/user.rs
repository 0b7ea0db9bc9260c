//! Who is asking: what `wrangler whoami` shows.

use http::Response;

use crate::envelope::{Body, page, success};
use crate::records::Token;
use crate::route::UserRoute;
use crate::wire::{Account, Membership, TokenState, User};

pub(super) fn answer(route: UserRoute, account: &str, token: &Token) -> Response<Body> {
    match route {
        // Name and scopes are ours: `berth whoami` shows them.
        UserRoute::VerifyToken => success(&TokenState {
            id: token.id.clone(),
            status: "active",
            expires_on: token.expires_on,
            name: token.name.clone(),
            scopes: token.scopes.clone(),
        }),
        UserRoute::User => success(&User { id: token.id.clone(), email: email(&token.name) }),
        UserRoute::Accounts => page(&[described(account)]),
        UserRoute::Memberships => page(&[Membership {
            id: account.to_owned(),
            status: "accepted",
            account: described(account),
            roles: vec!["Administrator"],
        }]),
    }
}

fn described(account: &str) -> Account {
    Account { id: account.to_owned(), name: account.to_owned(), kind: "standard" }
}

/// Clients want an address to call the user by; here tokens have names.
pub(super) fn email(token: &str) -> String {
    format!("{token}@berth.local")
}
