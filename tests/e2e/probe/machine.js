// A Worker that uses `ctx.container` itself: `/<name>/<scenario>` runs one of the scenarios below on
// the machine of that name, which is started unless it runs, and answers with what it returns.
import { DurableObject } from "cloudflare:workers";

const MIB = 1024 * 1024;
const bytes = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder().decode(bytes);

/** Everything a program says, once it has ended. */
async function said(process) {
  const { stdout, stderr, exitCode } = await process.output();
  return { stdout: text(stdout), stderr: text(stderr), exitCode };
}

/** Writes to a program's standard input and ends it. */
async function type(process, ...chunks) {
  const writer = process.stdin.getWriter();
  for (const chunk of chunks) {
    await writer.write(typeof chunk === "string" ? bytes(chunk) : chunk);
  }
  await writer.close();
}

/** Reads until the text holds `wanted`, or until the end. */
async function read(reader, wanted) {
  let all = "";
  while (wanted === undefined || !all.includes(wanted)) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    all += text(value);
  }
  return all;
}

/** Reads a stream to its end, or until at least that many bytes came; how many did. */
async function count(stream, most = Infinity) {
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.byteLength;
    if (total >= most) {
      break;
    }
  }
  return total;
}

/** The error of a call, also of one that throws before it returns a promise. */
async function failure(call) {
  try {
    return await call().then(() => null, (error) => `${error}`);
  } catch (error) {
    return `${error}`;
  }
}

/** The errors of calls that return nothing. */
function failures(values, call) {
  return values.map((value) => {
    try {
      call(value);
      return null;
    } catch (error) {
      return `${error}`;
    }
  });
}

const chunksOf = (mib) => Array(mib).fill(new Uint8Array(MIB));

