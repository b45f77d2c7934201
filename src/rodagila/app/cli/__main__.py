"""``python -m rodagila.app.cli`` is ``roda``, where the command is not on the path."""

from rodagila.app.cli.entry import main

main()
