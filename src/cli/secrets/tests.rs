use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

struct Answers(RefCell<Vec<&'static str>>);

impl Answers {
    fn new(answers: &[&'static str]) -> Self {
        Self(RefCell::new(answers.iter().rev().copied().collect()))
    }
}

impl Prompt for Answers {
    fn is_possible(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    fn ask(&self, _: &str) -> io::Result<Zeroizing<String>> {
        Ok(Zeroizing::new(self.0.borrow_mut().pop().unwrap().to_owned()))
    }
}

fn password(source: &SecretSource) -> Result<Vec<u8>, CliError> {
    match source.read(&Answers::new(&[]), &|_| ())? {
        Secret::Password(password) => Ok(password.to_vec()),
        Secret::KeyFile(_) => panic!("a key file"),
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn flags_win_over_variables_and_each_source_over_those_after_it() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("snap-password"), "x", 0o400);
    let mut variables = vec![
        ("SNAP_KEY_FILE", "/env.key"),
        ("SNAP_PASSWORD_FILE", "/env.password"),
        ("SNAP_PASSWORD_COMMAND", "pass env"),
        ("SNAP_PASSWORD", "hunter2"),
        ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap()),
    ];
    let expected = [
        SecretSource::KeyFile("/env.key".into()),
        SecretSource::PasswordFile("/env.password".into()),
        SecretSource::PasswordCommand("pass env".into()),
        SecretSource::Given(Zeroizing::new(b"hunter2".to_vec())),
        SecretSource::Credential(directory.path().join("snap-password")),
        SecretSource::KeyFile("/default.key".into()),
    ];
    let flag = Globals { password_command: Some("pass flag".to_owned().into()), ..Globals::default() };
    for source in expected {
        let environment = Environment::from_pairs(&variables);
        let default_key = Some(PathBuf::from("/default.key"));
        assert_eq!(choose(&Globals::default(), &environment, default_key.clone()), source);
        let flagged = choose(&flag, &environment, default_key);
        assert_eq!(flagged, SecretSource::PasswordCommand("pass flag".into()));
        if !variables.is_empty() {
            variables.remove(0);
        }
    }
    assert_eq!(choose(&Globals::default(), &Environment::default(), None), SecretSource::Prompt);
}

#[test]
fn an_empty_variable_and_a_missing_credential_count_as_not_set() {
    let environment =
        Environment::from_pairs(&[("SNAP_PASSWORD", ""), ("CREDENTIALS_DIRECTORY", "/nonexistent")]);
    assert_eq!(choose(&Globals::default(), &environment, None), SecretSource::Prompt);
}

#[test]
fn one_line_end_is_stripped_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    for (text, expected) in
        [("a b \n", "a b "), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\ta\r", "\ta\r")]
    {
        write(&path, text, 0o600);
        assert_eq!(password(&SecretSource::PasswordFile(path.clone())).unwrap(), expected.as_bytes());
    }
}

#[test]
fn a_file_open_to_others_is_warned_of_and_a_credential_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    write(&path, "hunter2\n", 0o640);
    let warnings = RefCell::new(Vec::new());
    let warn = |message: &str| warnings.borrow_mut().push(message.to_owned());
    SecretSource::Credential(path.clone()).read(&Answers::new(&[]), &warn).unwrap();
    assert!(warnings.borrow().is_empty());
    SecretSource::PasswordFile(path.clone()).read(&Answers::new(&[]), &warn).unwrap();
    SecretSource::KeyFile(path.clone()).read(&Answers::new(&[]), &warn).unwrap();
    assert_eq!(warnings.borrow().len(), 2);
    assert!(warnings.borrow().iter().all(|text| text.contains("640") && !text.contains("hunter2")));
    write(&path, "hunter2\n", 0o600);
    SecretSource::PasswordFile(path).read(&Answers::new(&[]), &warn).unwrap();
    assert_eq!(warnings.borrow().len(), 2);
}

#[test]
fn empty_and_oversized_passwords_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    for text in ["", "\n", &"x".repeat(PASSWORD_MAX_BYTES + 1), &"x".repeat(1_000_000)] {
        write(&path, text, 0o600);
        assert!(password(&SecretSource::PasswordFile(path.clone())).is_err());
    }
    write(&path, &format!("{}\r\n", "x".repeat(PASSWORD_MAX_BYTES)), 0o600);
    assert_eq!(password(&SecretSource::PasswordFile(path)).unwrap().len(), PASSWORD_MAX_BYTES);
}

#[test]
fn a_password_command_runs_without_a_shell_and_its_failure_is_an_error_without_its_arguments() {
    let command = |line: &str| SecretSource::PasswordCommand(line.to_owned());
    assert_eq!(password(&command("printf '%s\\n' 'a $HOME b'")).unwrap(), b"a $HOME b");
    for line in
        ["false hunter2", "/nonexistent hunter2", "sh -c 'echo ok; exit 3' hunter2", "yes hunter2", "a '"]
    {
        let error = password(&command(line)).unwrap_err();
        let shown = format!("{error} {:?} {error:?}", error.causes());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_new_password_is_asked_for_twice_and_must_agree() {
    let read = |answers: &[&'static str]| SecretSource::Prompt.read_new(&Answers::new(answers), &|_| ());
    let Secret::Password(password) = read(&["a", "b", "c", "c"]).unwrap() else { panic!("no password") };
    assert_eq!(password.as_slice(), b"c");
    assert!(read(&["a", "b", "a", "b", "a", "b", "c", "c"]).is_err());
    assert!(read(&["", ""]).is_err());
}

#[test]
fn without_a_terminal_the_ways_to_give_a_password_are_named() {
    let error = SecretSource::Prompt.read(&Answers::new(&[]), &|_| ()).unwrap_err();
    assert!(error.hints()[0].contains("--password-file"));
}

#[test]
fn debug_output_holds_no_secret() {
    let given = SecretSource::Given(Zeroizing::new(b"hunter2".to_vec()));
    let command = SecretSource::PasswordCommand("echo hunter2".into());
    let secret = given.read(&Answers::new(&[]), &|_| ()).unwrap();
    let environment = Environment::from_pairs(&[("SNAP_PASSWORD", "hunter2")]);
    let shown = format!("{given:?} {command:?} {secret:?} {environment:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
