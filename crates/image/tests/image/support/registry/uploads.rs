//! The registry's side of pushes.

use std::collections::HashMap;

use image::Digest;

use super::{Answer, Request, State};

#[derive(Default)]
pub(super) struct Uploads {
    open: HashMap<String, Vec<u8>>,
    count: usize,
    cut: bool,
}

impl State {
    /// After how many bytes the body of this request breaks off.
    pub(super) fn cut_upload(&mut self, request: &Request, length: usize) -> Option<usize> {
        let cut = self.behaviour.cut_upload_after.filter(|cut| *cut < length)?;
        let upload = request.path.contains("/blobs/uploads/") && !self.uploads.cut;
        self.uploads.cut |= upload;
        upload.then_some(cut)
    }

    pub(super) fn upload(&mut self, id: &str, request: &Request, body: &[u8]) -> Answer {
        if let Some((status, message)) = self.behaviour.refuse_upload {
            let errors = serde_json::json!({"errors": [{"code": "DENIED", "message": message}]});
            return Answer::new(status, errors.to_string());
        }
        let query = |name: &str| {
            let (_, query) = request.path.split_once('?')?;
            query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))
        };
        match request.method.as_str() {
            "POST" => match query("mount").filter(|_| self.behaviour.mount) {
                Some(digest) if self.blobs.contains_key(digest) => Answer::new(201, ""),
                _ => self.begin(),
            },
            "PATCH" => self.append(id, request, body, 202),
            "PUT" => {
                let digest = query("digest").unwrap_or_default().to_owned();
                let complete = id.to_owned();
                let answer = self.append(id, request, body, 201);
                // A body that broke off ends nothing.
                let length = request.headers["content-length"].parse::<usize>().unwrap();
                if answer.status != 201 || body.len() != length {
                    return answer;
                }
                let blob = self.uploads.open.remove(&complete).unwrap();
                if Digest::of(&blob).to_string() != digest {
                    return Answer::new(400, "the digest is wrong");
                }
                self.blobs.insert(digest, blob);
                answer
            }
            "GET" => match self.uploads.open.get(id) {
                Some(blob) => Answer::new(204, "").with("Range", format!("0-{}", end(blob))),
                None => Answer::new(404, ""),
            },
            _ => Answer::new(405, ""),
        }
    }

    fn begin(&mut self) -> Answer {
        self.uploads.count += 1;
        let id = format!("u{}", self.uploads.count);
        self.uploads.open.insert(id.clone(), Vec::new());
        // Relative, and with a query to keep.
        let answer =
            Answer::new(202, "").with("Location", format!("/v2/a/b/blobs/uploads/{id}?_s=1"));
        match self.behaviour.chunk {
            Some(chunk) => answer.with("OCI-Chunk-Max-Length", chunk.to_string()),
            None => answer,
        }
    }

    fn append(&mut self, id: &str, request: &Request, body: &[u8], status: u16) -> Answer {
        let Some(blob) = self.uploads.open.get_mut(id) else { return Answer::new(404, "") };
        let range = request.headers.get("content-range");
        let first = range.and_then(|range| range.split('-').next()?.parse::<usize>().ok());
        let complete = status == 201 && body.is_empty();
        if !complete && first.unwrap_or(0) != blob.len() {
            return Answer::new(416, "");
        }
        if self.behaviour.chunk.is_some_and(|chunk| body.len() > chunk) {
            return Answer::new(413, "");
        }
        blob.extend_from_slice(body);
        let location = format!("/v2/a/b/blobs/uploads/{id}?_s={}", blob.len());
        let range = format!("0-{}", end(blob));
        let length = request.headers["content-length"].parse::<usize>().unwrap();
        if body.len() < length && self.behaviour.forget_uploads {
            self.uploads.open.remove(id);
        }
        Answer::new(status, "").with("Location", location).with("Range", range)
    }

    pub(super) fn put_manifest(&mut self, version: &str, request: &Request, body: &[u8]) -> Answer {
        let document: serde_json::Value = serde_json::from_slice(body).unwrap();
        let layers = document["layers"].as_array().unwrap().iter();
        for part in layers.chain([&document["config"]]) {
            let digest = part["digest"].as_str().unwrap();
            if !self.blobs.contains_key(digest) {
                return Answer::new(400, "a blob is missing");
            }
        }
        let digest = Digest::of(body).to_string();
        for version in [version, digest.as_str()] {
            let media_type = request.headers["content-type"].clone();
            self.manifests.insert(version.to_owned(), (media_type, body.to_vec()));
        }
        Answer::new(201, "").with("Docker-Content-Digest", digest)
    }
}

fn end(blob: &[u8]) -> usize {
    blob.len().saturating_sub(1)
}
