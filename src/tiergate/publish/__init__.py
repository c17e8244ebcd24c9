"""Publishing: from a catalog to a bundle, and from the store to a publication.

`file_compilation` compiles bundles from files, and is all that a sidecar needs. The other modules publish from the
store; import them by their own names, so that a sidecar does not need the store.
"""

from tiergate.publish.file_compilation import BundleFiles, compile_bundle, compile_files, compile_loaded
