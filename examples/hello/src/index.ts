import { Container, getContainer, getRandom } from "@cloudflare/containers";

interface Env {
  MY_CONTAINER: DurableObjectNamespace<MyContainer>;
}

export class MyContainer extends Container<Env> {
  // Port the container listens on; requests wait until it does.
  defaultPort = 8080;
  // Stop the container when no request came for this long.
  sleepAfter = "10s";
  // Environment variables of every instance.
  envVars = {
    MESSAGE: "I was passed in via the container class!",
  };

  override onStart() {
    console.log("Container successfully started");
  }

  override onStop() {
    console.log("Container successfully shut down");
  }

  override onError(error: unknown) {
    console.log("Container error:", error);
  }
}

const USAGE = `Available endpoints:
GET /container/<ID> - one container for each ID, stopped after 10 s without requests
GET /lb             - one of three containers, chosen at random
GET /singleton      - always the same container
GET /ws             - a WebSocket that echoes, in the same container as /singleton
GET /error          - a container that crashes while it answers
`;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);

    if (pathname.startsWith("/container/")) {
      // The name decides the Durable Object, and each Durable Object has one container.
      const id = env.MY_CONTAINER.idFromName(pathname);
      return await env.MY_CONTAINER.get(id).fetch(request);
    }
    if (pathname === "/lb") {
      const container = await getRandom(env.MY_CONTAINER, 3);
      return await container.fetch(request);
    }
    if (pathname === "/singleton" || pathname === "/ws") {
      return await getContainer(env.MY_CONTAINER).fetch(request);
    }
    if (pathname === "/error") {
      return await getContainer(env.MY_CONTAINER, "error-test").fetch(request);
    }
    return new Response(USAGE, { status: pathname === "/" ? 200 : 404 });
  },
};
