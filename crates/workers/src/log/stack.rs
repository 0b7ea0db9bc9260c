//! Places in bundled code, turned back into places in the sources.

use std::borrow::Cow;
use std::collections::HashMap;

use oxc_sourcemap::OwnedSourceMap;

use crate::spec::Module;

/// workerd names modules by this URL, with the compatibility dates of today; with older ones by their
/// bare names.
const BUNDLE: &str = "file:///bundle/";

/// The source maps of a Worker's modules.
#[derive(Default)]
pub(crate) struct SourceMaps {
    by_module: HashMap<String, OwnedSourceMap>,
}

impl std::fmt::Debug for SourceMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.by_module.keys()).finish()
    }
}

impl SourceMaps {
    /// Reads the maps; a broken one is left out, so its stacks stay as they are.
    pub(crate) fn new(modules: &[Module]) -> Self {
        let by_module = modules
            .iter()
            .filter_map(|module| {
                let text = std::str::from_utf8(module.source_map.as_deref()?).ok()?;
                match OwnedSourceMap::from_json_string(text) {
                    Ok(map) => Some((module.name.clone(), map)),
                    Err(error) => {
                        tracing::warn!(module = module.name, %error, "source map is unreadable");
                        None
                    }
                }
            })
            .collect();
        Self { by_module }
    }

    /// `text` with each `file:///bundle/<module>:<line>:<column>`, and in the frames of a stack each
    /// `<module>:<line>:<column>`, replaced by the source's place.
    pub(crate) fn map<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains(BUNDLE) && !text.lines().any(is_frame) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            if is_frame(line) && !line.contains(BUNDLE) {
                self.map_frame(line, &mut out);
            } else {
                self.map_urls(line, &mut out);
            }
        }
        Cow::Owned(out)
    }

    fn map_urls(&self, text: &str, out: &mut String) {
        let mut rest = text;
        while let Some(at) = rest.find(BUNDLE) {
            out.push_str(&rest[..at]);
            rest = &rest[at + BUNDLE.len()..];
            let end = rest.find([')', '\n', ' ', '"', '\'']).unwrap_or(rest.len());
            let (place, after) = rest.split_at(end);
            out.push_str(&self.place(place).unwrap_or_else(|| place.to_owned()));
            rest = after;
        }
        out.push_str(rest);
    }

    /// `    at Object.fetch (main.js:10:5)` or `    at main.js:10:5`.
    fn map_frame(&self, line: &str, out: &mut String) {
        let end = line.trim_end().trim_end_matches(')').len();
        let start = line[..end].rfind(['(', ' ']).map_or(0, |at| at + 1);
        out.push_str(&line[..start]);
        match self.place(&line[start..end]) {
            Some(place) => out.push_str(&place),
            None => out.push_str(&line[start..end]),
        }
        out.push_str(&line[end..]);
    }

    /// `main.js:10:5` as `src/index.ts:3:9`.
    fn place(&self, place: &str) -> Option<String> {
        let (rest, column) = place.rsplit_once(':')?;
        let (module, line) = rest.rsplit_once(':')?;
        let (line, column): (u32, u32) = (line.parse().ok()?, column.parse().ok()?);
        let map = self.by_module.get(module)?.as_source_map();
        // Tables are made anew: exceptions are rare, and a table borrows from its map.
        let table = map.generate_lookup_table();
        let token = map.lookup_token(&table, line.checked_sub(1)?, column.checked_sub(1)?)?;
        let source = map.get_source(token.get_source_id()?)?;
        let root = map.get_source_root().unwrap_or_default();
        let slash = if root.is_empty() || root.ends_with('/') { "" } else { "/" };
        let (line, column) = (token.get_src_line() + 1, token.get_src_col() + 1);
        Some(format!("{root}{slash}{source}:{line}:{column}"))
    }
}

/// Whether a line is a frame of a stack as V8 prints it.
fn is_frame(line: &str) -> bool {
    line.trim_start().starts_with("at ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::ModuleKind;

    fn maps(map: &str) -> SourceMaps {
        SourceMaps::new(&[Module {
            name: "main.js".to_owned(),
            kind: ModuleKind::EsModule,
            contents: Vec::new(),
            source_map: Some(map.as_bytes().to_vec()),
        }])
    }

    /// Line 1 of `main.js` from column 1 is line 3, column 5 of `src/index.ts`.
    const MAP: &str =
        r#"{"version":3,"sources":["src/index.ts"],"names":[],"mappings":"AAEI","sourceRoot":""}"#;

    #[test]
    fn a_stack_names_the_source() {
        let stack = "Error: boom\n    at Object.fetch (file:///bundle/main.js:1:1)\n    at file:///bundle/other.js:2:3";
        let expected = "Error: boom\n    at Object.fetch (src/index.ts:3:5)\n    at other.js:2:3";
        assert_eq!(maps(MAP).map(stack), expected);
    }

    #[test]
    fn a_stack_of_an_older_compatibility_date_has_bare_names() {
        let stack = "Error: main.js:1:1\n    at Object.fetch (main.js:1:1)\n    at main.js:1:1\n";
        let expected =
            "Error: main.js:1:1\n    at Object.fetch (src/index.ts:3:5)\n    at src/index.ts:3:5\n";
        assert_eq!(maps(MAP).map(stack), expected);
        assert_eq!(maps(MAP).map("    at x (node:internal:1:1)"), "    at x (node:internal:1:1)");
    }

    #[test]
    fn a_broken_map_changes_nothing_but_the_scheme() {
        assert_eq!(maps("{").map("at file:///bundle/main.js:1:1"), "at main.js:1:1");
    }

    proptest! {
        #[test]
        fn no_text_and_no_map_panics(text in "(file:///bundle/|    at |main.js|:|[0-9]{1,12}|\\)|\n| |.){0,20}", map in ".{0,40}") {
            let _ = maps(MAP).map(&text);
            let _ = maps(&map).map(&text);
            let _ = maps(&format!(r#"{{"version":3,"sources":["a"],"names":[],"mappings":"{map}"}}"#)).map(&text);
        }
    }
}
