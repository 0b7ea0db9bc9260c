//! Whom an application lets in: the keys of its configuration, by Cloudflare's rules. Pure.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, PublicKey};
use serde_json::Value;

use crate::envelope::Failure;

/// The fields of `configuration` that have keys.
const AUTHORIZED: &str = "authorized_keys";
const TRUSTED: &str = "trusted_user_ca_keys";

/// Whether an application's instances can be entered.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It has switched SSH off, or has neither switched it on nor given keys.
    Off,
    /// SSH is on, but there is no key that could let anybody in.
    NoKeys,
    /// Whoever has one of these may enter.
    Keys(Keys),
}

/// Who may enter.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Those that let their owners in.
    authorized: Vec<PublicKey>,
    /// Those whose certificates do.
    trusted: Vec<PublicKey>,
}

/// Refuses settings and keys that nobody could enter by.
///
/// # Errors
/// They are not of Cloudflare's form, or a key is of another kind than Ed25519; the answer names the
/// field.
pub(crate) fn check(configuration: &Value) -> Result<(), Failure> {
    let settings = &configuration["wrangler_ssh"];
    if !settings.is_null() {
        check_settings(settings)?;
    }
    Keys::of(configuration).map(drop)
}

fn check_settings(settings: &Value) -> Result<(), Failure> {
    const FIELD: &str = "configuration.wrangler_ssh";
    let Some(fields) = settings.as_object() else {
        return Err(wrong(format!("{FIELD} must be an object")));
    };
    if let Some(name) = fields.keys().find(|name| !["enabled", "port"].contains(&name.as_str())) {
        return Err(wrong(format!("{FIELD}.{name} is not known; leave it out")));
    }
    if !settings["enabled"].is_boolean() {
        return Err(wrong(format!("{FIELD}.enabled must be a boolean")));
    }
    let port = &settings["port"];
    if !port.is_null() && port.as_u64().is_none_or(|port| !(1..=65535).contains(&port)) {
        return Err(wrong(format!("{FIELD}.port must be a number between 1 and 65535 inclusive")));
    }
    Ok(())
}

fn wrong(what: String) -> Failure {
    Failure::bad_request(format!("VALIDATE_INPUT: {what}"))
}

impl Admission {
    /// What a configuration says of it: SSH is on as soon as there are keys, unless it is switched off.
    ///
    /// # Errors
    /// A key cannot be read.
    pub(crate) fn of(configuration: &Value) -> Result<Self, Failure> {
        let enabled = configuration["wrangler_ssh"]["enabled"].as_bool();
        let keys = Keys::of(configuration)?;
        Ok(match (enabled, keys.is_empty()) {
            (Some(false), _) | (None, true) => Self::Off,
            (Some(true), true) => Self::NoKeys,
            (_, false) => Self::Keys(keys),
        })
    }
}

