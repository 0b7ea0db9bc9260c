import { Container, getRandom } from "@cloudflare/containers";

interface Env {
  BACKEND: DurableObjectNamespace<Backend>;
}

const INSTANCE_COUNT = 3;

export class Backend extends Container<Env> {
  defaultPort = 8080;
  sleepAfter = "2h";
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    // Any of the three will do: they hold no state.
    const instance = await getRandom(env.BACKEND, INSTANCE_COUNT);
    return instance.fetch(request);
  },
};
