"""Where peers come in: sockets, the pump between them and their sessions, and who may enter.

The gateway decides nothing about turns (session.py does) and knows no tensors (the worker does).
It runs on one event loop: no locks, and nothing that takes long between two awaits.
"""
