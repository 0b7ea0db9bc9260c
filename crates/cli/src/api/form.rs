//! `multipart/form-data`, as uploads are sent.

use uuid::Uuid;

/// A form that grows by its parts.
#[derive(Debug)]
pub(crate) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    pub(crate) fn new() -> Self {
        // Nothing that is sent contains it but by a chance of 2^-122.
        Self { boundary: format!("berth-{}", Uuid::new_v4().simple()), body: Vec::new() }
    }

    /// A field.
    pub(crate) fn text(self, name: &str, text: &str) -> Self {
        self.part(&format!("name=\"{}\"", escaped(name)), None, text.as_bytes())
    }

    /// A file, by the name of its field.
    pub(crate) fn file(self, name: &str, kind: &str, content: &[u8]) -> Self {
        let name = escaped(name);
        self.part(&format!("name=\"{name}\"; filename=\"{name}\""), Some(kind), content)
    }

    fn part(mut self, names: &str, kind: Option<&str>, content: &[u8]) -> Self {
        let kind = kind.map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
        let head =
            format!("--{}\r\nContent-Disposition: form-data; {names}\r\n{kind}\r\n", self.boundary);
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
        self
    }

    /// The value of `Content-Type`, and the body.
    pub(crate) fn finish(mut self) -> (String, Vec<u8>) {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.body)
    }
}

/// A name between quotes, as browsers write it.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_between_boundaries() {
        let form = Form::new().text("metadata", "{}").file("a\".js", "text/plain", b"x\r\ny");
        let boundary = form.boundary.clone();
        let (kind, body) = form.finish();
        assert_eq!(kind, format!("multipart/form-data; boundary={boundary}"));
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{{}}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"a%22.js\"; filename=\"a%22.js\"\r\n\
             Content-Type: text/plain\r\n\r\nx\r\ny\r\n--{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
