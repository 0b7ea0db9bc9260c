import { Container, getContainer } from "@cloudflare/containers";

interface Env {
  ACCOUNT_NAME: string; // a variable
  CONTAINER_SECRET_KEY: string; // a Worker secret
  ACCOUNT_API_KEY: SecretsStoreSecret; // a Secrets Store secret
  MY_CONTAINER: DurableObjectNamespace<MyContainer>;
}

export class MyContainer extends Container<Env> {
  defaultPort = 8080;
  sleepAfter = "10s";
  envVars: Record<string, string> = {
    ACCOUNT_NAME: this.env.ACCOUNT_NAME,
    CONTAINER_SECRET_KEY: this.env.CONTAINER_SECRET_KEY,
  };

  constructor(ctx: DurableObjectState<{}>, env: Env) {
    super(ctx, env);
    // A Secrets Store secret is fetched, so it can't be a plain field: no request is
    // handled before it is here.
    ctx.blockConcurrencyWhile(async () => {
      this.envVars.ACCOUNT_API_KEY = await env.ACCOUNT_API_KEY.get();
    });
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    return getContainer(env.MY_CONTAINER).fetch(request);
  },
};
