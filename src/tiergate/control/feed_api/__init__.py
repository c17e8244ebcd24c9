"""The API that sidecars follow: feed pages, publications, bundles, snapshots, single subjects."""
