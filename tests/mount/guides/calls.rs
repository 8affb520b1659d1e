//! The calls of the five guides, so that none of them can be missing from the page unseen.

use super::PAGE;
use crate::pages::page::{Guide, Typed, read};
use crate::target::Target;

crate::promises![Embedded:
    every_call_of_the_five_guides_is_on_the_page,
    a_call_is_on_the_page_as_a_call_and_not_as_a_part_of_another_word,
];

/// The titles of the guides, and the public calls of the classes that they speak of.
const CALLS: [(&str, &str); 5] = [
    (
        "php-opencloud: Images v2",
        "createImage listImages getImage
         retrieve update delete deactivate reactivate uploadData downloadData addMember listMembers getMember
         waitUntil waitWithCallback waitUntilActive waitUntilDeleted
         getMember('{projectId}')->retrieve getMember('{projectId}')->updateStatus getMember('{projectId}')->delete",
    ),
    (
        "OpenStack4j: Glance",
        "create upload list get update delete deactivate reactivate download updateTag deleteTag
         listMembers createMember getMember updateMember deleteMember listCachedImages
         tasks().list tasks().get tasks().create
         os.images().reserve os.images().create os.images().upload os.images().list os.images().listAll os.images().get
         os.images().update os.images().delete os.images().getAsStream os.images().listMembers os.images().addMember
         os.images().removeMember os.images().listChachedImages",
    ),
    (
        "openstacksdk: Image",
        "create_image import_image stage_image upload_image download_image delete_image find_image get_image images
         update_image update_image_properties deactivate_image reactivate_image add_tag remove_tag
         add_member remove_member find_member get_member members update_member
         image_tasks tasks get_task create_task wait_for_task wait_for_status wait_for_delete
         stores get_import_info add_image_location image_locations
         get_image_cache queue_image cache_delete_image clear_cache
         get_images_schema get_image_schema get_members_schema get_member_schema get_tasks_schema get_task_schema
         get_metadef_namespace_schema get_metadef_namespaces_schema get_metadef_object_schema get_metadef_objects_schema
         get_metadef_property_schema get_metadef_properties_schema get_metadef_resource_type_schema
         get_metadef_resource_types_schema get_metadef_tag_schema get_metadef_tags_schema
         create_metadef_namespace get_metadef_namespace metadef_namespaces update_metadef_namespace
         delete_metadef_namespace add_tag_to_metadef_namespace remove_tag_from_metadef_namespace
         remove_tags_from_metadef_namespace
         create_metadef_object get_metadef_object metadef_objects update_metadef_object delete_metadef_object
         delete_all_metadef_objects
         create_metadef_property get_metadef_property metadef_properties update_metadef_property delete_metadef_property
         delete_all_metadef_properties
         metadef_resource_types metadef_resource_type_associations create_metadef_resource_type_association
         delete_metadef_resource_type_association",
    ),
    (
        "php-opencloud: Compute v2, images",
        "listImages getImage retrieve delete getMetadata resetMetadata mergeMetadata getMetadataItem deleteMetadataItem
         waitUntil waitWithCallback waitUntilActive waitUntilDeleted createImage",
    ),
    (
        "php-opencloud for Rackspace: Compute, images",
        "imageList image delete create update refresh waitFor getMetadata createImage imageSchedule",
    ),
];

/// What else of them is to be named: a word of version 1 of the Image API, and what is Rackspace's own.
const EXTRAS: [(&str, &[&str]); 2] = [
    ("OpenStack4j: Glance", &["os.images().addMember(imageId, tenantId, canShare)"]),
    (
        "php-opencloud for Rackspace: Compute, images",
        &["'type' => 'BASE'", "OS-DCF:diskConfig", "com.rackspace__1__", "rax-si-image-schedule"],
    ),
];

/// Whether a text names this call: as a whole word, before what it is given or as code.
fn is_named(call: &str, text: &str) -> bool {
    let pieces: Vec<_> = text.split(call).collect();
    pieces.windows(2).any(|around| {
        let (before, after) = (around[0].chars().next_back(), around[1].chars().next());
        !before.is_some_and(|sign| sign.is_alphanumeric() || "_.".contains(sign)) && matches!(after, Some('(' | '`'))
    })
}

fn every_call_of_the_five_guides_is_on_the_page(_: &Target) {
    let guides = read(PAGE, Typed::Mounted).unwrap();
    assert_eq!(guides.len(), CALLS.len());
    let guide = |title: &str| guides.iter().find(|guide| guide.title == title).unwrap();
    let is_there = |guide: &Guide<'_>, is: &dyn Fn(&str) -> bool| guide.calls().any(is);
    for (title, calls) in CALLS {
        for call in calls.split_whitespace() {
            assert!(is_there(guide(title), &|text| is_named(call, text)), "{title}: {call} is not on the page");
        }
    }
    for (title, words) in EXTRAS {
        for word in words {
            assert!(is_there(guide(title), &|text| text.contains(word)), "{title}: {word} is not on the page");
        }
    }
}

fn a_call_is_on_the_page_as_a_call_and_not_as_a_part_of_another_word(_: &Target) {
    for text in ["list()", "get(), and list(…)", "| `list` of all", "getImage()->list()", "mylist(), list()"] {
        assert!(is_named("list", text), "{text}");
    }
    for text in ["", "listAll()", "os.images().list()", "a list of all", "get_list()", "mylist()"] {
        assert!(!is_named("list", text), "{text}");
    }
    assert!(is_named("os.images().list", "os.images().list(), and os.images().listAll()"));
    assert!(!is_named("os.images().list", "os.images().listAll()"));
}
