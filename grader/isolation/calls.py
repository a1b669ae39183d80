"""Every system call of Linux: which of them code under test may make, in groups, each
for one reason.

A call has its number on x86-64 and on aarch64 behind it, "-" where there is none, and
one number where both agree.
"""

ALLOWED = {
    "what is open": """
        read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68,
        preadv 295 69, pwritev 296 70, pwritev2 328 287, lseek 8 62, close 3 57,
        close_range 436, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59,
        sendfile 40 71, splice 275 76, tee 276 77, copy_file_range 326 285,
        ftruncate 77 46, fallocate 285 47, fsync 74 82, fdatasync 75 83,
        sync_file_range 277 84, sync 162 81, syncfs 306 267
    """,
    "waiting for what is open": """
        poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -,
        epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
        epoll_pwait2 441, eventfd 284 -, eventfd2 290 19, signalfd 282 -,
        signalfd4 289 74, timerfd_create 283 85, timerfd_settime 286 86,
        timerfd_gettime 287 87
    """,
    "files and folders, of which Landlock and the mounts show a part": """
        open 2 -, openat 257 56, openat2 437, creat 85 -, access 21 -, faccessat 269 48,
        faccessat2 439, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79,
        statx 332 291, statfs 137 43, fstatfs 138 44, getdents 78 -, getdents64 217 61,
        readlink 89 -, readlinkat 267 78, getcwd 79 17, chdir 80 49, fchdir 81 50,
        mkdir 83 -, mkdirat 258 34, rmdir 84 -, rename 82 -, renameat 264 38,
        renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36,
        unlink 87 -, unlinkat 263 35, truncate 76 45, umask 95 166, getxattr 191 8,
        lgetxattr 192 9, fgetxattr 193 10, getxattrat 464, listxattr 194 11,
        llistxattr 195 12, flistxattr 196 13, listxattrat 465
    """,
    "memory of its own": """
        brk 12 214, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216,
        msync 26 227, mlock 149 228, mlock2 325 284, munlock 150 229, mlockall 151 230,
        munlockall 152 231, mseal 462, map_shadow_stack 453, pkey_alloc 330 289,
        pkey_free 331 290, pkey_mprotect 329 288, membarrier 324 283
    """,
    "threads and processes of its own": """
        exit 60 93, exit_group 231 94, futex 202 98, futex_wait 455, futex_waitv 449,
        futex_wake 454, futex_requeue 456, set_robust_list 273 99,
        set_tid_address 218 96, rseq 334 293, rseq_slice_yield 471, arch_prctl 158 -,
        seccomp 317 277, landlock_create_ruleset 444, landlock_add_rule 445,
        landlock_restrict_self 446, getpid 39 172, getppid 110 173, gettid 186 178,
        getpgrp 111 -, getpgid 121 155, setpgid 109 154, getsid 124 156,
        getrlimit 97 163, setrlimit 160 164, getpriority 140 141, ioprio_get 252 31,
        getcpu 309 168, sched_yield 24 124, sched_getaffinity 204 123,
        sched_getattr 315 275, sched_getparam 143 121, sched_getscheduler 145 120,
        sched_get_priority_max 146 125, sched_get_priority_min 147 126,
        sched_rr_get_interval 148 127
    """,
    "users and groups: without capabilities, nobody becomes another": """
        getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
        getresuid 118 148, getresgid 120 150, getgroups 115 158, setuid 105 146,
        setgid 106 144, setreuid 113 145, setregid 114 143, setresuid 117 147,
        setresgid 119 149, setfsuid 122 151, setfsgid 123 152, setgroups 116 159,
        capget 125 90, capset 126 91
    """,
    "signals and clocks of its own": """
        rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigpending 127 136,
        rt_sigsuspend 130 133, rt_sigtimedwait 128 137, rt_sigreturn 15 139,
        sigaltstack 131 132, restart_syscall 219 128, pause 34 -, alarm 37 -,
        getitimer 36 102, setitimer 38 103, timer_create 222 107, timer_settime 223 110,
        timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111,
        nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113,
        clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153
    """,
    "sockets, of which `socket` makes those that are a right": """
        bind 49 200, listen 50 201, accept 43 202, accept4 288 242, connect 42 203,
        getsockname 51 204, getpeername 52 205, getsockopt 55 209, sendto 44 206,
        sendmsg 46 211, sendmmsg 307 269, recvfrom 45 207, recvmsg 47 212,
        recvmmsg 299 243, shutdown 48 210
    """,
    "what the machine is": """
        uname 63 160, getrandom 318 278
    """,
    "on itself, or of harmless kinds: `seccomp` looks at the arguments": """
        clone 56 220, clone3 435, socket 41 198, socketpair 53 199, fcntl 72 25,
        ioctl 16 29, madvise 28 233, preadv2 327 286, fadvise64 221 223,
        readahead 187 213, wait4 61 260, waitid 247 95, kill 62 129, tgkill 234 131,
        prlimit64 302 261, setpriority 141 140, sched_setaffinity 203 122,
        sched_setattr 314 274, sched_setparam 142 118, sched_setscheduler 144 119,
        prctl 157 167, setsid 112 157, setsockopt 54 208
    """,
    "new processes and locks, for katas that need processes": """
        fork 57 -, vfork 58 -, flock 73 32
    """,
    "signals to any thread, where Landlock keeps signals within the sandbox": """
        tkill 200 130, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240
    """,
}
DENIED = {
    "programs and tracing": """
        execve 59 221, execveat 322 281, uselib 134 -, ptrace 101 117,
        process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272,
        pidfd_open 434, pidfd_getfd 438, pidfd_send_signal 424, get_robust_list 274 100,
        uprobe 336 -, uretprobe 335 -
    """,
    "memory and priorities of others": """
        migrate_pages 256 238, move_pages 279 239, process_madvise 440,
        process_mrelease 448, userfaultfd 323 282, ioprio_set 251 30
    """,
    "objects that outlive who made them, and that no limit covers": """
        shmget 29 194, shmat 30 196, shmdt 67 197, shmctl 31 195, semget 64 190,
        semop 65 193, semtimedop 220 192, semctl 66 191, msgget 68 186, msgsnd 69 189,
        msgrcv 70 188, msgctl 71 187, mq_open 240 180, mq_unlink 241 181,
        mq_timedsend 242 182, mq_timedreceive 243 183, mq_notify 244 184,
        mq_getsetattr 245 185, memfd_create 319 279, memfd_secret 447, vmsplice 278 75,
        add_key 248 217, request_key 249 218, keyctl 250 219
    """,
    "which pages of a file are in memory": """
        mincore 27 232, cachestat 451, remap_file_pages 216 234, getrusage 98 165,
        sysinfo 99 179, mbind 237 235, get_mempolicy 239 236, set_mempolicy 238 237,
        set_mempolicy_home_node 450
    """,
    "what passes by Landlock or this filter": """
        io_uring_setup 425, io_uring_enter 426, io_uring_register 427, io_setup 206 0,
        io_submit 209 2, io_getevents 208 4, io_pgetevents 333 292, io_cancel 210 3,
        io_destroy 207 1, name_to_handle_at 303 264, open_by_handle_at 304 265,
        lookup_dcookie 212 18
    """,
    "namespaces and mounts": """
        unshare 272 97, setns 308 268, listns 470, mount 165 40, umount2 166 39,
        pivot_root 155 41, chroot 161 51, open_tree 428, open_tree_attr 467,
        move_mount 429, mount_setattr 442, fsopen 430, fsconfig 431, fsmount 432,
        fspick 433, statmount 457, listmount 458
    """,
    "modes and owners of files": """
        chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452, chown 92 -,
        fchown 93 55, lchown 94 -, fchownat 260 54
    """,
    "times of files": """
        utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88
    """,
    "attributes of files": """
        setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, setxattrat 463,
        removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, removexattrat 466,
        file_getattr 468, file_setattr 469
    """,
    "watching files": """
        inotify_init 253 -, inotify_init1 294 26, inotify_add_watch 254 27,
        inotify_rm_watch 255 28, fanotify_init 300 262, fanotify_mark 301 263
    """,
    "special files": """
        mknod 133 -, mknodat 259 33
    """,
    "the kernel and its modules": """
        bpf 321 280, perf_event_open 298 241, syslog 103 116, kexec_load 246 104,
        kexec_file_load 320 294, init_module 175 105, finit_module 313 273,
        delete_module 176 106, lsm_get_self_attr 459, lsm_set_self_attr 460,
        lsm_list_modules 461
    """,
    "the machine: its name, clock, devices, disks and accounts": """
        sethostname 170 161, setdomainname 171 162, settimeofday 164 170,
        clock_settime 227 112, adjtimex 159 171, clock_adjtime 305 266, reboot 169 142,
        swapon 167 224, swapoff 168 225, acct 163 89, quotactl 179 60, quotactl_fd 443,
        vhangup 153 58, ioperm 173 -, iopl 172 -, modify_ldt 154 -, personality 135 92
    """,
    "what Linux has no more, or never had": """
        _sysctl 156 -, afs_syscall 183 -, create_module 174 -, epoll_ctl_old 214 -,
        epoll_wait_old 215 -, get_kernel_syms 177 -, get_thread_area 211 -,
        set_thread_area 205 -, getpmsg 181 -, putpmsg 182 -, nfsservctl 180 42,
        query_module 178 -, security 185 -, sysfs 139 -, tuxcall 184 -, ustat 136 -,
        vserver 236 -
    """,
}
COLUMNS = {"x86_64": 0, "aarch64": -1}


def numbers(groups: dict[str, str], machine: str) -> dict[str, int]:
    """The calls in these groups that this kind of machine has, by name."""
    calls = [call.split() for group in groups.values() for call in group.split(",")]
    found = {name: given[COLUMNS[machine]] for name, *given in calls}
    return {name: int(number) for name, number in found.items() if number != "-"}
