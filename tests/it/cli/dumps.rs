//! Dumps as their programs write them: what is told about them.

use super::{User, objects};
use crate::support::postgres::Postgres;

/// Names of the parts of the only modified file that `diff` tells.
pub(super) fn changed_parts(user: &User) -> Vec<String> {
    let told = objects(&user.ok(&["--json", "diff", "latest~1", "latest"]));
    let difference = told.iter().find(|object| object["change"] == "modified").expect("a modified file");
    let changed = difference["parts"]["changed"].as_array().unwrap_or_else(|| panic!("{difference}"));
    changed.iter().filter_map(|part| Some(part["name"].as_str()?.to_owned())).collect()
}

#[test]
fn diff_names_the_tables_that_changed_in_every_format_of_pg_dump() {
    let server = Postgres::start();
    server.create_database("shop");
    for table in ["item", "orders", "visit"] {
        server.sql("shop", &format!("create table {table} (id int primary key, name text)"));
        let rows =
            format!("insert into {table} select n, md5('{table}' || n) from generate_series(1, 5000) n");
        server.sql("shop", &rows);
    }
    let formats: [&[&str]; 5] = [&["-Fp"], &["-Fp", "--inserts"], &["-Fc", "-Z0"], &["-Fc"], &["-Ft"]];
    let before = formats.map(|options| server.dump("shop", options));
    server.sql("shop", "update orders set name = 'changed' where id = 2500");
    for (options, before) in formats.into_iter().zip(before) {
        let user = User::with_repository();
        for dump in [before, server.dump("shop", options)] {
            let run = user.run_with_input(&["backup", "--stdin", "--stdin-filename", "shop.dump"], &dump);
            assert_eq!(run.code, 0, "{run:?}");
            let is_packed = options == ["-Fc"];
            assert_eq!(run.err.contains("pg_dump with -Fc -Z0"), is_packed, "{options:?}: {run:?}");
        }
        let mut changed = changed_parts(&user);
        // The script that psql can run says when it was made.
        changed.retain(|name| name != "toc.dat" && name != "restore.sql");
        assert_eq!(changed, ["public.orders"], "{options:?}");
        let told = user.ok(&["diff", "latest~1", "latest"]);
        assert!(told.contains("\n    M public.orders (+"), "{told}");
        assert!(!user.ok(&["diff", "--parts", "never", "latest~1", "latest"]).contains("orders"));
    }
}

#[test]
fn compressed_dumps_in_a_folder_are_warned_of_once_a_kind() {
    let user = User::with_repository();
    let gzip = [&b"\x1f\x8b\x08\0"[..], &[7; 900]].concat();
    for name in
        ["src/shop/3357.dat.gz", "src/shop/3358.dat.gz", "src/a.sql.gz", "src/b.sql.gz", "src/photo.gz"]
    {
        user.write(name, &gzip);
    }
    // Long files go another way.
    user.write("src/c.bson.gz", [&gzip[..], &vec![1; 2 << 20]].concat());
    let run = user.run(&["backup", "src"]);
    assert_eq!(run.code, 0, "{run:?}");
    for option in ["pg_dump with -Fd -Z0", "drop the pipe", "mongodump without --gzip"] {
        assert_eq!(run.err.matches(option).count(), 1, "{option}: {run:?}");
    }
    assert!(run.err.contains("up to 2.0 MiB of it"), "{run:?}");
    assert_eq!(run.err.matches("is compressed").count(), 3, "{run:?}");
    let again = user.run(&["backup", "src"]);
    assert!(
        again.code == 0 && !again.err.contains("is compressed"),
        "unchanged files are not read: {again:?}"
    );
}
