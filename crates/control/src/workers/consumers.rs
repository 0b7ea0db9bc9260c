//! Workers that are told of what happens in others: their tail consumers.

use http::StatusCode;

use super::Workers;
use crate::envelope::Failure;
use crate::records::Script;
use crate::upload::WireTailConsumer;

/// The one environment that a Worker has here.
const ENVIRONMENT: &str = "production";

impl Workers {
    /// The other Workers that have this one as a tail consumer.
    pub(crate) fn producers(&self, name: &str) -> Result<Vec<String>, Failure> {
        let names_it = |script: &Script| {
            script.name != name && script.tail_consumers.iter().any(|consumer| consumer == name)
        };
        let scripts = self.state.scripts()?.into_iter().filter(names_it);
        Ok(scripts.map(|script| script.name).collect())
    }

    /// The tail consumers that a client wants a Worker to have; they are there, or are the Worker
    /// itself.
    pub(super) fn consumers(
        &self,
        name: &str,
        wanted: &[WireTailConsumer],
    ) -> Result<Vec<String>, Failure> {
        let names = names(wanted)?;
        for consumer in names.iter().filter(|consumer| *consumer != name) {
            let found = self.state.find_script(consumer)?.map(|read| read.value);
            let found = found.and_then(|script| script.current.map(|version| (script, version)));
            let (script, version) = found.ok_or_else(|| missing(consumer))?;
            if script.beside.is_some() {
                return Err(Failure::validation(format!(
                    "the tail consumer \"{consumer}\" has two versions that serve: deploy one of \
                     them at 100% first"
                )));
            }
            if self.state.version(&script, version)?.modules.is_empty() {
                return Err(Failure::validation(format!(
                    "the tail consumer \"{consumer}\" has static files alone: it needs code that \
                     exports `tail()`"
                )));
            }
        }
        Ok(names)
    }

    /// Changes who is told of what happens in a Worker.
    pub(crate) async fn change_consumers(
        &self,
        name: &str,
        wanted: &[WireTailConsumer],
    ) -> Result<Script, Failure> {
        // A consumer must not go meanwhile.
        let named = wanted.iter().map(|consumer| consumer.service.as_str());
        let _turns = self.turns.of_all(named.chain([name])).await;
        let consumers = self.consumers(name, wanted)?;
        self.change_in_turn(name, |script| {
            script.tail_consumers = consumers;
            Ok(())
        })
        .await
    }
}

/// Names, each once.
fn names(wanted: &[WireTailConsumer]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for WireTailConsumer { service, environment, namespace } in wanted {
        if let Some(namespace) = namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            return Err(Failure::validation(format!(
                "the tail consumer \"{service}\" is of the dispatch namespace \"{namespace}\": \
                 Berth has none; leave it out"
            )));
        }
        let other = environment.as_deref().filter(|it| !it.is_empty() && *it != ENVIRONMENT);
        if let Some(environment) = other {
            return Err(Failure::validation(format!(
                "the tail consumer \"{service}\" is wanted of the environment \
                 \"{environment}\": with Berth each environment is a Worker of its own; name \
                 \"{service}-{environment}\" without `environment`"
            )));
        }
        if !names.contains(service) {
            names.push(service.clone());
        }
    }
    Ok(names)
}

/// In Cloudflare's words, and which one it is.
fn missing(consumer: &str) -> Failure {
    let message = format!(
        "Tail Worker does not exist on this account. Check the Worker name and try again: \
         `tail_consumers` names \"{consumer}\"."
    );
    Failure::new(StatusCode::BAD_REQUEST, 10203, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn named(wanted: Value) -> Result<Vec<String>, Failure> {
        names(&serde_json::from_value::<Vec<WireTailConsumer>>(wanted).unwrap())
    }

    #[test]
    fn a_consumer_is_a_worker_of_this_account_and_is_told_once() {
        let twice = json!([{"service": "a"}, {"service": "b", "environment": "production"},
            {"service": "a", "environment": null}]);
        assert_eq!(named(twice), Ok(vec!["a".to_owned(), "b".to_owned()]));
        for (wanted, text) in [
            (json!([{"service": "a", "environment": "staging"}]), "name \"a-staging\""),
            (json!([{"service": "a", "namespace": "customers"}]), "namespace \"customers\""),
        ] {
            let failure = named(wanted).unwrap_err();
            assert!(failure.message().contains(text), "{failure:?}");
        }
    }
}
