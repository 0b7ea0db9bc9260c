// The Worker of the chaos test: each object keeps a counter in its storage, asks its instance who it
// is, and writes down how its instances ended. `/<class>/<name>/<action>`; answers are JSON.
import { Container } from "@cloudflare/containers";
import { DurableObject } from "cloudflare:workers";

/** Changed by each reload. */
const VERSION = 0;

/** What every object answers, by what the class says of `ask`, `begin`, `halt` and `kill`. */
async function act(object, request) {
  const url = new URL(request.url);
  const [, , , action] = url.pathname.split("/");
  const kv = object.ctx.storage.kv;
  switch (action) {
    case "hit": {
      const who = await (await object.ask("/who")).json();
      const count = (kv.get("count") ?? 0) + 1;
      kv.put("count", count);
      // The answer waits until the write is durable.
      return Response.json({ ...who, count, version: VERSION });
    }
    case "count":
      return Response.json({ count: kv.get("count") ?? 0, ends: kv.get("ends") ?? [] });
    case "start":
      await object.begin();
      return Response.json({});
    case "stop":
      await object.halt();
      return Response.json({});
    case "destroy":
      await object.kill();
      return Response.json({});
    default:
      return await object.ask(`/${action}${url.search}`);
  }
}

function ended(object, code) {
  const kv = object.ctx.storage.kv;
  kv.put("ends", [...(kv.get("ends") ?? []), code]);
}

class Kept extends Container {
  defaultPort = 8080;
  enableInternet = false;

  async fetch(request) {
    return await act(this, request);
  }

  ask(path) {
    return this.containerFetch(new Request(`http://instance${path}`));
  }

  begin() {
    return this.startAndWaitForPorts();
  }

  halt() {
    return this.stop();
  }

  kill() {
    return this.destroy();
  }

  onStop({ exitCode }) {
    ended(this, exitCode);
  }
}

export class Steady extends Kept {
  sleepAfter = "1h";
  envVars = { SECRET: this.env.SECRET };
}

export class Drowsy extends Kept {
  sleepAfter = "2s";
}

export class Stubborn extends Kept {
  sleepAfter = "1h";
  envVars = { IGNORE_SIGTERM: "1" };
}

/** The same without the class: `ctx.container` alone. */
export class Raw extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    if (ctx.container.running) {
      this.follow();
    }
  }

  async fetch(request) {
    return await act(this, request);
  }

  follow() {
    this.ctx.container.monitor().then(
      () => ended(this, 0),
      (error) => ended(this, error.exitCode ?? -1),
    );
  }

  async ask(path) {
    await this.begin();
    const deadline = Date.now() + 10_000;
    for (;;) {
      try {
        return await this.ctx.container.getTcpPort(8080).fetch(`http://instance${path}`);
      } catch (error) {
        if (!this.ctx.container.running || Date.now() > deadline) {
          throw error;
        }
        await scheduler.wait(20);
      }
    }
  }

  async begin() {
    if (!this.ctx.container.running) {
      this.ctx.container.start({ enableInternet: false });
      this.follow();
    }
  }

  async halt() {
    if (this.ctx.container.running) {
      this.ctx.container.signal(15);
    }
  }

  async kill() {
    await this.ctx.container.destroy();
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const [, kind, name] = pathname.split("/");
    const namespace = env[kind.toUpperCase()];
    if (namespace === undefined) {
      return Response.json({ version: VERSION });
    }
    return await namespace.get(namespace.idFromName(name)).fetch(request);
  },
};
