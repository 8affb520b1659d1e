//! The folders of images as wholes: in which order they list what there is, and since when they list that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::FileSystem;
use super::attr::Attr;
use super::import::is_importable;
use super::node::{Collection, Node, View};
use super::position::{Order, hash};
use super::scratch::Place;
use crate::catalogue::Snapshot;
use crate::image::{Image, Visibility};

/// What is known of the folders of images.
#[derive(Debug, Default)]
pub(super) struct Shelves(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By [`shelf`]: which entries it is for, and the order.
    orders: [Option<(u64, Arc<Order>)>; 3],
    /// Which entries there are, and since when they are known.
    since: Option<(u64, SystemTime)>,
    /// How often `files` came to have other scratch files. It may come to have again what it had before; who read it in
    /// between is not to be believed.
    files: u64,
}

impl Shelves {
    /// The order in which a folder of images lists them.
    pub(super) fn order(&self, folder: &Node, listing: &Snapshot) -> Arc<Order> {
        let number = shelf(folder);
        if let Some(Some((version, order))) = self.known().orders.get(number)
            && *version == listing.version()
        {
            return Arc::clone(order);
        }
        let order = Arc::new(match folder {
            Node::Images(View::ByName) => Order::new(listing.names().images().map(|image| hash(image.id.as_bytes()))),
            Node::Images(View::ById) => Order::new(listing.images().iter().map(|image| hash(image.id.as_bytes()))),
            _ => Order::new(listing.files().iter().map(|(_, id)| hash(id.as_bytes()))),
        });
        if let Some(known) = self.known().orders.get_mut(number) {
            *known = Some((listing.version(), Arc::clone(&order)));
        }
        order
    }

    /// Since when these entries are known; the first ones are there since the mount `began`.
    fn since(&self, version: u64, began: SystemTime) -> SystemTime {
        let mut known = self.known();
        let since = match known.since {
            None => began,
            Some((same, since)) if same == version => since,
            // A clock that was set back shows no two listings as one.
            Some((_, before)) => SystemTime::now().max(before + Duration::from_nanos(1)),
        };
        known.since = Some((version, since));
        since
    }

    /// These entries are listed to somebody. The kernel may know the folder's time from before there was any listing, and
    /// keeps these under that time: the next ones need another.
    pub(super) fn listed(&self, version: u64, began: SystemTime) {
        self.since(version, began);
    }

    /// `files` has other scratch files.
    pub(super) fn turn_files(&self) {
        let mut known = self.known();
        known.files = known.files.wrapping_add(1);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shelf(folder: &Node) -> usize {
    match folder {
        Node::Images(View::ByName) => 0,
        Node::Images(View::ById) => 1,
        _ => 2,
    }
}

impl FileSystem {
    /// The time of a folder of images, where somebody has looked at the listing before.
    pub(super) fn shelf_time(&self, folder: &Node, listing: &Snapshot) -> SystemTime {
        let since = self.shelves.since(listing.version(), self.began);
        match self.shelves.known().files {
            turns if *folder == Node::Files && turns > 0 => stirred(since, &turns.to_string()),
            _ => since,
        }
    }

    /// A folder of an image with its time. The kernel keeps what a folder lists for as long as that is the same, so that
    /// its fractions of a second, which the service does not tell, stand for what it lists.
    pub(super) fn listed_at(&self, attr: Attr, node: &Node, image: &Image) -> Attr {
        let mut mtime = attr.mtime;
        let mut stir = |text: &str| mtime = stirred(mtime, text);
        if let Some(turn) = self.inodes.turned(image.id) {
            stir(&turn.to_string());
        }
        let place = match node {
            Node::Image(id, view) => {
                if is_importable(image) {
                    stir("import");
                }
                self.removals.of(*id, *view).iter().for_each(|name| stir(name));
                Place::Image(*id)
            }
            Node::Collection(id, _, collection) => {
                match collection {
                    Collection::Tags => image.tags.iter().for_each(|tag| stir(tag)),
                    Collection::Properties => image.properties.keys().for_each(|name| stir(name)),
                    Collection::Members if image.visibility == Visibility::Shared => {
                        self.catalogue.members_seen(*id).iter().for_each(|text| stir(text));
                    }
                    Collection::Members => {}
                }
                self.begun.of(*id, *collection).iter().for_each(|name| stir(name));
                self.removals.items(*id, *collection).iter().for_each(|name| stir(name));
                Place::Collection(*id, *collection)
            }
            _ => return attr,
        };
        self.scratches.of(place).iter().for_each(|(name, _)| stir(name));
        Attr { mtime, ..attr }
    }
}

/// A time within the same second that a text makes another one.
fn stirred(time: SystemTime, text: &str) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = hash(text.as_bytes()).rotate_left(17) ^ u64::from(since.subsec_nanos());
    let nanos = u32::try_from((nanos.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % 1_000_000_000).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(since.as_secs(), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::testing::image;

    #[test]
    fn the_time_of_a_folder_changes_with_what_it_lists_and_not_otherwise() {
        let (shelves, began) = (Shelves::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(7));
        assert_eq!((shelves.since(0, began), shelves.since(0, SystemTime::now())), (began, began));
        let second = shelves.since(1, began);
        assert!(second > began && shelves.since(1, began) == second && shelves.since(2, began) > second);
    }

    #[test]
    fn a_time_is_stirred_within_its_second() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (a, ab, ba) = (stirred(time, "a"), stirred(stirred(time, "a"), "b"), stirred(stirred(time, "b"), "a"));
        for stirred in [a, ab, ba] {
            assert!(stirred >= time && stirred < time + Duration::from_secs(1));
        }
        assert!(a != time && ab != ba && a != ab, "{a:?} {ab:?} {ba:?}");
        assert_eq!(a, self::stirred(time, "a"));
    }

    #[test]
    fn an_order_is_kept_while_the_entries_are_the_same() {
        let (shelves, folder) = (Shelves::default(), Node::Images(View::ById));
        let listing = Snapshot::new([image(1, "a"), image(2, "b")]);
        let order = shelves.order(&folder, &listing);
        assert!(Arc::ptr_eq(&order, &shelves.order(&folder, &listing)));
        assert_eq!(order.behind(0).count(), 2);
        assert_eq!(shelves.order(&Node::Images(View::ByName), &listing).behind(0).count(), 2);
    }
}
