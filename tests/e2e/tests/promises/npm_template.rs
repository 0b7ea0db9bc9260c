//! A project in the shape that `npm create cloudflare` makes from the containers template: it is
//! run as it is, on a machine where nothing was installed for it.

use e2e::{Dev, Project, instance_id};

const CONFIG: &str = r#"{
  "$schema": "node_modules/wrangler/config-schema.json",
  "name": "hello-containers",
  "main": "src/index.ts",
  "compatibility_date": "2025-05-23",
  "compatibility_flags": ["nodejs_compat"],
  "observability": {
    "enabled": true,
  },
  "containers": [
    {
      "class_name": "MyContainer",
      "image": "./Dockerfile",
      "max_instances": 10,
    },
  ],
  "durable_objects": {
    "bindings": [
      {
        "class_name": "MyContainer",
        "name": "MY_CONTAINER",
      },
    ],
  },
  "migrations": [
    {
      "new_sqlite_classes": ["MyContainer"],
      "tag": "v1",
    },
  ],
}
"#;

const PACKAGES: &str = r#"{
  "name": "containers-template",
  "dependencies": {
    "@cloudflare/containers": "^0.3.7",
    "hono": "^4.10.7"
  },
  "private": true
}
"#;

const WORKER: &str = r#"
import { Container, getContainer, getRandom } from "@cloudflare/containers";
import { Hono } from "hono";

export class MyContainer extends Container<Env> {
  defaultPort = 8080;
  sleepAfter = "2m";
  envVars = { MESSAGE: "I was passed in via the container class!" };

  override onStart() {
    console.log("Container successfully started");
  }
}

const app = new Hono<{ Bindings: Env }>();

app.get("/", (c) => c.text("Available endpoints: /container/<ID>, /lb, /singleton"));

app.get("/container/:id", async (c) => {
  const id = c.env.MY_CONTAINER.idFromName(`/container/${c.req.param("id")}`);
  return await c.env.MY_CONTAINER.get(id).fetch(c.req.raw);
});

app.get("/lb", async (c) => {
  const container = await getRandom(c.env.MY_CONTAINER, 3);
  return await container.fetch(c.req.raw);
});

app.get("/singleton", async (c) => getContainer(c.env.MY_CONTAINER).fetch(c.req.raw));

export default app;
"#;

const DOCKERFILE: &str = r#"# syntax=docker/dockerfile:1

FROM python:3-slim AS build

# Set destination for COPY
WORKDIR /app

# Copy container source code
COPY container_src/*.py ./

# Build
RUN python3 -m compileall -q . && mkdir /out && cp *.py /out/

FROM python:3-slim
COPY --from=build /out /app
EXPOSE 8080

# Run
CMD ["python3", "/app/main.py"]
"#;

const SERVER: &str = r#"
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        message = os.environ["MESSAGE"]
        instance = os.environ["CLOUDFLARE_DURABLE_OBJECT_ID"]
        self.send_response(200)
        self.end_headers()
        text = f'Hi, I\'m a container and this is my message: "{message}", my instance ID is: {instance}'
        self.wfile.write(text.encode())

ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"#;

#[test]
fn a_project_from_the_containers_template_runs_unchanged() {
    let project = Project::empty();
    project.write("wrangler.jsonc", CONFIG);
    project.write("package.json", PACKAGES);
    project.write("src/index.ts", WORKER);
    project.write("Dockerfile", DOCKERFILE);
    project.write("container_src/main.py", SERVER);

    let dev = Dev::start(&project);
    assert!(dev.get("/").text().starts_with("Available endpoints"));
    let first = instance_id(&dev.get("/container/1"));
    assert_eq!(instance_id(&dev.get("/container/1")), first);
    assert_ne!(instance_id(&dev.get("/container/2")), first);
    assert_eq!(dev.get("/lb").status, 200);
    assert_eq!(dev.get("/singleton").status, 200);
    dev.wait_for_line("Container successfully started");
    dev.stop();
}

#[test]
fn an_example_of_a_fresh_clone_gets_its_locked_packages() {
    let project = Project::example_without_packages("hello");
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/container/1").status, 200);
    let package = project.read("node_modules/@cloudflare/containers/package.json");
    assert!(package.contains("\"version\": \"0.3.7\""), "{package}");
    dev.stop();
}
