//! `berth containers registries`: registries of others that a platform pulls from, and credentials for
//! its own.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::text;
use crate::api::{ApiError, Client, Request, Target, escaped, failed};
use crate::args::{
    ConfigureRegistryArgs, RegistriesArgs, RegistriesCommand, RegistryCredentialsArgs,
};
use crate::commands::secrets_store as stores;
use crate::error::{CliError, Kind};
use crate::human::{confirm, print_json, read_secret, table};
use crate::printer::Printer;

const REGISTRIES: &str = "/containers/registries";
/// What the first store is called, as by wrangler.
const FIRST_STORE: &str = "default_secret_store";

pub(super) async fn run(args: &RegistriesArgs, printer: &Printer) -> Result<(), CliError> {
    let target = Target::find(Path::new("."), args.env.as_deref())?;
    let client = Client::open(&target).await?;
    match &args.command {
        RegistriesCommand::Configure(args) => configure(&client, args, printer).await,
        RegistriesCommand::List { json } => list(&client, *json, printer).await,
        RegistriesCommand::Delete { domain, force } => {
            delete(&client, domain, *force, printer).await
        }
        RegistriesCommand::Credentials(args) => {
            credentials(&client, &target.registry, args, printer).await
        }
    }
}

/// Whose registry it is: they take different passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    DockerHub,
    Google,
    Amazon,
    Other,
}

impl Provider {
    fn of(domain: &str) -> Self {
        match domain {
            "docker.io" => Self::DockerHub,
            _ if domain.ends_with("-docker.pkg.dev") => Self::Google,
            _ if domain.contains(".dkr.ecr.") && domain.contains(".amazonaws.com") => Self::Amazon,
            _ => Self::Other,
        }
    }

    /// What the API calls it.
    fn kind(self) -> Option<&'static str> {
        match self {
            Self::DockerHub => Some("DockerHub"),
            Self::Google => Some("GAR"),
            Self::Amazon => Some("ECR"),
            Self::Other => None,
        }
    }

    /// What stands for a password there.
    fn password_name(self) -> &'static str {
        match self {
            Self::DockerHub => "Personal access token",
            Self::Google => "Key (JSON or base64) of the service account",
            Self::Amazon | Self::Other => "Password",
        }
    }

    /// A password as the registry takes it, if there is one: Google's is a key that is a JSON document,
    /// in base64.
    fn password(self, text: &str) -> Option<String> {
        match text.trim() {
            "" => None,
            key if self == Self::Google && key.starts_with('{') => Some(STANDARD.encode(key)),
            _ => Some(text.to_owned()),
        }
    }
}

/// A password on its way to the API.
struct Password {
    /// Where it is in a store, or else itself.
    credential: Value,
    /// The secret that was made of it.
    made: Option<Value>,
}

async fn configure(
    client: &Client,
    args: &ConfigureRegistryArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let (domain, provider) = (&args.domain, Provider::of(&args.domain));
    if provider == Provider::Amazon {
        let text = format!(
            "`berth serve` does not ask AWS for the passwords of {domain}, which last for twelve hours"
        );
        return Err(CliError::new(Kind::Usage, text).hint(
            "let a credential helper keep them in Docker's config.json of the user who runs it",
        ));
    }
    let password = match args.disable_secrets_store {
        true => Some(Password {
            credential: json!(read_password(domain, provider, printer)?),
            made: None,
        }),
        false => keep(client, args, provider, printer).await?,
    };
    let Some(Password { credential, made }) = password else {
        printer.info("Nothing is configured");
        return Ok(());
    };
    let mut wanted = json!({"domain": domain, "is_public": false, "auth": {
        "public_credential": args.username, "private_credential": credential}});
    if let Some(kind) = provider.kind() {
        wanted["kind"] = json!(kind);
    }
    let request = Request::post(client.path(REGISTRIES)).json(&wanted);
    if let Err(error) = client.ask::<Value>(request).await {
        // It was made for this registry alone.
        if let Some(secret) = made
            && let Err(left) = stores::delete_secret(client, &secret).await
        {
            printer.warning(left);
        }
        return Err(not_added(domain, error));
    }
    printer.success(format_args!("Images of {domain} are pulled as {}", args.username));
    Ok(())
}

