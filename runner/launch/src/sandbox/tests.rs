use super::*;
use crate::Users;

fn host(is_root: bool) -> HostCapabilities {
    HostCapabilities {
        is_root,
        users: Users { base: 700_000 },
        root: "/srv/paas".to_owned(),
        paas: "paas-1".to_owned(),
        links: vec![("bin".to_owned(), "usr/bin".to_owned())],
        folders: vec!["usr".to_owned()],
        etc: vec!["ssl".to_owned()],
        toolchains: vec!["/root/.pyenv".to_owned()],
        devices: vec!["null".to_owned()],
        app_tasks: 4_096,
        resolv_conf: b"nameserver 10.0.0.1\n".to_vec(),
    }
}

fn subject(profile: Profile) -> Option<String> {
    match profile {
        Profile::App | Profile::Unpack => Some("ab".repeat(32)),
        Profile::Build => Some("3".to_owned()),
        Profile::Wipe => Some("layers/web.1-v7-42".to_owned()),
        _ => None,
    }
}

fn request(profile: Profile) -> Request {
    let app = if matches!(profile, Profile::Postgres | Profile::Router) { 0 } else { 4 };
    Request {
        profile,
        app,
        folder: "web.1-v7-42".to_owned(),
        subject: Subject::parse(profile, subject(profile).as_deref()).expect("subject"),
        hostname: "web-1-v7-42".to_owned(),
        last_pid: 1_234,
    }
}

fn lines(is_root: bool, profile: Profile) -> String {
    let list = operations(&host(is_root), &request(profile));
    let decoded = shim::operation::decode(&shim::operation::encode(&list)).expect("the shim reads the list");
    assert_eq!(decoded, list);
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_app_as_root() {
    insta::assert_snapshot!(lines(true, Profile::App));
}

#[test]
fn an_app_rootless() {
    insta::assert_snapshot!(lines(false, Profile::App));
}

/// The rest differs from an app by its mounts and users alone.
#[test]
fn what_each_profile_adds() {
    let mut text = Vec::new();
    for is_root in [true, false] {
        let of_app = lines(is_root, Profile::App);
        for profile in [Profile::Build, Profile::Git, Profile::Export, Profile::Unpack, Profile::Wipe, Profile::Postgres, Profile::Router] {
            text.push(format!("=== {profile:?}, {}", if is_root { "root" } else { "rootless" }));
            let of_profile = lines(is_root, profile);
            let new = of_profile.lines().filter(|line| !of_app.lines().any(|found| found == *line));
            text.extend(new.map(ToOwned::to_owned));
        }
    }
    insta::assert_snapshot!(text.join("\n"));
}

/// Only once the user is the app's: before, the limit would count what root has.
#[test]
fn whatever_comes_from_an_app_has_a_limit_of_processes_and_what_is_ours_has_none() {
    for is_root in [true, false] {
        for profile in [
            Profile::App,
            Profile::Build,
            Profile::Git,
            Profile::Export,
            Profile::Unpack,
            Profile::Wipe,
            Profile::Postgres,
            Profile::Router,
        ] {
            let list = operations(&host(is_root), &request(profile));
            let at = |found: fn(&Operation) -> bool| list.iter().position(found);
            let limit = at(|operation| matches!(operation, Operation::LimitTasks(4_096)));
            assert_eq!(limit.is_some(), matches!(profile, Profile::App | Profile::Build), "{profile:?}");
            let user = at(|operation| matches!(operation, Operation::User { .. }));
            assert!(limit.is_none() || user < limit, "{profile:?}");
        }
    }
}

#[test]
fn nothing_of_a_child_keeps_a_right() {
    for is_root in [true, false] {
        for profile in [Profile::App, Profile::Build, Profile::Git, Profile::Postgres, Profile::Router] {
            let list = operations(&host(is_root), &request(profile));
            let child = list.iter().position(|o| *o == Operation::ForkChild).expect("child");
            let keep = list.iter().position(|o| *o == Operation::Keep).expect("keep");
            let of_child = &list[child..keep];
            assert!(of_child.contains(&Operation::NoNewPrivileges));
            assert!(of_child.contains(&Operation::DropBounding));
            let user = Operation::User { uid: request(profile).user(&host(is_root)), gid: request(profile).user(&host(is_root)) };
            assert_eq!(of_child.contains(&user), is_root);
            assert_eq!(of_child.contains(&Operation::DropCapabilities), !is_root);
        }
    }
}

/// What the processes of the app give up, in their order, is given up here too.
#[test]
fn a_command_inside_a_run_has_the_rights_of_the_apps_processes() {
    for is_root in [true, false] {
        let of_app = operations(&host(is_root), &request(Profile::App));
        let joined = joining(&host(is_root), 4);
        let dropped = |list: &[Operation]| {
            let at = list.iter().position(|operation| *operation == Operation::ForkChild).expect("child");
            list[at..].to_vec()
        };
        assert_eq!(dropped(&joined), dropped(&of_app));
        assert_eq!(shim::operation::decode(&shim::operation::encode(&joined)), Ok(joined.clone()));
        insta::assert_snapshot!(format!("a_command_inside_a_run_{}", if is_root { "as_root" } else { "rootless" }), shown(&joined));
    }
}

fn shown(list: &[Operation]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn subjects_that_do_not_belong_are_refused() {
    for (profile, text) in [
        (Profile::App, None),
        (Profile::App, Some("../x")),
        (Profile::Build, Some("..")),
        (Profile::Git, Some("x")),
        (Profile::Router, Some("x")),
        (Profile::Wipe, Some("store")),
        (Profile::Wipe, Some("app")),
        (Profile::Exec, None),
        (Profile::Exec, Some("web.1-v7-42")),
    ] {
        assert!(Subject::parse(profile, text).is_err(), "{profile:?} took {text:?}");
    }
}
