//! What a version's `env` holds when it runs.

use super::Workers;
use crate::bindings::place;
use crate::envelope::Failure;
use crate::plan::{PlannedBinding, PlannedValue};
use crate::records::{Binding, BindingKind, Script, Version};

impl Workers {
    /// The members of a version's `env`, secrets decrypted.
    pub(super) fn planned_bindings(
        &self,
        script: &Script,
        version: &Version,
    ) -> Result<Vec<PlannedBinding>, Failure> {
        let value = |binding: &Binding| {
            Ok(match &binding.kind {
                BindingKind::PlainText(text) => PlannedValue::Text(text.clone()),
                BindingKind::Json(value) => PlannedValue::Json(value.clone()),
                BindingKind::SecretText(sealed) => {
                    let opened = self.state.sealer.open(&place(script, &binding.name), sealed);
                    let opened = opened.map_err(|error| Failure::internal(error.to_string()))?;
                    PlannedValue::Secret(opened)
                }
                BindingKind::DurableObjectNamespace { class_name } => {
                    PlannedValue::DurableObject { class_name: class_name.clone() }
                }
                BindingKind::Service { entrypoint, props } => {
                    PlannedValue::Service { entrypoint: entrypoint.clone(), props: props.clone() }
                }
                BindingKind::OtherService { service, entrypoint } => PlannedValue::OtherService {
                    script: service.clone(),
                    entrypoint: entrypoint.clone(),
                },
                BindingKind::VersionMetadata => PlannedValue::Json(serde_json::json!({
                    "id": version.id,
                    "tag": version.annotations.get("workers/tag").cloned().unwrap_or_default(),
                    "timestamp": version.created_on,
                })),
                BindingKind::StoredSecret { store_id, secret_name } => PlannedValue::StoredSecret {
                    name: secret_name.clone(),
                    text: self.stored_secret(store_id, secret_name)?,
                },
                BindingKind::Assets => PlannedValue::Assets,
            })
        };
        let planned = |binding: &Binding| {
            Ok(PlannedBinding { name: binding.name.clone(), value: value(binding)? })
        };
        version.bindings.iter().map(planned).collect()
    }
}
