// Hands what a test posts to the hostile program: `/<name>` is the container of that name.
import { Container, getContainer } from "@cloudflare/containers";

export class MyContainer extends Container {
  defaultPort = 8080;
  /* CLASS BODY */
}

export default {
  async fetch(request, env) {
    const container = getContainer(env.MY_CONTAINER, new URL(request.url).pathname.slice(1));
    // As one piece: the program reads no chunks.
    const body = await request.text();
    return container.fetch(new Request("http://container/", { method: "POST", body }));
  },
};
