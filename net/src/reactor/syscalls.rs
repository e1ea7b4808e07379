//! The few system calls that neither the standard library nor the ring's crate offers.

use io_uring::EnterFlags;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A non-blocking eventfd.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins the calling thread to one core.
pub(super) fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
    }
    // SAFETY: a cpu_set_t is plain bits, `cpu` is below its size, and the call only reads it.
    check(unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set)
    })?;
    Ok(())
}

/// The address of this machine that a connection reached. Closes the descriptor.
pub(super) fn local_address(fd: RawFd) -> io::Result<SocketAddr> {
    // SAFETY: the ring made the descriptor for this call; nobody else knows of it.
    unsafe { TcpStream::from_raw_fd(fd) }.local_addr()
}

/// Idle time after which the other side is probed, in seconds.
const KEEPALIVE_S: libc::c_int = 300;

/// Makes a socket, and those accepted through it from now on, send at once and notice when the other side is dead.
fn prepare(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEPALIVE_S)
}

/// A socket to connect to this address with, set up as accepted ones are. It blocks: the ring would give up on one that doesn't
/// before the other side has answered.
pub(super) fn stream_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor is new and ours.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    prepare(&socket)?;
    Ok(socket)
}

/// Prepares what is accepted from now on, and lets `backlog` connections wait.
pub(super) fn prepare_listener(listener: &TcpListener, backlog: i32) -> io::Result<()> {
    prepare(listener)?;
    // SAFETY: no memory is involved; listening again only changes the backlog.
    check(unsafe { libc::listen(listener.as_raw_fd(), backlog) })?;
    Ok(())
}

fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option's value is an int that lives through the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            std::mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Soft and hard limit of a resource.
pub(super) fn limits(resource: libc::__rlimit_resource_t) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the struct.
    check(unsafe { libc::getrlimit(resource, &mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Raises the soft limit of open files to at least `wanted`, if the hard limit allows it.
pub(super) fn raise_open_files(wanted: u64) -> io::Result<()> {
    let (soft, hard) = limits(libc::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(io::Error::other(format!(
            "{wanted} open files are needed and the limit is {hard}: raise it (ulimit -Hn, LimitNOFILE=) or allow fewer connections"
        )));
    }
    let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: the call only reads the struct.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(())
}

/// The kernel's release, such as `6.1.0-13-amd64`.
pub(super) fn kernel_release() -> io::Result<String> {
    // SAFETY: a utsname is arrays of characters; the call fills it with strings that end in NUL.
    unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        check(libc::uname(&mut name))?;
        Ok(std::ffi::CStr::from_ptr(name.release.as_ptr()).to_string_lossy().into_owned())
    }
}

/// `struct io_uring_rsrc_update`
#[repr(C)]
struct RingFdUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

const IORING_REGISTER_RING_FDS: libc::c_uint = 20;
const IORING_UNREGISTER_RING_FDS: libc::c_uint = 21;

/// Registers a ring's descriptor with the calling thread; returns the index to enter it by.
pub(super) fn register_ring_fd(fd: RawFd) -> io::Result<RawFd> {
    let mut update = RingFdUpdate { offset: u32::MAX, reserved: 0, data: fd as u64 };
    // SAFETY: the kernel reads and writes one update struct.
    let done = unsafe {
        libc::syscall(libc::SYS_io_uring_register, fd, IORING_REGISTER_RING_FDS, &raw mut update, 1)
    };
    if done != 1 {
        return Err(io::Error::last_os_error());
    }
    Ok(update.offset as RawFd)
}

/// Takes a registration of the calling thread back; it would keep the ring alive until the thread ends.
pub(super) fn unregister_ring_fd(fd: RawFd, index: RawFd) {
    let mut update = RingFdUpdate { offset: index as u32, reserved: 0, data: 0 };
    // SAFETY: the kernel reads one update struct.
    unsafe { libc::syscall(libc::SYS_io_uring_register, fd, IORING_UNREGISTER_RING_FDS, &raw mut update, 1) };
}

/// `struct io_uring_getevents_arg`
#[repr(C)]
struct WaitArgument {
    signal_mask: u64,
    signal_mask_bytes: u32,
    wait_min_us: u32,
    timeout: u64,
}

/// `struct __kernel_timespec`
#[repr(C)]
struct KernelTime {
    seconds: i64,
    nanoseconds: i64,
}

/// Enters a ring: submits, runs deferred work, and waits for `wanted` completions, at most `timeout` long.
pub(super) fn enter_ring(
    fd: RawFd,
    submit: u32,
    wanted: u32,
    flags: EnterFlags,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let time = timeout.map(|timeout| KernelTime {
        seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: i64::from(timeout.subsec_nanos()),
    });
    let argument = WaitArgument {
        signal_mask: 0,
        signal_mask_bytes: 0,
        wait_min_us: 0,
        timeout: time.as_ref().map_or(0, |time| std::ptr::from_ref(time) as u64),
    };
    let flags = flags | EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
    // SAFETY: the argument and the time live through the call, and the size is the argument's.
    let done = unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            fd,
            submit,
            wanted,
            flags.bits(),
            &raw const argument,
            std::mem::size_of::<WaitArgument>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
