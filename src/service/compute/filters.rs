//! What is asked for, in the words of the Compute API.

/// How a time of change is compared where somebody wants what changed since.
const SINCE: &str = "gte:";

/// Filters as the Compute API has them: a question for what changed lately has another word there, all others are its
/// own words already.
pub(super) fn translated(filters: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    filters.iter().map(|(key, value)| match value.strip_prefix(SINCE) {
        Some(time) if key == "updated_at" => ("changes-since", time),
        _ => (key.as_str(), value.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_for_what_changed_lately_is_translated_and_others_stay() {
        let filters = [
            ("updated_at", "gte:2026-11-21T02:43:46Z"),
            ("updated_at", "lt:2026-11-21T02:43:46Z"),
            ("name", "gte:x"),
            ("changes-since", "2020"),
            ("property-x", "y"),
        ];
        let owned: Vec<_> = filters.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut expected = filters.to_vec();
        expected[0] = ("changes-since", "2026-11-21T02:43:46Z");
        assert_eq!(translated(&owned).collect::<Vec<_>>(), expected);
    }
}
