import { Container, getContainer } from "@cloudflare/containers";

interface Env {
  ACCOUNT_NAME: string;
  CONTAINER_SECRET_KEY_ONE: string;
  CONTAINER_SECRET_KEY_TWO: string;
  ACCOUNT_API_KEY_ONE: SecretsStoreSecret;
  ACCOUNT_API_KEY_TWO: SecretsStoreSecret;
  MY_CONTAINER: DurableObjectNamespace<MyContainer>;
}

export class MyContainer extends Container<Env> {
  defaultPort = 8080;
  sleepAfter = "10s";
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);

    if (pathname === "/launch-instances") {
      const instanceOne = getContainer(env.MY_CONTAINER, "foo");
      const instanceTwo = getContainer(env.MY_CONTAINER, "bar");

      // Each instance gets a different set of environment variables
      await instanceOne.start({
        envVars: {
          ACCOUNT_NAME: env.ACCOUNT_NAME + "-1",
          ACCOUNT_API_KEY: await env.ACCOUNT_API_KEY_ONE.get(),
          CONTAINER_SECRET_KEY: env.CONTAINER_SECRET_KEY_ONE,
        },
      });
      await instanceTwo.start({
        envVars: {
          ACCOUNT_NAME: env.ACCOUNT_NAME + "-2",
          ACCOUNT_API_KEY: await env.ACCOUNT_API_KEY_TWO.get(),
          CONTAINER_SECRET_KEY: env.CONTAINER_SECRET_KEY_TWO,
        },
      });
      return new Response("Container instances launched");
    }

    // `/instances/foo` and `/instances/bar` show what each was started with.
    const name = pathname.match(/^\/instances\/(\w+)$/)?.[1];
    if (name) {
      return getContainer(env.MY_CONTAINER, name).fetch(request);
    }
    return new Response("Not found", { status: 404 });
  },
};
