//! The containers without a name by which workerd fills and copies volumes. Neither is one: what
//! they are for is recognised and done here.

use std::collections::VecDeque;
use std::sync::Mutex;

use http::StatusCode;
use image::Upload;
use serde_json::json;

use super::Api;
use super::reply::Reply;
use super::request::{ContainerCall, CreateContainer, ParseError};

/// The beginning of their ids.
const PREFIX: &str = "berth-helper-";
/// Helpers at once; the oldest are forgotten. workerd has one for each snapshot under way.
const MOST: usize = 1024;

/// What a helper is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An archive is put into a volume.
    Fill {
        /// The volume.
        volume: String,
        /// Where it is mounted.
        path: String,
    },
    /// `cp -a` of one volume into another.
    Clone {
        /// The one that is read.
        from: String,
        /// The one that is written.
        to: String,
    },
}

/// Helpers by id.
#[derive(Debug, Default)]
pub(crate) struct Helpers(Mutex<VecDeque<Helper>>);

#[derive(Debug, Clone)]
struct Helper {
    id: String,
    purpose: Purpose,
    /// The exit code, once it was started.
    ended: Option<i32>,
}

/// Whether a container's id is a helper's.
pub(crate) fn is_helper(id: &str) -> bool {
    id.starts_with(PREFIX)
}

impl Purpose {
    /// What a container without a name is for.
    ///
    /// # Errors
    /// It is none of the two that workerd makes.
    pub(super) fn of(request: &CreateContainer) -> Result<Self, ParseError> {
        let none = ParseError::NotSupported("a container without a name");
        let host = request.host_config.as_ref();
        let binds = host.and_then(|host| host.binds.as_deref()).unwrap_or_default();
        let binds: Vec<Vec<&str>> = binds.iter().map(|bind| bind.split(':').collect()).collect();
        let binds: Vec<&[&str]> = binds.iter().map(Vec::as_slice).collect();
        let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
        let command = [words(&request.entrypoint), words(&request.cmd)].concat();
        match (command.as_slice(), binds.as_slice()) {
            ([], [[volume, path]]) => {
                Ok(Self::Fill { volume: (*volume).to_owned(), path: (*path).to_owned() })
            }
            ([cp, a, source, target], [[from, "/src", "ro"], [to, "/dst"]])
                if [cp, a, source, target] == ["/bin/cp", "-a", "/src/.", "/dst/"] =>
            {
                Ok(Self::Clone { from: (*from).to_owned(), to: (*to).to_owned() })
            }
            _ => Err(none),
        }
    }
}

impl Helpers {
    fn add(&self, purpose: Purpose) -> String {
        let id = format!("{PREFIX}{}", uuid::Uuid::new_v4());
        let mut helpers = self.0.lock().expect("no holder of this lock panics");
        if helpers.len() >= MOST {
            helpers.pop_front();
        }
        helpers.push_back(Helper { id: id.clone(), purpose, ended: None });
        id
    }

    fn find(&self, id: &str) -> Option<Helper> {
        let helpers = self.0.lock().expect("no holder of this lock panics");
        helpers.iter().find(|helper| helper.id == id).cloned()
    }

    fn end(&self, id: &str, code: i32) {
        let mut helpers = self.0.lock().expect("no holder of this lock panics");
        if let Some(helper) = helpers.iter_mut().find(|helper| helper.id == id) {
            helper.ended = Some(code);
        }
    }

    fn remove(&self, id: &str) {
        self.0.lock().expect("no holder of this lock panics").retain(|helper| helper.id != id);
    }
}

/// `POST /containers/create` without a name.
pub(super) fn create(api: &Api, purpose: Purpose) -> Reply {
    Reply::created(&api.helpers.add(purpose))
}

/// A call about a helper. `upload` is the body of a `PUT`.
pub(super) async fn answer(
    api: &Api,
    id: &str,
    call: ContainerCall,
    upload: Option<Upload>,
) -> Reply {
    let Some(helper) = api.helpers.find(id) else { return Reply::no_such_container(&id) };
    match (call, &helper.purpose) {
        (ContainerCall::Start, Purpose::Clone { from, to }) => {
            let done = super::volumes::clone(api, from, to).await;
            api.helpers.end(id, i32::from(!done));
            Reply::empty(StatusCode::NO_CONTENT)
        }
        (ContainerCall::Start, Purpose::Fill { .. }) => Reply::empty(StatusCode::NO_CONTENT),
        (ContainerCall::Wait(_), _) => {
            Reply::ok(json!({"StatusCode": helper.ended.unwrap_or_default()}))
        }
        (ContainerCall::PutArchive(at), Purpose::Fill { volume, path }) if at == *path => {
            match upload {
                Some(upload) => super::volumes::fill(api, volume, upload).await,
                None => Reply::error(StatusCode::BAD_REQUEST, "there is no archive"),
            }
        }
        (ContainerCall::Delete, _) => {
            api.helpers.remove(id);
            Reply::empty(StatusCode::NO_CONTENT)
        }
        _ => Reply::error(StatusCode::NOT_IMPLEMENTED, "this container is one in name only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(body: &str) -> Result<Purpose, ParseError> {
        Purpose::of(&serde_json::from_str(body).unwrap())
    }

    #[test]
    fn the_two_that_workerd_makes_are_recognised() {
        let fill = r#"{"Image":"x","HostConfig":{"Binds":["workerd-snap-1:/mnt"]}}"#;
        let volume = "workerd-snap-1".to_owned();
        assert_eq!(purpose(fill), Ok(Purpose::Fill { volume, path: "/mnt".to_owned() }));
        let copy = r#"{"Entrypoint":["/bin/cp"],"Cmd":["-a","/src/.","/dst/"],
            "HostConfig":{"Binds":["a:/src:ro","b:/dst"]}}"#;
        let (from, to) = ("a".to_owned(), "b".to_owned());
        assert_eq!(purpose(copy), Ok(Purpose::Clone { from, to }));
    }

    #[test]
    fn any_other_container_without_a_name_is_refused() {
        for body in [
            "{}",
            r#"{"Cmd":["sh"],"HostConfig":{"Binds":["v:/mnt"]}}"#,
            r#"{"HostConfig":{"Binds":["v:/mnt","w:/x"]}}"#,
            r#"{"Entrypoint":["/bin/rm"],"Cmd":["-a","/src/.","/dst/"],
                "HostConfig":{"Binds":["a:/src:ro","b:/dst"]}}"#,
        ] {
            assert!(purpose(body).is_err(), "{body}");
        }
    }

    #[test]
    fn forgotten_helpers_are_the_oldest() {
        let helpers = Helpers::default();
        let purpose = Purpose::Fill { volume: "v".into(), path: "/mnt".into() };
        let first = helpers.add(purpose.clone());
        for _ in 1..MOST {
            helpers.add(purpose.clone());
        }
        assert!(helpers.find(&first).is_some() && is_helper(&first));
        let last = helpers.add(purpose);
        assert!(helpers.find(&first).is_none() && helpers.find(&last).is_some());
    }
}
