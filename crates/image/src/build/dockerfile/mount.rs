//! `RUN --mount`: its options as they are written, and what they mean once variables have values.

use std::path::Path;

/// What a command sees beside the stage's files.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) enum Mount {
    /// Files of the build context, a stage or an image. What is written to them is lost.
    Bind { from: Option<String>, source: String, target: String, read_only: bool },
    /// A directory that later builds find again.
    Cache(Cache),
    /// A fresh memory file system.
    Tmpfs { target: String, size: Option<u64> },
    /// A secret, as a file, a variable or both.
    Secret { id: String, target: Option<String>, env: Option<String>, access: Access },
    /// The socket of an SSH agent.
    Ssh { id: String, target: Option<String>, access: Access },
}

/// A directory that later builds find again.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct Cache {
    pub(in crate::build) id: String,
    pub(in crate::build) target: String,
    pub(in crate::build) from: Option<String>,
    pub(in crate::build) source: String,
    pub(in crate::build) sharing: Sharing,
    pub(in crate::build) read_only: bool,
    pub(in crate::build) access: Access,
}

/// Who may use a cache while somebody else does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::build) enum Sharing {
    /// Everybody at once.
    Shared,
    /// Everybody has a directory of their own.
    Private,
    /// One after the other.
    Locked,
}

/// Whose the mounted thing is, and whether the step can do without it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::build) struct Access {
    pub(in crate::build) uid: u32,
    pub(in crate::build) gid: u32,
    pub(in crate::build) mode: u32,
    pub(in crate::build) required: bool,
}

/// One `--mount`, its values not yet expanded.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct MountFlag {
    /// Options in lower case, with their values; `true` for those without.
    options: Vec<(String, String)>,
}

