// Secrets Store bindings: `await env.NAME.get()`.
import { WorkerEntrypoint } from "cloudflare:workers";

export class SecretsStoreSecret extends WorkerEntrypoint {
  async get() {
    const { name, value } = this.ctx.props;
    if (value === undefined) throw new Error(`Secret "${name}" not found`);
    return value;
  }
}

export default {};
