//! What the edge promises, kept against small processes of our own and against workerd.

mod doors;
mod forwarding;
mod holding;
mod process;
mod tunnels;
mod workerd;