const EXEC = {
  async options(c) {
    const script = "echo out; echo err >&2; pwd; id -u; echo $GREETING $OWN; exit 3";
    const options = { cwd: "/tmp", user: "www-data", env: { OWN: "mine" } };
    const process = await c.exec(["sh", "-c", script], options);
    return { pid: process.pid, ...(await said(process)) };
  },
  async combined(c) {
    const script = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    const process = await c.exec(["sh", "-c", script], { stderr: "combined" });
    return { separate: process.stderr ?? null, ...(await said(process)) };
  },
  async ignored(c) {
    const options = { stdout: "ignore", stderr: "ignore" };
    const process = await c.exec(["sh", "-c", "echo out; echo err >&2; exit 4"], options);
    const { stdout = null, stderr = null } = process;
    return { stdout, stderr, exitCode: await process.exitCode };
  },
  async withoutInput(c) {
    return said(await c.exec(["cat"]));
  },
  async inputFromStream(c) {
    return said(await c.exec(["cat"], { stdin: new Response("from a stream").body }));
  },
  async halfClose(c) {
    const process = await c.exec(["sh", "-c", "cat; echo after the end"], { stdin: "pipe" });
    await type(process, "first\n", "second\n");
    return said(process);
  },
  async out64(c) {
    const process = await c.exec(["head", "-c", `${64 * MIB}`, "/dev/zero"]);
    return { bytes: await count(process.stdout), exitCode: await process.exitCode };
  },
  async in64(c) {
    const process = await c.exec(["wc", "-c"], { stdin: "pipe" });
    await type(process, ...chunksOf(64));
    return said(process);
  },
  async both64(c) {
    const process = await c.exec(["cat"], { stdin: "pipe" });
    const [, total] = await Promise.all([type(process, ...chunksOf(64)), count(process.stdout)]);
    return { bytes: total, exitCode: await process.exitCode };
  },
  /** A flood that nobody reads: the program has to stand still. `readFlood` lets it go on. */
  async flood(c, object) {
    object.flood = await c.exec(["head", "-c", `${64 * MIB}`, "/dev/zero"]);
    return object.flood.pid;
  },
  async others(c) {
    const all = Array.from({ length: 20 }, async () => said(await c.exec(["echo", "hi"])));
    return (await Promise.all(all)).filter(({ stdout }) => stdout === "hi\n").length;
  },
  /** Both streams are flooded for ever, and read until each gave its share. */
  async twoFloods(c) {
    const process = await c.exec(["sh", "-c", "yes & exec yes error >&2"]);
    const errors = process.stderr.getReader();
    const output = process.stdout.getReader();
    const totals = { out: 0, error: 0 };
    const { promise: enough, resolve } = Promise.withResolvers();
    const take = async (reader, name) => {
      // Both go on until both have enough: they share one connection.
      while (totals.out < 4 * MIB || totals.error < 4 * MIB) {
        totals[name] += (await reader.read()).value.byteLength;
      }
      resolve();
    };
    const reading = [take(output, "out"), take(errors, "error")];
    await enough;
    process.kill(9);
    reading.map((promise) => promise.catch(() => {}));
    return totals;
  },
  async kill(c) {
    const codes = [];
    for (const signal of [undefined, 9, 2, 34]) {
      const process = await c.exec(["sleep", "1000"]);
      process.kill(signal);
      codes.push(await process.exitCode);
    }
    return codes;
  },
  async killHandled(c) {
    const script = "trap 'echo caught; exit 7' USR1; echo ready; while :; do sleep 0.05; done";
    const process = await c.exec(["sh", "-c", script]);
    const reader = process.stdout.getReader();
    await read(reader, "ready");
    process.kill(10);
    return { stdout: await read(reader), exitCode: await process.exitCode };
  },
  async killNothing(c) {
    const process = await c.exec(["sleep", "1000"]);
    const errors = failures([0, 65], (signal) => process.kill(signal));
    process.kill(9);
    return errors;
  },
  async killEnded(c) {
    const process = await c.exec(["true"]);
    const exitCode = await process.exitCode;
    process.kill(9);
    return { exitCode, again: await process.exitCode };
  },
  async abort(c) {
    const abort = new AbortController();
    const process = await c.exec(["sh", "-c", "echo ready; exec sleep 1000"], {
      signal: abort.signal,
    });
    await read(process.stdout.getReader(), "ready");
    abort.abort();
    return process.exitCode;
  },
  async abortedBefore(c) {
    return failure(() => c.exec(["sleep", "1000"], { signal: AbortSignal.abort() }));
  },
  async hundred(c) {
    const one = async (_, i) => {
      const script = `read line; echo $line from ${i}; exit ${i}`;
      const process = await c.exec(["sh", "-c", script], { stdin: "pipe" });
      await type(process, "a line\n");
      const { stdout, exitCode } = await said(process);
      return stdout === `a line from ${i}\n` && exitCode === i;
    };
    return (await Promise.all(Array.from({ length: 100 }, one))).filter(Boolean).length;
  },
  async terminal(c) {
    const script = "stty size; tty; test -t 0 -a -t 1 -a -t 2 && echo all three; echo err >&2";
    const process = await c.exec(["sh", "-c", script], { pty: true });
    const { isPty, stderr: separate = null } = process;
    return { isPty, separate, ...(await said(process)) };
  },
  async terminalSize(c) {
    return said(await c.exec(["stty", "size"], { pty: { cols: 100, rows: 30 } }));
  },
  async terminalResize(c) {
    const script =
      "trap 'echo resized' WINCH; stty size; echo ready; " +
      "while test \"$(stty size)\" = '30 100'; do sleep 0.05; done; " +
      "stty size; read line; echo got $line";
    const options = { pty: { cols: 100, rows: 30 }, stdin: "pipe" };
    const process = await c.exec(["sh", "-c", script], options);
    const reader = process.stdout.getReader();
    const before = await read(reader, "ready");
    // It settles when the size was sent, which is not when it is in force.
    await process.resize(120, 50);
    const between = await read(reader, "50 120");
    const writer = process.stdin.getWriter();
    await writer.write(bytes("typed\n"));
    const after = between + (await read(reader));
    return { before, after, exitCode: await process.exitCode };
  },
  async terminalKeys(c) {
    const process = await c.exec(["sh", "-c", "echo ready; exec sleep 1000"], { pty: true });
    const reader = process.stdout.getReader();
    await read(reader, "ready");
    // Ctrl-C
    await process.stdin.getWriter().write(new Uint8Array([3]));
    // The exit code comes once all output is read.
    await read(reader);
    return process.exitCode;
  },
  async terminalEnd(c) {
    const ends = [];
    for (const typed of ["a line\n", "no line"]) {
      const process = await c.exec(["cat"], { pty: true });
      await type(process, typed);
      ends.push(await said(process));
    }
    return ends;
  },
  async resizeErrors(c) {
    const pty = await c.exec(["sleep", "1000"], { pty: true });
    const plain = await c.exec(["sleep", "1000"]);
    const errors = [
      await failure(() => pty.resize(0, 1)),
      await failure(() => pty.resize(1, 70000)),
      await failure(() => plain.resize(1, 1)),
    ];
    pty.kill(9);
    plain.kill(9);
    return errors;
  },
  async missingProgram(c) {
    return said(await c.exec(["no-such-program"]));
  },
  async missingUser(c) {
    return said(await c.exec(["id"], { user: "nobody-here" }));
  },
  async missingDirectory(c) {
    return said(await c.exec(["id"], { cwd: "/nowhere" }));
  },
  async noCommand(c) {
    return failure(() => c.exec([]));
  },
  /** What a program leaves in the background does not keep the caller. */
  async background(c) {
    return said(await c.exec(["sh", "-c", "sleep 1000 & echo started"]));
  },
  async orphans(c) {
    const script = "for i in 1 2 3 4 5; do (sh -c 'exit 0' & exit 0) & done; wait; echo done";
    return said(await c.exec(["sh", "-c", script]));
  },
  async states(c) {
    const script = "for p in /proc/[0-9]*/status; do grep State: $p; done 2>/dev/null";
    return said(await c.exec(["sh", "-c", script]));
  },
  async outputTwice(c) {
    const process = await c.exec(["true"]);
    await process.output();
    return failure(() => process.output());
  },
};