fn not_added(domain: &str, error: ApiError) -> CliError {
    let known = matches!(error, ApiError::Refused { status: 409, .. });
    let error = failed(&format!("configure the registry {domain}"))(error);
    match known {
        true => error.hint(format!("`berth containers registries delete {domain}` forgets it")),
        false => error,
    }
}

/// Where a store has the password: one that is there, or one that is read now. Nothing if no store is
/// to be made.
async fn keep(
    client: &Client,
    args: &ConfigureRegistryArgs,
    provider: Provider,
    printer: &Printer,
) -> Result<Option<Password>, CliError> {
    let Some(store) = store(client, args, printer).await? else { return Ok(None) };
    let id = text(&store["id"]);
    let name = args.secret_name.clone().unwrap_or_else(|| secret_name(&args.domain));
    let is_there = stores::secrets(client, &id).await?.iter().any(|secret| secret["name"] == name);
    let made = match (is_there, &args.secret_name) {
        (true, Some(_)) => {
            printer.info(format_args!("The password is the secret {name}"));
            None
        }
        (true, None) => {
            let store = text(&store["name"]);
            let text = format!("the store \"{store}\" has a secret {name} already");
            return Err(CliError::new(Kind::Failure, text)
                .hint(format!("`--secret-name {name}` uses it, and another name makes another")));
        }
        (false, _) => {
            let password = read_password(&args.domain, provider, printer)?;
            let comment = format!("Password of {} at {}", args.username, args.domain);
            let wanted = json!({"name": name, "value": password, "scopes": ["containers"],
                "comment": comment});
            Some(stores::create_secret(client, &id, wanted).await?)
        }
    };
    let credential = json!({"store_id": id, "secret_name": name});
    Ok(Some(Password { credential, made }))
}

/// The store that is named, or else the only one. The first is made, unless somebody says no.
async fn store(
    client: &Client,
    args: &ConfigureRegistryArgs,
    printer: &Printer,
) -> Result<Option<Value>, CliError> {
    if let Some(named) = &args.secret_store_id {
        return stores::find_store(client, named).await.map(Some);
    }
    let mut all = stores::stores(client).await?;
    match all.len() {
        0 => {
            let question = format!("There is no store of secrets. Make \"{FIRST_STORE}\"?");
            // Standard input that is no terminal has the password.
            let asks = io::stdin().is_terminal() && !args.force;
            if asks && !confirm(&question, printer)? {
                return Ok(None);
            }
            let made = stores::create_store(client, FIRST_STORE).await?;
            printer.success(format_args!("Made the store {FIRST_STORE}"));
            Ok(Some(made))
        }
        1 => Ok(all.pop()),
        count => Err(CliError::new(Kind::Usage, format!("there are {count} stores of secrets"))
            .hint("name one by `--secret-store-id`: `berth secrets-store store list` shows them")),
    }
}

fn read_password(domain: &str, provider: Provider, printer: &Printer) -> Result<String, CliError> {
    let text = read_secret(&format!("{} of {domain}", provider.password_name()), printer)?;
    provider.password(&text).ok_or_else(|| {
        CliError::new(Kind::Usage, format!("there is no password for {domain}"))
            .hint("type it at the terminal, or write it to standard input")
    })
}

/// What a secret is called when nobody says it; wrangler takes such names, too.
fn secret_name(domain: &str) -> String {
    domain.replace(|char: char| !char.is_ascii_alphanumeric(), "_")
}

