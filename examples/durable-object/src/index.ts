// `ctx.container` without the Container class: the Durable Object does every step itself.
import { DurableObject } from "cloudflare:workers";

interface Env {
  MACHINE: DurableObjectNamespace<Machine>;
}

export class Machine extends DurableObject<Env> {
  container = this.ctx.container!;

  /** Starts the program with its own command, environment and internet access. */
  start(greeting: string): string {
    if (this.container.running) {
      return "already running";
    }
    this.container.start({
      entrypoint: ["sh", "/app/server.sh", "8080"],
      env: { GREETING: greeting },
      enableInternet: false,
    });
    // Settles when the program ends; the exit code comes as an error's property.
    this.container
      .monitor()
      .then(() => this.remember("exited with code 0"))
      .catch((error) => this.remember(`exited with code ${error.exitCode ?? error.message}`));
    return "started";
  }

  status() {
    return { running: this.container.running, last: this.ctx.storage.kv.get("last") ?? null };
  }

  /** Any port of the container is a Fetcher. */
  async get(port: number, path: string): Promise<Response> {
    return this.container.getTcpPort(port).fetch(`http://container${path}`);
  }

  /** Raw bytes to a port and back. */
  async talk(port: number, text: string): Promise<string> {
    const socket = this.container.getTcpPort(port).connect(`container:${port}`);
    const writer = socket.writable.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    return new Response(socket.readable).text();
  }

  /** A second program inside the running container. */
  async exec(command: string[]) {
    const process = await this.container.exec(command);
    const { stdout, stderr, exitCode } = await process.output();
    const decoder = new TextDecoder();
    return { exitCode, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  signal(number: number) {
    this.container.signal(number);
  }

  async destroy() {
    await this.container.destroy();
  }

  private remember(last: string) {
    console.log("Machine", last);
    this.ctx.storage.kv.put("last", last);
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    // `/<name>/<action>`: each name has a machine of its own.
    const [, name, action, ...rest] = pathname.split("/");
    const machine = env.MACHINE.getByName(name);
    try {
      switch (action) {
        case "start":
          return new Response(await machine.start(searchParams.get("greeting") ?? "Hello"));
        case "status":
          return Response.json(await machine.status());
        case "port":
          return await machine.get(Number(rest[0]), "/" + rest.slice(1).join("/"));
        case "talk":
          return new Response(await machine.talk(Number(rest[0]), await request.text()));
        case "exec":
          return Response.json(await machine.exec(await request.json()));
        case "signal":
          await machine.signal(Number(rest[0]));
          return new Response("sent");
        case "destroy":
          await machine.destroy();
          return new Response("destroyed");
      }
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
    return new Response("GET /<name>/start | status | port/<n> | signal/<n> | destroy\n", {
      status: 404,
    });
  },
};
