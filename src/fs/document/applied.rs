//! An image after changes, as the service makes them.

use serde_json::Value;

use crate::image::{Image, Text};
use crate::service::Change;

/// The image with the changes; `None` where the service would refuse one, because it removes what is not there or sets a
/// value of another type.
pub(in crate::fs) fn applied(changes: &[Change], image: &Image) -> Option<Image> {
    let mut image = image.clone();
    for change in changes {
        match change {
            Change::Set { key, value } => set(&mut image, key, value)?,
            Change::Remove { key } => drop(image.properties.remove(key.as_str())?),
        }
    }
    Some(image)
}

fn set(image: &mut Image, key: &str, value: &Value) -> Option<()> {
    let text = || value.as_str().map(Text::from);
    let perhaps = || if value.is_null() { Some(None) } else { text().map(Some) };
    match key {
        "name" => image.name = perhaps()?.map(String::from),
        "visibility" => image.visibility = value.as_str()?.into(),
        "owner" => image.owner = perhaps()?,
        "protected" => image.protected = value.as_bool()?,
        "os_hidden" => image.hidden = value.as_bool()?,
        "disk_format" => image.disk_format = perhaps()?,
        "container_format" => image.container_format = perhaps()?,
        "min_disk" => image.min_disk = value.as_u64()?,
        "min_ram" => image.min_ram = value.as_u64()?,
        "tags" => {
            let tags = value.as_array()?.iter();
            image.tags = tags.map(|tag| tag.as_str().map(Text::from)).collect::<Option<_>>()?;
        }
        key => drop(image.properties.insert(key.into(), text()?)),
    }
    Some(())
}
