// Tells the worker host which object and event each console line comes from, while it runs; and, while
// somebody watches, of each event as a whole. Lines of the default entry point's fetch() need no
// telling, and each event handed to a tail Worker costs time, so that case opts out at its first event.
let watched = false;

const json = (value) =>
  JSON.stringify(value, (_, member) => (typeof member === "bigint" ? `${member}` : member));

const millis = (time) => new Date(time).getTime();

// What is known of an event when it begins, as `wrangler tail` wants it.
const described = (info) => {
  switch (info.type) {
    case "fetch": {
      const { url, method, cfJson: cf } = info;
      const headers = Object.fromEntries(info.headers.map(({ name, value }) => [name, value]));
      return { request: { url, method, headers, cf } };
    }
    case "scheduled":
      return { cron: info.cron, scheduledTime: millis(info.scheduledTime) };
    case "alarm":
      return { scheduledTime: new Date(info.scheduledTime).toISOString() };
    case "jsrpc":
      return { rpcMethod: "" };
    default:
      return null;
  }
};

export default {
  // Asked on a private unix socket only: whether somebody watches.
  async fetch(request) {
    watched = (await request.text()) === "true";
    return new Response(null, { status: 204 });
  },

  tailStream({ timestamp, event: onset }, env) {
    const { entrypoint, durableObjectId, executionModel, info } = onset;
    const attributed = entrypoint || info.type !== "fetch";
    if (!attributed && !watched) return;
    const post = (path, value) =>
      env.HOST.fetch(`http://host${path}`, { method: "POST", body: json(value) });
    const whole = watched && {
      eventTimestamp: millis(timestamp),
      event: described(info),
      entrypoint,
      executionModel,
      durableObjectId,
      logs: [],
      exceptions: [],
      diagnosticsChannelEvents: [],
      truncated: false,
    };
    return {
      log({ timestamp, event: { level, message } }) {
        const time = millis(timestamp);
        // What fills memory is not kept; `truncated` says so.
        if (whole && whole.logs.length < 256) whole.logs.push({ level, message, timestamp: time });
        else if (whole) whole.truncated = true;
        if (!attributed) return;
        const [object, trigger] = [durableObjectId, info.type];
        return post("/", { entrypoint, object, trigger, time, level, message });
      },
      exception({ timestamp, event: { name, message, stack } }) {
        if (whole) whole.exceptions.push({ name, message, stack, timestamp: millis(timestamp) });
      },
      attributes({ event: { info } }) {
        const method = Array.isArray(info) && info.find(({ name }) => name === "jsrpc.method");
        if (method && whole?.event?.rpcMethod === "") whole.event.rpcMethod = method.value;
      },
      return({ event: { info } }) {
        if (whole?.event?.request && info) whole.event.response = { status: info.statusCode };
      },
      outcome({ event: { outcome, cpuTime, wallTime } }) {
        if (whole) return post("/whole", { outcome, cpuTime, wallTime, ...whole });
      },
    };
  },
};
