//! Instances that somebody looks after by hand.

use std::time::Duration;

use super::Containers;
use crate::envelope::Failure;
use crate::plan::InstanceView;

impl Containers {
    /// An instance of one of the applications.
    pub(crate) fn find_instance(&self, id: &str) -> Result<InstanceView, Failure> {
        let applications = self.state.applications()?;
        let namespaces = applications.iter().filter_map(|application| application.namespace());
        let mut all = namespaces.flat_map(|namespace| self.platform.instances(namespace));
        all.find(|one| one.id == id).ok_or_else(|| Failure::no_instance(id))
    }

    /// Ends an instance within `grace`; its object's next request starts another.
    pub(crate) async fn stop_instance(&self, id: &str, grace: Duration) -> Result<(), Failure> {
        let found = self.find_instance(id)?;
        self.platform.stop_instances(&[found.id], grace).await;
        Ok(())
    }

    /// Ends all instances of an application so; their ids.
    pub(crate) async fn stop_all(
        &self,
        application: &str,
        grace: Duration,
    ) -> Result<Vec<String>, Failure> {
        let record = self.state.application(application)?.value;
        let all = record.namespace().map(|namespace| self.platform.instances(namespace));
        let ids: Vec<String> = all.into_iter().flatten().map(|one| one.id).collect();
        self.platform.stop_instances(&ids, grace).await;
        Ok(ids)
    }
}
