//! `Intl.DateTimeFormat` as the [`Zones`] port: the platform has the table of time zones, and keeps it current. Formatters are kept
//! for the life of the isolate, since one takes longer to make than to use many times.

use crate::ports::{Now, Zones};
use js_sys::{Array, Function, Object, Reflect};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use wasm_bindgen::{JsCast, JsValue};

/// How many formatters are kept; beyond that they are made again.
const KEPT: usize = 100;

/// `format` of a formatter for each zone, and what it has answered last: a second's requests ask the same.
#[derive(Default)]
pub struct Intl(RefCell<HashMap<String, Formatter>>);

struct Formatter {
    format: Function,
    last: Cell<Option<(i64, Option<i32>)>>,
}

impl Zones for Intl {
    fn offset(&self, zone: &str, at: Now) -> Option<i32> {
        if let Some(known) = self.0.borrow().get(zone) {
            return known.offset(at);
        }
        // An unknown zone throws.
        let made = Formatter { format: formatter(zone).ok()?, last: Cell::new(None) };
        let offset = made.offset(at);
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(zone.to_owned(), made);
        offset
    }
}

impl Formatter {
    fn offset(&self, at: Now) -> Option<i32> {
        let second = at.seconds();
        if let Some((asked, answer)) = self.last.get()
            && asked == second
        {
            return answer;
        }
        let millis = JsValue::from_f64(at.millis() as f64);
        let text = self.format.call1(&JsValue::UNDEFINED, &millis).ok().and_then(|text| text.as_string());
        let answer = text.and_then(|text| seconds(&text));
        self.last.set(Some((second, answer)));
        answer
    }
}

/// Makes a formatter that is not used: the first of an isolate takes long, and so is made while it starts.
pub fn warm() {
    drop(formatter("UTC"));
}

/// The function that writes a moment as `1/6/2026, GMT+01:00`.
fn formatter(zone: &str) -> Result<Function, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"timeZone".into(), &zone.into())?;
    Reflect::set(&options, &"timeZoneName".into(), &"longOffset".into())?;
    let intl = Reflect::get(&js_sys::global(), &"Intl".into())?;
    let class = Reflect::get(&intl, &"DateTimeFormat".into())?.unchecked_into::<Function>();
    let formatter = Reflect::construct(&class, &Array::of2(&"en-US".into(), &options))?;
    Ok(Reflect::get(&formatter, &"format".into())?.unchecked_into())
}

/// The distance from UTC at the end of the text: `GMT`, `GMT-03:30`, long ago also `GMT+00:53:28`.
fn seconds(text: &str) -> Option<i32> {
    let (_, offset) = text.rsplit_once("GMT")?;
    let Some(sign) = offset.chars().next() else { return Some(0) };
    let mut seconds = 0_i32;
    for (part, unit) in offset.get(1..)?.split(':').zip([3600, 60, 1]) {
        seconds = seconds.checked_add(part.parse::<i32>().ok()?.checked_mul(unit)?)?;
    }
    match sign {
        '+' => Some(seconds),
        '-' => Some(0_i32.checked_sub(seconds)?),
        _ => None,
    }
}
