//! The program the tests run inside sandboxes: one verb, one thing to find out. Compiled by the tests
//! themselves, statically, with nothing but std; not part of the workspace.

use std::ffi::{c_int, c_long};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, exit};
use std::time::Duration;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn signal(number: c_int, handler: usize) -> usize;
    fn isatty(fd: c_int) -> c_int;
    fn ioctl(fd: c_int, request: u64, ...) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn getuid() -> u32;
    fn getgid() -> u32;
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", address] => serve(address),
        ["sleep"] => sleep(),
        ["stubborn"] => {
            unsafe { signal(15, 1) };
            println!("ready");
            sleep();
        }
        ["exit", code] => exit(code.parse().unwrap()),
        ["signal-init"] => {
            unsafe { kill(1, 9) };
        }
        ["insist"] => {
            if std::process::id() != 1 {
                eprintln!("I am no PID 1 but {}", std::process::id());
                exit(1)
            }
            println!("I am PID 1, and so says /proc: {}", proc_self());
        }
        ["pid"] => println!("{} {}", std::process::id(), proc_self()),
        ["say", text] => print!("{text}"),
        ["say", text, wrong] => {
            print!("{text}");
            eprint!("{wrong}");
        }
        ["say-on-connect", address] => {
            let listener = TcpListener::bind(address).unwrap();
            for (i, stream) in listener.incoming().enumerate() {
                println!("line {i}");
                eprintln!("error {i}");
                let _ = stream.unwrap().write_all(b"said");
            }
        }
        ["exit-on-connect", address, code] => {
            let (mut stream, _) = TcpListener::bind(address).unwrap().accept().unwrap();
            let _ = stream.read(&mut [0; 3]);
            println!("last words");
            eprintln!("and errors");
            exit(code.parse().unwrap())
        }
        ["orphan-and-sleep"] => {
            Command::new("/bin/probe").arg("sleep").spawn().unwrap();
            sleep();
        }
        ["echo"] => {
            std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).unwrap();
            eprint!("done");
        }
        ["cat", path] => match std::fs::read(path) {
            Ok(bytes) => std::io::stdout().write_all(&bytes).unwrap(),
            Err(e) => fail(&e),
        },
        ["write", path, text] => {
            if let Err(e) = std::fs::write(path, text) {
                fail(&e);
            }
        }
        ["ls", path] => ls(path),
        ["links", path] => {
            for entry in std::fs::read_dir(path).unwrap() {
                let link = std::fs::read_link(entry.unwrap().path());
                println!("{}", link.map_or_else(|e| e.to_string(), |l| l.display().to_string()));
            }
        }
        ["fill", path, mib] => {
            let mut file = std::fs::File::create(path).unwrap();
            let (mut written, mut errno) = (0, 0);
            while written < mib.parse().unwrap() && errno == 0 {
                match file.write_all(&[1; 1024 * 1024]) {
                    Ok(()) => written += 1,
                    Err(e) => errno = e.raw_os_error().unwrap(),
                }
            }
            println!("{written} {errno}");
            exit(i32::from(errno != 0))
        }
        ["create", dir] => {
            let file = |n: u64| std::fs::File::create(format!("{dir}/{n}"));
            let failed = (0..).find_map(|n| file(n).err().map(|e| (n, e.raw_os_error().unwrap())));
            let (created, errno) = failed.unwrap();
            println!("{created} {errno}");
        }
        // By the project's id, and by no longer handing it on.
        ["leave-project", path] => {
            let file = std::fs::File::open(path).unwrap();
            let mut attributes = [0_u32; 7];
            let fd = file.as_raw_fd();
            let read = unsafe { ioctl(fd, 0x801c_581f, attributes.as_mut_ptr()) };
            let errno = |attributes: &[u32; 7]| {
                let set = unsafe { ioctl(fd, 0x401c_5820, attributes.as_ptr()) };
                if set == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap() }
            };
            let (mut other, mut alone) = (attributes, attributes);
            other[3] = 0;
            alone[0] &= !0x200;
            let inside = attributes[0] & 0x200 != 0 && attributes[3] != 0;
            println!("{read} {inside} {} {}", errno(&other), errno(&alone));
        }
        ["owner", path] => match std::fs::metadata(path) {
            Ok(file) => println!("{} {}", file.uid(), file.gid()),
            Err(e) => fail(&e),
        },
        ["chown", path, uid] => {
            if let Err(e) = std::os::unix::fs::chown(path, Some(uid.parse().unwrap()), None) {
                fail(&e);
            }
        }
        ["who"] => println!("{} {}", unsafe { getuid() }, unsafe { getgid() }),
        ["where"] => println!("{}", std::env::current_dir().unwrap().display()),
        ["env", name] => println!("{}", std::env::var(name).unwrap_or("unset".into())),
        ["eat", mib] => {
            let mut eaten = Vec::new();
            for _ in 0..mib.parse::<usize>().unwrap() {
                eaten.push(vec![1u8; 1024 * 1024]);
            }
            println!("ate {}", eaten.len());
        }
        ["child-eats", mib] => {
            let _ = Command::new("/bin/probe").args(["eat", mib]).status();
            println!("survived");
        }
        ["fork-until-refused"] => {
            let mut children = Vec::new();
            let refused = loop {
                match Command::new("/bin/probe").arg("sleep").spawn() {
                    Ok(child) => children.push(child),
                    Err(e) => break e,
                }
            };
            println!("{} {}", children.len(), refused.raw_os_error().unwrap_or(0));
        }
        ["orphan"] => {
            // Outlives us, holding our output.
            Command::new("/bin/probe").arg("sleep").spawn().unwrap();
            println!("left one");
        }
        ["spin", milliseconds] => {
            let end = std::time::Instant::now() + Duration::from_millis(milliseconds.parse().unwrap());
            while std::time::Instant::now() < end {}
        }
        ["connect", address] => match TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(10)) {
            Ok(mut stream) => {
                let mut answer = String::new();
                stream.write_all(b"hello").unwrap();
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read_to_string(&mut answer);
                println!("{} {answer}", stream.local_addr().unwrap().ip());
            }
            Err(e) => fail(&e),
        },
        ["udp", address] => {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            if let Err(e) = socket.send_to(b"ping", address) {
                fail(&e);
            }
            let mut answer = [0; 2000];
            let (n, from) = socket.recv_from(&mut answer).unwrap();
            println!("{from} {}", String::from_utf8_lossy(&answer[..n]));
        }
        ["syscall", number, argument] => {
            let (number, argument): (c_long, c_long) = (number.parse().unwrap(), argument.parse().unwrap());
            let result = unsafe { syscall(number, argument, 0, 0, 0, 0) };
            let error = std::io::Error::last_os_error().raw_os_error().unwrap();
            println!("{}", if result == -1 { error } else { 0 });
        }
        ["terminal"] => {
            let mut size = [0u16; 4];
            unsafe { ioctl(0, 0x5413, size.as_mut_ptr()) };
            let all = (0..3).all(|fd| unsafe { isatty(fd) } == 1);
            println!("{all} {} {}", size[1], size[0]);
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            unsafe { ioctl(0, 0x5413, size.as_mut_ptr()) };
            println!("{} {} {}", line.trim(), size[1], size[0]);
        }
        _ => {
            eprintln!("probe: what is {args:?}?");
            exit(64)
        }
    }
}

fn serve(address: &str) {
    for stream in TcpListener::bind(address).unwrap().incoming() {
        let _ = stream.unwrap().write_all(b"hello from inside");
    }
}

fn proc_self() -> String {
    std::fs::read_link("/proc/self").unwrap().display().to_string()
}

fn ls(path: &str) {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            println!("{}", names.join(" "));
        }
        Err(e) => fail(&e),
    }
}

fn fail(error: &std::io::Error) -> ! {
    println!("errno {}", error.raw_os_error().unwrap_or(0));
    exit(1)
}

fn sleep() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
