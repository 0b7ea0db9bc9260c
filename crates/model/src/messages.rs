//! Texts that the unmodified `@cloudflare/containers` class matches on (features §3.3).
//!
//! They are a wire format: changing one letter changes what user code sees.

/// Answered by `/wait` when no instance can be had; the class turns it into a 503.
pub const NO_INSTANCE: &str =
    "there is no container instance that can be provided to this durable object";

/// Answered by `/wait` when starts are rate-limited; the class turns it into a 429.
pub const TOO_MANY_STARTS: &str = "you are requesting too many containers per second";

/// Said beside [`NO_INSTANCE`] when `max_instances` is reached (features BA8).
pub const MAX_INSTANCES: &str = "Maximum number of running container instances exceeded";

/// Said of a program that was ended because its memory was used up (features D9).
pub const OUT_OF_MEMORY: &str =
    "the container ran out of memory and was ended: a larger `instance_type` gives it more";

/// Both forms of "not listening" in one text: production's and local workerd's (features §3.3).
#[must_use]
pub fn not_listening(port: u16) -> String {
    format!(
        "Container is not listening to port {port}: the container is not listening in the TCP address 127.0.0.1:{port}"
    )
}
