//! What a configuration asks for and the platform does not do: refused by name.

use anyhow::Result;
use serde_json::{Value, json};

use super::Scene;
use super::stage::Stage;

pub(super) const SCENE: Scene = Scene { name: "refusals", commands: &["deploy"], run };

const CODE: &str = "
import { DurableObject } from \"cloudflare:workers\";
export class Thing extends DurableObject {}
export default { fetch: () => new Response(\"hello\") };
";

/// Another product of Cloudflare's.
const PRODUCT: &str = "it is another product of Cloudflare's";

fn run(stage: &mut Stage) -> Result<()> {
    // Wrangler of either version sends them alike.
    if !stage.is_newest() {
        return Ok(());
    }
    let id = "00000000000000000000000000000001";
    let cases: [(&str, Value, &str, &'static str); 12] = [
        ("kv_namespaces", json!([{"binding": "B", "id": id}]), "kv_namespace", PRODUCT),
        ("r2_buckets", json!([{"binding": "B", "bucket_name": "b"}]), "r2_bucket", PRODUCT),
        (
            "d1_databases",
            json!([{"binding": "B", "database_name": "d", "database_id": id}]),
            "of type \\\"d1\\\"",
            PRODUCT,
        ),
        ("ai", json!({"binding": "AI"}), "of type \\\"ai\\\"", PRODUCT),
        ("hyperdrive", json!([{"binding": "B", "id": id}]), "hyperdrive", PRODUCT),
        ("analytics_engine_datasets", json!([{"binding": "B"}]), "analytics_engine", PRODUCT),
        ("limits", json!({"cpu_ms": 50}), "`limits`", "workerd measures no CPU time"),
        ("logpush", json!(true), "`logpush`", "logs are in the output of `berth serve`"),
        (
            "streaming_tail_consumers",
            json!([{"service": "other"}]),
            "`streaming_tail_consumers`",
            "`tail_consumers` are told of each event when it is over",
        ),
        (
            "tail_consumers",
            json!([{"service": "nobody"}]),
            "Tail Worker does not exist",
            "a Worker must be there before another tells it of its events",
        ),
        (
            "durable_objects",
            json!({"bindings": [{"name": "T", "class_name": "Thing", "script_name": "other"}]}),
            "the Worker \\\"other\\\"",
            "each Worker runs in a process of its own",
        ),
        (
            "services",
            json!([{"binding": "S", "service": "nobody"}]),
            "nobody",
            "a Worker must be there before another binds it",
        ),
    ];
    for (field, value, text, reason) in cases {
        stage.set_worker("refused", CODE, &json!({ field: value }));
        let text = text.replace("\\\"", "\"");
        stage.refused_as(&format!("wrangler deploy: {field}"), &["deploy"], &[&text], reason);
    }
    Ok(())
}
