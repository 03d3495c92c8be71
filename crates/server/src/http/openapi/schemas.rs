//! JSON schemas of all messages, read off the file descriptors.

use foreshadow_api::DESCRIPTORS;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::{Map, Value, json};

const PACKAGE: &str = ".foreshadow.v1.";

/// The schemas by name: `ShadowConfig`, `Allocation.State`, and `Error` for refusals.
pub(crate) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
    for file in set
        .file
        .iter()
        .filter(|file| file.package() == "foreshadow.v1")
    {
        for message in &file.message_type {
            add_message(&mut schemas, "", message);
        }
        for list in &file.enum_type {
            add_enum(&mut schemas, "", list);
        }
    }
    schemas.insert(
        "Error".to_owned(),
        json!({"type": "object", "properties": {
            "code": {"type": "integer", "description": "The gRPC status code"},
            "message": {"type": "string"},
        }}),
    );
    schemas
}

fn add_message(schemas: &mut Map<String, Value>, outer: &str, message: &DescriptorProto) {
    let name = format!("{outer}{}", message.name());
    let fields: Map<String, Value> = message
        .field
        .iter()
        .map(|field| (field.json_name().to_owned(), field_schema(message, field)))
        .collect();
    let prefix = format!("{name}.");
    message
        .nested_type
        .iter()
        .filter(|nested| !is_map(nested))
        .for_each(|nested| {
            add_message(schemas, &prefix, nested);
        });
    message
        .enum_type
        .iter()
        .for_each(|list| add_enum(schemas, &prefix, list));
    let schema = json!({"type": "object", "properties": fields, "additionalProperties": false});
    schemas.insert(name, schema);
}

fn add_enum(schemas: &mut Map<String, Value>, outer: &str, list: &EnumDescriptorProto) {
    let names: Vec<&str> = list
        .value
        .iter()
        .map(prost_types::EnumValueDescriptorProto::name)
        .collect();
    schemas.insert(
        format!("{outer}{}", list.name()),
        json!({"type": "string", "enum": names}),
    );
}

fn is_map(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(prost_types::MessageOptions::map_entry)
}

fn field_schema(message: &DescriptorProto, field: &FieldDescriptorProto) -> Value {
    if field.label() != Label::Repeated {
        return single(field);
    }
    let entry = message.nested_type.iter().find(|nested| {
        is_map(nested) && field.type_name().ends_with(&format!(".{}", nested.name()))
    });
    match entry.and_then(|entry| entry.field.get(1)) {
        Some(value) => json!({"type": "object", "additionalProperties": single(value)}),
        None => json!({"type": "array", "items": single(field)}),
    }
}

fn single(field: &FieldDescriptorProto) -> Value {
    match field.r#type() {
        Type::Double | Type::Float => json!({"type": "number"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::String => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Type::Int64 | Type::Uint64 | Type::Fixed64 | Type::Sfixed64 | Type::Sint64 => {
            json!({"type": "string", "pattern": "^-?[0-9]+$"})
        }
        Type::Int32 | Type::Uint32 | Type::Fixed32 | Type::Sfixed32 | Type::Sint32 => {
            json!({"type": "integer"})
        }
        Type::Message | Type::Group | Type::Enum => named(field.type_name()),
    }
}

fn named(type_name: &str) -> Value {
    match type_name {
        ".google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
        ".google.protobuf.Duration" => {
            json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$", "example": "90s"})
        }
        name => {
            let name = name.strip_prefix(PACKAGE).unwrap_or(name);
            json!({"$ref": format!("#/components/schemas/{name}")})
        }
    }
}
