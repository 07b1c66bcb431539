"""Starting and stopping the servers: one definition, three ways to run it.

``compose_file`` reads the definition, ``definition`` turns it into values, ``compose``, ``native`` and ``external``
run it, and ``lifecycle`` is what the command line calls.
"""
