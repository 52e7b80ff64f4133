//! Other people's programs: Debian's by name, Python's packages in an environment under target/.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::serve::PATIENCE;

/// Debian's package of each program that the tests start.
const PACKAGES: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("mariadb", "mariadb-client"),
    ("mariadb-admin", "mariadb-client"),
    ("redis-cli", "redis-tools"),
    ("python3", "python3-venv"),
    ("mariadbd", "mariadb-server"),
    ("mariadb-install-db", "mariadb-server"),
    ("redis-server", "redis-server"),
    ("memcached", "memcached"),
    ("nginx", "nginx-light"),
];

/// The program, searched where Debian keeps servers too.
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let Some(found) = path
        .split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.is_file())
    else {
        let package = PACKAGES
            .iter()
            .find(|(program, _)| *program == name)
            .map_or(name, |(_, package)| package);
        panic!("`{name}` is missing, which this test needs: apt-get install {package}");
    };
    let mut command = Command::new(found);
    command.env("PATH", path).stdin(Stdio::null());
    command
}

/// What a program wrote to stdout. It must succeed.
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Python with the packages that the tests import, installed once.
pub(crate) fn python(script: &str) -> Command {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let python = READY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("protocol-python");
        let python = folder.join("bin/python");
        let packages = [
            "PyMySQL==1.2.4",
            "pymemcache==4.0.0",
            "redis==7.4.1",
            "mysql-connector-python==26.10.0",
            "SQLAlchemy==2.1.9",
            "DBUtils==3.2.0",
        ];
        let done = folder.join("installed");
        if std::fs::read_to_string(&done).is_ok_and(|list| list == packages.join(" ")) {
            return python;
        }
        stdout(program("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        stdout(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(packages),
        );
        std::fs::write(done, packages.join(" ")).unwrap();
        python
    });
    let mut command = Command::new(python);
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

/// A real server that listens on a port of 127.0.0.1, with a folder of its own; ended with the value.
pub(crate) struct RealServer {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl RealServer {
    /// Starts what `command` makes of folder and port, and waits until it accepts connections.
    pub(crate) fn start(command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = command(folder.path(), address.port());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self {
            address,
            child,
            _folder: folder,
        };
        server.wait_until_it_accepts();
        server
    }

    fn wait_until_it_accepts(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let over = self.child.try_wait().unwrap();
            if over.is_some() || start.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self._folder.path().join("log")).unwrap_or_default();
                panic!("the server does not accept connections ({over:?}):\n{log}");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // SIGTERM: nginx's master would leave its workers behind after SIGKILL.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
