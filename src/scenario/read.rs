//! From arguments to plans: finds each scenario, sets the options into it, checks it whole, and resolves it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value as Json;

use super::catalogue;
use super::key::Key;
use super::matrix::{self, Cell};
use super::plan::{Plan, TrialPlan};
use super::problem::{Origin, Problem, Problems, did_you_mean, listed, nearest, quoted, shown};
use super::resolve::{self, Place};
use super::scaling::{self, Scaling};
use super::shape::Shape;
use super::spec::Topology;
use super::tree::{Node, Value};
use super::{expectations, meaning, structure};

/// A scenario is text by hand; what is larger is no scenario (and /dev/zero has no end).
const LARGEST_FILE: u64 = 1024 * 1024;

/// Reads scenarios and resolves them.
///
/// Each argument is an id of the catalogue or the path of a TOML file. `sets` are the texts of `--set`, `KEY=VALUE`:
/// KEY is dotted, and a sysctl's name may be quoted or not; `net.…` sets a sysctl on both sides. VALUE is TOML where
/// it can be read as such, else text. A key that is also on an axis of the matrix is held to the value there.
///
/// # Errors
/// Everything that is wrong with all of them, at once.
pub fn load(
    arguments: &[String],
    sets: &[String],
    repeats: Option<u32>,
    topology: Option<Topology>,
) -> Result<Vec<Plan>, Problems> {
    let mut problems = Problems::default();
    let settings = settings(sets, repeats, topology, &mut problems);
    let mut plans = Vec::new();
    for argument in arguments {
        match find(argument).and_then(|found| plan(&found, &settings)) {
            Ok(plan) => plans.push(plan),
            Err(found) => problems.extend(found.iter().cloned()),
        }
    }
    if problems.is_empty() { Ok(plans) } else { Err(problems) }
}

/// As [`load`], with the values that each scenario's `[emulated]` gives: for a kernel that an emulator executes, which
/// `is_in_range` tells the versions of. What `sets` say goes before them.
///
/// # Errors
/// As [`load`].
pub fn load_emulated(
    arguments: &[String],
    sets: &[String],
    is_in_range: &dyn Fn(&str) -> bool,
) -> Result<Vec<Plan>, Problems> {
    let mut problems = Problems::default();
    let settings = settings(sets, None, None, &mut problems);
    let mut plans = Vec::new();
    for argument in arguments {
        match find(argument).and_then(|found| scaled_plan(&found, &settings, is_in_range)) {
            Ok(plan) => plans.push(plan),
            Err(found) => problems.extend(found.iter().cloned()),
        }
    }
    if problems.is_empty() { Ok(plans) } else { Err(problems) }
}

fn scaled_plan(found: &Found, settings: &[Setting], is_in_range: &dyn Fn(&str) -> bool) -> Result<Plan, Problems> {
    let in_file = |problem: Problem| Problem {
        file: Some(found.file.clone()),
        ..problem
    };
    let root = Node::parse(&found.text).map_err(in_file)?;
    let all = scaling::of(&root).map_err(in_file)?;
    let applies = |scaling: &Scaling| scaling.kernel.as_deref().is_none_or(is_in_range);
    let scaling: Vec<Setting> = all.into_iter().filter(applies).map(|scaling| scaling.setting).collect();
    let scaled: BTreeMap<String, Json> = scaling
        .iter()
        .map(|setting| (setting.key.to_string(), setting.node.to_json()))
        .collect();
    let settings: Vec<Setting> = scaling.into_iter().chain(settings.iter().cloned()).collect();
    let mut plan = plan(found, &settings)?;
    for trial in &mut plan.trials {
        trial.scaled.clone_from(&scaled);
    }
    Ok(plan)
}

/// Checks and resolves a scenario's text; `file` is how problems name it.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn from_text(file: &str, text: &str) -> Result<Plan, Problems> {
    let found = Found {
        file: file.to_owned(),
        origin: file.to_owned(),
        text: text.to_owned(),
    };
    plan(&found, &[])
}

