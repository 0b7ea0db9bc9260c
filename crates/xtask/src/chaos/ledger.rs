//! What must be true of each object's answers, kept while they come: no count is lost or given twice,
//! an instance that nobody ended is still there, and one that was followed by another never answers
//! again.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Kind, Object};

/// What an object answers to a hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) count: u64,
    pub(super) instance: String,
}

/// The books of all objects.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    objects: BTreeMap<Object, Account>,
    /// Grows with every entry.
    time: u64,
    /// Whether what carries requests was killed, and none was answered since.
    cut: bool,
}

#[derive(Debug, Default)]
struct Account {
    /// Requests that may have counted.
    sent: u64,
    /// Counts that were answered.
    answered: BTreeSet<u64>,
    /// The instance that must answer next, unless somebody ended it.
    current: Option<String>,
    /// Instances that another has followed, and when.
    retired: BTreeMap<String, u64>,
    /// How many instances may follow: this one was ended or killed.
    may_follow: u32,
    /// Whether the next request may fail: something was ended under it.
    unsettled: bool,
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    object: Object,
    began: u64,
    highest: u64,
}

/// A broken promise, in words.
pub(super) type Violation = String;

impl Ledger {
    fn account(&mut self, object: Object) -> &mut Account {
        self.objects.entry(object).or_default()
    }

    /// A hit is about to be sent.
    pub(super) fn begin(&mut self, object: Object) -> Ticket {
        self.time += 1;
        let began = self.time;
        let account = self.account(object);
        account.sent += 1;
        Ticket { object, began, highest: account.answered.last().copied().unwrap_or(0) }
    }

    /// It was answered.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: &Answer) -> Result<(), Violation> {
        let Ticket { object, began, highest } = ticket;
        self.time += 1;
        let now = self.time;
        self.cut = false;
        let account = self.account(object);
        account.unsettled = false;
        let Answer { count, instance } = answer;
        if *count <= highest {
            return Err(format!("{object} lost data: it counted {count} after {highest}"));
        }
        if *count > account.sent {
            return Err(format!("{object} counted {count} of {} requests", account.sent));
        }
        if !account.answered.insert(*count) {
            return Err(format!("{object} counted {count} twice"));
        }
        if account.retired.get(instance).is_some_and(|retired| *retired < began) {
            return Err(format!("{object}: instance {instance} answered after its successor had"));
        }
        let replaces = account.current.as_ref().is_some_and(|current| current != instance);
        // One that was retired meanwhile answers what was asked of it before.
        if replaces && !account.retired.contains_key(instance) {
            let current = account.current.take().expect("it is replaced");
            if account.may_follow == 0 && keeps_its_instance(object) {
                return Err(format!(
                    "{object}: instance {instance} answered, although nobody ended {current}"
                ));
            }
            account.retired.insert(current, now);
            account.may_follow = account.may_follow.saturating_sub(1);
        }
        account.current.get_or_insert_with(|| instance.clone());
        Ok(())
    }

    /// The instance of an object is ended on purpose or killed: another one may come.
    pub(super) fn disturb(&mut self, object: Object) {
        self.disturb_by(object, 1);
    }

    /// A request that ends the instance is under way. It may find none, start one and end that.
    pub(super) fn disturb_by_request(&mut self, object: Object) {
        self.disturb_by(object, 2);
    }

    fn disturb_by(&mut self, object: Object, instances: u32) {
        let account = self.account(object);
        account.may_follow = account.may_follow.max(instances);
        account.unsettled = true;
    }

    /// All instances are ended, also those that were started and have not answered yet. One may answer
    /// until its grace is over.
    pub(super) fn disturb_all(&mut self) {
        let objects: Vec<Object> = self.objects.keys().copied().collect();
        objects.into_iter().for_each(|object| self.disturb_by(object, 2));
    }

    /// What carries requests was killed: the next ones may fail, instances stay.
    pub(super) fn unsettle_all(&mut self) {
        self.cut = true;
        self.objects.values_mut().for_each(|account| account.unsettled = true);
    }

    /// Whether the first try of the next request must succeed.
    pub(super) fn is_settled(&self, object: Object) -> bool {
        keeps_its_instance(object)
            && self.objects.get(&object).map_or(!self.cut, |account| !account.unsettled)
    }

    /// The instance that answered last.
    pub(super) fn instance(&self, object: Object) -> Option<&str> {
        self.objects.get(&object)?.current.as_deref()
    }

    /// Every object that was ever asked.
    pub(super) fn objects(&self) -> Vec<Object> {
        self.objects.keys().copied().collect()
    }

    /// How many requests were answered.
    pub(super) fn hits(&self) -> usize {
        self.objects.values().map(|account| account.answered.len()).sum()
    }

    /// What storage says in the end.
    pub(super) fn finally(&self, object: Object, count: u64) -> Result<(), Violation> {
        let Some(account) = self.objects.get(&object) else { return Ok(()) };
        let highest = account.answered.last().copied().unwrap_or(0);
        if (highest..=account.sent).contains(&count) {
            return Ok(());
        }
        Err(format!(
            "{object} has {count} in storage; {highest} was answered, {} sent",
            account.sent
        ))
    }
}

