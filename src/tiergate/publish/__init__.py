"""Publishing: the use cases in which `catalog`, `compiler` and `bundle` meet.

`files` makes bundles from files, and is all that a sidecar needs. The other modules publish from the store, for the
control plane; they are imported by their own names, so that a sidecar's installation does without the store.
"""

from tiergate.publish.file_compilation import BundleFiles, compile_bundle, compile_files, compile_loaded

__all__ = ["BundleFiles", "compile_bundle", "compile_files", "compile_loaded"]
