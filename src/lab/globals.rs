//! Sysctls that a kernel has once for the whole machine: set where the machine was booted for the trials, put back after.
//!
//! Before Linux 4.15 much of what a lab sets is not per network namespace (docs/kernels.md): the file is shown in the
//! initial namespace alone, and what stands there holds in every other one. On a machine of somebody's it is left alone;
//! a guest's is nobody's, and each trial leaves it as it found it. Which sysctl is of this kind is not known here: whoever
//! calls has found that the namespace has no file of its own that can be written.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::Unavailable;
use super::sysctl::{normal, read};

/// What may be done with them, and what was: shared by the sides of a lab, and undone with the last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Globals(Option<Arc<Mutex<Changes>>>);

/// What was set, in order.
#[derive(Debug, Default)]
struct Changes(BTreeMap<String, Change>);

#[derive(Debug)]
struct Change {
    file: PathBuf,
    before: String,
    /// What each side asked for.
    wanted: BTreeMap<&'static str, String>,
}

impl Globals {
    /// Of a machine that was booted for the trials.
    pub(super) fn ours() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether they may be set.
    pub(super) fn are_ours(&self) -> bool {
        self.0.is_some()
    }

    /// Sets `name`, whose file is `file` in the namespace of the calling thread, for the whole machine, and reads it back.
    ///
    /// # Errors
    /// The other side has another value, the kernel lacks it, refuses the value, or keeps another.
    pub(super) fn set(&self, side: &'static str, name: &str, file: PathBuf, value: &str) -> Result<(), Unavailable> {
        let Some(changes) = &self.0 else {
            return Err(Unavailable::new(
                format!("{name} is one for the whole machine on this kernel, and the machine is not linger's"),
                "run it in a machine that is booted for it: linger run --kernel",
            ));
        };
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((other, theirs)) = changes.of_another_side(side, name, value) {
            return Err(Unavailable::new(
                format!(
                    "{name} is one for the whole machine on this kernel, and is to be {value} on the {side} and {theirs} on \
                     the {other}"
                ),
                "use a kernel on which it is per namespace, or give both sides the same value",
            ));
        }
        let before = read(&file).map_err(|error| cannot(name, value, &error))?;
        fs::write(&file, format!("{value}\n")).map_err(|error| cannot(name, value, &error))?;
        let back = read(&file).map_err(|error| cannot(name, value, &error))?;
        let change = changes.0.entry(name.to_owned()).or_insert_with(|| Change {
            file,
            before,
            wanted: BTreeMap::new(),
        });
        change.wanted.insert(side, value.to_owned());
        if back != normal(value) {
            return Err(Unavailable::new(
                format!("{name} was set to {value} for the whole machine and read back as {back}"),
                "ask for a value that this kernel keeps as it is",
            ));
        }
        Ok(())
    }

    /// Forgets what the other side asked for: what a step changes in mid-run, it changes for both.
    pub(super) fn release(&self, side: &str, name: &str) {
        let Some(changes) = &self.0 else { return };
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(change) = changes.0.get_mut(name) {
            change.wanted.retain(|other, _| *other == side);
        }
    }

    /// The names that were set for the whole machine.
    pub(super) fn names(&self) -> Vec<String> {
        let changes = self
            .0
            .as_ref()
            .map(|changes| changes.lock().unwrap_or_else(PoisonError::into_inner));
        changes.map_or_else(Vec::new, |changes| changes.0.keys().cloned().collect())
    }
}

impl Changes {
    fn of_another_side(&self, side: &str, name: &str, value: &str) -> Option<(&'static str, String)> {
        let wanted = &self.0.get(name)?.wanted;
        let other = wanted
            .iter()
            .find(|(other, theirs)| **other != side && normal(theirs) != normal(value));
        other.map(|(other, theirs)| (*other, theirs.clone()))
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        for (name, change) in &self.0 {
            if let Err(error) = fs::write(&change.file, format!("{}\n", change.before)) {
                eprintln!("linger: {name} could not be put back to {}: {error}", change.before);
            }
        }
    }
}

fn cannot(name: &str, value: &str, error: &std::io::Error) -> Unavailable {
    Unavailable::new(
        format!("the kernel refused {name} = {value} for the whole machine: {error}"),
        "ask for a value in the range that the kernel's ip-sysctl documentation gives",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &tempfile::TempDir, value: &str) -> PathBuf {
        let file = directory.path().join("tcp_tw_reuse");
        fs::write(&file, value).unwrap();
        file
    }

    #[test]
    fn what_was_set_is_put_back_with_the_last_that_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory, "7\n");
        let globals = Globals::ours();
        let other = globals.clone();
        globals.set("client", "x", file.clone(), "1").unwrap();
        globals.set("client", "x", file.clone(), "2").unwrap();
        other.set("server", "x", file.clone(), "2").unwrap();
        assert_eq!(globals.names(), ["x"]);
        drop(globals);
        assert_eq!(read(&file).unwrap(), "2");
        drop(other);
        assert_eq!(read(&file).unwrap(), "7");
    }

    #[test]
    fn two_sides_cannot_have_two_values_of_what_there_is_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory, "0\n");
        let globals = Globals::ours();
        globals.set("client", "x", file.clone(), "1").unwrap();
        let refusal = globals.set("server", "x", file.clone(), "0").unwrap_err().to_string();
        assert!(refusal.contains("0 on the server and 1 on the client"), "{refusal}");
        assert_eq!(read(&file).unwrap(), "1");
        globals.release("server", "x");
        globals.set("server", "x", file.clone(), "0").unwrap();
        assert_eq!(read(&file).unwrap(), "0");
    }

    #[test]
    fn a_machine_of_somebodys_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory, "0\n");
        let refusal = Globals::default().set("client", "x", file.clone(), "1").unwrap_err();
        assert!(refusal.remedy.contains("--kernel"), "{refusal}");
        assert_eq!(read(&file).unwrap(), "0");
    }
}
