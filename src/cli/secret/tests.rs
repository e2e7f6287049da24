//! The commands as typed, on an embedded store.

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::vault::EmbeddedStore;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: SecretCommand,
}

struct Shell {
    store: EmbeddedStore,
    directory: tempfile::TempDir,
}

/// What a command answered: its result, standard output, standard error.
struct Answer(Result<(), SecretCommandError>, String, String);

impl Answer {
    fn ok(self) -> String {
        self.0.unwrap();
        self.1
    }
}

impl Shell {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        let store = EmbeddedStore::open(&at("store.db"), &at("store.key")).await;
        Self {
            store: store.unwrap(),
            directory,
        }
    }

    async fn run_with(&self, line: &str, mut input: &[u8], input_is_terminal: bool) -> Answer {
        let words = std::iter::once("secret").chain(line.split_whitespace());
        let command = Line::try_parse_from(words).unwrap().command;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let io = Io {
            input: &mut input,
            input_is_terminal,
            out: &mut out,
            err: &mut err,
        };
        let result = execute(
            command.clone(),
            command.name().map(SecretId::new),
            &self.store,
            io,
        )
        .await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer(result, text(out), text(err))
    }

    async fn run(&self, line: &str, input: &str) -> Answer {
        self.run_with(line, input.as_bytes(), false).await
    }
}

const GOOD: &str = r#"{"username":"app","password":"hunter2"}"#;

#[tokio::test]
async fn a_secret_is_made_changed_shown_and_deleted() {
    let shell = Shell::new().await;
    let created = shell
        .run("create prod/orders --description text", GOOD)
        .await;
    assert_eq!(created.2, "", "no warning");
    let one = created.ok();
    let one = one.lines().last().unwrap();

    let pending = shell
        .run(
            "put prod/orders --stage AWSPENDING --token 0123456789abcdef0123456789abcdef",
            GOOD,
        )
        .await
        .ok();
    assert_eq!(pending, "0123456789abcdef0123456789abcdef\n");
    let two = pending.trim_end();

    let hidden = shell.run("get prod/orders", "").await.ok();
    assert!(hidden.contains(one) && hidden.contains("hidden") && !hidden.contains("hunter2"));
    let bare = shell
        .run("get prod/orders --stage AWSPENDING --reveal", "")
        .await
        .ok();
    assert_eq!(bare, format!("{GOOD}\n"));
    let bare = shell
        .run(&format!("get prod/orders --version {one} --reveal"), "")
        .await
        .ok();
    assert_eq!(bare, format!("{GOOD}\n"));

    let line = format!("stage prod/orders AWSCURRENT --to {two} --from {one}");
    shell.run(&line, "").await.ok();
    let described = shell.run("describe prod/orders --json", "").await.ok();
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["Name"], "prod/orders");
    assert_eq!(described["Description"], "text");
    assert!(
        described["ARN"]
            .as_str()
            .unwrap()
            .starts_with("arn:aws:secretsmanager:")
    );
    assert!(described["CreatedDate"].as_f64().unwrap() > 1.6e9);
    assert!(described.get("DeletedDate").is_none());
    assert_eq!(described["VersionIdsToStages"][two][0], "AWSCURRENT");
    assert_eq!(described["VersionIdsToStages"][one][0], "AWSPREVIOUS");
    let people = shell.run("describe prod/orders", "").await.ok();
    assert!(people.contains(two) && people.contains("AWSPREVIOUS"));

    let listed = shell.run("list --json", "").await.ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        listed["SecretList"][0]["SecretVersionsToStages"][two][0],
        "AWSCURRENT"
    );
    assert!(shell.run("list", "").await.ok().contains(two));

    let gone = shell
        .run("delete prod/orders --recovery-window 7", "")
        .await
        .ok();
    assert!(gone.contains("until then it can be restored"));
    assert!(!shell.run("list", "").await.ok().contains("prod/orders"));
    shell.run("restore prod/orders", "").await.ok();
    shell.run("delete prod/orders --now", "").await.ok();
    let missing = shell.run("describe prod/orders", "").await.0.unwrap_err();
    assert!(missing.is_about_the_question());
}

#[tokio::test]
async fn one_newline_at_the_end_is_not_part_of_a_value() {
    let shell = Shell::new().await;
    for (n, (input, value)) in [("v\n", "v"), ("v\r\n", "v"), ("v\n\n", "v\n"), (" v", " v")]
        .into_iter()
        .enumerate()
    {
        shell.run(&format!("create s{n} --any"), input).await.ok();
        let shown = shell.run(&format!("get s{n} --reveal"), "").await.ok();
        assert_eq!(shown, format!("{value}\n"));
    }
    let file = shell.directory.path().join("value");
    std::fs::write(&file, "from a file\n").unwrap();
    let line = format!("put s0 --any --file {}", file.display());
    shell.run(&line, "not from here").await.ok();
    assert_eq!(shell.run("get s0 --reveal", "").await.ok(), "from a file\n");
}

#[tokio::test]
async fn a_value_that_cannot_be_is_refused_without_quoting_it() {
    let shell = Shell::new().await;
    let long = "x".repeat(65_537);
    for input in ["", "\n", &long, &format!("{long}xxxxx")] {
        let refused = shell.run("create a", input).await.0.unwrap_err();
        assert!(refused.is_about_the_question());
        assert!(!refused.to_string().contains("xx"));
    }
    let refused = shell.run_with("create a", b"\xff\xfe", false).await.0;
    assert!(refused.unwrap_err().to_string().contains("UTF-8"));
    shell
        .run("create a --any", &format!("{}\r\n", "x".repeat(65_536)))
        .await
        .ok();
    let missing = shell.run("create b --file /no/such/file", "").await.0;
    assert!(missing.unwrap_err().to_string().contains("/no/such/file"));
}

