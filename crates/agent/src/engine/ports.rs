//! Published ports: an instance has no address, so a listener of ours hands each connection on to
//! its loopback.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use runtime::Sandbox;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::error::EngineError;
use crate::instance::Instance;

/// One port that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Inside.
    port: u16,
    /// Outside; port 0 is any.
    address: SocketAddr,
}

/// The listeners of one container.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<Vec<Published>>);

#[derive(Debug)]
struct Published {
    port: u16,
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// What `-p` and `-P` ask for.
pub(super) fn wanted(body: &Value) -> Result<Vec<Wanted>, EngineError> {
    let host = &body["HostConfig"];
    let mut wanted = Vec::new();
    for (port, bindings) in host["PortBindings"].as_object().into_iter().flatten() {
        let port = inside(port)?;
        for binding in bindings.as_array().into_iter().flatten() {
            wanted.push(Wanted { port, address: outside(binding)? });
        }
    }
    if host["PublishAllPorts"] == true {
        for port in body["ExposedPorts"].as_object().into_iter().flat_map(|ports| ports.keys()) {
            let port = inside(port)?;
            if !wanted.iter().any(|known: &Wanted| known.port == port) {
                wanted.push(Wanted { port, address: SocketAddr::from(([0, 0, 0, 0], 0)) });
            }
        }
    }
    Ok(wanted)
}

fn inside(text: &str) -> Result<u16, EngineError> {
    let port = text.parse::<image::ExposedPort>();
    let port = port.map_err(|error| EngineError::BadParameter(error.to_string()))?;
    match port.protocol {
        image::Protocol::Tcp => Ok(port.port),
        other => Err(EngineError::NotSupported(format!("publishing a port of {other}"))),
    }
}

fn outside(binding: &Value) -> Result<SocketAddr, EngineError> {
    let text = |key: &str| binding[key].as_str().unwrap_or_default();
    let wrong = |what: &str| EngineError::BadParameter(format!("invalid port binding: {what}"));
    let ip = match text("HostIp") {
        "" => IpAddr::from([0, 0, 0, 0]),
        ip => ip.parse().map_err(|_| wrong(ip))?,
    };
    let port = match text("HostPort") {
        "" => 0,
        port => port.parse().map_err(|_| wrong(port))?,
    };
    Ok(SocketAddr::new(ip, port))
}

impl Ports {
    /// Begins to listen for a container that is about to start, or has.
    pub(super) async fn open(&self, body: &Value, instance: &Instance) -> Result<(), EngineError> {
        let mut published = Vec::new();
        for Wanted { port, address } in wanted(body)? {
            let listener = TcpListener::bind(address).await.map_err(|error| {
                EngineError::Failed(format!(
                    "driver failed programming external connectivity: failed to listen on \
                     {address}: {error}"
                ))
            })?;
            let address = listener.local_addr().map_err(|e| EngineError::Failed(e.to_string()))?;
            let task = tokio::spawn(accept(listener, instance.clone(), port));
            published.push(Published { port, address, _task: AbortOnDropHandle::new(task) });
        }
        *self.0.lock().expect("no holder of this lock panics") = published;
        Ok(())
    }

    /// Closes them all, with their connections.
    pub(super) fn close(&self) {
        self.0.lock().expect("no holder of this lock panics").clear();
    }

    /// Inside → outside.
    fn all(&self) -> BTreeMap<u16, Vec<SocketAddr>> {
        let published = self.0.lock().expect("no holder of this lock panics");
        let mut all: BTreeMap<u16, Vec<SocketAddr>> = BTreeMap::new();
        for one in published.iter() {
            all.entry(one.port).or_default().push(one.address);
        }
        all
    }

    /// `NetworkSettings.Ports` of an inspected container; ports that are exposed and not published
    /// are null.
    pub(super) fn inspected(&self, body: &Value) -> Value {
        let exposed = body["ExposedPorts"].as_object().into_iter().flatten();
        let mut ports: serde_json::Map<String, Value> =
            exposed.map(|(port, _)| (port.clone(), Value::Null)).collect();
        for (port, addresses) in self.all() {
            let bindings = addresses.iter().map(|address| {
                json!({"HostIp": address.ip().to_string(), "HostPort": address.port().to_string()})
            });
            ports.insert(format!("{port}/tcp"), bindings.collect());
        }
        Value::Object(ports)
    }

    /// `Ports` of a listed container.
    pub(super) fn listed(&self, body: &Value) -> Vec<Value> {
        let all = self.all();
        let mut ports: Vec<Value> = all
            .iter()
            .flat_map(|(port, addresses)| addresses.iter().map(move |address| (port, address)))
            .map(|(port, address)| {
                json!({"IP": address.ip().to_string(), "PrivatePort": port,
                    "PublicPort": address.port(), "Type": "tcp"})
            })
            .collect();
        for port in body["ExposedPorts"].as_object().into_iter().flat_map(|ports| ports.keys()) {
            if let Ok(exposed) = port.parse::<image::ExposedPort>()
                && !all.contains_key(&exposed.port)
            {
                let kind = exposed.protocol.to_string();
                ports.push(json!({"PrivatePort": exposed.port, "Type": kind}));
            }
        }
        ports
    }
}

async fn accept(listener: TcpListener, instance: Instance, port: u16) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let running = instance.published().running;
                    if let Some(running) = running {
                        connections.spawn(hand_on(stream, running.sandbox, port));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a published port cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection to what does not listen ends at once, as one to a program on the host would.
async fn hand_on(mut outer: TcpStream, sandbox: Sandbox, port: u16) {
    let Ok(mut inner) = sandbox.connect(port).await else { return };
    let _ = (outer.set_nodelay(true), inner.set_nodelay(true));
    let _ = copy_bidirectional(&mut outer, &mut inner).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_read_and_udp_is_refused() {
        let body = |bindings: Value| json!({"HostConfig": {"PortBindings": bindings}});
        let one = body(json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}));
        let address = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(wanted(&one).unwrap(), [Wanted { port: 80, address }]);
        assert!(wanted(&body(json!({"53/udp": [{"HostPort": "53"}]}))).is_err());
        assert!(wanted(&body(json!({"80/tcp": [{"HostPort": "many"}]}))).is_err());
        let all = json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PublishAllPorts": true}});
        assert_eq!(wanted(&all).unwrap()[0].address.port(), 0);
    }
}