impl MountFlag {
    /// Parses the value of a `--mount`; what its variables stand for is checked later.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut options = Vec::new();
        for field in fields(text)? {
            let (key, value) = field.split_once('=').unwrap_or((&field, "true"));
            let key = key.trim().to_ascii_lowercase();
            let key = match key.as_str() {
                "src" => "source".to_owned(),
                "dst" | "destination" => "target".to_owned(),
                "ro" => "readonly".to_owned(),
                "rw" => "readwrite".to_owned(),
                "type" | "from" | "source" | "target" | "readonly" | "readwrite" | "id"
                | "sharing" | "required" | "size" | "mode" | "uid" | "gid" | "env" => key,
                _ => return Err(format!("--mount has no option \"{key}\"")),
            };
            if key == "from" && value.contains('$') {
                let text = "--mount from= takes no variable: give the image a stage of its own \
                            (FROM … AS name) and name that";
                return Err(text.to_owned());
            }
            options.push((key, value.to_owned()));
        }
        let flag = Self { options };
        if !flag.options.iter().any(|(_, value)| value.contains('$')) {
            flag.resolve()?;
        }
        Ok(flag)
    }

    /// The stage, image or context it is from.
    pub(in crate::build) fn from(&self) -> Option<&str> {
        self.get("from")
    }

    /// Replaces the variables in its values.
    pub(in crate::build) fn expanded<E>(
        &self,
        mut expand: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<Self, E> {
        let expand = |(key, value): &(String, String)| Ok((key.clone(), expand(value)?));
        Ok(Self { options: self.options.iter().map(expand).collect::<Result<_, E>>()? })
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.options.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, String> {
        match self.get(key) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(format!("--mount {key}={other} is neither true nor false")),
        }
    }

    fn number(&self, key: &str, radix: u32) -> Result<Option<u32>, String> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let number = u32::from_str_radix(text, radix).ok().filter(|number| *number != u32::MAX);
        number.map(Some).ok_or_else(|| format!("--mount {key}={text} is no number"))
    }

    /// What it means; its variables have their values.
    pub(in crate::build) fn resolve(&self) -> Result<Mount, String> {
        let kind = self.get("type").unwrap_or("bind").to_ascii_lowercase();
        self.refuse_foreign(&kind)?;
        let read_only = match (self.flag("readonly")?, self.flag("readwrite")?) {
            (Some(_), Some(_)) => return Err("--mount has both readonly and readwrite".to_owned()),
            (Some(read_only), None) => read_only,
            (None, Some(writable)) => !writable,
            (None, None) => kind == "bind",
        };
        let target = || {
            let target = self.get("target");
            target.map(str::to_owned).ok_or_else(|| format!("--mount=type={kind} needs a target"))
        };
        let from = self.from().map(str::to_owned);
        let source = self.get("source").unwrap_or("/").to_owned();
        Ok(match kind.as_str() {
            "bind" => Mount::Bind { from, source, target: target()?, read_only },
            "cache" => {
                let (target, access) = (target()?, self.access(0o755)?);
                let id = self.get("id").unwrap_or(&target).to_owned();
                let sharing = self.sharing()?;
                Mount::Cache(Cache { id, target, from, source, sharing, read_only, access })
            }
            "tmpfs" => {
                let size = self.get("size").map(bytes).transpose()?;
                Mount::Tmpfs { target: target()?, size }
            }
            "secret" => self.secret()?,
            "ssh" => {
                let id = self.get("id").unwrap_or("default").to_owned();
                let target = self.get("target").map(str::to_owned);
                Mount::Ssh { id, target, access: self.access(0o600)? }
            }
            other => return Err(format!("--mount has no type \"{other}\"")),
        })
    }

    /// Options that mean nothing for a type are mistakes.
    fn refuse_foreign(&self, kind: &str) -> Result<(), String> {
        let known: &[&str] = match kind {
            "bind" => &["from", "source", "target", "readonly", "readwrite", "id"],
            "cache" => &[
                "id",
                "target",
                "from",
                "source",
                "sharing",
                "readonly",
                "readwrite",
                "mode",
                "uid",
                "gid",
            ],
            "tmpfs" => &["target", "size"],
            "secret" => {
                &["id", "source", "target", "env", "required", "mode", "uid", "gid", "readonly"]
            }
            "ssh" => &["id", "target", "required", "mode", "uid", "gid", "readonly"],
            _ => return Ok(()),
        };
        let foreign =
            self.options.iter().find(|(key, _)| key != "type" && !known.contains(&&**key));
        match foreign {
            Some((key, _)) => Err(format!("--mount=type={kind} has no option \"{key}\"")),
            None => Ok(()),
        }
    }

    fn access(&self, mode: u32) -> Result<Access, String> {
        let uid = self.number("uid", 10)?.unwrap_or(0);
        let gid = self.number("gid", 10)?.unwrap_or(0);
        let mode = self.number("mode", 8)?.unwrap_or(mode);
        if mode > 0o7777 {
            return Err(format!("--mount mode={mode:o} is no mode"));
        }
        Ok(Access { uid, gid, mode, required: self.flag("required")?.unwrap_or(false) })
    }

    fn sharing(&self) -> Result<Sharing, String> {
        match self.get("sharing").unwrap_or("shared") {
            "shared" => Ok(Sharing::Shared),
            "private" => Ok(Sharing::Private),
            "locked" => Ok(Sharing::Locked),
            other => Err(format!("--mount sharing={other} is none of shared, private and locked")),
        }
    }

    fn secret(&self) -> Result<Mount, String> {
        let (target, env) = (self.get("target"), self.get("env").map(str::to_owned));
        let base = |path: &str| {
            Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned())
        };
        let named = self.get("source").or(self.get("id")).map(str::to_owned);
        let id = named
            .or_else(|| target.and_then(base))
            .ok_or("--mount=type=secret needs an id or a target")?;
        let target = match (target, &env) {
            (Some(target), _) => Some(target.to_owned()),
            (None, Some(_)) => None,
            (None, None) => {
                let name = base(&id).ok_or_else(|| format!("\"{id}\" is no secret's id"))?;
                Some(format!("/run/secrets/{name}"))
            }
        };
        Ok(Mount::Secret { id, target, env, access: self.access(0o400)? })
    }
}

/// Fields between commas; a field in double quotes may have commas, and a quote twice.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is always one");
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted {
        return Err(format!("a quote in --mount={text} is not closed"));
    }
    Ok(fields)
}

