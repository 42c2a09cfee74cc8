use std::time::Instant;
use sealbus_core::{catalog::Catalog, names::*, request::*};
fn main() {
    let own = "module: own\npatterns: { bench.*: { schema: any } }";
    let catalog = Catalog::read(&[("o".into(), own.into())]).unwrap();
    let t = Instant::now(); let _ = Catalog::shipped(); println!("catalog {:?}", t.elapsed());
    let limits = Limits::default();
    let (tenant, plan) = (Tenant::parse("acme").unwrap(), Plan::parse("p-1").unwrap());
    for (name, event) in [
        ("one string", format!(r#"{{"type":"bench.event","data":{{"text":"{}"}}}}"#, "x".repeat(1013))),
        ("20 fields", format!(r#"{{"type":"bench.event","data":{{{}}}}}"#, (0..20).map(|n| format!(r#""field_{n}":{{"a":{n},"b":"{}"}}"#, "y".repeat(20))).collect::<Vec<_>>().join(","))),
        ("settled", r#"{"type":"payment.settled","data":{"amount":"10.00","currency":"EUR"}}"#.to_owned()),
    ] {
        let body = format!("[{}]", vec![event.clone(); 100].join(","));
        let n = 200;
        let (mut read, mut prep, mut show) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let t = Instant::now();
            let (events, _) = read_body(body.as_bytes(), &limits).unwrap();
            read += t.elapsed().as_secs_f64();
            let t = Instant::now();
            let mut out = Vec::new();
            for e in &events {
                let c = Context { tenant: &tenant, plan: &plan, credential: "x", any_actor: false, idempotency_key: None, traceparent: None, fresh_id: uuid::Uuid::from_u128(7) };
                out.push(e.prepare(&c, &catalog, &limits).unwrap());
            }
            prep += t.elapsed().as_secs_f64();
            let t = Instant::now();
            for p in &out {
                let v: serde_json::Value = serde_json::from_str(p.payload.as_ref().unwrap()).unwrap();
                let m: serde_json::Value = serde_json::from_str(&p.metadata).unwrap();
                let s = serde_json::json!({"data": v, "metadata": m, "a": "b", "c": "d"}).to_string();
                std::hint::black_box(s);
            }
            show += t.elapsed().as_secs_f64();
        }
        let per = |s: f64| s * 1e6 / f64::from(n) / 100.0;
        println!("{name}: {} B, read {:.2} µs, prepare {:.2} µs, show {:.2} µs an event", event.len(), per(read), per(prep), per(show));
    }
}
