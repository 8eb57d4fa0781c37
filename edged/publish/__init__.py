"""The publisher: makes the signed repository that devices take their models from, and keeps it fresh.

A workspace is one folder: `public/` is what to copy to any static host (`metadata/`, `targets/`, `blobs/`),
`keys.json` says which key belongs to which role, `keys/` holds the encrypted private keys until their owners
take them away, `drafts/` the versions that were added and not yet released. Nothing outside `public/` is
ever served. Needs the extra `edged[updates]`.
"""
