//! What a JSON schema says: its references, choices, words and types.

use serde_json::Value as Json;

/// Follows a reference within `root`.
pub fn resolve<'s>(root: &'s Json, schema: &'s Json) -> &'s Json {
    let target = schema.get("$ref").and_then(Json::as_str).and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// The variants of a choice, if it is one.
pub fn choice(schema: &Json) -> Option<&[Json]> {
    schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array).map(Vec::as_slice)
}

/// The variants of a choice, with those of choices among them.
pub fn flat<'s>(root: &'s Json, variants: &'s [Json]) -> Vec<&'s Json> {
    let inner = |variant: &'s Json| {
        let variant = resolve(root, variant);
        choice(variant).map_or_else(|| vec![variant], |inner| flat(root, inner))
    };
    variants.iter().flat_map(inner).collect()
}

/// The words of a schema that allows nothing else.
pub fn words(schema: &Json) -> Vec<&str> {
    let constant = schema.get("const").and_then(Json::as_str);
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    constant.into_iter().chain(listed).collect()
}

/// The property by which a variant is told from the others.
pub fn tag(variant: &Json) -> Option<&str> {
    let properties = variant.get("properties")?.as_object()?;
    properties.iter().find(|(_, schema)| schema.get("const").is_some()).map(|(name, _)| name.as_str())
}

/// The types that a schema allows.
pub fn type_names(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => vec![],
    }
}
