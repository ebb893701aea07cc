"""The release phase: runs once per deploy, before any new process starts."""

import database

print(f"{database.kind()}: {database.seed()} proverbs in the table", flush=True)
