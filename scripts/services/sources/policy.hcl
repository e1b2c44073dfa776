# What configkit may do in Vault, and nothing else: no destroying, no removing of whole histories, no administration.
path "secret/data/*" { capabilities = ["create", "read", "update", "delete"] }
path "secret/metadata/*" { capabilities = ["create", "read", "update", "patch", "list"] }
path "secret/delete/*" { capabilities = ["update"] }
path "secret/undelete/*" { capabilities = ["update"] }
path "secret/config" { capabilities = ["read"] }
path "secret-v1/*" { capabilities = ["create", "read", "update", "delete", "list"] }
