//! The second process of a Worker of which two versions serve.

use control::PlatformError;
use control::plan::WorkerPlan;

use super::{Hosted, Node, Place, runs_the_same};

impl Node {
    /// Lets a newer version run beside what serves.
    pub(super) async fn run_beside(
        &self,
        hosted: &mut Hosted,
        plan: &WorkerPlan,
    ) -> Result<(), PlatformError> {
        // Triggers are the first process's: each is to run once.
        let plan = WorkerPlan { crons: Vec::new(), ..plan.clone() };
        let mut beside = match hosted.beside.take() {
            Some(beside) => beside,
            None => Box::new(self.start_hosting(Place::Beside, &plan)?),
        };
        if hosted.watched && !beside.watched {
            beside.watched = true;
            beside.process.watch(true).await;
        }
        let same = beside.plan.as_ref().is_some_and(|serving| runs_the_same(serving, &plan));
        let deployed = if same { Ok(()) } else { self.deploy(&mut beside, &plan).await };
        match deployed {
            Ok(()) => {
                beside.plan = Some(plan);
                hosted.beside = Some(beside);
                Ok(())
            }
            // What served before serves on.
            Err(error) if beside.plan.is_some() => {
                hosted.beside = Some(beside);
                Err(error)
            }
            Err(error) => {
                self.end(*beside).await;
                Err(error)
            }
        }
    }

    /// Ends a second process, and removes its folders. What cannot be removed harms nobody.
    pub(super) async fn end(&self, beside: Hosted) {
        let tag = beside.plan.as_ref().map(|plan| plan.tag.clone());
        beside.engines.drain();
        beside.process.stop().await;
        let Some(tag) = tag else { return };
        let objects = self.folders.objects.join(format!("{tag}{}", Place::Beside.suffix()));
        for folder in [objects, self.assets_of(Place::Beside, &tag)] {
            let _ = fs_err::remove_dir_all(folder);
        }
    }

    /// Begins to tell of what happens in a process.
    pub(super) async fn set_watched(&self, hosted: &mut Hosted) -> Result<(), PlatformError> {
        hosted.watched = true;
        hosted.process.watch(true).await;
        // One with classes is watchable as it is.
        match hosted.plan.clone().filter(|plan| plan.classes.is_empty()) {
            Some(plan) => self.deploy(hosted, &plan).await,
            None => Ok(()),
        }
    }
}
