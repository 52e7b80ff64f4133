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
    for kernel in &found {
        text += &format!("  {:<44} {}\n", kernel.name, kernel.path.display());
    }
    if found.is_empty() {
        text += "  none\n";
    }
    text += "\noffered by apt (apt-get download PACKAGE, then --kernel with the .deb):\n";
    match &offered {
        Ok(offered) if offered.is_empty() => text += "  none; apt-get update may be due\n",
        Ok(offered) => {
            for kernel in offered {
                text += &format!("  {:<44} {}\n", kernel.package, kernel.description);
            }
        }
        Err(why) => text += &format!("  unknown: {why}\n"),
    }
    text += "\nDebian's 5.10, 6.1, 6.12 and newest, downloaded without root: scripts/kernels\n\
             any other: name a vmlinuz, a .deb or a directory with one\n";
    print(text.as_bytes())
}