#[tokio::test]
async fn a_value_that_no_database_could_use_is_refused_unless_any_is_wanted() {
    let shell = Shell::new().await;
    let refused = shell.run("create a", "hunter2").await.0.unwrap_err();
    assert!(refused.is_about_the_question());
    let said = refused.to_string();
    assert!(
        said.contains("a is not stored") && said.contains("--any"),
        "{said}"
    );
    assert!(!said.contains("hunter2"));
    assert_eq!(
        shell
            .run("create a --any", "hunter2")
            .await
            .ok()
            .lines()
            .count(),
        1
    );
    let refused = shell.run("put a", r#"{"username":"app"}"#).await.0;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("\"password\""), "{said}");
}

#[tokio::test]
async fn a_label_moves_without_its_holder_and_to_the_beginning_of_a_version() {
    let shell = Shell::new().await;
    let one = shell.run("create a", GOOD).await.ok();
    let two = shell.run("put a", GOOD).await.ok();
    let three = shell.run("put a", GOOD).await.ok();
    let (one, two, three) = (one.trim(), two.trim(), three.trim());
    shell
        .run(&format!("stage a AWSCURRENT --to {}", &two[..12]), "")
        .await
        .ok();
    let described = shell.run("describe a --json", "").await.ok();
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["VersionIdsToStages"][two][0], "AWSCURRENT");
    assert_eq!(described["VersionIdsToStages"][one], Value::Null);
    // Where it is already, nothing is to be done.
    shell
        .run(&format!("stage a AWSCURRENT --to {two}"), "")
        .await
        .ok();
    // A version without a label is found and shown as well.
    let all = shell.run("describe a --all", "").await.ok();
    for version in [one, two, three] {
        assert!(all.contains(version), "{version} is missing in {all}");
    }
    let shown = shell
        .run(&format!("get a --version {}", &one[..12]), "")
        .await
        .ok();
    assert!(shown.contains(one), "{shown}");
    let none = shell.run("stage a AWSCURRENT --to 0000zzzz", "").await.0;
    let said = none.unwrap_err().to_string();
    assert!(said.contains("no version of a begins with"), "{said}");
}

#[tokio::test]
async fn a_terminal_is_asked_and_a_pipe_is_not() {
    let shell = Shell::new().await;
    let asked = shell.run_with("create a", GOOD.as_bytes(), true).await;
    assert!(asked.2.starts_with("Value ("), "{}", asked.2);
    // The prompt is not in what a script reads.
    assert_eq!(asked.ok().lines().count(), 1);
}

#[tokio::test]
async fn random_passwords_take_all_options() {
    let shell = Shell::new().await;
    assert_eq!(shell.run("random", "").await.ok().len(), 33);
    let line = "random --length 50 --exclude-punctuation --exclude-uppercase --exclude-lowercase \
                --exclude-characters 012 --include-space --no-require-each-included-type";
    let password = shell.run(line, "").await.ok();
    assert!(
        password
            .trim_end_matches('\n')
            .chars()
            .all(|c| "3456789 ".contains(c))
    );
    let refused = shell.run("random --length 0", "").await.0.unwrap_err();
    assert!(refused.is_about_the_question());
}

#[test]
fn values_are_never_arguments_and_every_command_has_an_example() {
    use clap::CommandFactory;
    assert!(Line::try_parse_from(["secret", "create", "a", "hunter2"]).is_err());
    assert!(Line::try_parse_from(["secret", "put", "a", "hunter2"]).is_err());
    assert!(
        Line::try_parse_from(["secret", "get", "a", "--stage", "S", "--version", "V"]).is_err()
    );
    let mut command = Line::command();
    command.build();
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let help = sub.clone().render_help().to_string();
        let name = sub.get_name();
        assert!(
            help.contains(&format!("pgvalet secret {name}")),
            "{name}: {help}"
        );
    }
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_an_error_with_the_nearest() {
    let shell = Shell::new().await;
    shell.run("create prod/orders", GOOD).await.ok();
    for line in [
        "describe prod/order",
        "get prod/ordes",
        "delete prod/ordrs",
        "policy get prod/orderz",
    ] {
        let said = shell.run(line, "").await.0.unwrap_err().to_string();
        assert!(
            said.contains("did you mean \"prod/orders\"?"),
            "{line}: {said}"
        );
    }
    let said = shell.run("describe billing", "").await.0.unwrap_err();
    assert!(!said.to_string().contains("did you mean"), "{said}");
    // What is not there of a secret that is there is another matter.
    let said = shell.run("policy get prod/orders", "").await.0.unwrap_err();
    assert!(!said.to_string().contains("did you mean"), "{said}");
}

#[tokio::test]
async fn a_policy_is_validated_for_programs() {
    let shell = Shell::new().await;
    shell.run("create a", GOOD).await.ok();
    let public = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
        "Action":"secretsmanager:GetSecretValue","Resource":"*"}]}"#;
    let answer = shell.run("policy validate a --json", public).await;
    let found: Value = serde_json::from_str(&answer.1).unwrap();
    assert_eq!(found["PolicyValidationPassed"], false, "{found}");
    assert!(
        found["ValidationErrors"][0]["CheckName"].is_string(),
        "{found}"
    );
    let failed = answer.0.unwrap_err();
    assert!(!failed.is_about_the_question());
    assert_eq!(failed.to_string(), "");
    let one = "{\"AWS\":\"arn:aws:iam::000000000000:user/api\"},";
    let fine = public.replace("\"*\",", one);
    let answer = shell.run("policy validate a --json", &fine).await.ok();
    let found: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(found["PolicyValidationPassed"], true, "{found}");
    assert_eq!(found["ValidationErrors"], serde_json::json!([]));
}