const LIFE = {
  async instance(c) {
    return said(await c.exec(["sh", "-c", "echo -n $CLOUDFLARE_DEPLOYMENT_ID"]));
  },
  async eat(c) {
    const process = await c.exec(["sh", "-c", "exec head -c 500m /dev/zero | tail -c 500m"]);
    return process.exitCode;
  },
  async pid1(c) {
    return said(await c.exec(["sh", "-c", "tr '\\0' '\\n' < /proc/1/cmdline"]));
  },
  async badSignals(c) {
    return failures([0, 65, -1], (signal) => c.signal(signal));
  },
  async badPorts(c) {
    return failures([0, 65536], (port) => c.getTcpPort(port));
  },
  async startAgain(c) {
    return failures([undefined], () => c.start());
  },
  async term(c, object) {
    c.signal(15);
    return object.monitored;
  },
  async destroy(c, { monitored }) {
    await said(await c.exec(["true"]));
    await c.destroy();
    return { monitor: await monitored, running: c.running };
  },
  async destroyWithReason(c, { monitored }) {
    await said(await c.exec(["true"]));
    await c.destroy(new Error("no longer needed"));
    return { monitor: await monitored, running: c.running };
  },
  async afterTheEnd(c) {
    await c.destroy();
    return {
      signal: failures([15], (signal) => c.signal(signal))[0],
      exec: await failure(() => c.exec(["id"])),
      destroy: await failure(() => c.destroy()),
    };
  },
};

export class Machine extends DurableObject {
  async run(scenario) {
    const container = this.ctx.container;
    if (scenario === "status") {
      return { running: container.running, monitor: this.ended ?? null };
    }
    if (scenario === "monitorBeforeStart") {
      return failure(() => container.monitor());
    }
    if (scenario === "signalBeforeStart") {
      return failures([15], (signal) => container.signal(signal))[0];
    }
    if (scenario === "destroyBeforeStart") {
      return failure(() => container.destroy());
    }
    if (scenario === "askPort") {
      return failure(() => container.getTcpPort(8080).fetch("http://container/"));
    }
    if (scenario === "readFlood") {
      const flood = this.flood;
      return { bytes: await count(flood.stdout), exitCode: await flood.exitCode };
    }
    if (!container.running) {
      container.start({ enableInternet: false, env: { GREETING: "hello" } });
    }
    this.monitored ??= this.monitor(container);
    return { ...EXEC, ...LIFE }[scenario](container, this);
  }

  /** How the program ended. */
  async monitor(container) {
    try {
      await container.monitor();
      this.ended = { exitCode: 0 };
    } catch (error) {
      this.ended = { exitCode: error.exitCode ?? null, message: error.message };
    }
    this.monitored = undefined;
    return this.ended;
  }
}

export default {
  async fetch(request, env) {
    const [, name, scenario] = new URL(request.url).pathname.split("/");
    try {
      return Response.json((await env.MACHINE.getByName(name).run(scenario)) ?? null);
    } catch (error) {
      return new Response(`${error.stack ?? error}`, { status: 500 });
    }
  },
};
