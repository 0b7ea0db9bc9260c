//! What instances use, and what runs in them, for their owner.

use std::collections::HashMap;
use std::time::Duration;

use image::Ids;
use model::{DurableObjectId, InstanceId, Limits};
use runtime::Sandbox;

use crate::access::AccessError;
use crate::agent::Agent;
use crate::processes::{self, Process};
use crate::slot::Slot;

/// What an instance uses, of what it may.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceUsage {
    /// The unique key of the Durable Object namespace.
    pub namespace: String,
    /// The Durable Object that owns it.
    pub object: DurableObjectId,
    /// This run of its container.
    pub instance: InstanceId,
    /// CPU time that it has used since its start; zero where the host does not count it.
    pub cpu: Duration,
    /// Memory in use, without page cache that can be dropped; zero where the host does not count it.
    pub memory_bytes: u64,
    /// Processes and threads that are alive; zero where the host does not count them.
    pub processes: u64,
    /// What it may use.
    pub limits: Limits,
}

/// A process in an instance, as the instance sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceProcess {
    /// Its id.
    pub pid: u32,
    /// The id of its parent; 0 if that is none of the instance's.
    pub parent: u32,
    /// Its user's number.
    pub user: u32,
    /// CPU time that it has used.
    pub cpu: Duration,
    /// How long ago it was started.
    pub age: Duration,
    /// Memory of it that is in use.
    pub memory_bytes: u64,
    /// Its program with its arguments.
    pub command: String,
}

impl Agent {
    /// What each instance uses whose program runs, in no order.
    pub async fn usage(&self) -> Vec<InstanceUsage> {
        let running: Vec<_> =
            self.api.slots.all().iter().filter_map(|slot| running(slot)).collect();
        let counted = tokio::task::spawn_blocking(move || {
            running.into_iter().filter_map(counted).collect::<Vec<_>>()
        });
        counted.await.unwrap_or_default()
    }

    /// The processes of an instance, by their ids.
    ///
    /// # Errors
    /// It is not there, or does not run.
    pub async fn processes(
        &self,
        instance: InstanceId,
    ) -> Result<Vec<InstanceProcess>, AccessError> {
        let published = self.find(instance)?.published();
        let running = published.running.filter(|_| published.state.is_live());
        let found = match running {
            Some(running) => {
                let listed = tokio::task::spawn_blocking(move || list(&running.sandbox));
                listed.await.unwrap_or_default()
            }
            None => None,
        };
        found.ok_or_else(|| AccessError::Rejected(format!("the instance {instance} does not run")))
    }
}

/// An instance whose program runs, before anything of it is counted.
fn running(slot: &Slot) -> Option<(InstanceUsage, Sandbox)> {
    let instance = slot.visible()?;
    let published = instance.published();
    let running = published.running.filter(|_| published.state.is_live())?;
    let settings = slot.application.settings().of_version(published.version);
    let usage = InstanceUsage {
        namespace: settings.unique_key.clone(),
        object: instance.subject.object.clone(),
        instance: instance.subject.instance,
        cpu: Duration::ZERO,
        memory_bytes: 0,
        processes: 0,
        limits: settings.application.instance_type.limits(),
    };
    Some((usage, running.sandbox))
}

/// One that ends meanwhile is left out.
fn counted((usage, sandbox): (InstanceUsage, Sandbox)) -> Option<InstanceUsage> {
    let stats = sandbox.stats().ok()?;
    Some(InstanceUsage {
        cpu: Duration::from_micros(stats.cpu_usec),
        memory_bytes: stats.memory_bytes,
        // Without its init.
        processes: stats.pids.saturating_sub(1),
        ..usage
    })
}

fn list(sandbox: &Sandbox) -> Option<Vec<InstanceProcess>> {
    let [users, groups] = sandbox.id_maps().ok()?;
    let found = processes::of_instance(sandbox.pid())?;
    Some(seen_inside(&found, &Ids::parse(&users, &groups), processes::uptime()))
}

/// Processes as their instance sees them.
fn seen_inside(found: &[Process], ids: &Ids, uptime: Duration) -> Vec<InstanceProcess> {
    let inner: HashMap<u32, u32> =
        found.iter().map(|process| (process.pid, process.inner_pid)).collect();
    let mut all: Vec<_> = found
        .iter()
        .map(|process| InstanceProcess {
            pid: process.inner_pid,
            parent: inner.get(&process.parent).copied().unwrap_or(0),
            user: ids.inside(process.uid, 0).0,
            cpu: process.cpu,
            age: uptime.saturating_sub(process.started),
            memory_bytes: process.memory_bytes,
            command: process.command.clone(),
        })
        .collect();
    all.sort_by_key(|process| process.pid);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_parents_are_those_of_the_instance() {
        let process = |pid: u32, inner_pid: u32, parent: u32, uid: u32| Process {
            pid,
            inner_pid,
            parent,
            uid,
            cpu: Duration::from_secs(1),
            started: Duration::from_secs(90),
            memory_bytes: 1,
            command: "x".to_owned(),
        };
        let found = [process(900, 7, 800, 101_000), process(800, 2, 12, 100_000)];
        let ids = Ids::parse("0 100000 65536", "0 100000 65536");
        let seen = seen_inside(&found, &ids, Duration::from_secs(100));
        let brief: Vec<_> = seen.iter().map(|one| (one.pid, one.parent, one.user)).collect();
        assert_eq!(brief, [(2, 0, 0), (7, 2, 1000)]);
        assert_eq!(seen[0].age, Duration::from_secs(10));
    }
}
