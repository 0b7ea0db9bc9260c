//! Instances that somebody looks after by hand.

use std::time::Duration;

use super::Containers;
use crate::envelope::Failure;
use crate::plan::InstanceView;
use crate::records::ApplicationRecord;

impl Containers {
    /// An instance of one of the applications.
    pub(crate) fn find_instance(&self, id: &str) -> Result<InstanceView, Failure> {
        self.find_with_application(id).map(|(_, found)| found)
    }

    /// The same, and whose it is.
    pub(crate) fn find_with_application(
        &self,
        id: &str,
    ) -> Result<(ApplicationRecord, InstanceView), Failure> {
        let found = self.state.applications()?.into_iter().find_map(|application| {
            let all = self.platform.instances(application.namespace()?);
            let one = all.into_iter().find(|one| one.id == id)?;
            Some((application, one))
        });
        found.ok_or_else(|| Failure::no_instance(id))
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
