//! HTTPS that a Worker handles (feature BG4): by an authority that the container may trust.

use e2e::{Dev, Project};
use serde_json::{Value, json};

const CA: &str = "/etc/cloudflare/certs/cloudflare-containers-ca.crt";
/// Where Python's TLS looks for authorities.
const TRUSTING: &str =
    "envVars = { SSL_CERT_FILE: \"/etc/cloudflare/certs/cloudflare-containers-ca.crt\" };";
const TELLS: &str =
    "MyContainer.outbound = (request) => new Response(`handled ${request.method} ${request.url}`);";

fn project(class_body: &str) -> Project {
    let project = Project::probe(&format!("enableInternet = false; {class_body}"));
    project.replace("src/index.js", "import { Container,", "import { Container, ContainerProxy,");
    let exports = format!("export {{ ContainerProxy }};\n{TELLS}\n\nexport default {{");
    project.replace("src/index.js", "export default {", &exports);
    project
}

fn fetch(dev: &Dev, url: &str) -> Value {
    let answer = dev.get(&format!("/one/fetch?url={}", url.replace(':', "%3A"))).json();
    if answer["text"].is_string() { answer["text"].clone() } else { answer["error"].clone() }
}

#[test]
fn bg4_https_of_a_program_that_trusts_the_authority_reaches_the_handler() {
    let dev = Dev::start(&project(&format!("interceptHttps = true; {TRUSTING}")));
    assert_eq!(fetch(&dev, "https://api.test/x?y=1"), "handled GET https://api.test/x?y=1");
    assert_eq!(fetch(&dev, "https://other.test/"), "handled GET https://other.test/");
    assert_eq!(fetch(&dev, "https://10.1.2.3/"), "handled GET https://10.1.2.3/", "no name at all");
    assert_eq!(fetch(&dev, "http://api.test/"), "handled GET http://api.test/");
    let kept = || dev.get("/one/keep?host=api.test&path=/&tls=1").json();
    assert_eq!(
        (kept()["connections"].clone(), kept()["connections"].clone()),
        (json!(1), json!(1))
    );
    dev.stop();
}

#[test]
fn bg4_the_authority_is_a_certificate_without_its_key_and_there_only_when_asked_for() {
    let dev = Dev::start(&project("interceptHttps = true;"));
    let text = dev.get(&format!("/one/read?path={CA}")).json()["text"].clone();
    let text = text.as_str().expect("the certificate can be read");
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{text}");
    assert!(!text.contains("PRIVATE"), "{text}");
    let refused = fetch(&dev, "https://api.test/");
    let untrusted = |error: &str| error.contains("CERTIFICATE_VERIFY_FAILED");
    assert!(refused.as_str().is_some_and(untrusted), "{refused}");
    dev.stop();

    let dev = Dev::start(&project(""));
    assert!(dev.get(&format!("/one/read?path={CA}")).json()["error"].is_string());
    let refused = fetch(&dev, "https://api.test/");
    assert!(refused.as_str().is_some_and(|error| error.contains("reset")), "{refused}");
    dev.stop();
}

#[test]
fn bg4_bg2_lists_of_hosts_hold_for_https() {
    let body = format!("interceptHttps = true; deniedHosts = [\"*.bad.test\"]; {TRUSTING}");
    let dev = Dev::start(&project(&body));
    let denied = fetch(&dev, "https://very.bad.test/");
    assert!(denied.as_str().is_some_and(|error| error.contains("520")), "{denied}");
    assert_eq!(fetch(&dev, "https://good.test/"), "handled GET https://good.test/");
    dev.stop();
}
