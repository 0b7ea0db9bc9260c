//! What a pull-through cache takes from another registry: one manifest or one blob at a time.

use super::source::Source;
use crate::document::Descriptor;
use crate::error::PullError;
use crate::layout::Layout;
use crate::options::PullOptions;
use crate::progress::Silent;
use crate::reference::Reference;

/// The manifest that a reference names there now.
pub(crate) fn manifest(reference: &Reference, options: &PullOptions) -> Result<Vec<u8>, PullError> {
    Source::new(reference, options)?.manifest(reference.version(), &Silent)
}

/// Puts a blob of the reference's repository into the store, unless it is there.
pub(crate) fn blob(
    layout: &Layout,
    reference: &Reference,
    blob: &Descriptor,
    options: &PullOptions,
) -> Result<(), PullError> {
    Source::new(reference, options)?.blob(layout, blob, "layer", &Silent)
}
