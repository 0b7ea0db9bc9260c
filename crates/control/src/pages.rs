//! Parts of long lists, as dashboards ask for them: `per_page` and `page_token`. Pure.

use crate::envelope::Failure;

/// Longest token that is read; those that are given out are shorter.
const LONGEST_TOKEN: usize = 128;

/// The part of a list that is asked for.
#[derive(Debug, Default)]
pub(crate) struct PageWish {
    /// How many there may be in it; all there are where nobody says.
    pub(crate) per_page: Option<usize>,
    /// What the answer before gave for the next part.
    pub(crate) token: Option<String>,
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// Asks for the next part; `None` after the last one.
    pub(crate) next: Option<String>,
}

impl PageWish {
    /// What the parameters of a query ask for.
    pub(crate) fn parse(per_page: Option<&str>, token: Option<String>) -> Result<Self, Failure> {
        let refused = |text: String| Failure::bad_request(format!("VALIDATE_INPUT: {text}"));
        let number = |text: &str| {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| refused(format!("per_page: \"{text}\" is no number from 1")))
        };
        let per_page = per_page.map(number).transpose()?;
        let token = token.filter(|token| !token.is_empty());
        let is_ours = |token: &String| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            token.len() <= LONGEST_TOKEN && token.bytes().all(known)
        };
        match token.as_ref().is_none_or(is_ours) {
            true => Ok(Self { per_page, token }),
            false => Err(refused("page_token: it is none that was given out".to_owned())),
        }
    }

    /// That part of a list. Keys are unique, made of letters, digits, `-` and `.`, and order it; since
    /// the token is the last one shown, nothing is left out or shown twice where others come and go.
    pub(crate) fn of<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> Part<T> {
        let mut keyed: Vec<_> = items.into_iter().map(|item| (key(&item), item)).collect();
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        keyed.retain(|(key, _)| self.token.as_ref().is_none_or(|token| key > token));
        let count = self.per_page.unwrap_or(keyed.len());
        let is_more = keyed.len() > count;
        keyed.truncate(count);
        let next = keyed.last().filter(|_| is_more).map(|(key, _)| key.clone());
        Part { items: keyed.into_iter().map(|(_, item)| item).collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(wish: &PageWish, items: &[&str]) -> (String, Option<String>) {
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        let part = wish.of(items, String::clone);
        (part.items.concat(), part.next)
    }

    fn wish(per_page: usize, token: Option<&str>) -> PageWish {
        PageWish { per_page: Some(per_page), token: token.map(str::to_owned) }
    }

    #[test]
    fn parts_are_the_whole_list() {
        let all = ["c", "a", "d", "b"];
        assert_eq!(part(&PageWish::default(), &all), ("abcd".into(), None));
        assert_eq!(part(&wish(3, None), &all), ("abc".into(), Some("c".into())));
        assert_eq!(part(&wish(3, Some("c")), &all), ("d".into(), None));
        assert_eq!(part(&wish(4, None), &all), ("abcd".into(), None));
        assert_eq!(part(&wish(1, None), &[]), (String::new(), None));
    }

    #[test]
    fn what_comes_and_goes_meanwhile_moves_nothing() {
        assert_eq!(part(&wish(2, Some("c")), &["a", "d", "e"]), ("de".into(), None));
        assert_eq!(part(&wish(2, Some("c")), &["a", "aa", "c", "d"]), ("d".into(), None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let parse = |per_page: &str, token: &str| {
            PageWish::parse(Some(per_page), Some(token.to_owned())).map(|wish| wish.per_page)
        };
        assert_eq!(parse("25", "0123.a-b"), Ok(Some(25)));
        assert_eq!(parse("25", ""), Ok(Some(25)));
        for per_page in ["0", "-1", "x", ""] {
            assert!(parse(per_page, "a").unwrap_err().message().contains("per_page"), "{per_page}");
        }
        for token in ["a b", "\u{e9}", &"a".repeat(LONGEST_TOKEN + 1)] {
            assert!(parse("1", token).unwrap_err().message().contains("page_token"), "{token}");
        }
    }
}
