//! Reading of lines from files of any kind.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::*;

const MAX_LINE_BYTES: usize = 1_000;

fn lines(file: &[u8], tenant: Option<&str>) -> Vec<Result<Line, (u64, Refusal)>> {
    let source = decompressed(io::Cursor::new(file.to_vec())).unwrap();
    Lines::new(source, MAX_LINE_BYTES, tenant.map(str::to_owned)).collect()
}

/// Returns the number of each line, and its plan or the code with which it is refused. `!` marks the end of what is read.
fn outcomes(file: &[u8]) -> Vec<String> {
    lines(file, None)
        .into_iter()
        .map(|line| match line {
            Ok(Line { number, plan, event: Ok(_), .. }) => format!("{number} {}", plan.subject.unwrap_or_default()),
            Ok(Line { number, plan, event: Err(refusal), .. }) => {
                format!("{number} {} {}", plan.subject.unwrap_or_default(), refusal.code)
            }
            Err((number, refusal)) => format!("{number} ! {}", refusal.code),
        })
        .collect()
}

fn event(plan: &str) -> String {
    json!({ "specversion": "1.0", "id": "1", "type": "any.thing", "subject": plan }).to_string()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn byte_order_marks_line_endings_and_empty_lines_are_harmless() {
    let (p, q) = (event("p"), event("q"));
    for text in [
        format!("{p}\n{q}\n"),
        format!("{p}\n{q}"),
        format!("{p}\r\n{q}\r\n"),
        format!("\u{feff}{p}\n{q}\n"),
        format!("\u{feff}{p}\r\n\u{feff}{q}"),
        format!("  {p}\t\n {q}"),
    ] {
        assert_eq!(outcomes(text.as_bytes()), ["1 p", "2 q"], "{text:?}");
    }
    assert_eq!(outcomes(format!("\n{p}\n \r\n\n{q}").as_bytes()), ["2 p", "5 q"]);
    assert_eq!(outcomes(b""), [""; 0]);
}

#[test]
fn a_file_of_several_gzip_members_is_one_file() {
    let (p, q) = (event("p"), event("q"));
    let members = [gzip(&format!("{p}\n{q}")), gzip(&format!("\n{p}\n"))].concat();
    assert_eq!(outcomes(&members), ["1 p", "2 q", "3 p"]);
}

/// Nothing is published after a line that may be an event of any plan.
#[test]
fn reading_ends_at_a_line_whose_plan_is_unknown() {
    let (p, q) = (event("p"), event("q"));
    let utf16: Vec<u8> = format!("\u{feff}{p}\n{q}\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (file, expected) in [
        (format!("{p}\n{{\"subject\":\"q\",\n{q}").into_bytes(), vec!["1 p", "2 ! json_syntax"]),
        (format!("[{p},{q}]\n{q}").into_bytes(), vec!["1 ! invalid_field"]),
        (format!("[\n{p},\n{q}\n]").into_bytes(), vec!["1 ! json_syntax"]),
        (format!("{p}\n{}\n{q}", "x".repeat(MAX_LINE_BYTES + 1)).into_bytes(), vec!["1 p", "2 ! too_large"]),
        (format!("{p}\n\n{q}{q}").into_bytes(), vec!["1 p", "3 ! json_syntax"]),
        (b"{\"subject\":\"p\",\"subject\":\"q\"}\n".to_vec(), vec!["1 ! json_duplicate_key"]),
        (utf16, vec!["1 ! json_utf8"]),
        (vec![0; 10_000], vec!["1 ! too_large"]),
        (gzip(&"\0".repeat(1 << 20)), vec!["1 ! too_large"]),
        ([gzip(&format!("{p}\n")), b"garbage".to_vec()].concat(), vec!["1 p", "2 ! unreadable"]),
    ] {
        assert_eq!(outcomes(&file), expected, "{}", String::from_utf8_lossy(&file));
    }
    // A file that was cut off.
    let whole = gzip(&format!("{p}\n{q}\n"));
    for length in 3..whole.len() {
        let read = outcomes(&whole[..length]);
        assert!(read.last().is_some_and(|last| last.ends_with("! unreadable")), "{length} bytes: {read:?}");
    }
}

#[test]
fn a_line_that_only_the_strict_reader_refuses_names_its_plan() {
    for (data, code) in [
        (r#"{"a":1,"a":2}"#, "json_duplicate_key"),
        ("9007199254740993", "json_integer_range"),
        ("1e999", "json_number_range"),
        (r#""\u0000""#, "json_nul"),
        (r#""\ud800""#, "json_lone_surrogate"),
    ] {
        let text = format!("{{\"subject\":\"p\",\"tenantid\":\"acme\",\"data\":{data}}}\n{}", event("q"));
        assert_eq!(outcomes(text.as_bytes()), [format!("1 p {code}"), "2 q".to_owned()], "{data}");
    }
}

fn ids(text: &str, tenant: Option<&str>) -> Vec<String> {
    let events = lines(text.as_bytes(), tenant).into_iter().map(|line| line.unwrap().event.unwrap());
    events.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_event_without_an_id_gets_one_from_its_content_and_its_line() {
    let anonymous = |data: u8| format!(r#"{{"specversion":"1.0","type":"any.thing","subject":"p","data":{data}}}"#);
    let text = format!("{}\n{}\n{}\n", anonymous(1), anonymous(1), anonymous(2));
    let first = ids(&text, None);
    assert_eq!(ids(&text, None), first, "a second import has other ids");
    assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 3, "{first:?}");
    assert!(first.iter().all(|id| uuid::Uuid::try_parse(id).unwrap().get_version_num() == 8), "{first:?}");
    // Spelling, line endings and the tenant of the import do not matter; null is no id.
    assert_eq!(ids(&text.replace('\n', "\r\n").replace("\"type\"", " \"t\\u0079pe\" "), Some("acme")), first);
    assert_eq!(ids(&text.replace("\"data\"", "\"id\":null,\"data\""), None), first);
    // Content and place do.
    assert_ne!(ids(&text.replace("any.thing", "any.other"), None)[0], first[0]);
    assert_ne!(ids(&format!("\n{text}"), None)[0], first[0]);
    // An id of the producer stays as it is, whatever it is.
    assert_eq!(ids(r#"{"subject":"p","id":"A-1"}"#, None), ["A-1"]);
    assert_eq!(ids(r#"{"subject":"p","id":""}"#, None), [""]);
}

#[test]
fn the_tenant_of_the_import_is_for_events_that_name_none() {
    let text = "{\"subject\":\"p\"}\n{\"subject\":\"p\",\"tenantid\":null}\n{\"subject\":\"p\",\"tenantid\":\"other\"}";
    let tenants: Vec<_> =
        lines(text.as_bytes(), Some("acme")).into_iter().map(|line| line.unwrap().plan.tenant).collect();
    assert_eq!(tenants, [Some("acme".to_owned()), Some("acme".to_owned()), Some("other".to_owned())]);
}
