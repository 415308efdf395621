"""Model providers on this machine: public wire protocols, and misbehaviour on demand.

`service` answers in process, with whatever time it is given; `server` puts it behind 127.0.0.1.
"""
