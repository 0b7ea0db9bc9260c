import { Container, getContainer } from "@cloudflare/containers";

interface Env {
  MY_CONTAINER: DurableObjectNamespace<MyContainer>;
}

export class MyContainer extends Container<Env> {
  defaultPort = 4000; // Port the container is listening on
  sleepAfter = "10m"; // Stop the instance if requests not sent for 10 minutes
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (request.method !== "POST") {
      return new Response('POST {"session-id": "…"}', { status: 405 });
    }
    // A body can be read once. Reading a clone leaves the request's own for the container.
    const { "session-id": sessionId } = await request.clone().json<{ "session-id": string }>();
    // Get the container instance for the given session ID
    const containerInstance = getContainer(env.MY_CONTAINER, sessionId);
    // Pass the request to the container instance on its default port
    return containerInstance.fetch(request);
  },
};
