//! The images that instances start from: of applications, and those that objects choose from.

use control::PlatformError;
use control::plan::{ApplicationPlan, WorkerPlan};
use image::{Image, PullOptions, Reference};
use tokio_util::sync::CancellationToken;

use super::super::applications::Choices;
use super::super::worker::choice_name;
use super::{Node, failed};
use crate::dev::progress::ImageProgress;

impl Node {
    /// The image of a reference, which nobody prunes while this process may start it.
    pub(super) async fn image(&self, reference: &str) -> Result<Image, PlatformError> {
        let parsed: Reference =
            reference.parse().map_err(|error| failed("read an image name", &error))?;
        let (store, printer) = (self.store.clone(), self.printer.clone());
        let credentials = self.registries.lock().expect("no holder of this lock panics").clone();
        let options =
            PullOptions { mirrors: self.mirrors.clone(), credentials, ..PullOptions::default() };
        let label = reference.to_owned();
        let work = move || {
            let progress = ImageProgress::new(&printer, &label, CancellationToken::new());
            let image = store
                .pull(&parsed, &options, &progress)
                .map_err(|error| failed(&format!("pull {label}"), &error))?;
            store.lease(&image.digest).map_err(|error| failed("keep the image", &error))?;
            Ok(image)
        };
        let joined = tokio::task::spawn_blocking(work).await;
        joined.map_err(|error| failed("pull an image", &error))?
    }

    /// The images that a Worker's objects choose from, by their namespaces.
    pub(super) async fn choices_of(
        &self,
        plan: &WorkerPlan,
    ) -> Result<Vec<(String, Choices)>, PlatformError> {
        let mut all = Vec::new();
        for class in &plan.classes {
            let mut choices = Choices::new();
            for reference in class.images.values() {
                choices.insert(choice_name(reference), self.image(reference).await?);
            }
            all.push((class.namespace_id.clone(), choices));
        }
        Ok(all)
    }

    /// Offers more images to the objects of some namespaces; what they had before.
    pub(super) fn add_choices(&self, more: &[(String, Choices)]) -> Vec<(String, Choices)> {
        let choices = self.choices.lock().expect("no holder of this lock panics");
        let known = |namespace: &String| choices.get(namespace).cloned().unwrap_or_default();
        let before: Vec<_> = more.iter().map(|(of, _)| (of.clone(), known(of))).collect();
        drop(choices);
        let both = before.iter().zip(more).map(|((namespace, before), (_, more))| {
            (namespace.clone(), before.clone().into_iter().chain(more.clone()).collect())
        });
        self.set_choices(both.collect());
        before
    }

    pub(super) fn set_choices(&self, all: Vec<(String, Choices)>) {
        let mut choices = self.choices.lock().expect("no holder of this lock panics");
        for (namespace, images) in all {
            self.agent.set_choices(&namespace, images.clone());
            choices.insert(namespace, images);
        }
    }

    /// The image that an application's instances run, unless their objects choose.
    pub(super) async fn image_of_plan(
        &self,
        plan: &ApplicationPlan,
    ) -> Result<Option<Image>, PlatformError> {
        match &plan.image {
            Some(image) => Ok(Some(self.image_of(&plan.namespace_id, plan.version, image).await?)),
            None => Ok(None),
        }
    }

    /// Forgets images that these applications do not start any more.
    pub(super) fn keep_images(&self, plans: &[ApplicationPlan]) {
        let mut images = self.images.lock().expect("no holder of this lock panics");
        for plan in plans {
            let staged = plan.staged.iter().map(|staged| staged.version);
            images.keep(&plan.namespace_id, &staged.chain([plan.version]).collect::<Vec<_>>());
        }
    }

    /// The image of a version of an application. It is got once: what a tag means later is another
    /// version's.
    pub(super) async fn image_of(
        &self,
        namespace: &str,
        version: u32,
        reference: &str,
    ) -> Result<Image, PlatformError> {
        let images = || self.images.lock().expect("no holder of this lock panics");
        if let Some(image) = images().find(namespace, version, reference) {
            return Ok(image);
        }
        let image = self.image(reference).await?;
        images().add(namespace, version, reference, image.clone());
        Ok(image)
    }
}
