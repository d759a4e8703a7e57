//! Networks by their numbers, and whose they are, separated by commas.
//!
//! The columns are split here: a general reader of CSV takes a quotation that is never closed for the rest of the
//! file, and one after a blank, which published lists have, for plain text.

use super::list::is_comment;
use super::rows::Rows;
use crate::feeds::row::{About, Row};
use crate::names::tidy;

pub(in crate::feeds) fn read_line(line: &str, rows: &mut Rows<'_>) -> Option<()> {
    if is_comment(line, rows) {
        return Some(());
    }
    let columns = split(line)?;
    let (number, rest) = columns.split_first()?;
    if rows.is_start() && is_heading(number) {
        return Some(());
    }
    let about = About::Asn(read_number(number)?);
    rows.add(Row { about, name: rest.last().and_then(|name| tidy(name)), value: 0 });
    Some(())
}

/// Whether the first column of the first line names its column.
fn is_heading(column: &str) -> bool {
    ["asn", "as", "number", "as number", "as_number"].iter().any(|name| column.eq_ignore_ascii_case(name))
}

/// A number such as `64496` or `AS64496`. 0 is no network's.
fn read_number(column: &str) -> Option<u32> {
    let digits = match column.split_at_checked(2) {
        Some((prefix, digits)) if prefix.eq_ignore_ascii_case("as") => digits,
        _ => column,
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}

/// The columns of a line, or nothing when a quotation mark stands where none may.
fn split(line: &str) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    let mut rest = line;
    loop {
        let (column, after) = split_one(rest.trim_ascii_start())?;
        columns.push(column);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (after.is_empty() || after.starts_with('#')).then_some(columns),
        }
    }
}

/// The first column, and what stands after it and after blanks: a comma, a comment or nothing.
fn split_one(line: &str) -> Option<(String, &str)> {
    let Some(mut rest) = line.strip_prefix('"') else {
        let end = line.find(',').unwrap_or(line.len());
        // A name may hold the mark, such as that of a language, but not begin with it.
        let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(end).min(end);
        let (column, after) = line.split_at_checked(end)?;
        let is_plain = !column.contains('"');
        return is_plain.then(|| (column.trim_ascii_end().to_owned(), after.trim_ascii_start()));
    };
    let mut column = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        column.push_str(part);
        match after.strip_prefix('"') {
            // A mark inside a quotation is written twice.
            Some(inside) => {
                column.push('"');
                rest = inside;
            }
            None => return Some((column, after.trim_ascii_start())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use crate::feeds::format::Format;

    #[test]
    fn the_last_of_several_columns_is_the_name() {
        let file = "ASN,Entity\n64496,\"EXAMPLE, US\"\n64497, \"Stray Blank Ltd, NL\" \nAS64498,hosting,Three Columns\n\
            as64499\n\"64500\" , \"say \"\"hi\"\"\"\n64501,\n";
        let (rows, summary) = read_all(Format::AsnCsv, file);
        assert_eq!(
            rows,
            [
                "AS64496 EXAMPLE, US",
                "AS64497 Stray Blank Ltd, NL",
                "AS64498 Three Columns",
                "AS64499",
                "AS64500 say \"hi\"",
                "AS64501"
            ]
        );
        assert_eq!(summary.rejected, 0);
    }

    #[test]
    fn comments_stand_after_blanks() {
        let file = "# numbers\nAS64496 # EXAMPLE, GB (\"a\")\nAS64497\t#b\n64498,C# Hosting # a, b\n64499,\"d # e\" # f\n";
        let (rows, summary) = read_all(Format::AsnCsv, file);
        assert_eq!(rows, ["AS64496", "AS64497", "AS64498 C# Hosting", "AS64499 d # e"]);
        assert_eq!(summary.rejected, 0);
    }

    #[test]
    fn what_is_no_number_or_badly_quoted_is_rejected() {
        for line in [
            "0",
            "AS",
            "AS0",
            "AS 64496",
            "+64496",
            "4294967296",
            "1.10",
            "ASAS64496",
            "EXAMPLE,64496",
            "64496,\"never closed",
            "64496,\"closed\" early",
            "64496,in the \"middle\"",
            "ASN,Entity",
            ",",
        ] {
            let (rows, summary) = read_all(Format::AsnCsv, &format!("64511\n{line}\n"));
            assert_eq!((rows.len(), summary.rejected), (1, 1), "`{line}`");
        }
        assert_eq!(read_all(Format::AsnCsv, "64496,\"a\u{7}b\"").0, ["AS64496"]);
    }
}
