use super::*;
use builder::MemoryTree;

#[test]
fn names_and_included_files_are_found() {
    let tree = MemoryTree::from([
        (
            "requirements.txt",
            "# web\nFlask==3.0 # comment\n-r more/base.txt\nPsycopg2_binary>=2 ; python_version > '3'\n--index-url https://x\n",
        ),
        ("more/base.txt", "-c ../limits.txt\n-r other.txt\ngunicorn[gevent]\n"),
        ("more/other.txt", "-r base.txt\n"),
    ]);
    let found = Requirements::read(&tree).expect("reads");
    assert!(["flask", "psycopg2-binary", "gunicorn"].iter().all(|name| found.has(name)), "{:?}", found.names);
    assert_eq!(
        found.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["requirements.txt", "more/base.txt", "more/other.txt"]
    );
    assert!(found.local, "a file outside the tree cannot be part of a key");
}

#[test]
fn a_constraint_installs_nothing_and_changes_the_key() {
    let tree = MemoryTree::from([("requirements.txt", "flask\n-c limits.txt\n"), ("limits.txt", "gunicorn==21\npsycopg2==2.9\n")]);
    let found = Requirements::read(&tree).expect("reads");
    assert!(found.has("flask") && !found.has("gunicorn") && !found.has_postgresql_driver());
    assert_eq!(found.files.len(), 2);
}

#[test]
fn what_powershell_wrote_is_read() {
    let written = |unit: fn(u16) -> [u8; 2]| "\u{feff}Flask==3.0\r\ngunicorn\r\n".encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    for bytes in [written(u16::to_le_bytes), written(u16::to_be_bytes), b"\xef\xbb\xbfflask\ngunicorn\n".to_vec()] {
        let found = Requirements::read(&MemoryTree::from([("requirements.txt", bytes)])).expect("reads");
        assert!(found.has("flask") && found.has("gunicorn"), "{:?}", found.names);
    }
}

#[test]
fn what_comes_from_the_repository_itself_is_noticed() {
    for (line, local) in [
        (".", true),
        ("-e .", true),
        ("./lib", true),
        ("x @ file:///app/x", true),
        ("-e git+https://h/x#egg=x", false),
        ("git+https://h/x", false),
        ("flask", false),
        ("flask==3.0 ; sys_platform == 'a/b' --hash=sha256:00", false),
        ("x @ https://h/x-1.0.tar.gz", false),
        ("vendor/x-1.0-py3-none-any.whl", true),
        ("x-1.0.tar.gz", true),
        ("--find-links wheels", true),
        ("--find-links=./wheels", true),
        ("-f wheels", true),
        ("-fwheels", true),
        ("-f https://h/wheels", false),
        ("--extra-index-url https://h/simple", false),
        ("--index-url=mirror/simple", true),
        ("--only-binary :all:", false),
    ] {
        let tree = MemoryTree::from([("requirements.txt", line)]);
        assert_eq!(Requirements::read(&tree).expect("reads").local, local, "{line}");
    }
}

#[test]
fn drivers_of_postgresql_are_found_in_every_spelling() {
    let has_driver = |line: &str| {
        let text = format!("# an app\nflask==3.0\n{line}\ngunicorn\n");
        let tree = MemoryTree::from([("requirements.txt", text.as_str())]);
        Requirements::read(&tree).expect("reads").has_postgresql_driver()
    };
    for line in [
        "psycopg2-binary==2.9.9 --hash=sha256:00",
        "Psycopg2_Binary>=2",
        "  asyncpg ~= 0.29",
        "psycopg[binary,pool]>=3.1",
        "pg8000;python_version>'3.8'",
        "psycopg @ https://h/x.whl",
        "sqlalchemy[asyncio, postgresql]>=2",
        "databases [postgresql]",
    ] {
        assert!(has_driver(line), "{line}");
    }
    for line in ["flask", "# psycopg2", "psycopg2x", "my-psycopg2", "-r psycopg2.txt", "sqlalchemy[asyncio]", "pg", "postgresql"] {
        assert!(!has_driver(line), "{line}");
    }
}