/// The same with options set into it, as [`load`] does.
///
/// # Errors
/// Everything that is wrong with text and options, at once.
pub fn from_text_with(
    file: &str,
    text: &str,
    sets: &[String],
    repeats: Option<u32>,
    topology: Option<Topology>,
) -> Result<Plan, Problems> {
    let mut problems = Problems::default();
    let settings = settings(sets, repeats, topology, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let found = Found {
        file: file.to_owned(),
        origin: file.to_owned(),
        text: text.to_owned(),
    };
    plan(&found, &settings)
}

/// A key that the command line, or `[emulated]`, sets.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: Key,
    pub(super) node: Node,
}

fn settings(
    sets: &[String],
    repeats: Option<u32>,
    topology: Option<Topology>,
    problems: &mut Problems,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for set in sets {
        match setting(set) {
            Ok(setting) => settings.push(setting),
            Err(problem) => problems.push(problem),
        }
    }
    let mut option = |key: &str, value: Json, option: String| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        settings.push(Setting {
            key: Key::parse(key).expect("a key of ours is sound"),
            node: Node::from_option(&value, &Origin::Option(option)),
        });
    };
    if let Some(repeats) = repeats {
        option("repeats", repeats.into(), format!("--repeat {repeats}"));
    }
    if let Some(topology) = topology {
        let name = serde_json::to_value(topology).unwrap_or_default();
        let shown = format!("--lab {}", name.as_str().unwrap_or_default());
        option("lab.topology", name, shown);
    }
    settings
}

fn setting(set: &str) -> Result<Setting, Problem> {
    let origin = Origin::Option(format!("--set {}", shown(set)));
    let Some((key, value)) = set.split_once('=') else {
        return Err(Problem::new(&origin, "", "expected KEY=VALUE, such as load.rate=500"));
    };
    let key =
        Key::parse(key).map_err(|fault| Problem::new(&origin, "", format!("{} is no key: {fault}", quoted(key))))?;
    let node = Node::from_option(value.trim(), &origin);
    Ok(Setting { key, node })
}

/// A scenario's text and how it is named.
struct Found {
    file: String,
    origin: String,
    text: String,
}

fn find(argument: &str) -> Result<Found, Problems> {
    if let Some(text) = catalogue::text(argument) {
        return Ok(Found {
            file: catalogue::file(argument),
            origin: "catalogue".to_owned(),
            text: text.to_owned(),
        });
    }
    let path = Path::new(argument);
    let looks_like_a_path = argument.contains('/') || path.extension().is_some_and(|extension| extension == "toml");
    if !looks_like_a_path && !path.exists() {
        let ids = catalogue::ids();
        let meant = did_you_mean(nearest(argument, ids.iter().copied()));
        let message = format!(
            "{} is neither a scenario of the catalogue nor a file{meant} (catalogue: {})",
            quoted(argument),
            listed(ids)
        );
        return Err(Problem::unplaced(message).into());
    }
    let text = file_text(path).map_err(|fault| Problem {
        file: Some(argument.to_owned()),
        ..Problem::unplaced(fault)
    })?;
    Ok(Found {
        file: argument.to_owned(),
        origin: argument.to_owned(),
        text,
    })
}

fn file_text(path: &Path) -> Result<String, String> {
    let cannot = |fault: std::io::Error| format!("cannot be read: {fault}");
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(cannot)?.take(LARGEST_FILE + 1);
    file.read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err("larger than 1 MiB; expected a scenario in TOML".to_owned());
    }
    String::from_utf8(bytes).map_err(|fault| {
        let at = fault.utf8_error().valid_up_to();
        format!("not UTF-8 at byte {at}; expected a scenario in TOML")
    })
}

fn plan(found: &Found, settings: &[Setting]) -> Result<Plan, Problems> {
    let in_file = |problem: Problem| Problem {
        file: Some(found.file.clone()),
        ..problem
    };
    let mut root = Node::parse(&found.text).map_err(in_file)?;
    for setting in settings {
        for key in setting.key.sides() {
            root.set(key.segments(), setting.node.clone());
        }
    }
    let shape = Shape::of_file(&root);
    let mut problems = Vec::new();
    let mut axes = matrix::axes(&shape, &root, &mut problems);
    for setting in settings {
        axes.iter_mut()
            .for_each(|axis| axis.narrow(&setting.key, &setting.node));
    }
    let repeats = repeats(&root);
    let cells = matrix::cells(&axes, repeats as usize, &root, &mut problems);
    let documents: Vec<Node> = cells.iter().map(|cell| with_cell(&root, cell)).collect();
    problems.extend(expectations::check(&root));
    problems.extend(scaling::check(&shape, &root));
    problems.extend(cell_problems(&shape, &cells, &documents));
    if !problems.is_empty() {
        let mut all = Problems::default();
        all.extend(in_order(problems).into_iter().map(in_file));
        return Err(all);
    }
    let place = Place {
        file: &found.file,
        origin: &found.origin,
    };
    let trials = trials(&cells, &documents, place).map_err(in_file)?;
    assemble(found, &trials, repeats)
}

