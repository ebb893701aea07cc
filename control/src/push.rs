//! What a push may do: rules over the refs that git is about to move, from facts that
//! the hook found. Git runs the hook before its own checks, so everything that git
//! would refuse after an accepted deploy is refused here first.

use std::collections::BTreeSet;

use api::{Failure, Kind};
use model::RefName;

use crate::limits::SHOWN_WORD_CHARS_MAX;

/// One ref of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// As git names it; not checked yet.
    pub name: String,
    /// The id it has now, zeros if it is new.
    pub old: String,
    /// The id it gets, zeros if it is deleted.
    pub new: String,
    /// `new` is a commit.
    pub is_commit: bool,
    /// The ref still has `old`.
    pub is_current: bool,
    /// Another ref stands in the way (`main/x` beside `main`), or a stale lock does.
    pub blocked: Option<String>,
}

impl RefUpdate {
    fn deletes(&self) -> bool {
        self.new.bytes().all(|b| b == b'0')
    }
}

/// What came with a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// `-o dry-run`: stop after the plan.
    pub dry_run: bool,
    /// `-o detach`: go on without the client.
    pub detach: bool,
    /// `-o accept-5xx`.
    pub accept_5xx: bool,
}

impl PushOptions {
    /// Reads the words after `-o`. An unknown one is refused, not ignored: it was meant.
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        for word in words {
            match word.as_str() {
                "dry-run" => options.dry_run = true,
                "detach" => options.detach = true,
                "accept-5xx" => options.accept_5xx = true,
                other => {
                    let shown = model::text::clean(other, SHOWN_WORD_CHARS_MAX);
                    return Err(Failure::new(Kind::Usage, "push.unknown_option", format!("unknown push option `{shown}`"))
                        .fix("known are: -o dry-run, -o detach, -o accept-5xx"));
                }
            }
        }
        Ok(options)
    }
}

/// What to do with a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushPlan {
    /// Let the refs move, build nothing; the line says so.
    Store {
        /// What to tell the author.
        notes: Vec<String>,
    },
    /// Build and release this commit, then let the refs move.
    Deploy {
        /// The deploy branch.
        branch: String,
        /// The commit.
        commit: String,
        /// The id that the branch has now, for "has it moved meanwhile".
        old: String,
        /// What to tell the author.
        notes: Vec<String>,
    },
}

/// The ref of a push that would be deployed, if there is one.
pub fn deployed_by<'a>(refs: &'a [RefUpdate], deploy_branches: &BTreeSet<String>) -> Option<&'a RefUpdate> {
    let deploys = |update: &&RefUpdate| update.name.strip_prefix("refs/heads/").is_some_and(|branch| deploy_branches.contains(branch));
    refs.iter().find(|update| deploys(update) && !update.deletes())
}

/// Decides over a push.
pub fn plan(app: &str, refs: &[RefUpdate], deploy_branches: &BTreeSet<String>, shallow: bool) -> Result<PushPlan, Failure> {
    if shallow {
        return Err(Failure::new(Kind::Refused, "push.shallow", "this push comes from a shallow clone")
            .why("its history is cut off, so the repository here would be broken")
            .fix("run `git fetch --unshallow`, then push again"));
    }
    let mut deploys = Vec::new();
    let mut notes = Vec::new();
    for update in refs {
        let name: RefName = update.name.parse()?;
        check(update, &name, deploy_branches)?;
        match name.branch() {
            Some(branch) if deploy_branches.contains(branch) => deploys.push((branch.to_owned(), update)),
            _ if update.deletes() => notes.push(format!("{} is deleted; nothing was deployed", name.branch().unwrap_or(name.as_str()))),
            Some(branch) => {
                let wanted = deploy_branches.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
                notes.push(format!("{branch} is stored and not deployed: {app} deploys {wanted}"));
                if !deploy_branches.is_empty() {
                    let main = deploy_branches.iter().find(|name| *name == "main").or(deploy_branches.first());
                    notes.push(format!("to deploy it: git push paas {branch}:{}", main.map_or("main", String::as_str)));
                }
            }
            None => notes.push(format!("{} is stored; tags are not deployed", name.as_str())),
        }
    }
    match deploys.as_slice() {
        [] => Ok(PushPlan::Store { notes }),
        [(branch, update)] => Ok(PushPlan::Deploy { branch: branch.clone(), commit: update.new.clone(), old: update.old.clone(), notes }),
        _ => Err(Failure::new(Kind::Refused, "push.two_deploy_branches", "this push moves more than one deploy branch")
            .why("only one of them could be the next release")
            .fix("push one branch at a time")),
    }
}

