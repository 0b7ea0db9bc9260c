//! Instances for their owner: what they print, what runs in them, and their files.

use agent::{AccessError, ExecRequest, LogRequest, RunningExec};
use control::plan::{ExecPlan, FileView, LogPlan, ProcessView, UsageView};
use control::{Answer, Log, OutgoingArchive, PlatformError, Program, Session};
use hyper::body::Incoming;
use model::InstanceId;

use super::Node;

/// A program that runs in an instance.
struct Running(RunningExec);

impl Program for Running {
    fn resize(&self, rows: u16, columns: u16) {
        self.0.resize(rows, columns);
    }

    fn signal(&self, number: i32) {
        self.0.signal(number);
    }

    fn ended(&self) -> Answer<'_, i32> {
        Box::pin(self.0.ended())
    }
}

impl Node {
    pub(super) fn log_of(&self, id: &str, wanted: &LogPlan) -> Result<Log, PlatformError> {
        let wanted = LogRequest {
            follow: wanted.follow,
            timestamps: wanted.timestamps,
            tail: wanted.tail,
            since: wanted.since,
        };
        match self.instance(id) {
            Ok(instance) => self.agent.logs(instance, &wanted).map_err(refused),
            Err(missing) => self.agent.ended_log(id, &wanted).ok_or(missing),
        }
    }

    pub(super) fn create_exec_in(
        &self,
        id: &str,
        exec: &ExecPlan,
    ) -> Result<String, PlatformError> {
        let request = ExecRequest {
            command: exec.command.clone(),
            tty: exec.tty,
            stdin: exec.stdin,
            env: exec.env.clone(),
        };
        self.agent.create_exec(self.instance(id)?, request).map_err(refused)
    }

    pub(super) async fn run_exec(
        &self,
        id: &str,
        size: Option<(u16, u16)>,
    ) -> Result<Session, PlatformError> {
        let (program, stream) = self.agent.start_exec(id, size).await.map_err(refused)?;
        Ok(Session { stream, program: Box::new(Running(program)) })
    }

    pub(super) async fn file_at(
        &self,
        id: &str,
        path: &str,
    ) -> Result<Option<FileView>, PlatformError> {
        let found = self.agent.look_at(self.instance(id)?, path).await.map_err(refused)?;
        Ok(found.map(|file| FileView {
            size: file.size,
            mode: file.mode,
            modified: file.modified,
            link: file.link.map(|link| link.to_string_lossy().into_owned()),
        }))
    }

    pub(super) async fn archive_of(
        &self,
        id: &str,
        path: &str,
    ) -> Result<Option<OutgoingArchive>, PlatformError> {
        let archive = self.agent.read_archive(self.instance(id)?, path).await.map_err(refused)?;
        Ok(archive.map(|agent::OutgoingArchive { size, pieces }| OutgoingArchive { size, pieces }))
    }

    pub(super) async fn unpack_in(
        &self,
        id: &str,
        path: &str,
        archive: Incoming,
    ) -> Result<(), PlatformError> {
        self.agent.write_archive(self.instance(id)?, path, archive).await.map_err(refused)
    }

    pub(super) async fn processes_of(&self, id: &str) -> Result<Vec<ProcessView>, PlatformError> {
        let found = self.agent.processes(self.instance(id)?).await.map_err(refused)?;
        let view = |process: agent::InstanceProcess| ProcessView {
            pid: process.pid,
            parent: process.parent,
            user: process.user,
            cpu_seconds: process.cpu.as_secs_f64(),
            age_seconds: process.age.as_secs_f64(),
            memory_bytes: process.memory_bytes,
            command: process.command,
        };
        Ok(found.into_iter().map(view).collect())
    }

    pub(super) async fn used(&self) -> Vec<UsageView> {
        let view = |usage: agent::InstanceUsage| UsageView {
            id: usage.instance.to_string(),
            object: usage.object,
            namespace_id: usage.namespace,
            cpu_seconds: usage.cpu.as_secs_f64(),
            memory_bytes: usage.memory_bytes,
            processes: usage.processes,
            limits: usage.limits,
        };
        self.agent.usage().await.into_iter().map(view).collect()
    }

    fn instance(&self, id: &str) -> Result<InstanceId, PlatformError> {
        let mut all = self.agent.instances().into_iter().map(|summary| summary.instance);
        all.find(|instance| instance.to_string() == id)
            .ok_or_else(|| PlatformError(format!("no instance {id} runs here")))
    }
}

fn refused(error: AccessError) -> PlatformError {
    PlatformError(error.to_string())
}
