//! Puts the rooms together: files to a first generation, sockets, tasks, signals, an orderly end.
