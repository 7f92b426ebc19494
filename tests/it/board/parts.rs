//! The page's files.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    security::{serve, token},
    support::{
        answer::{Answer, get, send},
        folder,
    },
};

const POLICY: [&str; 10] = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
];

#[track_caller]
fn is_sealed(part: &Answer) {
    let directives: Vec<_> = (part.header("content-security-policy").unwrap())
        .split("; ")
        .collect();
    assert_eq!(directives, POLICY);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(part.header(name), Some(value), "{part:?}");
    }
    assert_eq!(part.header("access-control-allow-origin"), None);
}

/// The parts that `text` names, in its own folder.
fn named(text: &str) -> impl Iterator<Item = String> + '_ {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted.filter_map(|name| {
        let name = name.strip_prefix("/board/").or(name.strip_prefix("./"))?;
        Some(name.to_owned())
    })
}

#[test]
fn whoever_has_no_token_gets_the_page_and_all_its_parts_and_nothing_else() {
    let home = folder();
    let (_, line) = token(home.path(), "desk", "read");
    let tokens = crate::cli::file(home.path(), "tokens", line);
    let server = serve(home.path(), &["--tokens", &tokens]);
    let first = get(server.address, "/?vessel_id=a", &[]).is(200);
    is_sealed(&first);
    assert_eq!(
        first.header("content-type"),
        Some("text/html; charset=utf-8")
    );

    let mut known = BTreeSet::new();
    let mut wanted: Vec<_> = named(&first.body).collect();
    while let Some(name) = wanted.pop() {
        if !known.insert(name.clone()) {
            continue;
        }
        let part = get(server.address, &format!("/board/{name}"), &[]).is(200);
        is_sealed(&part);
        let media_type = match name.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(part.header("content-type"), Some(media_type), "{name}");
        wanted.extend(named(&part.body));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/board");
    let mut files: BTreeSet<_> = (fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.remove("index.html");
    assert_eq!(known, files);

    get(server.address, "/board/nothing.js", &[]).is(404);
    get(server.address, "/v1/consignments", &[]).is(401);
    get(server.address, "/v1/vessels", &[]).is(401);
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let home = folder();
    let server = serve(home.path(), &[]);
    for path in ["/", "/board/board.js"] {
        let part = get(server.address, path, &[]).is(200);
        let tag = part.header("etag").unwrap();
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}")] {
            let again = get(server.address, path, &[&format!("If-None-Match: {known}")]).is(304);
            assert_eq!((again.body.as_str(), again.header("etag")), ("", Some(tag)));
            is_sealed(&again);
        }
        get(server.address, path, &["If-None-Match: \"x\""]).is(200);
    }
}

#[test]
fn the_page_is_only_read_and_only_by_the_servers_names() {
    let home = folder();
    let server = serve(home.path(), &[]);
    send(server.address, "POST", "/", &[], "").is(405);
    get(server.address, "/", &["Host: depot.example"]).is(421);
    assert_eq!(send(server.address, "HEAD", "/", &[], "").is(200).body, "");
}

/// The policy would stop most of it in a browser; here it is found without one.
#[test]
fn the_page_makes_nothing_out_of_text_and_takes_nothing_from_elsewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/board");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for banned in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "style=\"",
            "onclick=",
            "javascript:",
            "localStorage",
            "document.cookie",
            "src=\"http",
            "url(",
            "@import",
        ] {
            assert!(!text.contains(banned), "{banned} in {}", path.display());
        }
    }
}
