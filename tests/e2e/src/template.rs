//! The project that `npm create cloudflare` makes from the containers template, with a server in
//! Python in place of Go: its files, and nothing installed.

use crate::cache::entry;
use crate::packages::run;
use crate::project::Project;

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

impl Project {
    /// The template's files, in a folder of their own.
    ///
    /// # Panics
    /// They can't be written.
    #[must_use]
    pub fn containers_template() -> Self {
        let project = Self::empty();
        for (path, text) in [
            ("wrangler.jsonc", CONFIG),
            ("package.json", PACKAGES),
            ("src/index.ts", WORKER),
            ("Dockerfile", DOCKERFILE),
            ("container_src/main.py", SERVER),
        ] {
            project.write(path, text);
        }
        project
    }

    /// Installs what the template names, once for all tests.
    ///
    /// # Panics
    /// npm fails.
    #[must_use]
    pub fn with_template_packages(self) -> Self {
        let folder = entry("npm-containers-template", |folder| {
            fs_err::write(folder.join("package.json"), PACKAGES).expect("write a file");
            let mut npm = std::process::Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund"]).current_dir(folder);
            let _ = run(&mut npm);
        });
        let modules = folder.join("node_modules");
        fs_err::os::unix::fs::symlink(modules, self.path().join("node_modules"))
            .expect("link packages");
        self
    }
}
