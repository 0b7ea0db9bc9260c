//! Disks kept ready, some of each size that is in use.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Disk, file};
use crate::demand::{Demand, QUIET};
use crate::starts::Starts;

/// Pause after a disk could not be made.
const RETRY: Duration = Duration::from_secs(1);

/// Makes disks and keeps some.
#[derive(Debug)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
    filler: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    /// The files behind disks are on its file system.
    dir: PathBuf,
    /// How many of each size are kept at least.
    least: usize,
    starts: Starts,
    /// By bytes.
    sizes: Mutex<BTreeMap<u64, Size>>,
    /// One was taken, or the pool is to close.
    changed: Notify,
    closed: AtomicBool,
}

/// One size.
#[derive(Debug)]
struct Size {
    template: Arc<File>,
    ready: Vec<Disk>,
    demand: Demand,
}

impl Pool {
    /// Makes a first disk, to see that the host can, and begins to keep `least` of each of the sizes,
    /// and more when they are in demand.
    pub(crate) async fn open(
        dir: &Path,
        sizes: &[u64],
        least: usize,
        starts: Starts,
    ) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            least,
            starts,
            sizes: Mutex::default(),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
        });
        let (first, all) = (inner.clone(), sizes.to_vec());
        tokio::task::spawn_blocking(move || {
            for &bytes in &all {
                first.template(bytes)?;
            }
            let Some(&bytes) = all.first() else { return Ok(()) };
            let disk = first.make(bytes)?;
            first.put(bytes, disk);
            io::Result::Ok(())
        })
        .await??;
        let filler = Mutex::new(Some(tokio::spawn(fill(inner.clone()))));
        Ok(Self { inner, filler })
    }

    /// A disk of that size, ready or made now. From then on some of that size are kept.
    pub(crate) async fn take(&self, bytes: u64) -> io::Result<Disk> {
        let ready = self.inner.sizes().get_mut(&bytes).and_then(Size::take);
        let disk = match ready {
            Some(disk) => Ok(disk),
            None => {
                let inner = self.inner.clone();
                tokio::task::spawn_blocking(move || inner.make(bytes)).await?
            }
        };
        self.inner.changed.notify_one();
        disk
    }

    /// Lets go of all that are ready.
    pub(crate) async fn close(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.inner.changed.notify_one();
        let filler = self.filler.lock().expect("no code panics while it holds the lock").take();
        if let Some(filler) = filler {
            let _ = filler.await;
        }
        let sizes = std::mem::take(&mut *self.inner.sizes());
        // Each is unmounted now.
        let _ = tokio::task::spawn_blocking(move || drop(sizes)).await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Ok(Some(filler)) = self.filler.get_mut().map(Option::take) {
            filler.abort();
        }
    }
}

impl Inner {
    fn sizes(&self) -> MutexGuard<'_, BTreeMap<u64, Size>> {
        self.sizes.lock().expect("no code panics while it holds the lock")
    }

    /// The empty file system of that size. Blocking when it is the first time.
    fn template(&self, bytes: u64) -> io::Result<Arc<File>> {
        if let Some(size) = self.sizes().get(&bytes) {
            return Ok(size.template.clone());
        }
        let template = Arc::new(file::template(&self.dir, bytes)?);
        let demand = Demand::new(self.least);
        let size = Size { template: template.clone(), ready: Vec::new(), demand };
        // Two may have made one at the same time; either will do.
        self.sizes().entry(bytes).or_insert(size);
        Ok(template)
    }

    fn make(&self, bytes: u64) -> io::Result<Disk> {
        Disk::make(&*self.template(bytes)?, &self.dir)
    }

    fn put(&self, bytes: u64, disk: Disk) {
        if let Some(size) = self.sizes().get_mut(&bytes) {
            size.ready.push(disk);
        }
    }

    /// What is to be done for the pool's size. Surplus disks go on the way, which blocks.
    fn next(&self) -> Next {
        let (now, mut shrinks) = (Instant::now(), false);
        for (&bytes, size) in self.sizes().iter_mut() {
            let wanted = size.demand.wanted(now);
            if size.ready.len() < wanted {
                return Next::Make { bytes, urgent: size.demand.is_urgent(size.ready.len()) };
            }
            size.ready.truncate(wanted);
            shrinks |= size.demand.will_shrink();
        }
        Next::Wait { shrinks }
    }
}

impl Size {
    fn take(&mut self) -> Option<Disk> {
        let disk = self.ready.pop();
        if disk.is_none() {
            self.demand.missed(Instant::now());
        }
        disk
    }
}

/// What the filler does next.
enum Next {
    /// A disk of so many bytes: beside starts that are under way if it is urgent and they are few, else
    /// after them.
    Make { bytes: u64, urgent: bool },
    /// Until something changes; for no longer than [`QUIET`] if there will be less to keep.
    Wait { shrinks: bool },
}

/// Keeps the pool full until it is closed.
async fn fill(inner: Arc<Inner>) {
    while !inner.closed.load(Ordering::Relaxed) {
        let maker = inner.clone();
        // Blocking, because it may let go of disks.
        let next = match tokio::task::spawn_blocking(move || maker.next()).await {
            Ok(next) => next,
            Err(_) => return,
        };
        let bytes = match next {
            Next::Make { bytes, urgent: true } if inner.starts.are_few() => bytes,
            Next::Make { bytes, .. } => tokio::select! {
                () = inner.starts.over() => bytes,
                () = inner.changed.notified() => continue,
            },
            Next::Wait { shrinks } => {
                let patience = if shrinks { QUIET } else { Duration::MAX };
                let _ = tokio::time::timeout(patience, inner.changed.notified()).await;
                continue;
            }
        };
        let maker = inner.clone();
        let made = tokio::task::spawn_blocking(move || {
            maker.put(bytes, maker.make(bytes)?);
            io::Result::Ok(())
        });
        if let Err(e) = made.await.map_err(io::Error::from).flatten() {
            tracing::warn!("failed to make a disk: {e}");
            tokio::time::sleep(RETRY).await;
        }
    }
}
