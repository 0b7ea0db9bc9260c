// Tells the worker host which object and event each console line comes from, while it runs.
// Lines of the default entry point's fetch() need no telling, and each event handed to a tail
// Worker costs time, so that case opts out at its first event.
const json = (value) =>
  JSON.stringify(value, (_, member) => (typeof member === "bigint" ? `${member}` : member));

export default {
  tailStream({ event: { entrypoint, durableObjectId, info } }, env) {
    if (!entrypoint && info.type === "fetch") return;
    return {
      log: ({ timestamp, event: { level, message } }) =>
        env.HOST.fetch("http://host/", {
          method: "POST",
          body: json({
            entrypoint,
            object: durableObjectId,
            trigger: info.type,
            time: new Date(timestamp).getTime(),
            level,
            message,
          }),
        }),
    };
  },
};
