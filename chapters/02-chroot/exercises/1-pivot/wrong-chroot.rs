    fchdir(root)?;
    nix::unistd::chroot(".")?;
    chdir("/")