/// Whether nothing but a kill or a client ends the object's instance.
fn keeps_its_instance(object: Object) -> bool {
    matches!(object.kind, Kind::Steady | Kind::Stubborn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::plan::OBJECTS;

    const OBJECT: Object = OBJECTS[0];

    fn answer(count: u64, instance: &str) -> Answer {
        Answer { count, instance: instance.to_owned() }
    }

    fn hit(ledger: &mut Ledger, count: u64, instance: &str) -> Result<(), Violation> {
        let ticket = ledger.begin(OBJECT);
        ledger.answered(ticket, &answer(count, instance))
    }

    #[test]
    fn counts_that_fall_or_repeat_are_lost_data() {
        let mut ledger = Ledger::default();
        hit(&mut ledger, 1, "a").unwrap();
        hit(&mut ledger, 2, "a").unwrap();
        assert!(hit(&mut ledger, 2, "a").is_err());
        assert!(hit(&mut ledger, 9, "a").is_err());
        assert!(ledger.finally(OBJECT, 1).is_err());
        ledger.finally(OBJECT, 4).unwrap();
    }

    #[test]
    fn a_request_without_an_answer_may_have_counted() {
        let mut ledger = Ledger::default();
        let _unanswered = ledger.begin(OBJECT);
        hit(&mut ledger, 2, "a").unwrap();
        ledger.finally(OBJECT, 2).unwrap();
    }

    #[test]
    fn an_instance_changes_only_when_it_was_ended() {
        let mut ledger = Ledger::default();
        hit(&mut ledger, 1, "a").unwrap();
        ledger.unsettle_all();
        assert!(hit(&mut ledger, 2, "b").is_err());
        ledger.disturb(OBJECT);
        hit(&mut ledger, 3, "b").unwrap();
        assert_eq!(ledger.instance(OBJECT), Some("b"));
    }

    #[test]
    fn a_request_may_start_the_instance_that_it_ends() {
        let mut ledger = Ledger::default();
        hit(&mut ledger, 1, "a").unwrap();
        ledger.disturb_by_request(OBJECT);
        hit(&mut ledger, 2, "b").unwrap();
        hit(&mut ledger, 3, "c").unwrap();
        assert!(hit(&mut ledger, 4, "d").is_err());
    }

    #[test]
    fn an_instance_that_is_ended_may_be_new_and_answer_until_its_grace_is_over() {
        let mut ledger = Ledger::default();
        hit(&mut ledger, 1, "a").unwrap();
        ledger.disturb(OBJECT);
        // By now "b" runs, and has not been asked.
        ledger.disturb_all();
        hit(&mut ledger, 2, "b").unwrap();
        hit(&mut ledger, 3, "c").unwrap();
        assert!(hit(&mut ledger, 4, "d").is_err());
    }

    #[test]
    fn an_instance_never_answers_after_its_successor() {
        let mut ledger = Ledger::default();
        hit(&mut ledger, 1, "a").unwrap();
        let late = ledger.begin(OBJECT);
        ledger.disturb(OBJECT);
        hit(&mut ledger, 3, "b").unwrap();
        ledger.answered(late, &answer(2, "a")).unwrap();
        assert!(hit(&mut ledger, 4, "a").is_err());
    }

    #[test]
    fn a_disturbed_object_settles_with_its_next_answer() {
        let mut ledger = Ledger::default();
        assert!(ledger.is_settled(OBJECT));
        ledger.disturb(OBJECT);
        assert!(!ledger.is_settled(OBJECT));
        hit(&mut ledger, 1, "a").unwrap();
        assert!(ledger.is_settled(OBJECT));
        ledger.unsettle_all();
        assert!(!ledger.is_settled(OBJECTS[1]), "nor is one that was never asked");
        let raw = Object { kind: Kind::Raw, number: 0 };
        assert!(!ledger.is_settled(raw));
    }
}
