"""The ports on Azure's storage. Each file imports its SDK when its adapter is made, not before."""
