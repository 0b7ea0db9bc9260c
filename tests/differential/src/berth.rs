//! The builder under test.

use std::process::{Command, Stdio};
use std::os::unix::process::ExitStatusExt;
use std::io::Read;

use berth_image::*;

use crate::bases::Bases;
use crate::case::Case;
use crate::image::Image;

pub(crate) fn build(case: &Case, _arguments: &[String]) -> Image {
    let store = ImageStore::open(e2e::cache_dir().join("differential/store")).unwrap();
    let mut request = BuildRequest::new(case.dockerfile(), case.path("context"));
    request.no_cache = true;
    request.target = case.expect.target.clone();
    request.build_args = case.expect.build_args.clone();
    request.pull.mirrors.insert("docker.io".into(), Bases::get().registry());
    for argument in _arguments {
        if let Some(rest) = argument.strip_prefix("--build-arg=") {
            let (name, value) = rest.split_once('=').unwrap();
            request.build_args.insert(name.into(), value.into());
        }
    }
    let image = match store.build(&request, &Chroot, &Silent) {
        Ok(image) => image,
        Err(error) => panic!("berth cannot build {}: {error}", case.name),
    };
    let blobs = store.dir().join("content/sha256");
    Image::read(&blobs, &blobs.join(image.digest.to_string().trim_start_matches("sha256:")))
}

struct Chroot;

const SCRIPT: &str = "mount -t overlay overlay -o \
    \"lowerdir=$1,upperdir=$2,workdir=$3/work\" \"$3/root\" && mkdir -p $3/root/proc $3/root/dev $3/root/etc && mount -t proc proc $3/root/proc && mount --rbind /dev $3/root/dev && shift 3 && exec \"$@\"";

impl RunStep for Chroot {
    fn run(
        &self,
        request: &RunRequest<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<i32, RunStepError> {
        let beside = request.upper.parent().unwrap();
        for folder in ["work", "root"] {
            fs_err::create_dir(beside.join(folder))?;
        }
        let lower: Vec<&str> = request.layers.iter().map(|layer| layer.to_str().unwrap()).collect();
        let user = if request.user.is_empty() { "0:0" } else { request.user };
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", SCRIPT, "sh"])
            .args([&lower.join(":"), request.upper.to_str().unwrap(), beside.to_str().unwrap()])
            .args(["env", "-i"])
            .args(request.env)
            .args(["/usr/sbin/chroot", &format!("--userspec={user}")])
            .arg(beside.join("root"))
            .args(["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", request.cwd])
            .args(request.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut out = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut out)?;
        output(Stream::Stdout, &out);
        let mut err = Vec::new();
        child.stderr.take().unwrap().read_to_end(&mut err)?;
        output(Stream::Stderr, &err);
        eprintln!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        let status = child.wait()?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap()))
    }
}
