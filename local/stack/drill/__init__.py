"""The kill drill: the stack's processes are killed in the middle of real work, and nothing may be lost or doubled."""
