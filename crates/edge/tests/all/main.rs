//! What the edge promises, kept against small processes of our own and against workerd.

mod doors;
mod forwarding;
mod holding;
mod http2;
mod limits;
mod process;
mod tls;
mod tunnels;
mod workerd;
