import { Container } from "@cloudflare/containers";
import { DurableObject } from "cloudflare:workers";

interface Env {
  BENCH: DurableObjectNamespace<Bench>;
  LOCAL_PORT: DurableObjectNamespace<LocalPort>;
}

/** The server that the bench itself runs on the host: the same program as in the containers. */
const LOCAL_SERVER = "http://127.0.0.1:8080/";

export class Bench extends Container<Env> {
  defaultPort = 8080;
  // Longer than any run: no instance goes to sleep while others are measured.
  sleepAfter = "1h";
}

/** What is left of `Bench` without containers: an object that fetches a port of the host. */
export class LocalPort extends DurableObject<Env> {
  override async fetch(): Promise<Response> {
    return await fetch(LOCAL_SERVER);
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);

    if (pathname.startsWith("/container/")) {
      return await env.BENCH.get(env.BENCH.idFromName(pathname)).fetch(request);
    }
    if (pathname === "/floor/object") {
      return await env.LOCAL_PORT.get(env.LOCAL_PORT.idFromName("floor")).fetch(request);
    }
    if (pathname === "/floor/worker") {
      return await fetch(LOCAL_SERVER);
    }
    return new Response("the bench's Worker\n");
  },
};
