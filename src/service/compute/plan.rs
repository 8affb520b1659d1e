//! Which requests lead from an image to the wanted one, with as few of them as can be.

use serde_json::{Value, json};

use super::rules::{self, MOST_ITEMS};
use crate::image::Properties;
use crate::service::{Change, Kind, Result, ServiceError};

/// One request that changes metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// One item has this value then (PUT of the item).
    Set(String, Value),
    /// One item is gone then (DELETE of the item).
    Remove(String),
    /// These items are as given then, the others as before (POST).
    Merge(Value),
    /// There are these items then, and no others (PUT).
    Replace(Value),
}

/// Whether it has to be known what is there before changes are made: one item is changed alone, and items are only added
/// and overwritten together, whatever else is there.
pub(super) fn depends_on_what_is_there(changes: &[&Change]) -> bool {
    match changes {
        [Change::Remove { key }] => !rules::is_addressable(key),
        several => several.iter().any(|change| matches!(change, Change::Remove { .. })),
    }
}

/// The requests that make the changes, of which no two are of one key. `present` is what is there, where that matters.
///
/// Items that go while others come are written in one request, as a document of all that stays. That is not possible where
/// an item that stays is one that the Compute API does not take, or where a value goes with one name and comes with
/// another: Nova makes a move of it, which Glance does not know. Then what comes is written first, and what goes is removed
/// one by one; the other way round where there is no room for both.
pub(super) fn steps(action: &str, changes: &[&Change], present: &Properties) -> Result<Vec<Step>> {
    if let [change] = changes
        && rules::is_addressable(change.key())
    {
        return Ok(vec![match change {
            Change::Set { key, value } => Step::Set(key.clone(), value.clone()),
            Change::Remove { key } => Step::Remove(key.clone()),
        }]);
    }
    let set: Vec<(&str, &Value)> = changes.iter().filter_map(|change| set(change)).collect();
    let gone: Vec<&str> = changes.iter().filter_map(|change| gone(change, present)).collect();
    if gone.is_empty() {
        let merged = Step::Merge(set.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect());
        return Ok(if changes.iter().any(|change| matches!(change, Change::Set { .. })) {
            vec![merged]
        } else {
            vec![]
        });
    }
    let stays = |key: &str| !gone.contains(&key) && !set.iter().any(|(other, _)| *other == key);
    let kept: Vec<_> = present.iter().filter(|(key, _)| stays(key)).collect();
    let count = kept.len() + set.len();
    if count > MOST_ITEMS {
        let words = format!("there would be {count} properties, and the Compute API takes {MOST_ITEMS} at most");
        return Err(ServiceError::new(Kind::OverQuota, action).with_words(words));
    }
    if kept.iter().all(|(key, value)| rules::can_be_sent(key, value)) && !moves(&set, &gone, present) {
        let kept = kept.into_iter().map(|(key, value)| (key.to_string(), json!(value)));
        let set = set.into_iter().map(|(key, value)| (key.to_owned(), value.clone()));
        return Ok(vec![Step::Replace(kept.chain(set).collect())]);
    }
    let added = set.iter().filter(|(key, _)| !present.contains_key(*key)).count();
    one_by_one(action, &set, &gone, present.len() + added > MOST_ITEMS)
}

/// What comes, and then what goes, so that nothing is lost where only one of the two is done. Where there is no room for both
/// at a time, what goes is first.
fn one_by_one(action: &str, set: &[(&str, &Value)], gone: &[&str], is_full: bool) -> Result<Vec<Step>> {
    if let Some(key) = gone.iter().find(|key| !rules::is_addressable(key)) {
        let words = format!("the Compute API cannot remove '{key}' alone; it goes in a mount with --service image");
        return Err(ServiceError::new(Kind::Invalid, action).with_words(words));
    }
    let merged = Step::Merge(set.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect());
    let merged = Some(merged).filter(|_| !set.is_empty());
    let mut steps: Vec<_> = merged.into_iter().collect();
    let removed = gone.iter().map(|key| Step::Remove((*key).to_owned()));
    let at = if is_full { 0 } else { steps.len() };
    steps.splice(at..at, removed);
    Ok(steps)
}

fn set(change: &Change) -> Option<(&str, &Value)> {
    match change {
        Change::Set { key, value } => Some((key, value)),
        Change::Remove { .. } => None,
    }
}

/// What a change removes, of what is there.
fn gone<'a>(change: &'a Change, present: &Properties) -> Option<&'a str> {
    match change {
        Change::Remove { key } if present.contains_key(key.as_str()) => Some(key),
        _ => None,
    }
}