fn check(update: &RefUpdate, name: &RefName, deploy_branches: &BTreeSet<String>) -> Result<(), Failure> {
    let deploys = name.branch().is_some_and(|b| deploy_branches.contains(b));
    if update.deletes() && deploys {
        return Err(Failure::new(Kind::Refused, "push.deletes_deploy_branch", format!("{} cannot be deleted", name.as_str()))
            .why("it is a branch that deploys")
            .fix("destroy the app with `paas apps:destroy`, or set another branch with `paas apps:set deploy-branch=NAME`"));
    }
    if let Some(blocked) = &update.blocked {
        return Err(Failure::new(Kind::Refused, "push.ref_blocked", format!("{} cannot be updated", name.as_str())).why(blocked.clone()));
    }
    if !update.is_current {
        return Err(moved(name.as_str()));
    }
    if name.branch().is_some() && !update.is_commit && !update.deletes() {
        return Err(Failure::new(Kind::Refused, "push.not_a_commit", format!("{} would not point at a commit", name.as_str()))
            .fix("push a branch or a commit: git push paas HEAD:main"));
    }
    Ok(())
}

/// The branch has moved since git showed it to this client.
pub fn moved(name: &str) -> Failure {
    Failure::new(Kind::Refused, "push.fetch_first", format!("{name} has moved since this push began"))
        .why("another push reached it first")
        .fix("run `git fetch paas`, merge or rebase, then push again (fetch first)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: &str = "0000000000000000000000000000000000000000";
    const ONE: &str = "1111111111111111111111111111111111111111";

    fn update(name: &str) -> RefUpdate {
        RefUpdate { name: name.to_owned(), old: ZERO.to_owned(), new: ONE.to_owned(), is_commit: true, is_current: true, blocked: None }
    }

    fn decide(refs: &[RefUpdate]) -> Result<PushPlan, String> {
        let branches = ["main".to_owned(), "master".to_owned()].into();
        plan("hello", refs, &branches, false).map_err(|f| f.code)
    }

    #[test]
    fn the_deploy_branch_deploys_and_others_are_stored() {
        assert!(matches!(decide(&[update("refs/heads/main")]), Ok(PushPlan::Deploy { branch, .. }) if branch == "main"));
        assert!(matches!(decide(&[update("refs/heads/master")]), Ok(PushPlan::Deploy { .. })));
        let Ok(PushPlan::Store { notes }) = decide(&[update("refs/heads/feature"), update("refs/tags/v1")]) else { panic!("stored") };
        assert!(notes[0].contains("feature is stored and not deployed"), "{notes:?}");
        assert!(matches!(decide(&[update("refs/heads/main"), update("refs/tags/v1")]), Ok(PushPlan::Deploy { .. })));
    }

    #[test]
    fn a_deletion_is_told_as_one_and_refused_where_git_would() {
        let deletion = |name: &str| RefUpdate { old: ONE.to_owned(), new: ZERO.to_owned(), is_commit: false, ..update(name) };
        let Ok(PushPlan::Store { notes }) = decide(&[deletion("refs/heads/feature"), deletion("refs/tags/v1")]) else { panic!("stored") };
        assert_eq!(notes, ["feature is deleted; nothing was deployed", "refs/tags/v1 is deleted; nothing was deployed"]);
        let head = RefUpdate { blocked: Some("it is the repository's HEAD".to_owned()), ..deletion("refs/heads/feature") };
        assert_eq!(decide(&[head]).expect_err("HEAD"), "push.ref_blocked");
    }

    #[test]
    fn what_git_would_refuse_after_the_deploy_is_refused_before_it() {
        let code = |change: &dyn Fn(&mut RefUpdate)| {
            let mut one = update("refs/heads/main");
            change(&mut one);
            decide(&[one]).expect_err("refused")
        };
        assert_eq!(code(&|u| u.new = ZERO.to_owned()), "push.deletes_deploy_branch");
        assert_eq!(code(&|u| u.is_commit = false), "push.not_a_commit");
        assert_eq!(code(&|u| u.is_current = false), "push.fetch_first");
        assert_eq!(code(&|u| u.blocked = Some("refs/heads/main.lock exists".to_owned())), "push.ref_blocked");
        assert_eq!(code(&|u| u.name = "refs/heads/$(id)".to_owned()), "invalid.ref_name");
        assert_eq!(decide(&[update("refs/heads/main"), update("refs/heads/master")]).expect_err("two"), "push.two_deploy_branches");
    }

    #[test]
    fn a_shallow_push_is_refused_before_anything_else() {
        let branches = ["main".to_owned()].into();
        let failure = plan("hello", &[update("refs/heads/main")], &branches, true).expect_err("shallow");
        assert_eq!(failure.code, "push.shallow");
    }

    #[test]
    fn an_unknown_push_option_is_not_ignored() {
        assert!(PushOptions::parse(&["dry-run".to_owned()]).expect("known").dry_run);
        assert_eq!(PushOptions::parse(&["dryrun".to_owned()]).expect_err("unknown").code, "push.unknown_option");
    }
}
