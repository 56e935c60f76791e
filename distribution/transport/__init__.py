"""Where registries live: a folder, a web server, an OCI registry. One file each; what they hold is checked by others."""
