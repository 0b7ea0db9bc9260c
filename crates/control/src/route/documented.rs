//! `docs/api.md` is the table of endpoints.

use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;

use super::table;
use crate::openapi::scope;

const HEAD: &str = "\
# The API

`berth serve` answers to the part of Cloudflare's v4 API that wrangler and `berth` use, and to a few endpoints
of its own (`…/berth/…`). All are below `/client/v4` on the address of the API
([`--api`](config.md)). A token (`Authorization: Bearer …`, of [`berth token create`](self-host.md#tokens)) has
scopes, of which each endpoint asks for one. Answers have Cloudflare's envelope (`success`, `errors`, `messages`,
`result`), and [codes](errors.md) that wrangler knows. A path that is not here is a 404 with code 7003 that names
it.

The same as an OpenAPI document, with the forms of bodies and results: `GET /client/v4/openapi.json`.

Beside it, on the same address: `/v2/…`, the registry (the OCI distribution API); `/healthz` and `/readyz`.

| Endpoint | | Scope |
|--|--|--|
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for endpoint in table::all() {
        let scope = scope(endpoint).map_or("none", |scope| scope.name());
        let path = endpoint.path.replace("/accounts/{account_id}", "…");
        let _ = writeln!(text, "| `{} {path}` | {} | {scope} |", endpoint.method, endpoint.summary);
    }
    text.push_str("\n`…` stands for `/accounts/{account_id}`.\n");
    text
}

#[test]
fn every_endpoint_is_in_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let is = fs::read_to_string(&path).unwrap_or_default();
    if is != reference() && std::env::var_os("CI").is_none() {
        fs::write(&path, reference()).unwrap();
        panic!("docs/api.md was not what the table of endpoints says; it is written anew");
    }
    assert_eq!(is, reference());
}
