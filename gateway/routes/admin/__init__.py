"""The admin API under ``/admin/v1``: projects, keys, usage and the audit log, for keys with the scope ``admin``."""
