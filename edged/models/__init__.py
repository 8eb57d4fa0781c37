"""Model updates, the device side: what may come in, how it comes in, where it is kept, and when it counts.

Signed manifests (tuf) name content-addressed blobs; a blob is fetched chunk by chunk, made a candidate in
one transaction, tried in a child process on golden inputs, and only then serves. `manifest`, `trust`,
`rollout` and `states` are pure: bytes and `now` come in as arguments.
"""
