"""The real parts on this machine: emulators, our functions behind their real protocols, and who starts and stops them.

A part is one file in `parts/`. Nothing here decides about tasks; nothing outside `local` may import it.
"""
