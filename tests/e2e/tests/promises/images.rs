//! Images for a project (features G6, I11, J3): built from a Dockerfile, a folder or pulled.

use e2e::{Dev, Project};
use serde_json::json;

#[test]
fn j3_g6_an_image_may_be_a_reference_to_a_registry() {
    let project = Project::probe("entrypoint = [\"sh\", \"-c\", \"mkdir /www; echo pulled > /www/index.html; exec httpd -f -p 8080 -h /www\"];")
        .configured(|config| config["containers"][0]["image"] = json!("docker.io/library/busybox:latest"));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/").text(), "pulled\n");
    dev.stop();
}

#[test]
fn g6_an_image_may_be_a_folder_with_a_dockerfile() {
    let project = Project::probe("")
        .configured(|config| config["containers"][0]["image"] = json!("./container"));
    project.write(
        "container/Dockerfile",
        "FROM python:3-slim\nCOPY . /\nCMD [\"python3\", \"/server.py\"]\n",
    );
    project.write("container/server.py", &project.read("server.py"));
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/who").status, 200);
    dev.stop();
}

#[test]
fn bd1_build_arguments_and_a_context_elsewhere_are_used() {
    let project = Project::probe("").configured(|config| {
        config["containers"][0]["image"] = json!("./docker/Dockerfile");
        config["containers"][0]["image_build_context"] = json!(".");
        config["containers"][0]["image_vars"] = json!({ "GREETING": "from the configuration" });
    });
    let dockerfile = "FROM python:3-slim\nARG GREETING\nENV GREETING=$GREETING\n\
                      COPY server.py /server.py\nCMD [\"python3\", \"/server.py\"]\n";
    project.write("docker/Dockerfile", dockerfile);
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/env").json()["GREETING"], "from the configuration");
    dev.stop();

    let dev = Dev::start_with(&project, &["--build-arg", "GREETING=from the command line"]);
    assert_eq!(dev.get("/one/env").json()["GREETING"], "from the command line");
    dev.stop();
}

#[test]
fn i11_a_dockerfile_decides_user_folder_and_environment() {
    let project = Project::probe("");
    let dockerfile = "FROM python:3-slim AS build\n\
                      RUN echo 'made by a RUN' > /made && chmod 600 /made\n\
                      FROM python:3-slim\n\
                      ENV STAGE=second\n\
                      WORKDIR /srv\n\
                      COPY --from=build --chown=nobody:nogroup /made made\n\
                      COPY server.py .\n\
                      USER nobody\n\
                      ENTRYPOINT [\"python3\"]\n\
                      CMD [\"server.py\"]\n";
    project.write("Dockerfile", dockerfile);
    let dev = Dev::start(&project);
    assert_eq!(dev.get("/one/read?path=made").json()["text"], "made by a RUN\n");
    assert_eq!(dev.get("/one/env").json()["STAGE"], "second");
    let write = dev.get("/one/write?path=/root-only&text=x");
    assert_eq!(write.status, 500, "an ordinary user may not write to /: {write}");
    dev.stop();
}

#[test]
fn i11_the_dockerignore_file_keeps_files_out() {
    let project = Project::probe("");
    project.write(".dockerignore", "secret*\nnode_modules\n");
    project.write("secret.txt", "not for the image");
    project.write(
        "Dockerfile",
        "FROM python:3-slim\nCOPY . /app\nCMD [\"python3\", \"/app/server.py\"]\n",
    );
    let dev = Dev::start(&project);
    assert!(dev.get("/one/read?path=/app/secret.txt").json()["error"].is_string());
    assert!(dev.get("/one/read?path=/app/Dockerfile").json()["text"].is_string());
    dev.stop();
}
