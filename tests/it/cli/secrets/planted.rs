//! Secrets that are planted, and ears that hear all that the program says and writes.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use crate::cli::{Run, User};
use crate::support::random_hex;

/// How many runs go on at once where they only wait.
const AT_ONCE: usize = 8;
/// What every run says more than by default, and traces where somebody listens to such variables.
const TALKATIVE: [(&str, &str); 2] = [("RUST_BACKTRACE", "full"), ("RUST_LOG", "trace")];

/// What must be nowhere, in the forms in which it could be.
struct Secret {
    what: String,
    forms: Vec<Vec<u8>>,
}

/// One run to be heard: words and variables.
pub(super) struct Attempt {
    pub(super) words: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
}

/// What was heard, and where.
struct Heard {
    place: String,
    bytes: Vec<u8>,
}

/// Hears all that the program says to a user, and looks through all that it wrote.
pub(super) struct Ears<'u> {
    user: &'u User,
    secrets: Vec<Secret>,
    /// Files that hold secrets because somebody put them there.
    given: Vec<PathBuf>,
    variables: Vec<(String, String)>,
    heard: Mutex<Vec<Heard>>,
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |three: &[u8], at: usize| {
        let value = three.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        DIGITS[(value >> (18 - 6 * at) & 63) as usize]
    };
    bytes.chunks_exact(3).flat_map(|three| (0..4).map(move |at| digit(three, at))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// `bytes` themselves, in hexadecimal digits, as a list of numbers, and in base64 wherever they begin.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let digits = hex(bytes);
    let numbers = format!("{bytes:?}");
    let mut forms = vec![bytes.to_vec(), digits.to_uppercase().into(), digits.into()];
    forms.push(numbers[1..numbers.len() - 1].into());
    forms.extend((0..3).map(|skip| base64(&bytes[skip..])));
    forms
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

impl<'u> Ears<'u> {
    pub(super) fn new(user: &'u User) -> Self {
        let variables = TALKATIVE.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { user, secrets: Vec::new(), given: Vec::new(), variables, heard: Mutex::default() }
    }

    /// Makes a secret that nobody may repeat.
    pub(super) fn plant(&mut self, what: &str) -> String {
        let secret = format!("planted{}", random_hex(12));
        self.forbid(what, secret.as_bytes());
        secret
    }

    /// Forbids to repeat a secret that is there already.
    pub(super) fn forbid(&mut self, what: &str, secret: &[u8]) {
        assert!(secret.len() >= 12, "{what} could stand anywhere by chance");
        self.secrets.push(Secret { what: what.to_owned(), forms: forms(secret) });
    }

    /// Writes a file that may hold secrets.
    pub(super) fn give(&mut self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.user.secret(file, content);
        self.given.push(path);
    }

    /// Takes a file out of the search: the program was asked to write a secret to it.
    pub(super) fn except(&mut self, file: &str) {
        self.given.push(self.user.path(file));
    }

    /// Sets a variable for every run from now on.
    pub(super) fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    /// Runs `words` and hears what they say.
    pub(super) fn run(&self, words: &[&str]) -> Run {
        self.run_with(words, &[], b"")
    }

    /// As [`Ears::run`], with variables and input.
    pub(super) fn run_with(&self, words: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Run {
        let mut command = self.user.command(words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(variables.iter().copied()).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever reads no input closes the pipe, which is its right.
        let _ = child.stdin.take().unwrap().write_all(input);
        let run = Run::from(child.wait_with_output().unwrap());
        self.hear(&format!("output of {words:?}"), format!("{}{}", run.out, run.err).as_bytes());
        run
    }

    /// Runs all attempts, several at once, each for people and for programs, and requires one of `codes`.
    pub(super) fn run_all(&self, attempts: &[Attempt], codes: &[i32]) {
        std::thread::scope(|scope| {
            for part in 0..AT_ONCE {
                let own = attempts.iter().skip(part).step_by(AT_ONCE);
                scope.spawn(move || own.for_each(|attempt| self.attempt(attempt, codes)));
            }
        });
    }

    fn attempt(&self, attempt: &Attempt, codes: &[i32]) {
        let variables: Vec<_> = attempt.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        for form in [&["-vv", "--progress", "always"][..], &["-vv", "--json"]] {
            let words: Vec<&str> =
                form.iter().copied().chain(attempt.words.iter().map(|word| &**word)).collect();
            let run = self.run_with(&words, &variables, b"");
            assert!(codes.contains(&run.code), "{words:?} {variables:?}: {run:?}");
        }
    }

    /// Remembers what was found at `place`.
    pub(super) fn hear(&self, place: &str, bytes: &[u8]) {
        self.heard.lock().unwrap().push(Heard { place: place.to_owned(), bytes: bytes.to_vec() });
    }

    /// Looks through all that was heard and all that is below the home, and requires that no secret is there.
    pub(super) fn require_silence(self) {
        assert!(!self.secrets.is_empty());
        for (path, _, _) in crate::cli::listing(self.user.home.path()) {
            if path.is_file() && !self.given.contains(&path) {
                self.hear(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
        let heard = self.heard.into_inner().unwrap();
        let mut told = Vec::new();
        for secret in &self.secrets {
            for heard in &heard {
                if secret.forms.iter().any(|form| holds(&heard.bytes, form)) {
                    let text: String = String::from_utf8_lossy(&heard.bytes).chars().take(600).collect();
                    told.push(format!("the {} in {}: {text}", secret.what, heard.place));
                }
            }
        }
        let places = heard.len();
        assert!(told.is_empty(), "{} of {places} places: {}", told.len(), told.join("\n"));
    }
}

#[test]
#[should_panic(expected = "2 of 3 places: the password in a log")]
fn ears_find_a_secret_in_every_form() {
    let user = User::new();
    let mut ears = Ears::new(&user);
    let secret = ears.plant("password");
    let encoded = base64(format!("user:{secret}__").as_bytes());
    ears.hear("a log", &encoded);
    ears.hear("a list", &[b"x".to_vec(), hex(secret.as_bytes()).into_bytes()].concat());
    ears.hear("elsewhere", &secret.as_bytes()[1..]);
    ears.require_silence();
}
