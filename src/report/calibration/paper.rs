//! A report on paper: Markdown or HTML of the same pieces.

use std::fmt::Write as _;
use std::path::PathBuf;

/// One piece of a report.
#[derive(Debug)]
pub enum Piece {
    /// A heading; the first is the title.
    Heading(String),
    /// Sentences.
    Paragraph(String),
    /// A list.
    List(Vec<String>),
    /// Header and rows.
    Table(Vec<String>, Vec<Vec<String>>),
    /// A picture and its caption.
    Figure(PathBuf, String),
}

/// The pieces as Markdown.
pub fn markdown(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = match piece {
            Piece::Heading(words) => writeln!(text, "{} {words}\n", if index == 0 { "#" } else { "##" }),
            Piece::Paragraph(words) => writeln!(text, "{words}\n"),
            Piece::List(items) => {
                writeln!(text, "{}\n", items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n"))
            }
            Piece::Table(header, rows) => {
                let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
                let rule = format!("|{}\n", "---|".repeat(header.len()));
                let body: String = rows.iter().map(|row| line(row)).collect();
                writeln!(text, "{}{rule}{body}", line(header))
            }
            Piece::Figure(path, caption) => writeln!(text, "![{caption}]({})\n\n{caption}\n", path.display()),
        };
    }
    text
}

/// The pieces as HTML.
pub fn html(pieces: &[Piece]) -> String {
    let safe = |words: &str| words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "");
    let title = if let Some(Piece::Heading(title)) = pieces.first() { safe(title) } else { String::new() };
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>body {{ font: 16px/1.5 sans-serif; \
         max-width: 60rem; margin: 2rem auto; padding: 0 1rem }} table {{ border-collapse: collapse }} td, th {{ border: 1px solid #bbb; \
         padding: 0.2rem 0.6rem; text-align: left }} img {{ max-width: 100% }}</style></head><body>\n"
    );
    for (index, piece) in pieces.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = match piece {
            Piece::Heading(words) if index == 0 => writeln!(text, "<h1>{}</h1>", safe(words)),
            Piece::Heading(words) => writeln!(text, "<h2>{}</h2>", safe(words)),
            Piece::Paragraph(words) => writeln!(text, "<p>{}</p>", safe(words)),
            Piece::List(items) => {
                let items = items.iter().map(|item| format!("<li>{}</li>\n", safe(item))).collect::<Vec<_>>().concat();
                writeln!(text, "<ul>\n{items}</ul>")
            }
            Piece::Table(header, rows) => {
                let row = |cells: &[String], tag: &str| {
                    let cells =
                        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", safe(cell))).collect::<Vec<_>>().concat();
                    format!("<tr>{cells}</tr>\n")
                };
                let body: String = rows.iter().map(|cells| row(cells, "td")).collect();
                writeln!(text, "<table>\n{}{body}</table>", row(header, "th"))
            }
            Piece::Figure(path, caption) => {
                writeln!(
                    text,
                    "<figure><img src=\"{}\" alt=\"{}\"><figcaption>{}</figcaption></figure>",
                    path.display(),
                    safe(caption),
                    safe(caption)
                )
            }
        };
    }
    text.push_str("</body></html>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_the_same_pieces() {
        let pieces = [
            Piece::Heading("a < b".into()),
            Piece::List(vec!["one".into(), "two".into()]),
            Piece::Table(vec!["x".into()], vec![vec!["1".into()]]),
        ];
        let (markdown, html) = (markdown(&pieces), html(&pieces));
        assert!(markdown.starts_with("# a < b\n\n- one\n- two\n\n| x |\n|---|\n| 1 |\n"), "{markdown}");
        assert!(html.contains("<h1>a &lt; b</h1>") && html.contains("<tr><td>1</td></tr>"), "{html}");
    }
}
