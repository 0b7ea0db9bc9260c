//! `--format`: the part of Go's text templates that scripts use, over JSON.
//!
//! Fields, `$`, variables, literals, parentheses and pipes; `if`/`else`/`with`/`range`/`end` and
//! their trims; `json`, `len`, `index`, `join`, `split`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `and`,
//! `or`, `not`, `lower`, `upper`, `title`, `truncate`, `print`, `println`. What is beyond that is an
//! error with its place, never an output that is wrong.

mod eval;
mod parse;

use serde_json::Value;

use parse::Node;

/// A template, parsed.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
}

/// What is wrong with a template, or why it does not fit what it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be understood.
    #[error("template parsing error at byte {at}: {what}")]
    Syntax {
        /// Where, counted from 0.
        at: usize,
        /// What.
        what: String,
    },
    /// It cannot be applied.
    #[error("template: {0}")]
    Apply(String),
}

/// Templates within templates, and blocks within blocks.
const DEEPEST: usize = 100;
/// Longest output; a loop in a loop over a large list would have no end.
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl Template {
    /// Understands a template.
    ///
    /// # Errors
    /// It is none, or needs what is not known here.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { nodes: parse::parse(text)? })
    }

    /// The template with `value` as its dot.
    ///
    /// # Errors
    /// A field is not there, or a function cannot take its argument.
    pub fn apply(&self, value: &Value) -> Result<String, TemplateError> {
        eval::apply(&self.nodes, value)
    }

    /// The fields it shows, in order: the heads of a table's columns.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        parse::fields(&self.nodes)
    }
}

/// Parses and applies whatever comes; see [`crate::fuzz`].
pub(crate) fn fuzz(text: &str, value: &Value) {
    if let Ok(template) = Template::parse(text) {
        let _ = template.fields();
        let _ = template.apply(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn apply(text: &str, value: &Value) -> Result<String, TemplateError> {
        Template::parse(text)?.apply(value)
    }

    fn image() -> Value {
        json!({
            "Id": "sha256:1", "RepoDigests": ["a@sha256:2"], "RepoTags": ["a:1", "b:2"],
            "Size": 7_340_032, "RootFS": {"Type": "layers", "Layers": ["x", "y", "z"]},
            "Os": "linux", "Architecture": "amd64", "Config": {"ExposedPorts": {"80/tcp": {}},
            "Labels": {"com.x/y": "1"}}, "Empty": [], "Null": null, "No": false,
        })
    }

    #[test]
    fn what_wrangler_asks_for_comes_out_exactly() {
        for (template, text) in [
            ("{{ json .RepoDigests }}", r#"["a@sha256:2"]"#),
            ("{{ .Size }} {{ len .RootFS.Layers }}", "7340032 3"),
            ("{{ .Os }}/{{ .Architecture }}", "linux/amd64"),
            ("{{ len .Config.ExposedPorts }}", "1"),
            ("{{ range .RepoTags }}{{ . }}\n{{ end }}", "a:1\nb:2\n"),
            ("{{json .Empty}}", "[]"),
        ] {
            assert_eq!(apply(template, &image()).unwrap(), text, "{template}");
        }
    }

    #[test]
    fn the_usual_idioms_work() {
        for (template, text) in [
            ("{{index .RepoTags 1}}", "b:2"),
            ("{{index .Config.Labels \"com.x/y\"}}", "1"),
            ("{{join .RepoTags \",\"}}", "a:1,b:2"),
            ("{{.RepoTags}}", "[a:1 b:2]"),
            ("{{.RootFS}}", "map[Layers:[x y z] Type:layers]"),
            ("{{if .Empty}}yes{{else}}no{{end}}", "no"),
            ("{{if eq .Os \"linux\" \"bsd\"}}l{{end}}", "l"),
            ("{{if .No}}a{{else if .Size}}b{{else}}c{{end}}", "b"),
            ("{{range $i, $t := .RepoTags}}{{$i}}={{$t}} {{end}}", "0=a:1 1=b:2 "),
            ("{{range $k, $v := .Config.ExposedPorts}}{{$k}}{{end}}", "80/tcp"),
            ("{{range .Empty}}x{{else}}none{{end}}", "none"),
            ("{{with .RootFS}}{{.Type}} {{$.Os}}{{end}}", "layers linux"),
            ("{{.Os | upper | json}}", "\"LINUX\""),
            ("{{(index .RepoTags 0) | printf1}}", ""),
            ("a {{- \" b \" -}} c", "a b c"),
            ("{{/* nothing */}}{{.Null}}", "<no value>"),
            ("{{$x := .Os}}{{$x}}{{println}}", "linux\n"),
            ("{{truncate .Id 4}}", "sha2"),
            ("{{not .No}} {{and .Os .Size}} {{or .Empty .Os}}", "true 7340032 linux"),
            ("{{.ID}}", "sha256:1"),
        ] {
            if template.contains("printf1") {
                assert!(Template::parse(template).is_err());
                continue;
            }
            assert_eq!(apply(template, &image()).unwrap(), text, "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for template in [
            "{{",
            "{{.A",
            "{{end}}",
            "{{if .A}}",
            "{{nope .A}}",
            "{{\"a}}",
            "{{range}}{{end}}",
            "{{.A..B}}",
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(matches!(error, TemplateError::Syntax { .. }), "{template}: {error}");
        }
        for template in ["{{.Nope}}", "{{.Os.X}}", "{{len .Size}}", "{{index .RepoTags 9}}"] {
            let error = apply(template, &image()).unwrap_err();
            assert!(matches!(error, TemplateError::Apply(_)), "{template}: {error}");
        }
    }

    #[test]
    fn the_fields_of_a_row_are_its_heads() {
        let template = Template::parse("{{.ID}}\t{{.Names}} {{json .Ports}}").unwrap();
        assert_eq!(template.fields(), ["ID", "Names", "Ports"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\{\\{|\\}\\}|[ .a-zA-Z$|(),:=\"0-9-]|if|end|range|else|json|len){0,20}") {
            fuzz(&text, &image());
        }
    }
}
