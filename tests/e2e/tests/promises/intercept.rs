//! `ctx.container.intercept…` without the `Container` class (features BB8, BB9).

use e2e::{Dev, Project, until};

/// `/<operation>?<arguments>`; a handler tells its name and the URL it was asked for.
const WORKER: &str = r#"
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

export class Out extends WorkerEntrypoint {
  fetch(request) {
    return new Response(`${this.ctx.props.name} ${request.url}`);
  }
}

export class MyContainer extends DurableObject {
  async fetch(request) {
    const url = new URL(request.url);
    const { container } = this.ctx;
    const [host, name] = [url.searchParams.get("host"), url.searchParams.get("name")];
    const handler = this.ctx.exports.Out({ props: { name } });
    switch (url.pathname) {
      case "/start":
        container.start({
          enableInternet: false,
          env: { SSL_CERT_FILE: "/etc/cloudflare/certs/cloudflare-containers-ca.crt" },
        });
        return new Response("started");
      case "/http":
        await container.interceptOutboundHttp(host, handler);
        return new Response("done");
      case "/https":
        await container.interceptOutboundHttps(host, handler);
        return new Response("done");
      case "/all":
        await container.interceptAllOutboundHttp(handler);
        return new Response("done");
      case "/tcp":
        return new Response(typeof container.interceptOutboundTcp);
    }
    return container.getTcpPort(8080).fetch(request);
  }
}

export default {
  fetch: (request, env) => env.MY_CONTAINER.getByName("one").fetch(request),
};
"#;

fn dev() -> Dev {
    let dockerfile = "FROM python:3-slim\nCOPY server.py /server.py\n\
                      CMD [\"python3\", \"/server.py\"]\n";
    let project = Project::with(WORKER, dockerfile);
    project.write("server.py", include_str!("../../probe/server.py"));
    Dev::start(&project)
}

fn done(dev: &Dev, path: &str) {
    let reply = dev.get(path);
    assert_eq!(reply.status, 200, "{path}: {reply}");
}

fn start(dev: &Dev) {
    done(dev, "/start");
    until("the program answers", || Some(dev.get("/who")).filter(|reply| reply.status == 200));
}

/// What the program gets: the handler's answer, or an error.
fn fetch(dev: &Dev, url: &str) -> String {
    let answer = dev.get(&format!("/fetch?url={url}")).json();
    let text = answer["text"].as_str().or(answer["error"].as_str());
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn bb8_handlers_are_set_before_and_after_the_start_and_replaced() {
    let dev = dev();
    done(&dev, "/http?host=before.test&name=first");
    start(&dev);
    assert_eq!(fetch(&dev, "http://before.test/x"), "first http://before.test/x");
    assert!(fetch(&dev, "http://after.test/").contains("not known"));
    done(&dev, "/http?host=after.test&name=second");
    assert_eq!(fetch(&dev, "http://after.test/"), "second http://after.test/");
    done(&dev, "/http?host=before.test&name=third");
    assert_eq!(fetch(&dev, "http://before.test/"), "third http://before.test/");
    dev.stop();
}

#[test]
fn bb8_the_first_handler_of_a_program_that_runs_without_internet_is_reached() {
    let dev = dev();
    start(&dev);
    assert!(fetch(&dev, "http://10.1.2.3/").contains("unreachable"));
    done(&dev, "/http?host=late.*&name=late");
    assert_eq!(fetch(&dev, "http://late.test/"), "late http://late.test/");
    dev.stop();
}

#[test]
fn bb8_handlers_are_for_addresses_ports_networks_and_everything() {
    let dev = dev();
    done(&dev, "/http?host=10.1.2.3:8080&name=port");
    done(&dev, "/http?host=10.2.0.0/16&name=network");
    start(&dev);
    assert_eq!(fetch(&dev, "http://10.1.2.3:8080/"), "port http://10.1.2.3:8080/");
    assert_eq!(fetch(&dev, "http://10.2.3.4/"), "network http://10.2.3.4/");
    for nobodys in ["http://10.1.2.3/", "http://10.3.0.1/", "http://10.2.3.4:81/"] {
        let error = fetch(&dev, nobodys);
        assert!(error.contains("reset"), "{nobodys}: {error}");
    }
    done(&dev, "/all?name=all");
    assert_eq!(fetch(&dev, "http://10.3.0.1/"), "all http://10.3.0.1/");
    assert_eq!(fetch(&dev, "http://169.254.169.254/"), "all http://169.254.169.254/");
    assert_eq!(fetch(&dev, "http://10.2.3.4/"), "network http://10.2.3.4/", "the narrower one");
    dev.stop();
}

#[test]
fn bb8_https_is_handled_for_the_hosts_that_were_named() {
    let dev = dev();
    done(&dev, "/https?host=*.secure.test&name=tls");
    start(&dev);
    assert_eq!(fetch(&dev, "https://a.secure.test/"), "tls https://a.secure.test/");
    assert!(fetch(&dev, "https://other.test/").contains("not known"));
    dev.stop();
}

#[test]
fn bb9_the_pinned_workerd_keeps_tcp_handlers_for_itself() {
    assert_eq!(dev().get("/tcp").text(), "undefined", "docs/compatibility.md says so");
}
