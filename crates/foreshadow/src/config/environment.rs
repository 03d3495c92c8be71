//! Keys of the configuration in the environment: `FORESHADOW__SECTION__KEY=value`.

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::Fault;

/// What such variables begin with; what other variables of the product begin with has one `_` only.
const PREFIX: &str = "FORESHADOW__";

/// A variable that gives a key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    value: String,
}

/// Those of all variables that give keys of the configuration, by name.
pub(super) fn variables(all: impl Iterator<Item = (String, String)>) -> Vec<Variable> {
    let ours = all.filter(|(name, _)| name.starts_with(PREFIX));
    let mut ours: Vec<_> = ours.map(|(name, value)| Variable { name, value }).collect();
    ours.sort_by(|a, b| a.name.cmp(&b.name));
    ours
}

/// Puts what variables give in the place of what a file says. What the n-th gives lies, for whoever names
/// the place of a fault, at the n-th byte from `end`.
pub(super) fn put_over<'a>(
    table: &mut DeTable<'a>,
    variables: &'a [Variable],
    end: usize,
) -> Result<(), Fault> {
    for (offset, variable) in (end..).zip(variables) {
        let names = variable.name[PREFIX.len()..].split("__");
        let names: Vec<String> = names.map(str::to_lowercase).collect();
        let put = put(table, &names, &variable.value, offset);
        put.map_err(|reason| Fault::at(offset, reason))?;
    }
    Ok(())
}

fn put<'a>(
    table: &mut DeTable<'a>,
    names: &[String],
    value: &'a str,
    offset: usize,
) -> Result<(), String> {
    let Some((name, deeper)) = names.split_first().filter(|(name, _)| !name.is_empty()) else {
        return Err("there is a name missing; write FORESHADOW__SECTION__KEY".to_owned());
    };
    let key = || Spanned::new(offset..offset, name.clone().into());
    if deeper.is_empty() {
        // A value that replaces another keeps the key, with its place in the file.
        table.remove(name.as_str());
        table.insert(key(), Spanned::new(offset..offset, read(value)));
        return Ok(());
    }
    if !table.contains_key(name.as_str()) {
        let section = DeValue::Table(DeTable::new());
        table.insert(key(), Spanned::new(offset..offset, section));
    }
    let section = table.get_mut(name.as_str()).map(Spanned::get_mut);
    match section {
        Some(DeValue::Table(section)) => put(section, deeper, value, offset),
        Some(DeValue::Array(tables)) => {
            let (one, deeper) = (&deeper[0], &deeper[1..]);
            let section = one_of(tables, one).ok_or_else(|| {
                format!("there is no [[{name}]] `{one}` in the file; give the name or the place, from 0, of one")
            })?;
            put(section, deeper, value, offset)
        }
        Some(_) | None => Err(format!(
            "`{name}` is no section; it has no key `{}`",
            deeper[0]
        )),
    }
}

/// One of several tables, by its name or its place.
fn one_of<'a, 'b>(tables: &'b mut DeArray<'a>, wanted: &str) -> Option<&'b mut DeTable<'a>> {
    let place = wanted.parse::<usize>().ok();
    let at = tables.iter().enumerate().position(|(at, table)| {
        let name = table
            .get_ref()
            .as_table()
            .and_then(|table| table.get("name"));
        let name = name.and_then(|name| name.get_ref().as_str());
        name.is_some_and(|name| as_variable(name) == wanted) || place == Some(at)
    });
    match tables.get_mut(at?)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// A name as a variable has it.
fn as_variable(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(word).collect::<String>().to_lowercase()
}

/// A value as TOML has it, or else as text.
fn read(value: &str) -> DeValue<'_> {
    match DeValue::parse(value) {
        Ok(value) => value.into_inner(),
        Err(_) => DeValue::String(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::{
        super::{ServeConfig, parse_with},
        *,
    };

    const FILE: &str = r#"
tick = "5s"
[[pool]]
name = "note-book"
provider = "process"
command = ["python3"]
ready = { tcp = true }
shape = { vcpus = 1, memory = "256MiB" }
max = 8
"#;

    fn read_with(given: &[(&str, &str)]) -> Result<ServeConfig, (Option<String>, String)> {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables = variables(given);
        let read = parse_with(FILE, Path::new("data"), Path::new(""), &variables);
        read.map_err(|fault| {
            let at = fault
                .offset
                .and_then(|offset| offset.checked_sub(FILE.len() + 1));
            (at.map(|at| variables[at].name.clone()), fault.reason)
        })
    }

    #[test]
    fn variables_take_precedence_over_the_file() {
        let config = read_with(&[
            ("FORESHADOW__TICK", "30s"),
            ("FORESHADOW__POOL__NOTE_BOOK__MAX", "3"),
            ("FORESHADOW__POOL__0__MIN", "2"),
            ("FORESHADOW__RETRAIN__EVERY", "2h"),
            ("FORESHADOW__DURABILITY", "memory"),
            ("FORESHADOW_TOKEN", "is none of them"),
            ("PATH", "is none of them"),
        ]);
        let engine = config.unwrap().engine;
        assert_eq!(engine.shadow.retrain_every, Some(Duration::from_hours(2)));
        assert_eq!(engine.shadow.tick, Duration::from_secs(30));
        let spec = &engine.pools[0].spec;
        assert_eq!((spec.min.0, spec.max.0), (2, 3));
        assert_eq!(
            engine.durability,
            foreshadow_engine::config::Durability::Memory
        );
    }

    #[test]
    fn a_variable_at_fault_is_named() {
        for (name, value, said) in [
            ("FORESHADOW__TICK", "soon", "soon"),
            ("FORESHADOW__TIKC", "5s", "tikc"),
            ("FORESHADOW__POOL__OTHER__MAX", "3", "no [[pool]] `other`"),
            ("FORESHADOW__POOL__NOTE_BOOK__MAX", "many", "many"),
            ("FORESHADOW__TICK__MORE", "5s", "no section"),
            ("FORESHADOW__", "5s", "name missing"),
        ] {
            let (named, reason) = read_with(&[(name, value)]).unwrap_err();
            assert_eq!(named.as_deref(), Some(name), "{reason}");
            assert!(reason.contains(said), "{name}: {reason}");
        }
    }

    #[test]
    fn whatever_variables_give_is_read_or_refused() {
        bolero::check!().with_type::<(String, String)>().for_each(
            |(name, value): &(String, String)| {
                let name = format!("{PREFIX}POOL__{name}");
                let _outcome = read_with(&[(&name, value)]);
            },
        );
    }
}
