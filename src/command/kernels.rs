//! `linger kernels`: what `--kernel` finds here, and what can be downloaded.

use anyhow::Result;
use serde_json::json;

use super::{Exit, print};
use crate::cli::Kernels;
use linger::machine::kernels;

pub(crate) fn kernels(options: &Kernels) -> Result<Exit> {
    let (found, offered) = (kernels::found(), kernels::offered());
    let mut text = String::new();
    if options.json {
        for kernel in &found {
            text += &format!("{}\n", json!({"kernel": kernel.name, "path": kernel.path}));
        }
        for kernel in offered.iter().flatten() {
            text += &format!(
                "{}\n",
                json!({"package": kernel.package, "description": kernel.description})
            );
        }
        return print(text.as_bytes());
    }
    text += "found here, to be named by --kernel:\n";
    let width = found.iter().map(|kernel| kernel.name.len()).max().unwrap_or(0);
    for kernel in &found {
        text += &format!("  {:<width$}  {}\n", kernel.name, kernel.path.display());
    }
    if found.is_empty() {
        text += "  none\n";
    }
    text += "\noffered by apt (apt-get download PACKAGE, then --kernel with the .deb):\n";
    match &offered {
        Ok(offered) if offered.is_empty() => text += "  none; apt-get update may be due\n",
        Ok(offered) => {
            let (newest, left_out) = kernels::newest_of_each_series(offered);
            let width = newest.iter().map(|kernel| kernel.package.len()).max().unwrap_or(0);
            for kernel in newest {
                text += &format!("  {:<width$}  {}\n", kernel.package, kernel.description);
            }
            if left_out > 0 {
                text += &format!("  and {left_out} older ones and other flavours: linger kernels --json\n");
            }
        }
        Err(why) => text += &format!("  unknown: {why}\n"),
    }
    text += "\nDebian's 5.10, 6.1, 6.12 and newest, downloaded without root: scripts/kernels\n\
             any other: name a vmlinuz, a .deb or a directory with one\n";
    print(text.as_bytes())
}
