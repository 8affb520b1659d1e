//! What a service offers, known before it is tried: what it has not is then missing in the tree, or read-only, where it
//! would be an error at the end otherwise.

/// Whose words the documents and the questions of a service are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The Image API, version 2.
    Image,
    /// The images of the Compute API.
    Compute,
}

/// What a service offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of an API that a service has or has not")]
pub struct Offers {
    /// Whose words its documents and questions are.
    pub api: Api,
    /// Images are made there, and changed themselves: created, uploaded, imported, renamed, and everything that is an
    /// attribute and no additional property.
    pub making: bool,
    /// Bytes can be read.
    pub data: bool,
    /// Additional properties can be set and removed; they are shown in any case.
    pub properties: bool,
    /// Tags are shown and can be changed.
    pub tags: bool,
    /// Members are shown and can be changed.
    pub members: bool,
    /// Images can be deactivated and reactivated; a status is shown in any case.
    pub status: bool,
}

impl Offers {
    /// Everything, as the Image service does.
    pub const IMAGE: Self =
        Self { api: Api::Image, making: true, data: true, properties: true, tags: true, members: true, status: true };

    /// What the Compute service does: it shows images, deletes them and changes their properties. The bytes are
    /// another service's (`data`), and properties are changed where it is known what becomes of the visibility, or does
    /// not matter (`properties`).
    pub const fn compute(data: bool, properties: bool) -> Self {
        Self { api: Api::Compute, making: false, data, properties, tags: false, members: false, status: false }
    }

    /// Why properties cannot be changed, and what to do about it; `None` where they can.
    pub fn why_no_properties(&self) -> Option<&'static str> {
        (!self.properties).then_some(
            "the Compute service makes a shared or community image private when its properties are changed, and \
             without an Image service nobody can tell which images are shared; mount with --allow-visibility-change \
             to change properties all the same",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_change_properties_learns_which_option_allows_it() {
        let told = Offers::compute(false, false).why_no_properties();
        assert!(told.is_some_and(|words| words.contains("--allow-visibility-change")));
        assert_eq!(Offers::compute(true, true).why_no_properties(), None);
        assert_eq!(Offers::IMAGE.why_no_properties(), None);
    }

    #[test]
    fn the_compute_service_makes_no_images_and_has_neither_tags_nor_members() {
        let offers = Offers::compute(true, true);
        assert!(!(offers.making || offers.tags || offers.members || offers.status));
        assert_eq!(offers.api, Api::Compute);
    }
}
