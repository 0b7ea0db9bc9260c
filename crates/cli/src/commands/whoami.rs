//! `berth whoami`: which platform is asked, and as whom.

use std::path::Path;

use serde_json::{Value, json};

use crate::api::{Client, Request, Target, failed};
use crate::args::WhoamiArgs;
use crate::error::CliError;
use crate::human::print_json;
use crate::printer::Printer;

pub(crate) async fn run(args: &WhoamiArgs, printer: &Printer) -> Result<(), CliError> {
    let target = Target::find(Path::new("."), None)?;
    let client = Client::open(&target).await?;
    let token: Value = client
        .ask(Request::get("/user/tokens/verify"))
        .await
        .map_err(failed("have the token checked"))?;
    if args.json {
        let all = json!({"url": target.url, "account": client.account(), "token": token});
        return print_json(&all, printer);
    }
    let text = |name: &str| token[name].as_str().unwrap_or_default();
    let scopes = token["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let expires = token["expires_on"].as_str().unwrap_or("never");
    for (name, value) in [
        ("platform", target.url.clone()),
        ("account", client.account().to_owned()),
        ("token", format!("{} ({})", text("name"), text("id"))),
        ("scopes", scopes.collect::<Vec<_>>().join(", ")),
        ("expires", expires.to_owned()),
    ] {
        printer.data(format_args!("{name:9} {value}"));
    }
    Ok(())
}
