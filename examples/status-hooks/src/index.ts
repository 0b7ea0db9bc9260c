import { Container, getContainer, type StopParams } from "@cloudflare/containers";

interface Env {
  MY_CONTAINER: DurableObjectNamespace<MyContainer>;
}

export class MyContainer extends Container<Env> {
  defaultPort = 4000;
  sleepAfter = "5m";

  override onStart() {
    console.log("Container successfully started");
  }

  override onStop(stopParams: StopParams) {
    if (stopParams.exitCode === 0) {
      console.log("Container stopped gracefully");
    } else {
      console.log("Container stopped with exit code:", stopParams.exitCode);
    }

    console.log("Container stop reason:", stopParams.reason);
  }

  override onError(error: unknown) {
    console.log("Container error:", error);
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname } = new URL(request.url);
    const name = pathname.split("/")[2] ?? "one";

    if (pathname.startsWith("/stop/")) {
      await getContainer(env.MY_CONTAINER, name).stop();
      return new Response("Asked to stop");
    }
    if (pathname.startsWith("/broken/")) {
      // This program ends before it listens on any port: onError runs.
      await getContainer(env.MY_CONTAINER, name).startAndWaitForPorts({
        startOptions: { entrypoint: ["python3", "/app/server.py", "--broken"] },
      });
      return new Response("Started");
    }
    // `/run/<name>` starts it, `/run/<name>/exit/<code>` has it end by itself.
    return getContainer(env.MY_CONTAINER, name).fetch(request);
  },
};
