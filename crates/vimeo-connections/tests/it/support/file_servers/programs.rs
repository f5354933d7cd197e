//! File servers as processes, with minimal configurations. `scripts/servers` installs them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::file_servers::film::{Film, Place, SIZE};
use crate::support::file_servers::s3::{self, Object};
use crate::support::harness::until;
use crate::support::ports::Port;
use crate::support::tools::{find_tool, is_all, program, skip_everywhere, tests_folder, unpacked};

/// The limit of every wait, after which the test fails. Tests make no other assertions about time.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// The kinds of file servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Apache,
    Lighttpd,
    Caddy,
    HttpServer,
    Aiohttp,
    Starlette,
    Express,
    NpmHttpServer,
    Tus,
    SeaweedFs,
    Moto,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Nginx,
        Self::Apache,
        Self::Lighttpd,
        Self::Caddy,
        Self::HttpServer,
        Self::Aiohttp,
        Self::Starlette,
        Self::Express,
        Self::NpmHttpServer,
        Self::Tus,
        Self::SeaweedFs,
        Self::Moto,
    ];

    fn is_s3(self) -> bool {
        matches!(self, Self::SeaweedFs | Self::Moto)
    }
}

/// A running server, with a directory of its own. Killed when dropped.
pub(crate) struct Server {
    kind: Kind,
    child: Child,
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server. `None`, and reported, if it is not installed.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        if kind.is_s3() && !is_all() {
            skip_everywhere(&format!("{kind:?} is installed and tested by ./test --all"));
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        // A server may read the files as another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(directory.path().join("files")).unwrap();
        let (child, address) = match kind {
            Kind::HttpServer => printing(python("http.server", directory.path())?),
            Kind::Aiohttp => printing(python("aiohttp", directory.path())?),
            Kind::Starlette => printing(python("starlette", directory.path())?),
            Kind::Express => printing(javascript("express", "servers-javascript", directory.path())?),
            Kind::NpmHttpServer => {
                printing(javascript("http-server", "servers-javascript", directory.path())?)
            }
            Kind::Tus => printing(javascript("tus", "javascript", directory.path())?),
            _ => listening(|port| with_port(kind, port, directory.path()))?,
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let server = Self { kind, child, address, directory, http };
        if kind.is_s3() {
            let object = server.object("none");
            until("the bucket exists", async || object.make_bucket().await).await;
        }
        Some(server)
    }

    /// The place and the address of a film with this name.
    pub(crate) async fn place(&self, name: &str) -> (Place, Address) {
        match self.kind {
            Kind::SeaweedFs | Kind::Moto => {
                let object = self.object(name);
                (Place::Object(object.clone()), Address::Signed(object))
            }
            Kind::Tus => {
                let id = self.upload().await;
                (Place::File(self.files().join(&id)), Address::Path(format!("/files/{id}")))
            }
            _ => (Place::File(self.files().join(name)), Address::Path(format!("/{name}"))),
        }
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    fn object(&self, name: &str) -> Object {
        Object { server: self.address, name: name.to_owned(), http: self.http.clone() }
    }

    /// Uploads the old film to a tus server; the upload ID, which is the name of its file.
    async fn upload(&self) -> String {
        let url = format!("http://{}/files", self.address);
        let created = self.http.post(url).header("tus-resumable", "1.0.0").header("upload-length", SIZE);
        let created = created.send().await.unwrap();
        assert_eq!(created.status(), 201);
        let location = created.headers()["location"].to_str().unwrap().to_owned();
        let sent = self.http.patch(&location).header("tus-resumable", "1.0.0").header("upload-offset", "0");
        let sent = sent
            .header("content-type", "application/offset+octet-stream")
            .body(Film::Old.bytes())
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 204);
        location.rsplit('/').next().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How to request a film.
pub(crate) enum Address {
    Path(String),
    Signed(Object),
}

impl Address {
    /// The URL through this host.
    pub(crate) fn url(&self, host: SocketAddr) -> String {
        match self {
            Self::Path(path) => format!("http://{host}{path}"),
            Self::Signed(object) => object.url(host),
        }
    }
}

fn python(name: &str, directory: &Path) -> Option<Command> {
    let mut command = program(find_tool("servers-python/bin/python")?);
    command.arg(tests_folder().join("servers/python/serve.py")).arg(name).arg(directory.join("files"));
    Some(command)
}

fn javascript(name: &str, packages: &str, directory: &Path) -> Option<Command> {
    let mut command = program("node");
    command.env("NODE_PATH", find_tool(&format!("{packages}/node_modules"))?);
    command.arg(tests_folder().join("servers/javascript/serve.js")).arg(name).arg(directory.join("files"));
    Some(command)
}

/// Starts a program that prints its base URL and ends when its standard input is closed.
fn printing(mut command: Command) -> (Child, SocketAddr) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{command:?}: {line}"));
    (child, address.parse().unwrap())
}

/// Starts a program on a free port, and waits until it listens.
fn listening(command: impl Fn(u16) -> Option<Command>) -> Option<(Child, SocketAddr)> {
    let started = Instant::now();
    loop {
        let port = Port::reserve();
        let address = port.address();
        let mut command = command(port.number())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // If it ends, another program has taken its port.
        while child.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok() {
                return Some((child, address));
            }
            if started.elapsed() > WAIT_LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} does not listen");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(started.elapsed() < WAIT_LIMIT, "{command:?} ends immediately");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The command of a server with a port argument. `None` if it is not installed.
fn with_port(kind: Kind, port: u16, directory: &Path) -> Option<Command> {
    match kind {
        Kind::Nginx => nginx(port, directory),
        Kind::Apache => apache(port, directory),
        Kind::Lighttpd => lighttpd(port, directory),
        Kind::Caddy => caddy(port, directory),
        Kind::SeaweedFs => seaweedfs(port, directory),
        _ => moto(port),
    }
}

/// A program of an unpacked Debian package, with its libraries.
fn server(path: &str) -> Option<(Command, PathBuf)> {
    let root = find_tool("servers/root")?;
    Some((unpacked(&root, path), root))
}

/// Writes a configuration; its path.
fn configure(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("server.conf");
    fs::write(&file, text.replace("DIRECTORY", directory.to_str().unwrap())).unwrap();
    file
}

fn nginx(port: u16, directory: &Path) -> Option<Command> {
    let (mut command, _) = server("usr/sbin/nginx")?;
    // `sendfile` and `tcp_nopush` as in Debian's configuration.
    let file = configure(
        directory,
        &format!(
            "daemon off; master_process off; pid DIRECTORY/pid;\nevents {{}}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; types {{ video/mp4 mp4; }}\n\
             client_body_temp_path DIRECTORY/a; proxy_temp_path DIRECTORY/b; fastcgi_temp_path DIRECTORY/c;\n\
             uwsgi_temp_path DIRECTORY/d; scgi_temp_path DIRECTORY/e;\n\
             server {{ listen 127.0.0.1:{port}; root DIRECTORY/files; }} }}\n"
        ),
    );
    command.args(["-e", "stderr", "-c"]).arg(file);
    Some(command)
}

fn apache(port: u16, directory: &Path) -> Option<Command> {
    let (mut command, root) = server("usr/sbin/apache2")?;
    let modules = root.join("usr/lib/apache2/modules");
    let load = |name: &str| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display());
    let file = configure(
        directory,
        &format!(
            "ServerRoot DIRECTORY\nDefaultRuntimeDir DIRECTORY\nPidFile DIRECTORY/pid\nErrorLog DIRECTORY/log\n\
             ServerName 127.0.0.1\nListen 127.0.0.1:{port}\nUser nobody\nGroup #65534\n{}{}{}TypesConfig /dev/null\n\
             AddType video/mp4 .mp4\nDocumentRoot DIRECTORY/files\n\
             <Directory DIRECTORY/files>\nRequire all granted\n</Directory>\n",
            load("mpm_event"),
            load("authz_core"),
            load("mime"),
        ),
    );
    // In one process with several threads.
    command.args(["-X", "-f"]).arg(file);
    Some(command)
}

fn lighttpd(port: u16, directory: &Path) -> Option<Command> {
    let (mut command, root) = server("usr/sbin/lighttpd")?;
    let file = configure(
        directory,
        &format!(
            "server.document-root = \"DIRECTORY/files\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             mimetype.assign = (\".mp4\" => \"video/mp4\")\n"
        ),
    );
    command.arg("-D").arg("-m").arg(root.join("usr/lib/lighttpd")).arg("-f").arg(file);
    Some(command)
}

fn caddy(port: u16, directory: &Path) -> Option<Command> {
    let (mut command, _) = server("usr/bin/caddy")?;
    command.env("HOME", directory).current_dir(directory);
    command
        .args(["file-server", "--listen", &format!("127.0.0.1:{port}"), "--root"])
        .arg(directory.join("files"));
    Some(command)
}

fn seaweedfs(port: u16, directory: &Path) -> Option<Command> {
    let mut command = program(find_tool("servers-s3/bin/weed")?);
    command.env("AWS_ACCESS_KEY_ID", s3::KEY_ID).env("AWS_SECRET_ACCESS_KEY", s3::SECRET);
    command.env("HOME", directory).current_dir(directory);
    command.args([
        "server",
        "-s3",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-dir=files",
        "-master.volumeSizeLimitMB=100",
    ]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]).arg(format!("-s3.port={port}"));
    for part in ["master", "volume", "filer"] {
        command.arg(format!("-{part}.port={}", Port::reserve().number()));
    }
    Some(command)
}

fn moto(port: u16) -> Option<Command> {
    let mut command = program(find_tool("servers-s3/bin/python")?);
    command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()]);
    Some(command)
}
