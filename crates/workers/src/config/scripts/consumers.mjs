// Hands what happens in the Worker to its tail consumers, by calls of their `tail()`. Which Worker it
// happened in is not known to workerd, so it is added here.
const failing = new Set();

// Events are made of getters, and a call carries values.
const plain = (value) => {
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
};

export default {
  // `env` has the consumers by their names, which are lower-case.
  async tail(events, { ORIGIN, ...consumers }) {
    // To be told is an event, too: Workers that consume each other's, or their own, would never end.
    const told = events.filter(({ event }) => event?.rpcMethod !== "tail");
    if (told.length === 0) return;
    const items = told.map((event) => ({ ...plain(event), ...ORIGIN }));
    const tell = async ([name, consumer]) => {
      try {
        await consumer.tail(items);
        failing.delete(name);
      } catch (error) {
        // Said once, not for each event.
        if (!failing.has(name)) console.error(`The tail consumer "${name}" fails: ${error}`);
        failing.add(name);
      }
    };
    await Promise.all(Object.entries(consumers).map(tell));
  },
};
