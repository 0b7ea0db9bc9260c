// The Worker of most tests: `/<name>/<question>` asks the container of that name, and questions
// that begin with `_` ask its Durable Object.
import { Container, getContainer, switchPort } from "@cloudflare/containers";

export class MyContainer extends Container {
  defaultPort = 8080;
  /* CLASS BODY */

  onStart() {
    console.log("onStart", this.ctx.id.name);
  }

  onStop({ exitCode, reason }) {
    console.log("onStop", this.ctx.id.name, exitCode, reason);
  }

  onError(error) {
    console.log("onError", this.ctx.id.name, String(error));
    throw error;
  }

  remember(value) {
    this.ctx.storage.kv.put("value", value);
  }

  recall() {
    return this.ctx.storage.kv.get("value") ?? null;
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const [, name, question, argument] = url.pathname.split("/");
    const container = getContainer(env.MY_CONTAINER, name);
    switch (question) {
      case "_get":
        return new Response("a stub is no container");
      case "_start":
        await container.start(await request.json());
        return new Response("started");
      case "_startAndWaitForPorts":
        await container.startAndWaitForPorts();
        return new Response("started");
      case "_stop":
        await container.stop();
        return new Response("stopped");
      case "_destroy":
        await container.destroy();
        return new Response("destroyed");
      case "_state":
        return Response.json(await container.getState());
      case "_call": {
        const result = await container[argument](...(await request.json()));
        return Response.json(result ?? null);
      }
      case "_remember":
        await container.remember(argument);
        return new Response("remembered");
      case "_recall":
        return Response.json(await container.recall());
      case "_port":
        return container.fetch(switchPort(request, Number(argument)));
    }
    return container.fetch(request);
  },
};
