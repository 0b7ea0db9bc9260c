// Reachable on a private unix socket only: runs the Worker's scheduled() and tells how it went.
export default {
  async fetch(request, env) {
    const { cron, time } = await request.json();
    return Response.json(await env.WORKER.scheduled({ cron, scheduledTime: new Date(time) }));
  },
};
