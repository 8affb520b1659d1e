//! The JSON schemas that the service publishes; creation is checked against the one of an image.

use super::routes::json;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json as value};

pub(crate) const DISK_FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
pub(crate) const CONTAINER_FORMATS: [&str; 8] = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];
pub(crate) const ID_PATTERN: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

/// Answers one of the four schemas.
pub(crate) fn schema(name: &str) -> Response<Body> {
    let body = match name {
        "image" => image(),
        "images" => images(),
        "member" => member(),
        _ => members(),
    };
    json(StatusCode::OK, &body)
}

fn with_null(words: &[&str]) -> Value {
    std::iter::once(Value::Null).chain(words.iter().map(|word| value!(word))).collect()
}

/// The schema of an image.
pub(crate) fn image() -> Value {
    let mut properties = attributes();
    if let (Value::Object(all), Value::Object(readonly)) = (&mut properties, read_only()) {
        all.extend(readonly);
    }
    value!({
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

fn attributes() -> Value {
    value!({
        "id": {"type": "string", "description": "An identifier for the image", "pattern": ID_PATTERN},
        "name": {"type": ["null", "string"], "description": "Descriptive name for the image", "maxLength": 255},
        "visibility": {
            "type": "string", "description": "Scope of image accessibility",
            "enum": ["community", "public", "private", "shared"],
        },
        "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
        "os_hidden": {
            "type": "boolean", "description": "If true, image will not appear in default image list response.",
        },
        "owner": {"type": ["null", "string"], "description": "Owner of the image", "maxLength": 255},
        "container_format": {
            "type": ["null", "string"], "description": "Format of the container", "enum": with_null(&CONTAINER_FORMATS),
        },
        "disk_format": {
            "type": ["null", "string"], "description": "Format of the disk", "enum": with_null(&DISK_FORMATS),
        },
        "tags": {
            "type": "array", "description": "List of strings related to the image",
            "items": {"type": "string", "maxLength": 255},
        },
        "min_ram": {"type": "integer", "description": "Amount of ram (in MB) required to boot image."},
        "min_disk": {"type": "integer", "description": "Amount of disk space (in GB) required to boot image."},
        "locations": {
            "type": "array", "description": "A set of URLs to access the image file kept in external store",
            "items": {
                "type": "object", "required": ["url", "metadata"],
                "properties": {
                    "url": {"type": "string", "maxLength": 255},
                    "metadata": {"type": "object"},
                    "validation_data": validation_data(),
                },
            },
        },
    })
}

fn validation_data() -> Value {
    value!({
        "type": "object", "writeOnly": true, "additionalProperties": false,
        "description": "Values to be used to populate the corresponding image properties. If the image status is not \
            'queued', values must exactly match those already contained in the image properties.",
        "required": ["os_hash_algo", "os_hash_value"],
        "properties": {
            "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
            "os_hash_algo": {"type": "string", "maxLength": 64},
            "os_hash_value": {"type": "string", "maxLength": 128},
        },
    })
}

fn read_only() -> Value {
    value!({
        "status": {
            "type": "string", "readOnly": true, "description": "Status of the image",
            "enum": [
                "queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete",
                "deactivated",
            ],
        },
        "checksum": {
            "type": ["null", "string"], "readOnly": true, "description": "md5 hash of image contents.", "maxLength": 32,
        },
        "os_hash_algo": {
            "type": ["null", "string"], "readOnly": true, "maxLength": 64,
            "description": "Algorithm to calculate the os_hash_value",
        },
        "os_hash_value": {
            "type": ["null", "string"], "readOnly": true, "maxLength": 128,
            "description": "Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
        },
        "size": {"type": ["null", "integer"], "readOnly": true, "description": "Size of image file in bytes"},
        "virtual_size": {"type": ["null", "integer"], "readOnly": true, "description": "Virtual size of image in bytes"},
        "created_at": {"type": "string", "readOnly": true, "description": "Date and time of image registration"},
        "updated_at": {
            "type": "string", "readOnly": true, "description": "Date and time of the last image modification",
        },
        "direct_url": {
            "type": "string", "readOnly": true, "description": "URL to access the image file kept in external store",
        },
        "self": {"type": "string", "readOnly": true, "description": "An image self url"},
        "file": {"type": "string", "readOnly": true, "description": "An image file url"},
        "stores": {
            "type": "string", "readOnly": true,
            "description": "Store in which image data resides.  Only present when the operator has enabled multiple \
                stores.  May be a comma-separated list of store identifiers.",
        },
        "schema": {"type": "string", "readOnly": true, "description": "An image schema url"},
    })
}

fn images() -> Value {
    value!({
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": image()},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    })
}

fn member() -> Value {
    value!({
        "name": "member",
        "properties": {
            "member_id": {"type": "string", "description": "An identifier for the image member (tenantId)"},
            "image_id": {"type": "string", "description": "An identifier for the image", "pattern": ID_PATTERN},
            "created_at": {"type": "string", "description": "Date and time of image member creation"},
            "updated_at": {"type": "string", "description": "Date and time of last modification of image member"},
            "status": {
                "type": "string", "description": "The status of this image member",
                "enum": ["pending", "accepted", "rejected"],
            },
            "schema": {"readOnly": true, "type": "string"},
        },
    })
}

fn members() -> Value {
    value!({
        "name": "members",
        "properties": {"members": {"type": "array", "items": member()}, "schema": {"type": "string"}},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    })
}
