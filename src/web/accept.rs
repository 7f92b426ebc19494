//! In which of its forms a list is sent (RFC 9110 §12.5.1).

use http::{HeaderMap, header::ACCEPT};

/// The forms of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One object.
    Json,
    /// A consignment a line.
    Ndjson,
    /// A row for each container.
    Csv,
    /// Server-sent events: what goes on.
    Events,
}

impl Form {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Events => "text/event-stream",
        }
    }
}

/// Which of the `offered` forms, the first ones first, the caller likes best; `None` when it takes none of them.
pub(super) fn choose(headers: &HeaderMap, offered: &[Form]) -> Option<Form> {
    let ranges: Vec<_> = (headers.get_all(ACCEPT).iter())
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let mut best = None;
    for &form in offered {
        let liked = liked(&ranges, form.media_type());
        if liked > best.map_or(0, |(liked, _)| liked) {
            best = Some((liked, form));
        }
    }
    best.map(|(_, form)| form)
}

/// A media range and how much it is liked, from 0 to 1,000.
struct Range<'a> {
    /// `*` for any.
    main: &'a str,
    sub: &'a str,
    liked: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some(Self {
            main,
            sub,
            liked: quality.map_or(Some(1_000), thousandths)?,
        })
    }

    /// How exactly it means `main/sub`; `None` where it does not.
    fn means(&self, main: &str, sub: &str) -> Option<u8> {
        let is = |range: &str, own: &str| range.eq_ignore_ascii_case(own);
        match (is(self.main, main), is(self.sub, sub)) {
            (true, true) => Some(2),
            (true, false) if self.sub == "*" => Some(1),
            _ if self.main == "*" && self.sub == "*" => Some(0),
            _ => None,
        }
    }
}

/// The most exact range says how much something is liked.
fn liked(ranges: &[Range<'_>], media_type: &str) -> u16 {
    let (main, sub) = media_type.split_once('/').unwrap_or_default();
    let meant = ranges
        .iter()
        .filter_map(|range| Some((range.means(main, sub)?, range.liked)));
    meant.max().map_or(0, |(_, liked)| liked)
}

/// A quality like `0.8`.
fn thousandths(text: &str) -> Option<u16> {
    let quality: f32 = text.parse().ok().filter(|one| (0.0..=1.0).contains(one))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is from 0 to 1,000"
    )]
    Some((quality * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ALL: [Form; 4] = [Form::Json, Form::Ndjson, Form::Csv, Form::Events];

    fn chosen(accept: Option<&str>, offered: &[Form]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_str(accept).unwrap())));
        choose(&headers, offered)
    }

    #[test]
    fn the_caller_chooses_and_else_the_first_is_sent() {
        for (accept, form) in [
            (None, Some(Form::Json)),
            (Some("*/*"), Some(Form::Json)),
            (Some("text/csv"), Some(Form::Csv)),
            (Some("Text/CSV"), Some(Form::Csv)),
            (Some("text/*"), Some(Form::Csv)),
            (Some("application/x-ndjson, */*;q=0.1"), Some(Form::Ndjson)),
            (
                Some("text/csv;q=0.5, application/json;q=0.4"),
                Some(Form::Csv),
            ),
            (Some("*/*, application/json;q=0"), Some(Form::Ndjson)),
            (
                Some("text/html,application/xhtml+xml,*/*;q=0.8"),
                Some(Form::Json),
            ),
            (Some("text/event-stream"), Some(Form::Events)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(chosen(accept, &ALL), form, "{accept:?}");
        }
        assert_eq!(chosen(Some("*/*"), &[Form::Events]), Some(Form::Events));
        assert_eq!(chosen(Some("application/json"), &[Form::Events]), None);
        assert_eq!(chosen(Some("nonsense"), &ALL), Some(Form::Json));
    }
}