/// A size such as `64m`, `1g` or `4096`.
fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match lower.char_indices().next_back() {
        Some((at, 'k')) => (&lower[..at], 10),
        Some((at, 'm')) => (&lower[..at], 20),
        Some((at, 'g')) => (&lower[..at], 30),
        _ => (lower, 0),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("--mount size={text} is no size (64m, 1g)"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mount(text: &str) -> Result<Mount, String> {
        MountFlag::parse(text)?.resolve()
    }

    fn access(mode: u32) -> Access {
        Access { uid: 0, gid: 0, mode, required: false }
    }

    #[test]
    fn every_type_has_its_options_and_defaults() {
        let bind = |from: Option<&str>, source: &str, read_only| Mount::Bind {
            from: from.map(str::to_owned),
            source: source.to_owned(),
            target: "/t".to_owned(),
            read_only,
        };
        assert_eq!(mount("target=/t"), Ok(bind(None, "/", true)));
        assert_eq!(mount("type=bind,from=b,src=/o,dst=/t,rw"), Ok(bind(Some("b"), "/o", false)));
        let cache = |id: &str, sharing, access| {
            Mount::Cache(Cache {
                id: id.to_owned(),
                target: "/c".to_owned(),
                from: None,
                source: "/".to_owned(),
                sharing,
                read_only: false,
                access,
            })
        };
        assert_eq!(
            mount("type=cache,destination=/c"),
            Ok(cache("/c", Sharing::Shared, access(0o755)))
        );
        let own = Access { uid: 5, gid: 6, mode: 0o700, required: false };
        assert_eq!(
            mount("type=cache,target=/c,id=x,sharing=locked,uid=5,gid=6,mode=0700"),
            Ok(cache("x", Sharing::Locked, own))
        );
        assert_eq!(
            mount("type=tmpfs,target=/t,size=64m"),
            Ok(Mount::Tmpfs { target: "/t".into(), size: Some(64 << 20) })
        );
    }

    #[test]
    fn a_secret_is_a_file_a_variable_or_both() {
        let secret = |id: &str, target: Option<&str>, env: Option<&str>, access| Mount::Secret {
            id: id.into(),
            target: target.map(str::to_owned),
            env: env.map(str::to_owned),
            access,
        };
        let (usual, required) = (access(0o400), Access { required: true, ..access(0o444) });
        for (text, expected) in [
            ("type=secret,id=a", secret("a", Some("/run/secrets/a"), None, usual)),
            ("type=secret,target=/etc/key", secret("key", Some("/etc/key"), None, usual)),
            ("type=secret,id=a,env=A", secret("a", None, Some("A"), usual)),
            ("type=secret,id=a,env=A,target=/a", secret("a", Some("/a"), Some("A"), usual)),
            (
                "type=secret,id=a,required,mode=0444",
                secret("a", Some("/run/secrets/a"), None, required),
            ),
        ] {
            assert_eq!(mount(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, reason) in [
            ("type=bind", "needs a target"),
            ("type=magic,target=/x", "no type \"magic\""),
            ("type=tmpfs,target=/x,sharing=locked", "no option \"sharing\""),
            ("target=/x,colour=red", "no option \"colour\""),
            ("type=cache,target=/x,sharing=odd", "none of shared"),
            ("type=cache,target=/x,mode=9", "no number"),
            ("type=secret", "needs an id"),
            ("type=secret,id=x,from=y", "no option \"from\""),
            ("target=/x,from=$Y", "takes no variable"),
            ("target=/x,ro,rw", "both"),
            ("type=tmpfs,target=/x,size=big", "no size"),
            ("\"target=/x", "not closed"),
        ] {
            assert!(mount(text).unwrap_err().contains(reason), "{text}: {:?}", mount(text));
        }
    }

    #[test]
    fn values_may_have_commas_and_variables() {
        assert!(
            matches!(mount("\"target=/a,b\""), Ok(Mount::Bind { target, .. }) if target == "/a,b")
        );
        let flag = MountFlag::parse("type=$T,target=/$X").unwrap();
        let expand = |text: &str| Ok::<_, String>(text.replace("$T", "tmpfs").replace("$X", "y"));
        let mount = flag.expanded(expand).unwrap().resolve().unwrap();
        assert_eq!(mount, Mount::Tmpfs { target: "/y".into(), size: None });
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_parsed_without_panic(text in "[a-z=,\"$/0-9]{0,40}") {
            let _ = mount(&text);
        }
    }
}