impl Keys {
    fn of(configuration: &Value) -> Result<Self, Failure> {
        Ok(Self {
            authorized: read(configuration, AUTHORIZED, true)?,
            trusted: read(configuration, TRUSTED, false)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.authorized.is_empty() && self.trusted.is_empty()
    }

    /// Whether a key lets its owner in.
    pub(super) fn know(&self, key: &PublicKey) -> bool {
        self.authorized.iter().any(|known| known.key_data() == key.key_data())
    }

    /// Whether a key could be that of a certificate which lets its owner in.
    pub(super) fn have_authorities(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// What a certificate allows to who logs in as `user`, at this second of Unix time.
    ///
    /// # Errors
    /// It does not let them in, and this is why.
    pub(super) fn admit(
        &self,
        certificate: &Certificate,
        user: &str,
        now: u64,
    ) -> Result<Allowed, &'static str> {
        let signer = certificate.signature_key();
        if !self.trusted.iter().any(|trusted| trusted.key_data() == signer) {
            return Err("its signer is none of trusted_user_ca_keys");
        }
        if certificate.verify_signature().is_err() {
            return Err("its signature is wrong");
        }
        if certificate.cert_type() != CertType::User {
            return Err("it is a host's");
        }
        if now < certificate.valid_after() || now >= certificate.valid_before() {
            return Err("it is not valid now");
        }
        // As with sshd: one that names nobody is nobody's.
        if !certificate.valid_principals().iter().any(|principal| principal == user) {
            return Err("the user is none of its principals");
        }
        // What is critical and not obeyed must keep its owner out.
        if !certificate.critical_options().0.is_empty() {
            return Err("it has critical options");
        }
        Ok(Allowed { terminal: certificate.extensions().0.contains_key("permit-pty") })
    }
}

/// What somebody who was let in may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) terminal: bool,
}

/// The keys of a field, each with its name.
fn read(configuration: &Value, field: &str, is_named: bool) -> Result<Vec<PublicKey>, Failure> {
    let place = format!("configuration.{field}");
    let items = match &configuration[field] {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        _ => return Err(wrong(format!("{place} must be an array"))),
    };
    let key = |(index, item)| read_key(&format!("{place}[{index}]"), item, is_named);
    items.iter().enumerate().map(key).collect()
}

fn read_key(place: &str, item: &Value, is_named: bool) -> Result<PublicKey, Failure> {
    if !item.is_object() {
        return Err(wrong(format!("{place} must be an object")));
    }
    let name = &item["name"];
    if !name.is_string() && (is_named || !name.is_null()) {
        return Err(wrong(format!("{place}.name must be a string")));
    }
    let Some(text) = item["public_key"].as_str() else {
        return Err(wrong(format!("{place}.public_key must be a string")));
    };
    let unsupported = || {
        let what = "is an unsupported key type. Please provide an ED25519 public key.";
        wrong(format!("{place}.public_key {what}"))
    };
    let text = text.trim();
    if !text.to_lowercase().starts_with("ssh-ed25519") {
        return Err(unsupported());
    }
    let unreadable = |error| {
        wrong(format!(
            "{place}.public_key cannot be read ({error}); it is the one line of a `.pub` file, such as \
             `ssh-keygen -t ed25519` writes"
        ))
    };
    let key = PublicKey::from_openssh(text).map_err(unreadable)?;
    // A certificate and a key of a token begin like an Ed25519 key.
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(unsupported());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::ssh_key::private::Ed25519Keypair;
    use serde_json::json;

    use super::*;

    fn private(number: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[number; 32]))
    }

    fn public(number: u8) -> String {
        private(number).public_key().to_openssh().unwrap()
    }

    fn message(configuration: &Value) -> String {
        check(configuration).unwrap_err().message().to_owned()
    }

    #[test]
    fn bd5_only_ed25519_keys_are_taken_and_the_texts_are_wranglers() {
        let trusted = json!([{"public_key": public(2)}, {"name": "x", "public_key": public(3)}]);
        let good = json!({"wrangler_ssh": {"enabled": true, "port": 2222},
            "authorized_keys": [{"name": "me", "public_key": format!("{} me@here\n", public(1))}],
            "trusted_user_ca_keys": trusted});
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(&json!({})), Ok(()));
        let unsupported =
            "[0].public_key is an unsupported key type. Please provide an ED25519 public key.";
        let rsa = json!([{"name": "a", "public_key": "ssh-rsa AAAAB3NzaC1yc2E="}]);
        let trusted = json!([{"public_key": "ecdsa-sha2-nistp256 AAAA"}]);
        for (field, value, text) in [
            ("authorized_keys", rsa, unsupported),
            ("trusted_user_ca_keys", trusted, unsupported),
            ("authorized_keys", json!("x"), " must be an array"),
            ("authorized_keys", json!(["x"]), "[0] must be an object"),
            ("authorized_keys", json!([{"public_key": public(1)}]), "[0].name must be a string"),
            ("authorized_keys", json!([{"name": "a"}]), "[0].public_key must be a string"),
            ("trusted_user_ca_keys", json!([{"name": 1}]), "[0].name must be a string"),
        ] {
            let expected = format!("VALIDATE_INPUT: configuration.{field}{text}");
            assert_eq!(message(&json!({ field: value })), expected);
        }
        let cut = json!([{"name": "a", "public_key": "ssh-ed25519 AAAAC3Nz"}]);
        let cut = message(&json!({ "authorized_keys": cut }));
        assert!(cut.contains("authorized_keys[0].public_key cannot be read"), "{cut}");
    }

    #[test]
    fn settings_have_wranglers_rules() {
        let port = ".port must be a number between 1 and 65535 inclusive";
        for (settings, text) in [
            (json!(true), " must be an object"),
            (json!({}), ".enabled must be a boolean"),
            (json!({"enabled": 1}), ".enabled must be a boolean"),
            (json!({"enabled": true, "port": 0}), port),
            (json!({"enabled": true, "port": 1.5}), port),
            (json!({"enabled": true, "user": "x"}), ".user is not known; leave it out"),
        ] {
            let expected = format!("VALIDATE_INPUT: configuration.wrangler_ssh{text}");
            assert_eq!(message(&json!({ "wrangler_ssh": settings })), expected);
        }
    }

    #[test]
    fn bi3_ssh_is_on_with_keys_unless_it_is_switched_off() {
        let keys = json!([{"name": "me", "public_key": public(1)}]);
        let of = |configuration: Value| Admission::of(&configuration).unwrap();
        assert!(matches!(of(json!({})), Admission::Off));
        assert!(matches!(of(json!({"wrangler_ssh": {"enabled": true}})), Admission::NoKeys));
        assert!(matches!(of(json!({"authorized_keys": keys})), Admission::Keys(_)));
        let off = json!({"wrangler_ssh": {"enabled": false}, "authorized_keys": keys});
        assert!(matches!(of(off), Admission::Off));
        let on = json!({"wrangler_ssh": {"enabled": true}, "authorized_keys": keys});
        let Admission::Keys(keys) = of(on) else { panic!("it has a key") };
        assert!(keys.know(private(1).public_key()) && !keys.know(private(2).public_key()));
        assert!(!keys.have_authorities());
    }

    fn certificate(
        authority: u8,
        kind: CertType,
        change: impl FnOnce(&mut Builder),
    ) -> Certificate {
        let subject = private(9).public_key().key_data().clone();
        let mut builder = Builder::new(vec![1; 16], subject, 100, 200).unwrap();
        builder.cert_type(kind).unwrap();
        change(&mut builder);
        builder.sign(&private(authority)).unwrap()
    }

    #[test]
    fn a_certificate_lets_its_principals_in_while_it_is_valid_and_asks_for_nothing_else() {
        let configuration = json!({"trusted_user_ca_keys": [{"public_key": public(1)}]});
        let keys = Keys::of(&configuration).unwrap();
        assert!(keys.have_authorities());
        let admit = |certificate: &Certificate, now| keys.admit(certificate, "cloudchamber", now);
        let principal = |builder: &mut Builder| {
            builder.valid_principal("cloudchamber").unwrap();
        };
        let terminal = |builder: &mut Builder| {
            builder.valid_principal("cloudchamber").unwrap();
            builder.extension("permit-pty", "").unwrap();
        };
        let plain = certificate(1, CertType::User, principal);
        assert_eq!(admit(&plain, 100), Ok(Allowed { terminal: false }));
        let with_terminal = certificate(1, CertType::User, terminal);
        assert_eq!(admit(&with_terminal, 199), Ok(Allowed { terminal: true }));
        assert!(admit(&plain, 99).is_err() && admit(&plain, 200).is_err());
        assert!(admit(&certificate(2, CertType::User, principal), 100).is_err(), "another signer");
        assert!(admit(&certificate(1, CertType::Host, principal), 100).is_err(), "a host's");
        let others = certificate(1, CertType::User, |builder| {
            builder.valid_principal("root").unwrap();
        });
        assert!(admit(&others, 100).is_err(), "another user's");
        let forced = certificate(1, CertType::User, |builder| {
            builder.valid_principal("cloudchamber").unwrap();
            builder.critical_option("force-command", "true").unwrap();
        });
        assert!(admit(&forced, 100).is_err(), "a critical option");
    }
}
