    fchdir(root)?;
    pivot_root(".", ".")?;
    chdir("/")
