import { Container, getContainer } from "@cloudflare/containers";

interface Env {
  CRON_CONTAINER: DurableObjectNamespace<CronContainer>;
}

export class CronContainer extends Container<Env> {
  sleepAfter = "5m";

  override onStop({ exitCode }: { exitCode: number }) {
    console.log("Job ended with exit code", exitCode);
  }
}

export default {
  async fetch(): Promise<Response> {
    return new Response("This Worker runs a cron job to execute a container on a schedule.");
  },

  async scheduled(_controller: ScheduledController, env: Env) {
    // The job listens on no port, so `start` returns as soon as it runs.
    await getContainer(env.CRON_CONTAINER).start({
      envVars: {
        MESSAGE: "Start Time: " + new Date().toISOString(),
      },
    });
  },
};
