"""Where things live: the folder layout, its settings, and writes that survive a crash."""

from mbd.workspace.files import fsync_directory, remove_file, write_atomically
from mbd.workspace.layout import Workspace, find_workspace

__all__ = ["Workspace", "find_workspace", "fsync_directory", "remove_file", "write_atomically"]
