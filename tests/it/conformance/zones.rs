//! Time zones, which each host knows by itself: a table here, the platform's in the Worker.

use super::hub::Hub;
use crate::support::hub::{decode, permit};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

/// With daylight saving in the north and in the south (by half an hour there), without, and with parts of an hour.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "america/st_johns",
    "America/Argentina/Buenos_Aires",
    "Asia/Kolkata",
    "UTC",
];

/// The minute on the wall at that second, in Cedar's terms.
fn wall(zone: &str, seconds: i64) -> String {
    let local = TimeZone::get(zone).unwrap().to_datetime(Timestamp::from_second(seconds).unwrap());
    let (date, weekday) = (local.date(), local.weekday().to_monday_one_offset());
    let (hour, minute) = (local.hour(), local.minute());
    format!(
        r#"(context.date == "{date}" && context.weekday == {weekday} && context.hour == {hour} && context.minute == {minute})"#
    )
}

fn put_zone(hub: &Hub, tenant: &Value, zone: &str) -> crate::support::Reply {
    let body = json!({"name": tenant["name"], "zone": zone});
    hub.admin("PUT", "tenants/main").header("if-match", "*").json(&body).send()
}

#[test]
fn policies_see_the_date_and_the_minute_on_the_wall_of_the_tenants_zone() {
    let hub = Hub::open();
    let tenant = hub.admin("GET", "tenants/main").send().expect(200).json();
    let body = json!({"client_name": "conformance", "allowed_resources": [hub.resource]});
    let client = hub.make("clients", &body, "client_id");
    let (_, claims) = decode(&hub.agents_token(&[]).expect(200).access_token());
    let now = claims["iat"].as_i64().unwrap();
    for zone in ZONES {
        put_zone(&hub, &tenant, zone).expect(200);
        let minutes: Vec<String> = (0..5).map(|minute| wall(zone, now + 60 * minute)).collect();
        let condition = format!(" when {{ {} }};", minutes.join(" || "));
        let _policy = hub.policy(&permit(&client.credentials().client_id, &hub.resource).replace(';', &condition));
        hub.within_the_bound(zone, || (hub.token(&client.credentials(), &[]).status == 200).then_some(()));
    }
    put_zone(&hub, &tenant, tenant["zone"].as_str().unwrap()).expect(200);
}

#[test]
fn a_time_zone_has_a_name_of_the_iana_database() {
    let hub = Hub::open();
    let tenant = hub.admin("GET", "tenants/main").send().expect(200).json();
    let long = "Europe/".to_owned() + &"a".repeat(64);
    for unknown in [
        "",
        "Mars/Olympus",
        "Etc/Unknown",
        "../etc/passwd",
        "+02:00",
        "EST5EDT,M3.2.0,M11.1.0",
        "UTC\0",
        "Zürich",
        &long,
    ] {
        let reply = put_zone(&hub, &tenant, unknown).expect(400);
        assert_eq!(reply.json()["reason"], "InvalidField", "{unknown:?}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("`zone`"), "{reply:?}");
    }
}
