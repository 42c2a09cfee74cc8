//! The memory that reading a body needs, measured with an allocator that counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use peak_alloc::PeakAlloc;
use sealbus_core::canonical::MAX_PAYLOAD;
use sealbus_core::catalog::Catalog;
use sealbus_core::cloudevents::from_structured;
use sealbus_core::error::Refused;
use sealbus_core::names::{Plan, Tenant};
use sealbus_core::request::{
    Context, EventKey, EventRequest, Events, Limits, MEMORY_PER_BYTE, MEMORY_PER_CHECKED_PART, MEMORY_PER_EVENT,
    Prepared, read_body,
};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes of the longest bodies. What a byte needs does not depend on how many there are.
const BODY_BYTES: usize = 512 << 10;
const LIMITS: Limits = Limits { body_bytes: BODY_BYTES, events: 1_000, event_bytes: MAX_PAYLOAD, members: 16_384 };

/// A type with a schema that looks at every value, at all depths.
const CATALOG: &str = "module: own
patterns:
  any.*: { schema: any }
types:
  checked:
    versions:
      1:
        schema:
          $defs:
            tree:
              anyOf:
                - { type: [string, number, \"null\", boolean] }
                - { type: array, uniqueItems: false, items: { $ref: '#/$defs/tree' } }
                - { type: object, properties: { x: { const: 1 } }, additionalProperties: { $ref: '#/$defs/tree' } }
          $ref: '#/$defs/tree'
";

/// Texts of which bodies consist that need much memory for their length.
fn data() -> Vec<(&'static str, String)> {
    let list = |part: &str, count: usize| format!("[{}]", vec![part; count].join(","));
    let members = |value: &str, count: usize, name: fn(usize) -> String| {
        let members: Vec<_> = (0..count).map(|n| format!("\"{}\":{value}", name(n))).collect();
        format!("{{{}}}", members.join(","))
    };
    let nested = |open: &str, close: &str| format!("{}0{}", open.repeat(60), close.repeat(60));
    vec![
        ("objects in objects", list(&nested("{\"\":", "}"), 260)),
        ("arrays in arrays", list(&nested("[", "]"), 260)),
        ("pairs in pairs", list(&nested("[0,", "]"), 130)),
        ("empty objects", list("{}", 16_000)),
        ("empty arrays", list("[]", 16_000)),
        ("objects of one member", list("{\"\":0}", 8_000)),
        ("digits", list("0", 16_000)),
        ("numbers that become longer", list("1e15", 15_000)),
        ("empty strings", list("\"\"", 16_000)),
        ("members in order", members("0", 16_000, |n| format!("{n:05}"))),
        ("members in reverse order", members("0", 16_000, |n| format!("{:05}", 99_999 - n))),
        ("members whose names have escapes", members("0", 8_000, |n| format!("\\u000{}{}", n % 9 + 1, 99_999 - n))),
        ("equal members", members("0", 16_000, |_| "name".to_owned())),
        ("escapes", format!("\"{}\"", "\\u0001".repeat(40_000))),
        ("a long string", format!("\"{}\"", "x".repeat(200_000))),
        ("nothing", "0".to_owned()),
    ]
}

/// Returns a body of as many events of this text as fit.
fn body(event: &str) -> String {
    let count = (BODY_BYTES / (event.len() + 1)).clamp(1, 1_000);
    format!("[{}]", vec![event; count].join(","))
}

/// Reads and prepares all events of a body as a publisher does, and returns what it holds in the end.
fn drafts(body: &str, catalog: &Catalog, read: fn(&[u8]) -> Result<Vec<EventRequest>, Refused>) -> Vec<Prepared> {
    let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse("p").unwrap());
    let prepare = |(index, request): (usize, EventRequest)| {
        let context = Context {
            tenant: &tenant,
            plan: &plan,
            credential: "svc",
            any_actor: false,
            idempotency_key: Some(EventKey::of_array("key", index, 1_000)),
            traceparent: None,
            fresh_id: Uuid::from_u128(1),
        };
        request.prepare(&context, catalog, &LIMITS).ok()
    };
    let requests = read(body.as_bytes()).unwrap_or_default();
    requests.into_iter().enumerate().filter_map(prepare).collect()
}

fn native(body: &[u8]) -> Result<Vec<EventRequest>, Refused> {
    read_body(body, &LIMITS).map(|(requests, _)| requests)
}

fn cloudevents(body: &[u8]) -> Result<Vec<EventRequest>, Refused> {
    Events::new(body, &LIMITS)?.map(|event| Ok(from_structured(&event?)?.request)).collect()
}

/// This is the only test of this binary, because the allocator counts for the whole process.
#[test]
fn a_body_needs_a_small_multiple_of_its_bytes() {
    let catalog = Catalog::read(&[("own.yaml".into(), CATALOG.into())]).unwrap();
    let attributes = r#""specversion":"1.0","subject":"p","type":"any.a""#;
    let mut worst = (0, String::new());
    let mut measure = |name: String, body: &str, read, checked: bool| {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let drafts = drafts(body, &catalog, read);
        let peak = ALLOCATOR.peak_usage().saturating_sub(before) + body.len();
        // One more for the event whose refusal ends the body.
        let for_events = (drafts.len() + 1) * MEMORY_PER_EVENT;
        let for_events = for_events + if checked { LIMITS.members * MEMORY_PER_CHECKED_PART } else { 0 };
        let allowed = body.len() * MEMORY_PER_BYTE + for_events;
        assert!(peak <= allowed, "{name}: {peak} bytes for a body of {}; {allowed} are allowed", body.len());
        let tenths = peak.saturating_sub(for_events) * 10 / body.len();
        if tenths > worst.0 {
            worst = (tenths, name);
        }
        drafts.len()
    };
    for (name, data) in data() {
        for (event_type, checked) in [("any.a", false), ("checked", true)] {
            let event = format!(r#"{{"type":"{event_type}","data":{data}}}"#);
            let stored = measure(format!("{name} as {event_type}"), &body(&event), native, checked);
            assert_eq!(stored > 0, name != "equal members", "{name} as {event_type}");
            measure(format!("one event with {name} as {event_type}"), &event, native, checked);
            measure(format!("{name} that end too early"), &body(&event)[..event.len()], native, checked);
        }
        measure(
            format!("{name} as data of a CloudEvent"),
            &body(&format!(r#"{{{attributes},"data":{data}}}"#)),
            cloudevents,
            false,
        );
        measure(
            format!("{name} as text of a CloudEvent"),
            &body(&format!(r#"{{{attributes},"datacontenttype":"text/plain","data":{data}}}"#)),
            cloudevents,
            false,
        );
        measure(
            format!("{name} as metadata"),
            &body(&format!(r#"{{"type":"any.a","metadata":{{"m":{data}}}}}"#)),
            native,
            false,
        );
        // One event that is as long as the body.
        let repeated = vec![data.as_str(); BODY_BYTES / (data.len() + 1)].join(",");
        measure(
            format!("{name} beyond all limits"),
            &format!(r#"{{"type":"any.a","data":[{repeated}]}}"#),
            native,
            false,
        );
    }
    for (name, members) in [("few attributes", 10), ("many attributes", 2_000), ("too many attributes", 500_000)] {
        let extensions: Vec<_> = (0..members).map(|n| format!("\"{}\":0", 999_999 - n)).collect();
        let event = format!("{{{attributes},{}}}", extensions.join(","));
        measure(name.to_owned(), &body(&event), cloudevents, false);
        measure(format!("{name} in a native event"), &body(&event), native, false);
    }
    println!("the most that is needed for a byte is {}.{} bytes: {}", worst.0 / 10, worst.0 % 10, worst.1);
}