/// Whether a value that goes comes again under a name that was not there.
fn moves(set: &[(&str, &Value)], gone: &[&str], present: &Properties) -> bool {
    let added = || set.iter().filter(|(key, _)| !present.contains_key(*key));
    let values = gone.iter().filter_map(|key| present.get(*key));
    values.into_iter().any(|value| added().any(|(_, new)| new.as_str() == Some(value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of these changes to an image with these items, looked at where that is asked for.
    fn steps_of(changes: &[Change], present: &[(&str, &str)]) -> Result<Vec<Step>> {
        let changes: Vec<_> = changes.iter().collect();
        let known = present.iter().filter(|_| depends_on_what_is_there(&changes));
        let known = known.map(|(key, value)| ((*key).into(), (*value).into())).collect();
        steps("change", &changes, &known)
    }

    fn planned(changes: &[Change], present: &[(&str, &str)]) -> Vec<Step> {
        steps_of(changes, present).unwrap()
    }

    #[test]
    fn one_item_is_set_or_removed_by_itself() {
        assert_eq!(planned(&[Change::set("a", "1")], &[]), [Step::Set("a".into(), json!("1"))]);
        assert_eq!(planned(&[Change::remove("a")], &[("a", "1")]), [Step::Remove("a".into())]);
        assert_eq!(planned(&[Change::set("..", "1")], &[]), [Step::Merge(json!({"..": "1"}))], "no address names it");
    }

    #[test]
    fn items_that_are_only_set_are_merged_without_a_look() {
        let changes = [Change::set("a", "1"), Change::set("b", "2")];
        assert!(!depends_on_what_is_there(&changes.iter().collect::<Vec<_>>()));
        assert_eq!(planned(&changes, &[("c", "3")]), [Step::Merge(json!({"a": "1", "b": "2"}))]);
    }

    #[test]
    fn items_that_go_while_others_come_are_replaced_in_one_request() {
        let present = [("a", "1"), ("b", "2"), ("c", "3")];
        let changes = [Change::remove("a"), Change::set("b", "x"), Change::set("d", "4")];
        assert_eq!(planned(&changes, &present), [Step::Replace(json!({"b": "x", "c": "3", "d": "4"}))]);
        let removed = [Change::remove("a"), Change::remove("b")];
        assert_eq!(planned(&removed, &present), [Step::Replace(json!({"c": "3"}))]);
        assert_eq!(planned(&removed, &[("c", "3")]), [], "they are gone already");
        let changes = [Change::remove("z"), Change::set("b", "x")];
        assert_eq!(planned(&changes, &present), [Step::Merge(json!({"b": "x"}))], "nothing goes");
    }

    #[test]
    fn a_value_that_changes_its_name_is_written_before_the_old_one_is_removed() {
        let present = [("a", "1"), ("b", "2")];
        let changes = [Change::remove("a"), Change::set("c", "1")];
        assert_eq!(planned(&changes, &present), [Step::Merge(json!({"c": "1"})), Step::Remove("a".into())]);
        let onto_another = [Change::remove("a"), Change::set("b", "1")];
        assert_eq!(
            planned(&onto_another, &present),
            [Step::Replace(json!({"b": "1"}))],
            "it was there, so none is moved"
        );
    }

    #[test]
    fn a_value_changes_its_name_also_where_there_is_no_room_for_both() {
        let names: Vec<_> = (0..MOST_ITEMS).map(|number| format!("k{number}")).collect();
        let present: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
        let changes = [Change::remove("k0"), Change::set("x", "k0")];
        let expected = [Step::Remove("k0".into()), Step::Merge(json!({"x": "k0"}))];
        assert_eq!(planned(&changes, &present), expected);
        assert_eq!(planned(&changes, &present[..MOST_ITEMS - 1]), [expected[1].clone(), expected[0].clone()]);
    }

    #[test]
    fn what_cannot_be_sent_stays_because_the_others_are_removed_one_by_one() {
        let long = "v".repeat(256);
        for strange in [("a/b", "1"), ("\u{e9}", "1"), (" k", "1"), ("mappings", "[]"), ("k", long.as_str())] {
            let present = [strange, ("x", "1"), ("y", "2")];
            let changes = [Change::remove("x"), Change::remove("y"), Change::set("z", "3")];
            let expected = [Step::Merge(json!({"z": "3"})), Step::Remove("x".into()), Step::Remove("y".into())];
            assert_eq!(planned(&changes, &present), expected, "{strange:?}");
        }
    }

    #[test]
    fn what_no_address_names_goes_with_the_document_or_not_at_all() {
        assert_eq!(planned(&[Change::remove("a/b")], &[("a/b", "1"), ("c", "2")]), [Step::Replace(json!({"c": "2"}))]);
        let error = steps_of(&[Change::remove("a/b")], &[("a/b", "1"), ("\u{e9}", "2")]).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.to_string().contains("'a/b'") && error.to_string().contains("--service image"), "{error}");
    }

    #[test]
    fn more_items_than_an_image_may_have_are_refused_where_they_are_known() {
        let names: Vec<_> = (0..MOST_ITEMS).map(|number| format!("k{number}")).collect();
        let present: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
        let changes = [Change::remove("k0"), Change::set("x", "1"), Change::set("y", "2")];
        assert_eq!(steps_of(&changes, &present).unwrap_err().kind, Kind::OverQuota);
        assert_eq!(planned(&changes[..2], &present).len(), 1);
    }
}