fn repeats(root: &Node) -> u32 {
    match root.child("repeats").map(|node| &node.value) {
        Some(Value::Integer(repeats)) => u32::try_from(*repeats).unwrap_or(1).max(1),
        _ => 1,
    }
}

fn with_cell(root: &Node, cell: &Cell) -> Node {
    let mut document = root.clone();
    for (key, node) in cell {
        document.set(key.segments(), node.clone());
    }
    document
}

/// What is wrong in each cell; a problem names the first cell that has it, unless all of them have.
fn cell_problems(shape: &Shape, cells: &[Cell], documents: &[Node]) -> Vec<Problem> {
    let mut found: Vec<(Problem, usize, &Cell)> = Vec::new();
    for (cell, document) in cells.iter().zip(documents) {
        let of_cell = structure::check(shape, document)
            .into_iter()
            .chain(meaning::check(document));
        for problem in of_cell {
            match found.iter_mut().find(|(earlier, ..)| *earlier == problem) {
                Some((_, count, _)) => *count += 1,
                None => found.push((problem, 1, cell)),
            }
        }
    }
    let named = |(problem, count, cell): (Problem, usize, &Cell)| Problem {
        cell: (count < cells.len()).then(|| match count {
            1 => matrix::label(cell),
            _ => format!("{} and {} more", matrix::label(cell), count - 1),
        }),
        ..problem
    };
    found.into_iter().map(named).collect()
}

/// In the file's order, what the command line caused last.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| match problem.origin {
        Some(Origin::File { line, column }) => (line, column),
        _ => (usize::MAX, 0),
    });
    problems
}

fn trials(cells: &[Cell], documents: &[Node], place: Place<'_>) -> Result<Vec<TrialPlan>, Problem> {
    let trial = |(cell, document): (&Cell, &Node)| {
        // The checks leave nothing for serde to refuse; should they ever, it is told and not hidden.
        let scenario =
            serde_json::from_value(document.to_json()).map_err(|fault| Problem::unplaced(fault.to_string()))?;
        Ok(resolve::trial(scenario, document, cell, place))
    };
    cells.iter().zip(documents).map(trial).collect()
}

/// All cells of repeat 1, then of repeat 2, and so on: what drifts over time falls on each cell alike.
fn assemble(found: &Found, cells: &[TrialPlan], repeats: u32) -> Result<Plan, Problems> {
    let first = cells
        .first()
        .ok_or_else(|| Problems::from(Problem::unplaced("no trial to run")))?;
    let repeated = |repeat: u32| cells.iter().cloned().map(move |trial| TrialPlan { repeat, ..trial });
    let trials: Vec<TrialPlan> = (1..=repeats).flat_map(repeated).collect();
    let count = trials.len() as u32;
    let numbered = |(trial, plan): (u32, TrialPlan)| TrialPlan {
        trial,
        trials: count,
        ..plan
    };
    Ok(Plan {
        id: first.id.clone(),
        claim: first.claim.clone(),
        sources: first.sources.clone(),
        why: why(&found.text),
        origin: found.origin.clone(),
        trials: (1..).zip(trials).map(numbered).collect(),
    })
}

/// The comment at the file's head, from `Why:` on where it says so, as one paragraph.
fn why(text: &str) -> String {
    let comment: Vec<&str> = text
        .lines()
        .map_while(|line| line.trim().strip_prefix('#'))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let comment = comment.join(" ");
    match comment.split_once("Why:") {
        Some((_, why)) => why.trim().to_owned(),
        None => comment,
    }
}
