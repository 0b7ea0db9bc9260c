import { Container, getRandom } from "@cloudflare/containers";

interface Env {
  ASSETS: Fetcher;
  BACKEND: DurableObjectNamespace<Backend>;
}

const INSTANCE_COUNT = 3;

export class Backend extends Container<Env> {
  defaultPort = 8080; // pass requests to port 8080 in the container
  sleepAfter = "2h"; // only sleep a container if it hasn't gotten requests in 2 hours
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname.startsWith("/api")) {
      const instance = await getRandom(env.BACKEND, INSTANCE_COUNT);
      return instance.fetch(request);
    }

    return env.ASSETS.fetch(request);
  },
};