async fn list(client: &Client, as_json: bool, printer: &Printer) -> Result<(), CliError> {
    let all: Vec<Value> = client
        .ask(Request::get(client.path(REGISTRIES)))
        .await
        .map_err(failed("list the registries"))?;
    if as_json {
        return print_json(&all, printer);
    }
    if all.is_empty() {
        printer.info("There are no registries of others");
        return Ok(());
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    for line in table(["DOMAIN", "USER NAME", "PASSWORD"], &rows) {
        printer.data(line);
    }
    Ok(())
}

fn row(registry: &Value) -> [String; 3] {
    let password = match (registry["is_public"] == json!(true), secret_of(registry)) {
        (true, _) => "none: it is public".to_owned(),
        (false, Some((store, secret))) => format!("{secret} of the store {store}"),
        (false, None) => "kept with it".to_owned(),
    };
    [text(&registry["domain"]), text(&registry["public_credential"]), password]
}

/// The store and the name of the secret that a registry is asked with.
fn secret_of(registry: &Value) -> Option<(&str, &str)> {
    registry["secrets_store_ref"].as_str()?.split_once(':')
}

async fn delete(
    client: &Client,
    domain: &str,
    force: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let question = format!("Forget the registry {domain}? Its images cannot be pulled any more.");
    if !force && !confirm(&question, printer)? {
        printer.info("Nothing is deleted");
        return Ok(());
    }
    let path = client.path(&format!("{REGISTRIES}/{}", escaped(domain)));
    let gone: Value = client
        .ask(Request::delete(path))
        .await
        .map_err(failed(&format!("delete the registry {domain}")))?;
    printer.success(format_args!("Deleted the registry {domain}"));
    if let Some((store, secret)) = secret_of(&gone) {
        printer.info(format_args!(
            "Its password stays: berth secrets-store secret delete {store} --secret-id {secret}"
        ));
    }
    Ok(())
}

async fn credentials(
    client: &Client,
    own: &str,
    args: &RegistryCredentialsArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let domain = args.domain.as_deref().unwrap_or(own);
    let mut permissions = Vec::new();
    permissions.extend(args.pull.then_some("pull"));
    permissions.extend(args.terms.push.then_some("push"));
    let minutes = args.terms.expiration_minutes;
    let wanted = json!({"expiration_minutes": minutes, "permissions": permissions});
    let path = client.path(&format!("{REGISTRIES}/{}/credentials", escaped(domain)));
    let given: Value = client
        .ask(Request::post(path).json(&wanted))
        .await
        .map_err(failed(&format!("ask for credentials of the registry {domain}")))?;
    if args.json {
        return print_json(&given, printer);
    }
    printer.data(text(&given["password"]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_whose_registry_it_is() {
        for (domain, provider, kind) in [
            ("docker.io", Provider::DockerHub, Some("DockerHub")),
            ("eu-docker.pkg.dev", Provider::Google, Some("GAR")),
            ("1.dkr.ecr.eu-west-1.amazonaws.com", Provider::Amazon, Some("ECR")),
            ("ghcr.io", Provider::Other, None),
            ("localhost:5000", Provider::Other, None),
        ] {
            assert_eq!((Provider::of(domain), provider.kind()), (provider, kind), "{domain}");
        }
    }

    #[test]
    fn googles_key_is_sent_in_base64_and_no_password_is_none() {
        let key = r#"{"type": "service_account"}"#;
        let encoded = STANDARD.encode(key);
        assert_eq!(Provider::Google.password(&format!("{key}\n")), Some(encoded.clone()));
        assert_eq!(Provider::Google.password(&encoded), Some(encoded));
        assert_eq!(Provider::Other.password("{hush} "), Some("{hush} ".to_owned()));
        assert_eq!(Provider::Other.password(" \n"), None);
    }

    #[test]
    fn a_row_says_where_the_password_is() {
        let mut registry = json!({"domain": "ghcr.io", "is_public": false,
            "public_credential": "me", "secrets_store_ref": "1:ghcr_io"});
        assert_eq!(row(&registry), ["ghcr.io", "me", "ghcr_io of the store 1"]);
        registry["secrets_store_ref"] = Value::Null;
        assert_eq!(row(&registry)[2], "kept with it");
        assert_eq!(row(&json!({"domain": "quay.io", "is_public": true}))[1], "");
    }

    #[test]
    fn a_secret_is_called_after_its_host() {
        assert_eq!(secret_name("localhost:5000"), "localhost_5000");
        assert_eq!(secret_name("eu-docker.pkg.dev"), "eu_docker_pkg_dev");
    }
}
