//! Rooms that have outgrown a screen are pointed out. Nothing fails: a limit that fails is a limit
//! that is gamed.

use super::Tree;
use super::source::code_only;

const FILE_LINES_REMARK: usize = 500;
const FUNCTION_LINES_REMARK: usize = 70;

pub(crate) fn remarks(tree: &Tree) -> Vec<String> {
    let mut remarks = Vec::new();
    for (path, text) in tree.rust_files().filter(|(path, _)| !path.contains("/tests")) {
        let production = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text);
        let n_lines = production.lines().count();
        if n_lines > FILE_LINES_REMARK {
            remarks.push(format!("{path}: {n_lines} lines; is it two rooms?"));
        }
        for (name, line, length) in long_functions(production) {
            remarks.push(format!("{path}:{line}: fn {name} has {length} lines"));
        }
    }
    remarks
}

/// `(name, line, lines)` of functions longer than a screen, found by brace depth.
fn long_functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = code_only(text);
    let mut found = Vec::new();
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    let mut pending: Option<(String, usize)> = None;
    let mut depth = 0usize;
    for (idx, line) in code.lines().enumerate() {
        if let Some(after) =
            line.trim_start().strip_prefix("fn ").or_else(|| line.split_once(" fn ").map(|(_, a)| a))
        {
            let name = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            pending = Some((name, idx));
        }
        for c in line.chars() {
            match c {
                '{' => {
                    if let Some((name, from)) = pending.take() {
                        open.push((name, from, depth));
                    }
                    depth += 1;
                }
                '}' => {
                    depth = depth.saturating_sub(1);
                    if let Some((name, from, _)) = open.pop_if(|(_, _, at)| *at == depth) {
                        let length = idx - from + 1;
                        if length > FUNCTION_LINES_REMARK {
                            found.push((name, from + 1, length));
                        }
                    }
                }
                ';' => pending = None,
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_functions_are_pointed_out() {
        let body = "    x();\n".repeat(FUNCTION_LINES_REMARK);
        let text = format!("//! A.\nfn short() {{}}\nfn long() {{\n{body}}}\n");
        let found = remarks(&Tree::of(&[("crates/a/src/lib.rs", &text)]));
        assert_eq!(found, ["crates/a/src/lib.rs:3: fn long has 72 lines"]);
        let long = "x\n".repeat(FILE_LINES_REMARK + 1);
        assert_eq!(remarks(&Tree::of(&[("crates/a/src/lib.rs", &long)])).len(), 1);
    }
}
