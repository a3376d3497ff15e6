//! Where things are when nobody says: repository, cache, key file, host name.

use std::path::PathBuf;

use super::environment::Environment;
use super::error::CliError;

/// Returns the default repository: `$XDG_DATA_HOME/snap/repository`.
pub fn repository(environment: &Environment) -> Result<PathBuf, CliError> {
    base(environment, "XDG_DATA_HOME", ".local/share", "--repo").map(|base| base.join("snap/repository"))
}

/// Returns the directory of the caches of all repositories: `$XDG_CACHE_HOME/snap`.
pub fn cache_dir(environment: &Environment) -> Result<PathBuf, CliError> {
    base(environment, "XDG_CACHE_HOME", ".cache", "--cache-dir").map(|base| base.join("snap"))
}

/// Returns the directory where this host remembers what it saw of repositories: `SNAP_STATE_DIR`, or
/// `$XDG_STATE_HOME/snap`.
pub fn state_dir(environment: &Environment) -> Result<PathBuf, CliError> {
    if let Some(folder) = environment.get("SNAP_STATE_DIR") {
        return Ok(PathBuf::from(folder));
    }
    base(environment, "XDG_STATE_HOME", ".local/state", "SNAP_STATE_DIR").map(|base| base.join("snap"))
}

/// Returns the key file of the default repository: `$XDG_CONFIG_HOME/snap/default.key`. Whoever makes it
/// makes it 0600, in a directory 0700.
pub fn key_file(environment: &Environment) -> Result<PathBuf, CliError> {
    base(environment, "XDG_CONFIG_HOME", ".config", "--key-file").map(|base| base.join("snap/default.key"))
}

/// Returns the name of this host: its own word for itself, `localhost` where it has none.
pub fn host_name() -> String {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Returns the name of the user who runs this, or its number.
pub fn user_name(environment: &Environment) -> String {
    let number = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    known.or_else(|| environment.text("LOGNAME").map(str::to_owned)).unwrap_or(number)
}

/// Returns the directory named by `variable`, or `below` the home directory. A relative path in the variable
/// is ignored, as the XDG base directory specification demands.
fn base(environment: &Environment, variable: &str, below: &str, option: &str) -> Result<PathBuf, CliError> {
    let named = environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || environment.get("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| home().map(|home| home.join(below))).ok_or_else(|| {
        CliError::failed(format!("no default for {option}: neither {variable} nor HOME names a directory"))
            .with_hint(format!("give {option}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xdg_variables_win_over_home_and_relative_ones_are_ignored() {
        let environment = Environment::from_pairs(&[
            ("HOME", "/home/ada"),
            ("XDG_DATA_HOME", "/data"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_CONFIG_HOME", ""),
        ]);
        assert_eq!(repository(&environment).unwrap(), PathBuf::from("/data/snap/repository"));
        assert_eq!(cache_dir(&environment).unwrap(), PathBuf::from("/home/ada/.cache/snap"));
        assert_eq!(state_dir(&environment).unwrap(), PathBuf::from("/home/ada/.local/state/snap"));
        assert_eq!(key_file(&environment).unwrap(), PathBuf::from("/home/ada/.config/snap/default.key"));
    }

    #[test]
    fn without_a_home_the_option_is_named() {
        let error = repository(&Environment::default()).unwrap_err();
        assert!(error.to_string().contains("--repo"), "{error}");
    }
}
