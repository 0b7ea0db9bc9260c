//! A project whose container is the hostile program.

use e2e::{Dev, Project};
use escape::{Answers, attacker};

/// With more of its class, such as `enableInternet = true;`.
pub(crate) fn hostile(class_body: &str) -> Project {
    let worker = include_str!("worker.js").replace("/* CLASS BODY */", class_body);
    let dockerfile = "FROM scratch\nCOPY attacker /bin/attacker\n\
                      CMD [\"/bin/attacker\", \"serve\", \"0.0.0.0:8080\"]\n";
    let project = Project::with(&worker, dockerfile);
    fs_err::copy(attacker(), project.path().join("attacker")).unwrap();
    project.with_own_home()
}

/// What the program says to these arguments.
pub(crate) fn say(dev: &Dev, name: &str, arguments: &[&str]) -> String {
    let reply = dev.post(&format!("/{name}"), arguments.join("\n"));
    assert_eq!(reply.status, 200, "{reply}");
    reply.text()
}

/// What became of these attempts.
pub(crate) fn attempts(dev: &Dev, name: &str, attempts: &[&str]) -> Answers {
    Answers::parse(attempts, &say(dev, name, &[&["try"], attempts].concat()))
}
