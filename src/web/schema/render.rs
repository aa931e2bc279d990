//! Objects as JSON Schema 2020-12, for the document.

use super::{ANY, Kind, LAST_SECOND, Object};
use serde_json::{Map, Value, json};

/// The schemas that the document refers to by name, gathered while it is rendered.
#[derive(Default)]
pub struct Components(Map<String, Value>);

impl Components {
    /// What was gathered.
    pub fn into_schemas(self) -> Value {
        Value::Object(self.0)
    }

    /// The schema of a kind.
    pub fn kind(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Word => json!({"type": "string"}),
            Kind::Text(most) => json!({"type": "string", "minLength": 1, "maxLength": most}),
            Kind::Note(most) => json!({"type": "string", "maxLength": most}),
            Kind::Form(form) => {
                let mut schema = json!({"type": "string", "maxLength": form.most, "description": form.must});
                if let (Some(format), Some(members)) = (form.format, schema.as_object_mut()) {
                    members.insert("format".to_owned(), format.into());
                }
                schema
            }
            Kind::Words(name, words) => {
                if !self.0.contains_key(name) {
                    self.0.insert(name.to_owned(), json!({"type": "string", "enum": words()}));
                }
                reference(name)
            }
            Kind::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Kind::Count => json!({"type": "integer"}),
            Kind::Time => json!({
                "type": "integer", "minimum": 0, "maximum": LAST_SECOND, "description": "Seconds since the epoch",
            }),
            Kind::Boolean => json!({"type": "boolean"}),
            Kind::Json => json!({"type": "object"}),
            Kind::List(of, most) => {
                let items = self.kind(*of);
                match most {
                    ANY => json!({"type": "array", "items": items}),
                    _ => json!({"type": "array", "items": items, "maxItems": most}),
                }
            }
            Kind::Object(object) => self.object(object),
            Kind::Either(one, other) => json!({"anyOf": [self.kind(*one), self.kind(*other)]}),
        }
    }

    /// The schema of an object, by its name.
    pub fn object(&mut self, object: &Object) -> Value {
        if !self.0.contains_key(object.name) {
            // Known by name before its members are looked at: they may refer to it.
            self.0.insert(object.name.to_owned(), Value::Null);
            let schema = self.members(object);
            self.0.insert(object.name.to_owned(), schema);
        }
        reference(object.name)
    }

    fn members(&mut self, object: &Object) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for member in object.members() {
            let mut schema = self.kind(member.kind);
            if let (true, Some(members)) = (member.read_only, schema.as_object_mut()) {
                members.insert("readOnly".to_owned(), true.into());
            }
            properties.insert(member.name.to_owned(), schema);
            if member.needed {
                required.push(member.name);
            }
        }
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        if let (false, Some(members)) = (object.open, schema.as_object_mut()) {
            members.insert("additionalProperties".to_owned(), false.into());
        }
        schema
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
